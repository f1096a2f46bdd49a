"""The Gaussian decoder D_G: a token of each query point to its canonical Gaussian."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reference_model.avatar.gaussians import Gaussians

__all__ = ["Corrections", "GaussianDecoder", "PointLimits"]

_OFFSET_RANGE_M = 1.0  # LHM: half a metre to either side
_FIRST_LOG_SCALE = -5.0  # 6.7 mm
_FIRST_OPACITY = 0.1
_LOG_SCALE_RANGE, _COLOR_RANGE = 1.0, 0.5  # of corrections


class PointLimits(NamedTuple):
    """How far a Gaussian may differ from its point on the template."""

    offset_m: Tensor
    """[N], along each axis."""
    scale_m: Tensor
    """[N], largest standard deviation."""


class Corrections(NamedTuple):
    """How points differ from the Gaussians that they begin as, in the axes of these; all zero changes no bit."""

    offset: Tensor
    """[B, N, 3] metres."""
    log_scale: Tensor
    """[B, N, 3]."""
    turn: Tensor
    """[B, N, 4] unit quaternion wxyz; (1, 0, 0, 0) for none."""
    opacity_logit: Tensor
    """[B, N]."""
    color: Tensor
    """[B, N, 3] sRGB, to be added."""


class GaussianDecoder(nn.Module):
    """Offset, scale, rotation, opacity and colour of each point; all but the colour the same everywhere at the start.

    Args:
        dim: Width of the tokens.
        dim_hidden: Width of the two hidden layers.
        corrects: For `corrections`: all that is decoded is zero at the start, the colour too.
    """

    def __init__(self, dim: int, dim_hidden: int, corrects: bool = False) -> None:
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
            self.opacity.bias.fill_(0.0 if corrects else math.log(_FIRST_OPACITY / (1 - _FIRST_OPACITY)))
            if corrects:
                self.scale.bias.zero_()
                self.color.weight.zero_()
                self.color.bias.zero_()

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

    def corrections(self, tokens: Tensor, limits: PointLimits) -> Corrections:
        """Decode differences from Gaussians that stand already, instead of whole ones.

        Args:
            tokens: Q, [B, N, d].
            limits: Bounds of each point, [B, N]; of the scale, the change of it is bounded instead.
        """
        hidden = self.mlp(tokens)  # [B, N, d]
        return Corrections(
            offset=limits.offset_m[..., None] * self.offset(hidden).float().tanh(),
            log_scale=_LOG_SCALE_RANGE * self.scale(hidden).float().tanh(),
            turn=nn.functional.normalize(self.rotation(hidden).float(), dim=-1),
            opacity_logit=self.opacity(hidden).float()[..., 0],
            color=_COLOR_RANGE * self.color(hidden).float().tanh(),
        )
