"""Gaussian head: per-Gaussian residuals of shape and appearance, equations 4 to 8 of the paper.

Equation 4 names D_t as the query, yet its result is indexed by the Gaussian i: read here as Gaussian tokens that
attend to the driving tokens. With the single key D_t the softmax is 1 and every Gaussian would get the same vector,
so the head attends to a short window of driving tokens; its past also holds what the leaky integrator remembers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.networks.positional import PositionalEncoding

__all__ = ["GaussianHead", "PointTokens", "Residuals"]

MAX_OFFSET_M = 0.030
"""Bound of the offset before the region's gain, metres."""
MAX_LOG_SCALE = 0.7


class Residuals(NamedTuple):
    """Corrections of n Gaussians in one or more frames; all zero is no correction."""

    offset: Tensor
    """Metres, in the axes of the Gaussian's bone, [..., n, 3]."""
    log_scale: Tensor
    """Added to the logarithm of the scales; 0.7 is a factor of 2, [..., n, 3]."""
    opacity_logit: Tensor
    """Added to the logit of the opacity, [..., n]."""
    color_logit: Tensor
    """Added to the logit of the colour, [..., n, 3]."""


class PointTokens(NamedTuple):
    """What the sound does not change of n points, computed once for each avatar; points run along the last axis.

    A frame's arithmetic then runs along long contiguous rows: four times as fast on a processor as with the few
    channels last.
    """

    token: Tensor
    """Q_i, [..., dim, n]."""
    query: Tensor
    """Its query, scaled, [..., heads, c, n]."""


class GaussianHead(nn.Module):
    """Attention from cached point tokens to a window of driving tokens, then one small MLP.

    Args:
        dim_driving: Width of D.
        dim: Width of the point tokens; kept small, since every Gaussian of face and hands passes here each frame.
        n_heads: Attention heads.
        past: Driving tokens before t in the window.
        n_particles: Local particles whose embeddings, blended by the geodesic binding, tell points apart that
            touch in space (upper and lower lip).
        region_gain: Gain of the offset's bound by region, [R].
    """

    n_outputs = 10
    region_gain: Tensor

    def __init__(
        self, dim_driving: int, dim: int, n_heads: int, past: int, n_particles: int, region_gain: Tensor
    ) -> None:
        super().__init__()
        if dim % n_heads:
            raise ValueError(f"dim must be divisible by n_heads, got {dim} and {n_heads}")
        self.past, self.n_heads = past, n_heads
        self.register_buffer("region_gain", region_gain.float(), persistent=False)
        self.encoding = PositionalEncoding(octaves=9)
        self.region = nn.Embedding(len(region_gain), dim)
        self.particle = nn.Parameter(0.3 * torch.randn(n_particles, dim))
        self.point = nn.Sequential(
            nn.Linear(self.encoding.dim + dim + 3, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim_driving, dim)
        self.value = nn.Linear(dim_driving, dim)
        self.age = nn.Parameter(torch.zeros(n_heads, past + 1))
        self.hidden = nn.Linear(dim, dim + dim // 4)
        self.output = nn.Linear(dim + dim // 4, self.n_outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def point_tokens(
        self,
        position: Tensor,  # [n, 3]
        region: Tensor,  # [n]
        particle_index: Tensor,  # [n, K]
        particle_weight: Tensor,  # [n, K]
        rest_offset: Tensor,  # [..., n, 3]
    ) -> PointTokens:
        """Tokens of surface points; constant over an utterance.

        Args:
            position: Place on the mean template, metres, [n, 3].
            region: Index into REGIONS, [n].
            particle_index: Local particles that the point is bound to, [n, K].
            particle_weight: Their weights, [n, K].
            rest_offset: Displacement of the photo's expression from neutral, metres, [..., n, 3].

        Returns:
            Tokens and queries with the leading shape of `rest_offset`.
        """
        bound = (self.particle[particle_index] * particle_weight[..., None]).sum(-2)  # [n, dim]
        place = torch.cat([self.encoding(position), bound + self.region(region)], -1)
        place = place.expand(*rest_offset.shape[:-1], place.shape[-1])
        token = self.point(
            torch.cat([place, rest_offset * 100.0], -1)
        )  # [..., n, dim]; centimetres: of order one
        query = self.query(token).transpose(-1, -2).unflatten(-2, (self.n_heads, -1))
        scale = query.shape[-2] ** -0.5
        return PointTokens(token.transpose(-1, -2).contiguous(), (query * scale).contiguous())

    def forward(
        self,
        driving: Tensor,  # [B, past + T, d]
        points: PointTokens,
        region: Tensor,  # [n]
    ) -> Residuals:
        """Residuals of T frames.

        Args:
            driving: Driving tokens of the T frames with the `past` ones before them, [B, past + T, d].
            points: From `point_tokens`, with or without a leading B.
            region: Index into REGIONS, [n].

        Returns:
            Residuals with leading shape [B, T, n].
        """
        batched = points.token.ndim == 3
        token = points.token[:, None] if batched else points.token  # [(B, 1,) dim, n], broadcast over frames
        query = points.query[:, None] if batched else points.query  # [(B, 1,) h, c, n]
        split = (self.n_heads, -1)
        key = self._windows(self.key(driving)).unflatten(2, split)  # [B, T, h, c, w]
        value = self._windows(self.value(driving)).unflatten(2, split)
        logits = key.transpose(-1, -2) @ query + self.age[..., None]  # [B, T, h, w, n]
        heard = (value @ logits.softmax(-2)).flatten(2, 3)  # [B, T, dim, n]
        # The product lets one voice feature move each place its own way; a sum alone would need a wide MLP for it.
        mixed = token + heard + token * heard
        hidden = F.gelu(self.hidden.weight @ mixed + self.hidden.bias[:, None])
        raw = self.output.weight @ hidden + self.output.bias[:, None]  # [B, T, 10, n]
        offset = MAX_OFFSET_M * self.region_gain[region] * raw[:, :, :3].float().tanh()
        log_scale = raw[:, :, 3:6].clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE)
        parts = (offset, log_scale, raw[:, :, 6:7], raw[:, :, 7:10])
        offset, log_scale, opacity, color = (part.float().transpose(-1, -2) for part in parts)
        return Residuals(offset, log_scale, opacity.squeeze(-1), color)

    def frame_by_frame(self, driving: Tensor, points: PointTokens, region: Tensor) -> Residuals:
        """As `forward`, one frame at a time: a frame of some 10,000 points stays in the processor's caches.

        Args:
            driving: [1, past + T, d]; T may be 0.
            points: Of one avatar, without a leading dimension.
            region: [n].

        Returns:
            Residuals with leading shape [1, T, n].
        """
        n_frames, n = driving.shape[1] - self.past, len(region)
        shapes = ((3,), (3,), (), (3,))
        whole = Residuals(*(driving.new_empty(1, n_frames, n, *shape) for shape in shapes))
        for t in range(n_frames):
            frame = self(driving[:, t : t + self.past + 1], points, region)
            for part, value in zip(whole, frame, strict=True):
                part[:, t] = value[:, 0]
        return whole

    def _windows(self, x: Tensor) -> Tensor:
        """[B, past + T, dim] -> [B, T, dim, past + 1]."""
        return x.unfold(1, self.past + 1, 1)
