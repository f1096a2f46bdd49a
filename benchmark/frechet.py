"""Distances between two clouds of features: Frechet (FID, FVD) and kernel (KID, KVD), in double precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics.definition import GroupDistance
from media.threads import one_torch_thread

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["frechet_distance", "frechet_groups", "kernel_distance", "kernel_groups"]


@dataclass(frozen=True, slots=True)
class _Cloud:
    """A Gaussian by its mean and any F with covariance F^T F, in float64."""

    mean: Tensor  # [d]
    factor: Tensor  # [min(n, d), d]


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Frechet distance of two Gaussians: |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)).

    Heusel et al. 2017, with covariances over n - 1. With S = F^T F, where F is the centred features over
    sqrt(n - 1), the eigenvalues of S_x S_y are those of (F_x F_y^T)(F_x F_y^T)^T, so the trace of the root is the
    sum of the singular values of F_x F_y^T: n x m instead of d x d, and no square root that doubles the rounding.
    For n > d, F is first replaced by its d x d triangular factor. The value depends on n (it falls as n grows).

    Args:
        x: [n, d], n >= 2.
        y: [m, d], m >= 2.

    Returns:
        The distance, 0 or more.
    """
    _check(x, y)
    return _between(_cloud(x), _cloud(y))


def frechet_groups(groups: Sequence[np.ndarray]) -> GroupDistance:
    """`frechet_distance` between unions of `groups`, each [n_g, d]; the last few clouds are kept."""

    @lru_cache(maxsize=4)  # the truth stays while the methods' features are exchanged
    def cloud(chosen: tuple[int, ...]) -> _Cloud:
        return _cloud(np.concatenate([groups[index] for index in chosen]))

    return lambda first, second: _between(cloud(tuple(first)), cloud(tuple(second)))


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x.y / d + 1)^3 (KID; Binkowski et al. 2018).

    The full U-statistic over all pairs, without the random subsets of the reference code: it has the same expected
    value, which does not depend on n, the smallest variance, and no seed. It equals one subset of all features.

    Args:
        x: [n, d], n >= 2.
        y: [m, d], m >= 2.

    Returns:
        The discrepancy; negative values are possible, because the estimate is unbiased.
    """
    _check(x, y)
    return kernel_groups([x, y])([0], [1])


def kernel_groups(groups: Sequence[np.ndarray]) -> GroupDistance:
    """`kernel_distance` between unions of `groups`, each [n_g, d], from the kernel's sums over pairs of groups."""
    import torch

    sizes = np.array([len(group) for group in groups])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    owner = torch.from_numpy(np.repeat(np.arange(len(groups)), sizes))
    sums = np.zeros((len(groups), len(groups)))
    diagonal = np.zeros(len(groups))
    with one_torch_thread():
        tensors = [_tensor(group) for group in groups]
        pooled = torch.cat(tensors)  # [N, d]
        d = pooled.shape[1]
        for index, rows in enumerate(
            tensors
        ):  # one group against itself and later ones, never [N, N] at once
            begin = starts[index]
            columns = ((rows @ pooled[begin:].T / d + 1.0) ** 3).sum(dim=0)
            total = (
                torch.zeros(len(groups), dtype=torch.float64).index_add_(0, owner[begin:], columns).numpy()
            )
            sums[index, index:] = sums[index:, index] = total[index:]
            diagonal[index] = float(((rows.square().sum(dim=1) / d + 1.0) ** 3).sum())

    def within(chosen: Sequence[int], n: int) -> float:
        return (sums[np.ix_(chosen, chosen)].sum() - diagonal[chosen].sum()) / (n * (n - 1))

    def distance(first: Sequence[int], second: Sequence[int]) -> float:
        first, second = list(first), list(second)
        n, m = int(sizes[first].sum()), int(sizes[second].sum())
        between = sums[np.ix_(first, second)].sum() / (n * m)
        return float(within(first, n) + within(second, m) - 2 * between)

    return distance


def _cloud(features: np.ndarray) -> _Cloud:
    import torch

    with one_torch_thread():
        values = _tensor(features)
        mean = values.mean(dim=0)
        factor = (values - mean) / math.sqrt(len(values) - 1)
        if len(factor) > factor.shape[1]:
            factor = torch.linalg.qr(factor, mode="r").R
        return _Cloud(mean, factor)


def _between(x: _Cloud, y: _Cloud) -> float:
    import torch

    with one_torch_thread():
        root = torch.linalg.svdvals(x.factor @ y.factor.T).sum()
        squared = (
            (x.mean - y.mean).square().sum() + x.factor.square().sum() + y.factor.square().sum() - 2 * root
        )
        return max(0.0, float(squared))  # equal clouds may round to just below 0


def _tensor(features: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(features, np.float64))


def _check(x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"features must be [n, d] and [m, d] with n, m >= 2, got {x.shape} and {y.shape}")
