"""Lip sync by a small network that ships with the package: the stand-in for SyncC, SyncD and offset.

These are no SyncC and SyncD: another network, that sees the opening of the lips by MediaPipe instead of pixels, and
was trained on synthesised speech. The arithmetic of the scores is that of SyncNet, but for the ends of a clip: shifts
are compared where both lips and sound are known, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmark.lipsync_features import lip_opening, relative_opening
from benchmark.lipsync_network import MAX_SHIFT, shipped_network
from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities

__all__ = [
    "LIPSYNC_C",
    "LIPSYNC_D",
    "LIPSYNC_OFFSET",
    "MIN_FRAMES",
    "MIN_WINDOWS",
    "SILENT_RMS",
    "LipSyncScore",
    "lipsync_measurement",
    "lipsync_score",
    "shift_distances",
]

MIN_FRAMES = 50
"""Frames with a face (2 s) that a value needs."""
MIN_WINDOWS = 12
"""Windows that each shift needs; 50 frames in a row leave 23 at the largest."""
SILENT_RMS = 32768 * 10 ** (-60 / 20)
"""Root mean square of 16-bit samples below which a sound is silent: -60 dB of full scale."""
_FACES, _SOUND = "face_mesh_mp", "lipsync_sound"


class LipSyncScore(NamedTuple):
    """What the network says about one clip."""

    confidence: float
    """Median minus minimum over shifts of the mean distance."""
    distance: float
    """The minimum, 0 to 2."""
    offset: int
    """Frames by which the picture is late; negative where it is early."""


def shift_distances(lips: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Mean distance of the windows of lips to those of the sound, for each shift.

    Args:
        lips: Unit vectors [n, d], NaN where no face is known.
        sound: Unit vectors [m, d] from the same first frame on.

    Returns:
        [31] float64; place s compares with the sound s - 15 frames later. NaN where fewer than `MIN_WINDOWS` meet.
    """
    n = min(len(lips), len(sound))
    means = np.full(2 * MAX_SHIFT + 1, np.nan)
    for place in range(len(means)):
        later = place - MAX_SHIFT
        seen = lips[max(0, -later) : n - max(0, later)]
        heard = sound[max(0, later) : n - max(0, -later)]
        distances = np.linalg.norm(seen - heard, axis=1)
        if np.isfinite(distances).sum() >= MIN_WINDOWS:
            means[place] = np.nanmean(distances)
    return means


def lipsync_score(lips: np.ndarray, sound: np.ndarray) -> LipSyncScore | None:
    """Confidence, distance and offset; None where a shift has too few windows to be judged."""
    means = shift_distances(lips, sound)
    if np.isnan(means).any():
        return None
    best = int(means.argmin())
    return LipSyncScore(float(np.median(means) - means[best]), float(means[best]), MAX_SHIFT - best)


def lipsync_measurement(observations: Observations, value: Callable[[LipSyncScore], float]) -> Measurement:
    """One number of the score of a clip; `n_valid` counts the frames whose lips are known.

    Args:
        observations: Face mesh of the prediction, and what the network heard.
        value: What of the score is measured.
    """
    opening = lip_opening(observations.prediction[_FACES]["points"])
    n_total = len(opening)
    if n_total < MIN_FRAMES:
        return Measurement(None, 0, n_total, "not_applicable", "too_short")
    heard = observations.sound[_SOUND]
    energy = heard["energy"]  # of each 1/25 s
    if abs(len(energy) - n_total) > 1:  # another frame rate: windows of lips and sound would drift apart
        return Measurement(None, 0, n_total, "not_applicable", "length_mismatch")
    if np.sqrt(energy.mean()) < SILENT_RMS:
        return Measurement(None, 0, n_total, "not_applicable", "silent")
    known = int(np.isfinite(opening).sum())
    if known < MIN_FRAMES:
        return Measurement(None, known, n_total, "undetected", "no_face")
    lips = shipped_network().see(relative_opening(opening))
    score = lipsync_score(lips, heard["sound"].astype(np.float64))
    if score is None:
        scattered = int(np.isfinite(lips[:, 0]).sum()) < len(lips)
        status, reason = ("undetected", "no_face") if scattered else ("not_applicable", "too_short")
        return Measurement(None, known, n_total, status, reason)
    return Measurement(value(score), known, n_total)


def _confidence(observations: Observations) -> Measurement:
    return lipsync_measurement(observations, lambda score: score.confidence)


def _distance(observations: Observations) -> Measurement:
    return lipsync_measurement(observations, lambda score: score.distance)


def _absolute_offset(observations: Observations) -> Measurement:
    return lipsync_measurement(observations, lambda score: float(abs(score.offset)))


LIPSYNC_C = Metric(
    id="lipsync_c_mini",
    version="1",
    column="LipSync-C mini",
    variant="own small network on MediaPipe's lip gap, confidence over 31 shifts; no SyncC",
    unit="1",
    low=0.0,
    high=2.0,
    direction="higher",
    kind="sample",
    needs=(_FACES, _SOUND),
    on_miss="excluded",
    map=_confidence,
    reduce=mean_over_identities,
    orders=(("ground_truth", "other_speech"), ("shift", "other_speech"), ("ground_truth", "frozen")),
)
LIPSYNC_D = replace(
    LIPSYNC_C,
    id="lipsync_d_mini",
    column="LipSync-D mini",
    variant="own small network on MediaPipe's lip gap, smallest mean distance over 31 shifts; no SyncD",
    direction="lower",
    map=_distance,
)
LIPSYNC_OFFSET = replace(
    LIPSYNC_C,
    id="lipsync_offset_mini",
    column="LipSync offset mini",
    variant="own small network on MediaPipe's lip gap, absolute shift of the smallest mean distance; no Sync offset",
    unit="frame",
    high=float(MAX_SHIFT),
    direction="lower",
    map=_absolute_offset,
    orders=(("ground_truth", "shift"),),
)
