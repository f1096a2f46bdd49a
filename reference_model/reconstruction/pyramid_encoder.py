"""The encoder of the preset `mini`: a small convolutional pyramid for photograph, head crop and hand crops."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, grid_sample

__all__ = ["CHANNELS", "PIXEL_FEATURES", "PictureFeatures", "PyramidEncoder"]

CHANNELS = 8
"""Of a crop: sRGB and alpha of the person, sRGB and alpha of the canvas as it is drawn there."""
_LEVELS = (12, 24, 48)  # strides 1, 2 and 4: what points look up
_DEEP = 72  # strides 8 and 16: what becomes tokens
PIXEL_FEATURES = sum(_LEVELS)
"""Width of what a point sees at its pixel."""


class PictureFeatures(NamedTuple):
    """What the encoder sees in B crops."""

    tokens: Tensor
    """[B, H / 16 * W / 16, c], row by row."""
    maps: list[Tensor]
    """[B, c_l, H / 2^l, W / 2^l]."""

    def at(self, places: Tensor) -> Tensor:
        """Features at places [B, N, 2] in -1..1 over the crop, x first, as [B, N, PIXEL_FEATURES]; zero outside."""
        grid = places[:, :, None]  # [B, N, 1, 2]
        sampled = [grid_sample(level, grid, align_corners=False)[..., 0] for level in self.maps]
        return torch.cat(sampled, 1).transpose(1, 2)


class PyramidEncoder(nn.Module):
    """Convolutions of strides 1 to 16. Two channels more say where in the crop a pixel lies.

    Args:
        dim: Width of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        full, half, quarter = _LEVELS
        self.at_full = nn.Conv2d(CHANNELS + 2, full, 3, padding=1)
        self.to_half, self.at_half = nn.Conv2d(full, half, 3, 2, 1), nn.Conv2d(half, half, 3, padding=1)
        self.to_quarter = nn.Conv2d(half, quarter, 3, 2, 1)
        self.at_quarter = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.to_eighth, self.to_sixteenth = (
            nn.Conv2d(quarter, _DEEP, 3, 2, 1),
            nn.Conv2d(_DEEP, _DEEP, 3, 2, 1),
        )
        self.to_tokens = nn.Conv2d(_DEEP, dim, 1)

    def forward(self, crops: Tensor) -> PictureFeatures:
        """Encode crops [B, CHANNELS, H, W], values 0 to 1, sides divisible by 16."""
        height, width = crops.shape[-2:]
        if height % 16 or width % 16:
            raise ValueError(f"sides must be divisible by 16, got {width}x{height}")
        rows, columns = (torch.linspace(-1, 1, n, device=crops.device) for n in (height, width))
        place = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)])
        full = gelu(self.at_full(torch.cat([crops - 0.5, place.expand(len(crops), -1, -1, -1)], 1)))
        half = gelu(self.to_half(full))
        half = half + gelu(self.at_half(half))
        quarter = gelu(self.to_quarter(half))
        quarter = quarter + gelu(self.at_quarter(quarter))
        deep = gelu(self.to_sixteenth(gelu(self.to_eighth(quarter))))
        return PictureFeatures(self.to_tokens(deep).flatten(2).transpose(1, 2), [full, half, quarter])
