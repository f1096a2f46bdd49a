"""Tokens of the hand crops: the ViT-H of HaMeR, under the names of its checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from media.errors import AvatarBenchError
from reference_model.networks.pretrained import PinnedModel, find_model
from reference_model.reconstruction.inert_pickle import load_inert
from reference_model.reconstruction.pinned_encoders import HAMER

__all__ = ["HAND_SIZE", "HandEncoder"]

HAND_SIZE = (256, 192)
"""Height and width of a crop in px."""
_PATCH, _PADDING = 16, 2
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BACKBONE = "backbone."


class HandEncoder(nn.Module):
    """The frozen vision transformer that HaMeR regresses hands from; it knows right hands only.

    Args:
        dim: Width.
        n_layers: Blocks.
        n_heads: Heads.
        size: Height and width of a crop, px.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, dim: int = 1280, n_layers: int = 32, n_heads: int = 16, size: tuple[int, int] = HAND_SIZE
    ) -> None:
        super().__init__()
        self.size = size
        n_tokens = (size[0] // _PATCH) * (size[1] // _PATCH)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + n_tokens, dim))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, _PATCH, _PATCH, _PADDING)
        self.blocks = nn.ModuleList(_Block(dim, n_heads) for _ in range(n_layers))
        self.last_norm = nn.LayerNorm(dim, 1e-6)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    @classmethod
    def load(
        cls, folder: Path | None = None, pinned: PinnedModel = HAMER, encoder: HandEncoder | None = None
    ) -> HandEncoder:
        """Read the backbone of the published checkpoint.

        Args:
            folder: Where it stands; looked for when None (see `find_model`).
            pinned: Which model.
            encoder: What to fill; ViT-H when None.

        Raises:
            AvatarBenchError: E303 missing, E304 other bytes, E305 tensors missing, misshapen or too many, E603.
        """
        path = find_model(pinned, folder) / pinned.weights_file
        encoder = cls() if encoder is None else encoder
        try:
            tensors = load_inert(path)["state_dict"]
            backbone = {
                name[len(_BACKBONE) :]: value for name, value in tensors.items() if name.startswith(_BACKBONE)
            }
            encoder.load_state_dict(backbone)
        except (RuntimeError, KeyError, TypeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise AvatarBenchError(
                "E305",
                "the checkpoint does not hold HaMeR's backbone",
                where=path,
                expected="tensors backbone.* of a ViT-H under state_dict",
                got=str(error),
            ) from error
        return encoder.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, hands: Tensor) -> Tensor:
        """Tokens of both hands.

        Args:
            hands: [B, 2, 3, 256, 192] sRGB in [0, 1], the person's left and right; the left one is mirrored here.

        Returns:
            [B, 2, 192, 1280], row by row, the left hand's as in its mirrored crop.
        """
        if hands.shape[1] != 2 or tuple(hands.shape[-2:]) != self.size:
            raise ValueError(
                f"hands must have shape [B, 2, 3, {self.size[0]}, {self.size[1]}], got {hands.shape}"
            )
        right = torch.stack([hands[:, 0].flip(-1), hands[:, 1]], 1).flatten(0, 1)  # [2 B, 3, H, W]
        tokens = self.patch_embed.proj((right - self.mean) / self.std)  # type: ignore[operator]
        tokens = tokens.flatten(2).transpose(1, 2)  # [2 B, S, c]
        tokens = tokens + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            tokens = block(tokens)
        return self.last_norm(tokens).unflatten(0, (-1, 2))


class _Block(nn.Module):
    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        heads = self.attn.qkv(self.norm1(tokens)).unflatten(-1, (3, self.n_heads, -1))  # type: ignore[operator]
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, H, S, c / H]
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.attn.proj(attended)  # type: ignore[operator]
        return tokens + self.mlp.fc2(gelu(self.mlp.fc1(self.norm2(tokens))))  # type: ignore[operator]
