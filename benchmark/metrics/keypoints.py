"""Average distance of hand and face keypoints between prediction and truth (AKD, Siarohin et al. 2019).

The paper (section 4.1) assesses gestures "using the average keypoint distance" and gives neither detector, points,
unit nor the price of a miss. The definitions here are ours and not comparable with published tables.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations, Reason
from benchmark.metrics.hands import MIN_PRESENCE, REFERENCE_SIDE
from benchmark.metrics.reduction import mean_over_identities

__all__ = ["AKD_FACE", "AKD_HAND", "akd_face", "akd_hand", "matched_hand_distances"]

_BELOW_THE_TRUTH = tuple(
    ("ground_truth", rung)
    for rung in ("codec", "blur", "noise", "shift", "frozen", "other_speech", "wrong_identity")
)
_NEARER_THAN_ANOTHER_PERSON = tuple((rung, "wrong_identity") for rung in ("codec", "blur", "noise", "shift"))


def akd_hand(observations: Observations) -> Measurement:
    """Average hand keypoint distance, px at short side 512: mean over matched hands of the mean over 21 points.

    Expected are the hands of the true frame. Within a frame hands are matched by `matched_hand_distances`. A true
    hand without a match is left out and lowers `n_valid`; when less than half of the expected hands are matched,
    there is no value.

    On the sanity ladder every rung is further away than the truth, and pictures that show the person's own movement,
    even late, are nearer than another person. What it cannot see: that a picture does not move. Where hands move much,
    `frozen` can be further away than another person, whose hands may rest in the same place.
    """
    truth = _hands(observations.truth["hands_mp"]["points"])
    prediction = _hands(observations.prediction["hands_mp"]["points"])
    expected = sum(len(hands) for hands in truth)
    distances = [
        distance
        for of_prediction, of_truth in zip(prediction, truth, strict=True)
        for distance in matched_hand_distances(of_prediction, of_truth)
    ]
    return _average(np.array(distances), expected, observations, "no_hands")


def akd_face(observations: Observations) -> Measurement:
    """Average face keypoint distance, px at short side 512: mean over frames of the mean over 478 points.

    Expected is the largest face of each true frame; misses count as in `akd_hand`. Place, turn and size of the head
    are not taken out: a head that moves otherwise than the true one costs more than lips that do. On the sanity
    ladder it sees and misses what `akd_hand` does.
    """
    truth = observations.truth["face_mesh_mp"]["points"].astype(np.float64)[..., :2]  # [T, 478, 2]
    prediction = observations.prediction["face_mesh_mp"]["points"].astype(np.float64)[..., :2]
    distances = np.linalg.norm(prediction - truth, axis=-1).mean(axis=-1)  # [T], NaN where either has no face
    expected = int(np.isfinite(truth[:, 0, 0]).sum())
    return _average(distances[np.isfinite(distances)], expected, observations, "no_face")


def matched_hand_distances(prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    """Mean keypoint distance of each hand that has a partner, by the assignment with the smallest sum.

    Handedness labels are not used: the detector calls both hands "right" often enough. Surplus hands of either side
    stay without a partner. Hands that have changed places are therefore not seen as such, and where each side shows
    one hand only they are partners, even if one is the left and the other the right.

    Args:
        prediction: [P, 21, 2] px, P of 0 to 2.
        truth: [Q, 21, 2] px, Q of 0 to 2.

    Returns:
        min(P, Q) distances, px.
    """
    few, many = sorted((prediction, truth), key=len)
    assignments = [
        [
            float(np.linalg.norm(one - many[other], axis=-1).mean())
            for one, other in zip(few, order, strict=True)
        ]
        for order in permutations(range(len(many)), len(few))
    ]
    return min(assignments, key=sum)


def _hands(points: np.ndarray) -> list[np.ndarray]:
    """The hands that were found in each frame, [n, 21, 2] px, from [T, 2, 21, 2] with NaN where there is none."""
    found = np.isfinite(points[:, :, 0, 0])  # [T, 2]
    return [frame[seen].astype(np.float64) for frame, seen in zip(points, found, strict=True)]


def _average(distances: np.ndarray, expected: int, observations: Observations, reason: Reason) -> Measurement:
    if expected == 0:
        return Measurement(None, 0, 0, "not_applicable", reason)
    if len(distances) < MIN_PRESENCE * expected:
        return Measurement(None, len(distances), expected, "undetected", reason)
    scale = REFERENCE_SIDE / min(observations.width, observations.height)
    return Measurement(float(distances.mean() * scale), len(distances), expected)


AKD_HAND = Metric(
    id="akd_hand_mp",
    version="1",
    column="AKD hand",
    variant="mean distance of 21 MediaPipe keypoints of matched hands at short side 512, misses left out up to half",
    unit="px",
    low=0.0,
    high=float("inf"),
    direction="lower",
    kind="sample",
    needs=("hands_mp",),
    on_miss="excluded",
    map=akd_hand,
    reduce=mean_over_identities,
    orders=(*_BELOW_THE_TRUTH, *_NEARER_THAN_ANOTHER_PERSON),
)
AKD_FACE = Metric(
    id="akd_face_mp",
    version="1",
    column="AKD face",
    variant="mean distance of 478 MediaPipe face mesh points at short side 512, misses left out up to half",
    unit="px",
    low=0.0,
    high=float("inf"),
    direction="lower",
    kind="sample",
    needs=("face_mesh_mp",),
    on_miss="excluded",
    map=akd_face,
    reduce=mean_over_identities,
    orders=(*_BELOW_THE_TRUTH, *_NEARER_THAN_ANOTHER_PERSON),
)
