"""Lip sync by SyncNet: confidence, distance, offset (Chung and Zisserman 2016; Prajwal et al. 2020: LSE-C, LSE-D).

The arithmetic is that of joonson/syncnet_python. Where its callers differ (several tracks, none, silence), the rules
are those of docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmark.face_tracks import CANONICAL, FULLBODY, Profile
from benchmark.metrics.definition import Arrays, Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities

__all__ = [
    "MAX_SHIFT",
    "SYNC_C",
    "SYNC_C_FULLBODY",
    "SYNC_D",
    "SYNC_D_FULLBODY",
    "SYNC_OFFSET",
    "SYNC_OFFSET_FULLBODY",
    "SyncScore",
    "shifted_distances",
    "sync_measurement",
    "sync_score",
]

MAX_SHIFT = 15
"""Frames of sound before and after that are tried."""
SILENT_RMS = 32768 * 10 ** (-60 / 20)
"""Root mean square of 16-bit samples below which a sound is silent: -60 dB of full scale."""
_EPSILON = 1e-6  # torch's pairwise_distance adds it to each difference
_MARGIN = 5  # n frames have n - 4 windows of five frames; the reference code leaves out the last
_FACES, _FACES_FULLBODY, _SOUND = "syncnet_faces", "syncnet_faces_fullbody", "syncnet_sound"


class SyncScore(NamedTuple):
    """What SyncNet says about one track."""

    confidence: float
    """Median minus minimum over shifts of the mean distance: SyncC, LSE-C."""
    distance: float
    """The minimum: SyncD, LSE-D."""
    offset: int
    """Frames by which the picture is late; negative where it is early."""


def shifted_distances(lip: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Distances between each window of lips and the windows of sound around it.

    Args:
        lip: [n, d].
        sound: [n, d], at the same times. Zeros stand before the first and behind the last.

    Returns:
        [31, n] float64; row s compares with the sound s - 15 frames later.
    """
    n = len(lip)
    padded = np.pad(sound.astype(np.float64), ((MAX_SHIFT, MAX_SHIFT), (0, 0)))
    lip = lip.astype(np.float64) + _EPSILON
    return np.stack(
        [np.linalg.norm(lip - padded[shift : shift + n], axis=1) for shift in range(2 * MAX_SHIFT + 1)]
    )


def sync_score(lip: np.ndarray, sound: np.ndarray) -> SyncScore:
    """Confidence, distance and offset of features [n, d] of lips and of sound at the same times, n of 1 or more."""
    means = shifted_distances(lip, sound).mean(axis=1)  # [31]
    best = int(means.argmin())
    return SyncScore(float(np.median(means) - means[best]), float(means[best]), MAX_SHIFT - best)


def sync_measurement(
    faces: Arrays, sound: Arrays, min_found: int, value: Callable[[SyncScore], float]
) -> Measurement:
    """One number of the score along the clip's track.

    Args:
        faces: Arrays of `sync_extractors.CanonicalFaces`.
        sound: Arrays of `sync_extractors.SoundFeatures`.
        min_found: A track has more found faces than this; a clip without so many frames cannot have one.
        value: What of the score is measured.

    Returns:
        `n_valid` is the number of frames that the value rests on, `n_total` those of the clip.
    """
    n_total = len(faces["faces"])
    if n_total <= min_found:
        return Measurement(None, 0, n_total, "not_applicable", "too_short")
    energy = sound["energy"]
    if len(energy) == 0 or np.sqrt(energy[:n_total].mean()) < SILENT_RMS:
        return Measurement(None, 0, n_total, "not_applicable", "silent")
    first, n_frames = int(faces["first"]), int(faces["n_frames"])
    if n_frames == 0:
        return Measurement(None, 0, n_total, "undetected", "no_face")
    n_used = min(n_frames, len(energy) - first)
    n_windows = n_used - _MARGIN
    if n_windows < 1:
        return Measurement(None, 0, n_total, "not_applicable", "too_short")
    score = sync_score(faces["lip"][:n_windows], sound["sound"][first : first + n_windows])
    return Measurement(value(score), n_used, n_total)


def _canonical(value: Callable[[SyncScore], float]) -> Callable[[Observations], Measurement]:
    return _map(_FACES, CANONICAL, value)


def _fullbody(value: Callable[[SyncScore], float]) -> Callable[[Observations], Measurement]:
    return _map(_FACES_FULLBODY, FULLBODY, value)


def _map(
    faces: str, profile: Profile, value: Callable[[SyncScore], float]
) -> Callable[[Observations], Measurement]:
    def measure(observations: Observations) -> Measurement:
        return sync_measurement(
            observations.prediction[faces], observations.sound[_SOUND], profile.min_found, value
        )

    return measure


def _confidence(score: SyncScore) -> float:
    return score.confidence


def _distance(score: SyncScore) -> float:
    return score.distance


def _absolute_offset(score: SyncScore) -> float:
    return float(abs(score.offset))


_HEARD = (("ground_truth", "other_speech"), ("shift", "other_speech"), ("ground_truth", "frozen"))
"""A shift lies within the search: it must show in the offset and leave the score where it was."""

SYNC_C = Metric(
    id="sync_c",
    version="1",
    column="SyncC",
    variant="SyncNet v2 confidence, S3FD at scale .25, longest track of > 100 found faces of > 100 px, 31 shifts",
    unit="1",
    low=0.0,
    high=float("inf"),
    direction="higher",
    kind="sample",
    needs=(_FACES, _SOUND),
    on_miss="excluded",
    map=_canonical(_confidence),
    reduce=mean_over_identities,
    orders=_HEARD,
)
SYNC_D = replace(
    SYNC_C,
    id="sync_d",
    column="SyncD",
    variant=SYNC_C.variant.replace("confidence", "distance"),
    direction="lower",
    map=_canonical(_distance),
)
SYNC_OFFSET = replace(
    SYNC_C,
    id="sync_offset",
    column="Sync offset",
    variant=SYNC_C.variant.replace("confidence", "absolute offset"),
    unit="frame",
    high=float(MAX_SHIFT),
    direction="lower",
    map=_canonical(_absolute_offset),
    orders=(("ground_truth", "shift"),),
)

_SMALL = "S3FD at scale .625, longest track of > 50 found faces of > 32 px, 31 shifts; no SyncC, SyncD"
SYNC_C_FULLBODY = replace(
    SYNC_C,
    id="sync_c_fullbody",
    column="SyncC body",
    variant=f"SyncNet v2 confidence, {_SMALL}",
    needs=(_FACES_FULLBODY, _SOUND),
    map=_fullbody(_confidence),
)
SYNC_D_FULLBODY = replace(
    SYNC_D,
    id="sync_d_fullbody",
    column="SyncD body",
    variant=f"SyncNet v2 distance, {_SMALL}",
    needs=(_FACES_FULLBODY, _SOUND),
    map=_fullbody(_distance),
)
SYNC_OFFSET_FULLBODY = replace(
    SYNC_OFFSET,
    id="sync_offset_fullbody",
    column="Sync offset body",
    variant=f"SyncNet v2 absolute offset, {_SMALL}",
    needs=(_FACES_FULLBODY, _SOUND),
    map=_fullbody(_absolute_offset),
)
