"""Stand-ins for Frechet and kernel distances that need no weights, on features of a random network.

They are no FID, KID or FVD: another network, other values, and no knowledge of what pictures show. What they see was
measured on the sanity ladder; see docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.frechet import frechet_distance, frechet_groups, kernel_distance, kernel_groups
from benchmark.metrics.definition import Arrays, SetMetric

__all__ = [
    "FD_RANDOM_FRAMES",
    "FD_RANDOM_WINDOWS",
    "KD_RANDOM_FRAMES",
    "frame_features",
    "window_features",
]

FRAME_STEP = 5
"""Every fifth frame counts: neighbours are near-duplicates."""
WINDOW = 16
"""Frames of a window of motion, as many as FVD has."""

_SPOILT = tuple(("ground_truth", rung) for rung in ("codec", "blur", "noise"))
_OTHER_SETS = tuple(("ground_truth", rung) for rung in ("frozen", "other_speech", "wrong_identity"))
"""Not of the kernel distance: with the few clips that it was validated on, its noise is larger than what it would have
to see (frozen, other clips of the same people), and where the people of a set change places it rightly sees nobody new.
"""


def frame_features(arrays: Mapping[str, Arrays]) -> np.ndarray:
    """Features of every fifth frame from the first, [ceil(T / 5), 64] float32."""
    return arrays["random_frames"]["feature"][::FRAME_STEP]


def window_features(arrays: Mapping[str, Arrays]) -> np.ndarray:
    """Appearance and motion of whole windows of 16 frames that do not overlap, [T // 16, 128] float64.

    The mean over the window of the frames' features, then the root mean square of their change from one frame to the
    next. Frames in a wrong order keep the first half and change the second. A rest shorter than a window is left out.
    """
    feature = arrays["random_frames"]["feature"].astype(np.float64)  # [T, 64]
    count = len(feature) // WINDOW
    windows = feature[: count * WINDOW].reshape(count, WINDOW, feature.shape[1])
    change = np.sqrt(np.square(np.diff(windows, axis=1)).mean(axis=1))
    return np.concatenate([windows.mean(axis=1), change], axis=1)


FD_RANDOM_FRAMES = SetMetric(
    id="fd_random_frames",
    version="1",
    column="FD-R",
    variant="Frechet distance of frames (every 5th) on 64 features of a fixed untrained CNN; stand-in, no FID",
    unit="1",
    low=0.0,
    high=float("inf"),
    direction="lower",
    needs=("random_frames",),
    features=frame_features,
    distance=frechet_distance,
    groups=frechet_groups,
    depends_on_n=True,
    orders=(*_SPOILT, *_OTHER_SETS),
)
KD_RANDOM_FRAMES = SetMetric(
    id="kd_random_frames",
    version="1",
    column="KD-R",
    variant="unbiased cubic-kernel MMD^2 of the same features of frames as FD-R; stand-in, no KID",
    unit="1",
    low=float("-inf"),
    high=float("inf"),
    direction="lower",
    needs=("random_frames",),
    features=frame_features,
    distance=kernel_distance,
    groups=kernel_groups,
    depends_on_n=False,
    orders=_SPOILT,
)
FD_RANDOM_WINDOWS = SetMetric(
    id="fd_random_windows_16f",
    version="1",
    column="FD-R 16f",
    variant="Frechet distance of windows of 16 frames: mean and change of FD-R's features; stand-in, no FVD",
    unit="1",
    low=0.0,
    high=float("inf"),
    direction="lower",
    needs=("random_frames",),
    features=window_features,
    distance=frechet_distance,
    groups=frechet_groups,
    depends_on_n=True,
    orders=(*_SPOILT, *_OTHER_SETS),
)
