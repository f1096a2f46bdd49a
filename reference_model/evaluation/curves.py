"""Statistics of one-dimensional motion curves: lagged correlation and its chance level, closures, blinks, travel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LagCorrelation",
    "blink_rate",
    "closure_rates",
    "lag_correlation",
    "shift_control",
    "travel_per_second",
]

Curve = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class LagCorrelation:
    """Pearson's r of two curves at their best lag."""

    r: float
    """Correlation in [-1, 1]."""
    lag_frames: int
    """Positive: the measured curve comes later than the reference."""


def _pearson(first: Curve, second: Curve) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 0 else 0.0


def lag_correlation(measured: Curve, reference: Curve, max_lag: int = 2) -> LagCorrelation:
    """Correlate two curves of equal rate at the best lag within `max_lag` frames.

    Args:
        measured: `[T]`, any unit.
        reference: `[T]`, any unit; the longer of the two is cut.
        max_lag: Largest shift tried in either direction, in frames.

    Returns:
        The highest correlation and its lag; a constant curve gives r = 0.
    """
    n = min(len(measured), len(reference))
    measured, reference = measured[:n], reference[:n]
    best = LagCorrelation(-2.0, 0)
    for lag in range(-max_lag, max_lag + 1):
        later, earlier = (measured, reference) if lag >= 0 else (reference, measured)
        r = _pearson(later[abs(lag) :], earlier[: n - abs(lag)])
        if r > best.r:
            best = LagCorrelation(r, lag)
    return best


def shift_control(
    measured: Curve,
    reference: Curve,
    *,
    n_shifts: int = 200,
    min_shift: int = 25,
    max_lag: int = 2,
    seed: int = 0,
) -> NDArray[np.floating]:
    """Correlations that chance gives: the same curves with one shifted in a circle.

    A circular shift keeps the smoothness of the curve, which a permutation of frames would destroy; each shifted
    pair gets the same freedom of lag as the true pair.

    Returns:
        `[n_shifts]` correlations at the best lag.
    """
    n = min(len(measured), len(reference))
    if n <= 2 * min_shift:
        raise ValueError(
            f"curves of {n} frames are too short for circular shifts of at least {min_shift} frames"
        )
    shifts = np.random.default_rng(seed).integers(min_shift, n - min_shift, n_shifts)
    values = [lag_correlation(np.roll(measured[:n], int(k)), reference[:n], max_lag).r for k in shifts]
    return np.asarray(values)


def closure_rates(
    gap: Curve, fps: float, closures_s: list[tuple[float, float]], vowels_s: list[tuple[float, float]]
) -> tuple[float, float]:
    """Share of bilabials whose lips close, and share of open vowels that are wrongly shut.

    The lips count as closed when the gap is within a fifth of the clip's own range above its floor: detectors give
    closed lips a small positive gap that differs between faces.

    Args:
        gap: `[T]` inner-lip gap, any unit.
        fps: Frames a second.
        closures_s: Start and end of each p, b, m in seconds.
        vowels_s: Start and end of each open vowel in seconds.

    Returns:
        Recall (closed in at least one frame from one frame before to one after the sound) and false closure rate
        (closed in every frame of the vowel's middle half).
    """
    floor, top = np.percentile(gap, 2), np.percentile(gap, 95)
    closed = gap <= floor + 0.2 * (top - floor)
    if top - floor <= 0:
        return 0.0, 0.0  # lips that never move neither close nor open
    recalled = []
    for start, end in closures_s:
        first, last = int(start * fps) - 1, int(np.ceil(end * fps)) + 1
        recalled.append(bool(closed[max(0, first) : last + 1].any()))
    shut = []
    for start, end in vowels_s:
        quarter = (end - start) / 4
        first, last = int((start + quarter) * fps), int((end - quarter) * fps)
        shut.append(bool(closed[first : last + 1].all()))
    return float(np.mean(recalled)), float(np.mean(shut))


def blink_rate(eye_opening: Curve, fps: float) -> float:
    """Blinks a minute: dips of the eye opening below 55% of its median that last at most 0.6 s.

    Args:
        eye_opening: `[T]` mean opening of both eyes, any unit, NaN where no face was found.
        fps: Frames a second.
    """
    opening = eye_opening[np.isfinite(eye_opening)]
    if len(opening) == 0:
        return 0.0
    shut = np.concatenate([[False], opening < 0.55 * np.median(opening), [False]])
    edges = np.flatnonzero(np.diff(shut.astype(int)))
    lengths = edges[1::2] - edges[::2]
    return float((lengths <= 0.6 * fps).sum() / (len(opening) / fps) * 60)


def travel_per_second(
    points: NDArray[np.floating], scale: float, fps: float, smooth_frames: int = 5
) -> float:
    """Path length a second of a tracked point, in units of `scale`, after smoothing detector jitter away.

    Args:
        points: `[T, 2]` px or `[T, 3]`, NaN rows where nothing was found.
        scale: Length of the body in the same unit (the shoulder width).
        fps: Frames a second.
        smooth_frames: Width of the moving average.
    """
    known = np.isfinite(points).all(-1)
    if known.sum() <= smooth_frames:
        return 0.0
    times = np.arange(len(points))
    filled = np.stack(
        [np.interp(times, times[known], points[known, axis]) for axis in range(points.shape[1])], -1
    )
    kernel = np.ones(smooth_frames) / smooth_frames
    smooth = np.stack([np.convolve(filled[:, axis], kernel, "valid") for axis in range(points.shape[1])], -1)
    return float(np.linalg.norm(np.diff(smooth, axis=0), axis=-1).sum() / scale / (len(smooth) / fps))
