"""Losses on drawn pictures: masked L1, gradients at several scales, mask (section 3.3, L_img).

The perceptual term of the paper needs downloaded features; differences of neighbouring pixels at several scales stand
in for them: they see edges, and not the slow drift of light that L1 sees.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gradient_loss", "mask_loss", "masked_l1"]


def masked_l1(picture: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference where the mask is.

    Args:
        picture: sRGB in [0, 1], [..., H, W, 3].
        truth: Of the same shape.
        mask: Weight of each pixel, [..., H, W].

    Returns:
        Scalar; 0 for an empty mask.
    """
    difference = (picture - truth).abs().mean(-1) * mask
    return difference.sum() / mask.sum().clamp_min(1e-6)


def gradient_loss(picture: Tensor, truth: Tensor, mask: Tensor, scales: int = 4) -> Tensor:
    """Mean absolute difference of the pictures' gradients, at full size and at each half of it.

    Args:
        picture: sRGB in [0, 1], [..., H, W, 3].
        truth: Of the same shape.
        mask: Weight of each pixel, [..., H, W].
        scales: How many sizes; fewer where a side would fall under four pixels.

    Returns:
        Scalar, mean over the sizes.
    """
    error = (picture - truth).flatten(0, -4).movedim(-1, -3)  # [n, 3, H, W]: the gradient is linear
    weight = mask.flatten(0, -3)[:, None]  # [n, 1, H, W]
    terms = []
    for _ in range(scales):
        if min(error.shape[-2:]) < 4:
            break
        across = error.diff(dim=-1).abs() * torch.minimum(weight[..., 1:], weight[..., :-1])
        down = error.diff(dim=-2).abs() * torch.minimum(weight[..., 1:, :], weight[..., :-1, :])
        total = weight.sum().clamp_min(1e-6) * error.shape[1]
        terms.append((across.sum() + down.sum()) / total)
        error, weight = F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2)
    return torch.stack(terms).mean()


def mask_loss(alpha: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the person's masks, [..., H, W] each in [0, 1]."""
    return (alpha - truth).abs().mean()
