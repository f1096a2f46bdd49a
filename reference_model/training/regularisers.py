"""What keeps the motion of a surface plausible: ARAP, ASAP and ACAP, jerk, and the spectrum (section 3.3, L_reg).

The paper's ARAP as printed compares with the canonical pose and would forbid all motion; here it acts on what the
residual offsets add to the motion of particles and bones.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

__all__ = [
    "acap_loss",
    "arap_loss",
    "asap_loss",
    "fast_power",
    "jerk_loss",
    "neighbours_on_surface",
    "spectral_loss",
    "tremble_loss",
]

LARGEST_ASPECT = 5.0
"""Ratio of the scales of a Gaussian that ASAP lets pass (LHM's value)."""
LARGEST_OFFSET_M = 0.05625
"""Offset that ACAP lets pass, metres (LHM's value)."""
FASTEST_HZ = 10.0
"""Bodies do not move faster, but for lips at a burst of sound."""


def neighbours_on_surface(
    places: np.ndarray, parts: np.ndarray, count: int = 8, farthest_m: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of points that lie side by side on one part of the surface.

    Args:
        places: Metres, [n, 3].
        parts: What each belongs to, [n]: no edge joins two parts, such as upper and lower lip.
        count: Neighbours of a point.
        farthest_m: Longest edge, metres.

    Returns:
        Edges [e, 2] int64, each once with the smaller index first, and their weights [e],
        `exp(-d^2 / (count * spacing^2))` with the mean distance as spacing.
    """
    found = KDTree(places).query(places, min(count + 1, len(places)))
    distance, index = (np.asarray(part).reshape(len(places), -1) for part in found)
    first = np.repeat(np.arange(len(places)), index.shape[1])
    edges = np.stack([first, index.reshape(-1)], 1)
    length = distance.reshape(-1)
    kept = (edges[:, 0] != edges[:, 1]) & (length < farthest_m) & (parts[edges[:, 0]] == parts[edges[:, 1]])
    edges, at = np.unique(np.sort(edges[kept], 1), axis=0, return_index=True)
    length = length[kept][at]
    spacing = max(float(length.mean()), 1e-6) if len(length) else 1.0
    return edges.astype(np.int64), np.exp(-((length / spacing) ** 2) / count).astype(np.float32)


def arap_loss(moved: Tensor, canonical: Tensor, rotations: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
    """As rigid as possible: `sum w_ij |(mu*_i - mu*_j) - R'_i (mu_i - mu_j)|^2`, over the squared length of the edges.

    Args:
        moved: Where the points end, metres, [..., n, 3].
        canonical: Where they are in the photo, metres, [n, 3].
        rotations: R' of particles and bones at each point, [..., n, 3, 3].
        edges: [e, 2] int64.
        weights: [e].

    Returns:
        Scalar, without unit: 0.01 is a mean strain of a tenth.
    """
    i, j = edges.unbind(1)
    before = canonical[i] - canonical[j]  # [e, 3]
    after = moved[..., i, :] - moved[..., j, :]
    turned = (rotations[..., i, :, :] @ before[..., None]).squeeze(-1)
    squared = (after - turned).square().sum(-1) * weights  # [..., e]
    return squared.mean() / (before.square().sum(-1) * weights).mean().clamp_min(1e-12)


def asap_loss(scales: Tensor) -> Tensor:
    """As spherical as possible: what the ratio of the two *widths* of each Gaussian exceeds `LARGEST_ASPECT` by.

    The thickness across the surface is left out: avatars are made of flat Gaussians on purpose.

    Args:
        scales: Standard deviations, metres, [..., n, 3]; the third axis is the normal.
    """
    widths = scales[..., :2]
    ratio = widths.amax(-1) / widths.amin(-1).clamp_min(1e-8)
    return (ratio - LARGEST_ASPECT).relu().mean()


def acap_loss(offsets: Tensor) -> Tensor:
    """As close as possible: metres by which offsets [..., n, 3] exceed `LARGEST_OFFSET_M`."""
    length = (offsets.square().sum(-1) + 1e-12).sqrt()  # the root's gradient stays finite at rest
    return (length - LARGEST_OFFSET_M).relu().mean()


def jerk_loss(states: Tensor, scale: Tensor) -> Tensor:
    """Mean square of the third difference in time.

    Args:
        states: Log-twists, [B, T, m, 6], T at least 4.
        scale: What counts as one, radians and metres, broadcast against the states.
    """
    return (states / scale).diff(n=3, dim=1).square().mean()


def fast_power(curves: Tensor, fps: float, above_hz: float = FASTEST_HZ) -> Tensor:
    """Power above a frequency: mean square of what a brick-wall high-pass leaves of each curve.

    A Hann window keeps the jump from the last frame to the first out of it.

    Args:
        curves: [B, T, ...].
        fps: Frames a second.
        above_hz: The frequency.

    Returns:
        Squared units of the curves, [B, ...].
    """
    n = curves.shape[1]
    window = torch.hann_window(n, dtype=curves.dtype, device=curves.device)
    window = window.reshape(n, *(1,) * (curves.ndim - 2))
    spectrum = torch.fft.rfft((curves - curves.mean(1, keepdim=True)) * window, dim=1)
    frequency = torch.fft.rfftfreq(n, 1 / fps, device=curves.device)
    fast = frequency >= above_hz
    power = spectrum[:, fast].abs().square().sum(1)
    # Parseval, for the half of a real signal's spectrum; the bin at half the rate stands alone.
    power = 2 * power - (spectrum[:, -1].abs().square() if n % 2 == 0 and bool(fast[-1]) else 0)
    return power / (n * window.square().sum())


def spectral_loss(curves: Tensor, fps: float, scale: float) -> Tensor:
    """The spectral penalty ("locality and spectrum"): mean power above 10 Hz.

    Args:
        curves: Curves outside of the lips, [B, T, ...]; errors against a target, where there is one.
        fps: Frames a second.
        scale: What counts as one, in the curves' unit.
    """
    return fast_power(curves / scale, fps).mean()


def tremble_loss(point_error: Tensor, joint_error: Tensor, levers: Tensor, fps: float) -> Tensor:
    """Power above 10 Hz in the errors of geometric supervision, mm^2: mean over points, sum over joints.

    Args:
        point_error: Of points outside of the lips, metres, [B, T, n, 3].
        joint_error: Of joint rotations, radians, [B, T, J, 3].
        levers: How far each joint carries what hangs on it, metres, [J].
        fps: Frames a second.
    """
    face = fast_power(point_error * 1e3, fps).sum(-1).mean()
    body = fast_power(joint_error * levers[:, None] * 1e3, fps).sum((-2, -1)).mean()
    return face + body
