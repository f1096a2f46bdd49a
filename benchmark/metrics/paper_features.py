"""FID, KID, FVD and KVD: distances between whole sets of frames, and of windows of 16 frames.

All are settings of published names, and numbers of other settings are not comparable: see docs/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from benchmark.frechet import frechet_distance, frechet_groups, kernel_distance, kernel_groups
from benchmark.metrics.definition import Arrays, SetMetric

__all__ = ["FID", "FVD", "KID", "KVD", "frechet_distance_by_n"]

_SPOILT = tuple(("ground_truth", rung) for rung in ("codec", "blur", "noise"))
_OTHER_SETS = tuple(("ground_truth", rung) for rung in ("frozen", "other_speech", "wrong_identity"))
"""Not declared of the kernel distances, whose noise is not hidden in a bias: as of `kd_random_frames`."""


def frechet_distance_by_n(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Frechet distance with covariances over n instead of n - 1, as StyleGAN-V computes FVD.

    Deviations from the mean are made smaller by sqrt((n - 1) / n), and all else is `frechet_distance`.

    Args:
        x: [n, d], n >= 2.
        y: [m, d], m >= 2.

    Returns:
        The distance, 0 or more.
    """
    return frechet_distance(_contracted(x), _contracted(y))


def _contracted(features: np.ndarray) -> np.ndarray:
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    return mean + math.sqrt(1 - 1 / len(values)) * (values - mean)


def _pool3(arrays: Mapping[str, Arrays]) -> np.ndarray:
    return arrays["inception_frames"]["feature"]  # [ceil(T / 5), 2048]


def _logits(arrays: Mapping[str, Arrays]) -> np.ndarray:
    return arrays["i3d_windows"]["logits"]  # [T // 16, 400]


FID = SetMetric(
    id="fid",
    version="1",
    column="FID",
    variant="Frechet distance of TF Inception pool3, every 5th frame, whole frame, TF1 resize (no antialias), N - 1",
    unit="1",
    low=0.0,
    high=float("inf"),
    direction="lower",
    needs=("inception_frames",),
    features=_pool3,
    distance=frechet_distance,
    groups=frechet_groups,
    depends_on_n=True,
    orders=(*_SPOILT, *_OTHER_SETS),
)
KID = SetMetric(
    id="kid",
    version="1",
    column="KID",
    variant="unbiased cubic-kernel MMD^2 of FID's features, all pairs instead of subsets; not times 1000",
    unit="1",
    low=float("-inf"),
    high=float("inf"),
    direction="lower",
    needs=("inception_frames",),
    features=_pool3,
    distance=kernel_distance,
    groups=kernel_groups,
    depends_on_n=False,
    orders=_SPOILT,
)
FVD = SetMetric(
    id="fvd_sgv16",
    version="1",
    column="FVD",
    variant="Frechet distance of StyleGAN-V's I3D logits, 16 frames at 25 fps from 0, 16..., whole frame, N",
    unit="1",
    low=0.0,
    high=float("inf"),
    direction="lower",
    needs=("i3d_windows",),
    features=_logits,
    distance=frechet_distance_by_n,
    depends_on_n=True,
    orders=(*_SPOILT, *_OTHER_SETS),
)
KVD = SetMetric(
    id="kvd_sgv16",
    version="1",
    column="KVD",
    variant="unbiased cubic-kernel MMD^2 of FVD's logits, all pairs",
    unit="1",
    low=float("-inf"),
    high=float("inf"),
    direction="lower",
    needs=("i3d_windows",),
    features=_logits,
    distance=kernel_distance,
    groups=kernel_groups,
    depends_on_n=False,
    orders=_SPOILT,
)
