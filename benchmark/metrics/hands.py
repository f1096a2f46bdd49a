"""Hands: HKC and HKV from MediaPipe hand landmarks.

The paper (section 4.1, after CyberHost) calls HKC the average confidence and HKV the standard deviation of
the detected hand keypoints, and fixes neither detector, unit nor the price of a missed hand. The definitions
here are ours and not comparable with published tables: MediaPipe gives no confidence of a keypoint, only one
score a hand, which is how sure it is of the label left or right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities

__all__ = ["HKC", "HKV_STD", "HKV_VAR", "hkc", "hkv_std", "hkv_var", "keypoint_variance", "track_hands"]

REFERENCE_SIDE = 512
"""Keypoints are measured as if the short side had this many pixels."""
MIN_PRESENCE = 0.5
"""A hand that is seen in a smaller share of the frames has no trustworthy variance."""
NEW_HAND_PX = 100.0
"""A detection further than this (at `REFERENCE_SIDE`) from the known hand may start the other hand."""


def hkc(observations: Observations) -> Measurement:
    """Hand keypoint confidence in 0..1: mean score over all expected hands, a missed hand counts 0.

    How many hands a frame should show (0 to 2) is read from the same frame of the true video.

    On the sanity ladder it sees hands that are not clear (`blur`). What it cannot see: any clear hand is as good as
    the true one, so a still picture (`frozen`), a late one (`shift`), another take and another person
    (`other_speech`, `wrong_identity`) can score like the truth; so do `codec` and `noise` where hands are large.
    """
    expected = _present(observations.truth["hands_mp"]["score"]).sum(axis=1)  # [T] of 0, 1, 2
    total = int(expected.sum())
    if total == 0:
        return Measurement(None, 0, 0, "not_applicable", "no_hands")
    score = np.nan_to_num(
        observations.prediction["hands_mp"]["score"].astype(np.float64)
    )  # [T, 2], 0 = no hand
    best_first = -np.sort(-score, axis=1)
    counted = (
        np.arange(score.shape[1]) < expected[:, None]
    )  # surplus detections do not make up for other frames
    value = float(best_first[counted].sum() / total)
    return Measurement(value, int((best_first[counted] > 0).sum()), total)


def hkv_std(observations: Observations) -> Measurement:
    """Hand keypoint variation, px at short side 512: mean over hands and points of sqrt(var x + var y).

    It orders no rungs of the sanity ladder, because more is not better: `frozen` has none, and shaking hands more
    than the truth.
    """
    return _variation(observations, lambda variance: float(np.sqrt(variance).mean()))


def hkv_var(observations: Observations) -> Measurement:
    """Hand keypoint variance, px^2 at short side 512: mean over hands and points of var x + var y.

    As `hkv_std`, it orders no rungs of the sanity ladder.
    """
    return _variation(observations, lambda variance: float(variance.mean()))


def track_hands(points: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Sort detections into two hands by where the wrists were last seen.

    Handedness labels are not used: the detector calls both hands "right" often enough.

    Args:
        points: [T, 2, 21, 2] px at short side 512, in any order within a frame.
        present: [T, 2] bool.

    Returns:
        [T, 2, 21, 2] px, one track a hand, NaN where it is not seen.
    """
    tracks = np.full(points.shape, np.nan)
    last: list[np.ndarray | None] = [None, None]
    for frame in range(len(points)):
        found = [points[frame, slot] for slot in range(2) if present[frame, slot]]
        found.sort(key=lambda hand: float(hand[0, 0]))  # the first hands of a clip: from left to right
        orders = permutations(range(2), len(found))
        chosen = min(orders, key=lambda order: _distance(found, order, last), default=())
        for hand, track in zip(found, chosen, strict=True):
            tracks[frame, track] = hand
            last[track] = hand[0]
    return tracks


def keypoint_variance(tracks: np.ndarray) -> np.ndarray:
    """Variance over time of each keypoint of each hand that is seen in at least half of the frames.

    Args:
        tracks: [T, 2, 21, 2] px, NaN where a hand is not seen.

    Returns:
        [H, 21] px^2, var x + var y (population), H hands of 0, 1 or 2.
    """
    seen = np.isfinite(tracks[:, :, 0, 0])  # [T, 2]
    steady = [hand for hand in range(2) if seen[:, hand].mean() >= MIN_PRESENCE]
    return np.array([tracks[seen[:, hand], hand].var(axis=0).sum(axis=-1) for hand in steady]).reshape(-1, 21)


def _variation(observations: Observations, summary: Callable[[np.ndarray], float]) -> Measurement:
    arrays = observations.prediction["hands_mp"]
    present = _present(arrays["score"])
    scale = REFERENCE_SIDE / min(observations.width, observations.height)
    variance = keypoint_variance(track_hands(arrays["points"].astype(np.float64) * scale, present))
    n_frames = len(present)
    n_seen = int(present.any(axis=1).sum())
    if len(variance):
        return Measurement(summary(variance), n_seen, n_frames)
    shows_hands = _present(observations.truth["hands_mp"]["score"]).any()
    return Measurement(None, n_seen, n_frames, "undetected" if shows_hands else "not_applicable", "no_hands")


def _present(score: np.ndarray) -> np.ndarray:
    return np.isfinite(score)  # [T, 2] bool


def _distance(found: list[np.ndarray], order: tuple[int, ...], last: list[np.ndarray | None]) -> float:
    """Sum of the wrists' ways when hand i continues track order[i]; a new track costs a long way."""
    total = 0.0
    for hand, track in zip(found, order, strict=True):
        known = last[track]
        total += NEW_HAND_PX if known is None else float(np.linalg.norm(hand[0] - known))
    return total


HKC = Metric(
    id="hkc_mp_handedness",
    version="1",
    column="HKC",
    variant="MediaPipe 0.10.21 handedness score (.5/.5), missed hands count 0, expected as in the true frame",
    unit="1",
    low=0.0,
    high=1.0,
    direction="higher",
    kind="sample",
    needs=("hands_mp",),
    on_miss="zero",
    map=hkc,
    reduce=mean_over_identities,
    orders=(("ground_truth", "blur"),),
)
HKV_STD = Metric(
    id="hkv_std",
    version="1",
    column="HKV",
    variant="standard deviation of MediaPipe hand keypoints at short side 512; not ranked (jitter raises it)",
    unit="px",
    low=0.0,
    high=float("inf"),
    direction="none",
    kind="sample",
    needs=("hands_mp",),
    on_miss="excluded",
    map=hkv_std,
    reduce=mean_over_identities,
)
HKV_VAR = replace(
    HKV_STD,
    id="hkv_var",
    column="HKV var",
    variant="variance of MediaPipe hand keypoints at short side 512; not ranked (jitter raises it)",
    unit="px^2",
    map=hkv_var,
)
