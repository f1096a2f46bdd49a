"""The Gaussian decoder D_G: a token of each query point to its canonical Gaussian."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reference_model.avatar.gaussians import Gaussians

__all__ = ["GaussianDecoder", "PointLimits"]

_OFFSET_RANGE_M = 1.0  # LHM: half a metre to either side
_FIRST_LOG_SCALE = -5.0  # 6.7 mm
_FIRST_OPACITY = 0.1


class PointLimits(NamedTuple):
    """How far a Gaussian may differ from its point on the template."""

    offset_m: Tensor
    """[N], along each axis."""
    scale_m: Tensor
    """[N], largest standard deviation."""


class GaussianDecoder(nn.Module):
    """Offset, scale, rotation, opacity and colour of each point; all but the colour the same everywhere at the start.

    Args:
        dim: Width of the tokens.
        dim_hidden: Width of the two hidden layers.
    """

    def __init__(self, dim: int, dim_hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(dim, dim_hidden),
            nn.SiLU(),
            nn.Linear(dim_hidden, dim_hidden),
            nn.SiLU(),
            nn.Linear(dim_hidden, dim),
        )
        self.offset, self.scale, self.rotation = nn.Linear(dim, 3), nn.Linear(dim, 3), nn.Linear(dim, 4)
        self.opacity, self.color = nn.Linear(dim, 1), nn.Linear(dim, 3)
        with torch.no_grad():
            for head in (self.offset, self.scale, self.rotation, self.opacity):
                head.weight.zero_()
                head.bias.zero_()
            self.scale.bias.fill_(_FIRST_LOG_SCALE)
            self.rotation.bias[0] = 1.0
            self.opacity.bias.fill_(math.log(_FIRST_OPACITY / (1 - _FIRST_OPACITY)))

    def forward(self, tokens: Tensor, points: Tensor, limits: PointLimits) -> Gaussians:
        """Decode.

        Args:
            tokens: Q, [B, N, d].
            points: Query points, [N, 3] or [B, N, 3], metres.
            limits: Bounds of each point.

        Returns:
            Gaussians [B, N, ...] about the query points, float32.
        """
        hidden = self.mlp(tokens)  # [B, N, d]
        bound = limits.offset_m[:, None]
        offset = ((self.offset(hidden).float().sigmoid() - 0.5) * _OFFSET_RANGE_M).clamp(-bound, bound)
        scales = torch.minimum(self.scale(hidden).float().exp(), limits.scale_m[:, None])
        return Gaussians(
            means=points + offset,
            quats=nn.functional.normalize(self.rotation(hidden).float(), dim=-1),
            scales=scales,
            opacities=self.opacity(hidden).float().sigmoid()[..., 0],
            colors=self.color(hidden).float().sigmoid(),
        )
