"""An I3D as TorchScript with the real file's call signature, and calibrated random weights.

Carreira and Zisserman 2017, with fewer channels. Like StyleGAN-V's copy it takes colours 0..255 and brings them to
224x224 (bilinear, aspect not kept) and to [-1, 1] itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

FILE = "i3d_torchscript.pt"
_MIXED = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
"""Mixed_3b to Mixed_5c: 1x1; 1x1 and 3x3x3; 1x1 and 3x3x3; projection of the pool."""


def _unit(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv3d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(outputs, eps=1e-3), nn.ReLU())


class _Mixed(nn.Module):
    def __init__(self, inputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        a, b0, b1, c0, c1, d = channels
        self.a = _unit(inputs, a, 1)
        self.b = nn.Sequential(_unit(inputs, b0, 1), _unit(b0, b1, 3))
        self.c = nn.Sequential(_unit(inputs, c0, 1), _unit(c0, c1, 3))
        self.d = nn.Sequential(nn.MaxPool3d(3, 1, 1), _unit(inputs, d, 1))
        self.outputs = a + b1 + c1 + d

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.a(maps), self.b(maps), self.c(maps), self.d(maps)], dim=1)


class MadeI3D(nn.Module):
    """Videos [B, 3, T, H, W] to logits [B, 400] (`return_features`) or their softmax."""

    def __init__(self, divisor: int) -> None:
        super().__init__()
        n = 64 // divisor
        layers: list[nn.Module] = [_unit(3, n, 7, 2), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))]
        layers += [_unit(n, n, 1), _unit(n, 3 * n, 3), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))]
        channels = 3 * n
        for place, mixed in enumerate(_MIXED):
            if place == 2:
                layers.append(nn.MaxPool3d(3, 2, 1))
            if place == 7:
                layers.append(nn.MaxPool3d(2, 2))
            layers.append(block := _Mixed(channels, [width // divisor for width in mixed]))
            channels = block.outputs
        self.layers = nn.Sequential(*layers, nn.AvgPool3d((2, 7, 7), 1), nn.Conv3d(channels, 400, 1))

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        x = x.to(torch.float32)
        if resize:
            b, c, t, h, w = x.shape
            flat = x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w)
            flat = interpolate(flat, size=[224, 224], mode="bilinear", align_corners=False)
            x = flat.reshape(b, t, c, 224, 224).permute(0, 2, 1, 3, 4)
        if rescale:
            x = 2 * x / 255 - 1
        logits = self.layers(x).flatten(2).mean(dim=2)
        return logits if return_features else logits.softmax(dim=1)


def write_i3d(folder: Path, windows: Sequence[np.ndarray], seed: int = 0, divisor: int = 4) -> Path:
    """A script under the real file's name.

    Args:
        folder: Where to write it.
        windows: [16, H, W, 3] uint8 of any sizes, to take the statistics of the normalisations from.
        seed: Of the kernels.
        divisor: Of the published numbers of channels.
    """
    generator = torch.Generator().manual_seed(seed)
    network = MadeI3D(divisor).train()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm3d):
            module.momentum = None  # the mean over passes, and there is one
            nn.init.constant_(module.bias, 0.5)
    squared = [
        interpolate(torch.from_numpy(w).permute(0, 3, 1, 2).float(), size=(224, 224), mode="bilinear")
        for w in windows
    ]
    with torch.no_grad():
        network(torch.stack(squared).permute(0, 2, 1, 3, 4), rescale=True)
    torch.jit.script(network.eval()).save(str(folder / FILE))
    return folder / FILE
