"""Positional encoding of places on the body ("Projection & Positional Encoding" of the paper's figure 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["PositionalEncoding"]


class PositionalEncoding(nn.Module):
    """Sines and cosines of a place at doubling frequencies, with the place itself.

    Args:
        octaves: Number of frequencies; the wavelengths are 2 m, 1 m, ... 2 / 2^(octaves - 1) m.
    """

    frequencies: Tensor

    def __init__(self, octaves: int = 8) -> None:
        super().__init__()
        self.dim = 3 + 6 * octaves
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves), persistent=False)

    def forward(self, position: Tensor) -> Tensor:
        """Encode places [..., 3] in metres as [..., 3 + 6 octaves]."""
        phase = (position[..., None] * self.frequencies).flatten(-2)  # [..., 3 * octaves]
        return torch.cat([position, phase.sin(), phase.cos()], -1)
