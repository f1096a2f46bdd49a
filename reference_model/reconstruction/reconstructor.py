"""The reconstruction network of section 3.1 behind its encoders: tokens of a photograph to canonical Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reference_model.avatar.gaussians import Gaussians
from reference_model.reconstruction.gaussian_decoder import GaussianDecoder
from reference_model.reconstruction.hand_body_head_transformer import HandBodyHeadTransformer
from reference_model.reconstruction.query_points import QueryPoints
from reference_model.reconstruction.weight_decoder import WeightDecoder

__all__ = ["BASE", "MINI", "PhotoTokens", "Reconstruction", "ReconstructionConfig", "Reconstructor"]

_OCTAVES = 8


@dataclass(frozen=True, slots=True)
class ReconstructionConfig:
    """Sizes and switches; the defaults are those of LHM-500M."""

    dim: int = 1024
    """Width d of the query tokens."""
    n_heads: int = 16
    n_layers: int = 5
    """LHM-MINI 2, LHM-500M 5, LHM-1B 15."""
    dim_body: int = 1536
    """Width of the body tokens (Sapiens-1B)."""
    dim_head: int = 1024
    """Width of the head tokens (DINOv2 ViT-L)."""
    dim_hand: int = 1280
    """Width of the hand tokens (HaMeR's ViT-H)."""
    dim_decoder: int = 512
    n_joints: int = 104
    """J of the body template."""
    hand_enhance: bool = True
    """Whether hand tokens are looked at (Table 3, w/o hand enhancement)."""
    weight_decoder: bool = True
    """Whether skinning weights adapt to the person (Table 3, w/o weight decoder)."""
    corrects: bool = False
    """Whether the decoder corrects a canvas of Gaussians (`canvas_network.py`) instead of giving whole ones."""


BASE = ReconstructionConfig()
"""The paper's scale, an LHM-500M with hands; no weights yet."""

MINI = ReconstructionConfig(
    dim=128,
    n_heads=4,
    n_layers=2,
    dim_body=128,
    dim_head=128,
    dim_hand=128,
    dim_decoder=160,
    corrects=True,
)
"""The shipped scale, behind `PyramidEncoder` and inside of `CanvasNetwork`."""


class PhotoTokens(NamedTuple):
    """What the encoders see in a batch of photographs."""

    body: Tensor
    """[B, S_b, c_b]."""
    head: Tensor
    """[B, S_h, c_h]."""
    hands: Tensor | None
    """[B, 2, S, c_hand], the person's left and right; None without a hand encoder."""
    hand_present: Tensor | None
    """[B, 2] bool."""


class Reconstruction(NamedTuple):
    """A batch of canonical avatars."""

    gaussians: Gaussians
    """[B, N, ...] in the reference pose of the template."""
    skin: Tensor
    """Skinning weights W, [B, N, J]."""
    tokens: Tensor
    """Query tokens Q, [B, N, d], which the particle deformer looks at."""


class Reconstructor(nn.Module):
    """Query points and tokens of a photograph to an avatar.

    Args:
        config: Sizes and switches.
    """

    def __init__(self, config: ReconstructionConfig = BASE) -> None:
        super().__init__()
        self.config = config
        self.point_embedding = PointEmbedding(config.dim)
        self.condition = nn.Sequential(
            nn.Linear(config.dim_body, config.dim_body // 2),
            nn.SiLU(),
            nn.Linear(config.dim_body // 2, 2 * config.dim),
        )
        self.transformer = HandBodyHeadTransformer(
            config.dim, config.n_heads, config.n_layers, config.dim_body, config.dim_hand, config.hand_enhance
        )
        self.decoder = GaussianDecoder(config.dim, config.dim_decoder, config.corrects)
        self.weights = (
            WeightDecoder(config.dim, config.n_joints, config.dim_decoder) if config.weight_decoder else None
        )

    def query_tokens(self, position: Tensor, photo: PhotoTokens, added: Tensor | None = None) -> Tensor:
        """Q, [B, N, d].

        Args:
            position: Of N query points on the template, [N, 3] metres.
            photo: Tokens of B photographs.
            added: What each photograph shows of the points, [B, N, d]; added to their embedding.
        """
        n_photos = len(photo.body)
        embedded = self.point_embedding(position).expand(n_photos, -1, -1)  # [B, N, d]
        if added is not None:
            embedded = embedded + added
        condition = self.condition(photo.body.mean(1))  # [B, 2 d]
        return self.transformer(embedded, photo.body, photo.head, condition, photo.hands, photo.hand_present)

    def decode(self, tokens: Tensor, points: QueryPoints) -> Reconstruction:
        """Gaussians and skinning weights of query tokens [B, N, d]."""
        gaussians = self.decoder(tokens, points.position, points.limits)
        if self.weights is None:
            skin = points.skin.expand(len(tokens), -1, -1)
        else:
            skin = self.weights(tokens, points.skin, points.allowed)
        return Reconstruction(gaussians, skin, tokens)

    def forward(self, points: QueryPoints, photo: PhotoTokens) -> Reconstruction:
        """Reconstruct B people.

        Args:
            points: N query points.
            photo: Tokens of B photographs.
        """
        return self.decode(self.query_tokens(points.position, photo), points)


class PointEmbedding(nn.Module):
    """Sines and cosines of eight octaves and the coordinates themselves, projected and normalised (LHM).

    Args:
        dim: Width of the tokens.
    """

    basis: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        octaves = math.pi * 2.0 ** torch.arange(_OCTAVES)
        self.register_buffer("basis", torch.block_diag(*[octaves] * 3))  # [3, 24]
        self.mlp = nn.Linear(6 * _OCTAVES + 3, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, points: Tensor) -> Tensor:
        """Embed points [..., 3] in metres as [..., d]."""
        angle = points @ self.basis  # [..., 24]
        return self.norm(self.mlp(torch.cat([angle.sin(), angle.cos(), points], -1)))
