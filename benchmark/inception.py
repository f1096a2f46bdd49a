"""The Inception network of FID: TensorFlow's graph of 2015-12-05 in torch-fidelity's layout, up to its 2048 features.

It is not torchvision's Inception v3: average pools leave the padding out, and the last block pools by the maximum.
torch-fidelity's own class is not used, because importing it costs six seconds of networks that nobody asks for, and
because it unpickles whatever stands in the file. A parity test compares the two.

This module imports torch; `benchmark.paper_networks` does so only when the network is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

__all__ = ["SIDE", "InceptionV3", "load_inception", "resize_like_tf1"]

SIDE = 299
N_CLASSES = 1008  # of the graph's classifier, whose weights stand in the file


class _Kernel(NamedTuple):
    """A convolution without bias, a batch normalisation and a ReLU."""

    name: str
    outputs: int
    size: tuple[int, int]  # height, width
    stride: int = 1  # a stride of 2 goes without padding, a stride of 1 keeps the size


class _Block(NamedTuple):
    """Branches whose outputs are joined: chains of steps, and a step's kernels all see the step before."""

    name: str
    branches: tuple[tuple[tuple[_Kernel, ...], ...], ...]
    pool: str
    pool_outputs: int | None  # None: the pooled maps are joined as they are


def _chain(
    name: str, *kernels: tuple[int, tuple[int, int]], stride: int = 1
) -> tuple[tuple[_Kernel, ...], ...]:
    """Kernels one after another, named `name` + `_1`, `_2`...; the last one has the stride."""
    last = len(kernels)
    return tuple(
        (_Kernel(f"{name}_{place}" if last > 1 else name, outputs, size, stride if place == last else 1),)
        for place, (outputs, size) in enumerate(kernels, 1)
    )


def _fork(name: str, place: int) -> tuple[_Kernel, ...]:
    return (_Kernel(f"{name}_{place}a", 384, (1, 3)), _Kernel(f"{name}_{place}b", 384, (3, 1)))


def _block_a(name: str, pool_outputs: int) -> _Block:
    branches = (
        _chain("branch1x1", (64, (1, 1))),
        _chain("branch5x5", (48, (1, 1)), (64, (5, 5))),
        _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
    )
    return _Block(name, branches, "average", pool_outputs)


def _block_c(name: str, inner: int) -> _Block:
    branches = (
        _chain("branch1x1", (192, (1, 1))),
        _chain("branch7x7", (inner, (1, 1)), (inner, (1, 7)), (192, (7, 1))),
        _chain(
            "branch7x7dbl",
            *((inner, (1, 1)), (inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7))),
        ),
    )
    return _Block(name, branches, "average", 192)


def _block_e(name: str, pool: str) -> _Block:
    branches = (
        _chain("branch1x1", (320, (1, 1))),
        ((_Kernel("branch3x3_1", 384, (1, 1)),), _fork("branch3x3", 2)),
        (*_chain("branch3x3dbl", (448, (1, 1)), (384, (3, 3))), _fork("branch3x3dbl", 3)),
    )
    return _Block(name, branches, pool, 192)


_BLOCKS = (
    _block_a("Mixed_5b", 32),
    _block_a("Mixed_5c", 64),
    _block_a("Mixed_5d", 64),
    _Block(
        "Mixed_6a",
        (
            _chain("branch3x3", (384, (3, 3)), stride=2),
            _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3)), stride=2),
        ),
        "halve",
        None,
    ),
    _block_c("Mixed_6b", 128),
    _block_c("Mixed_6c", 160),
    _block_c("Mixed_6d", 160),
    _block_c("Mixed_6e", 192),
    _Block(
        "Mixed_7a",
        (
            _chain("branch3x3", (192, (1, 1)), (320, (3, 3)), stride=2),
            _chain("branch7x7x3", (192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3)), stride=2),
        ),
        "halve",
        None,
    ),
    _block_e("Mixed_7b", "average"),
    _block_e("Mixed_7c", "maximum"),
)


class _Convolution(nn.Module):
    def __init__(self, inputs: int, kernel: _Kernel, *, padded: bool = True) -> None:
        super().__init__()
        height, width = kernel.size
        padding = (height // 2, width // 2) if padded and kernel.stride == 1 else 0
        self.conv = nn.Conv2d(inputs, kernel.outputs, kernel.size, kernel.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(kernel.outputs, eps=0.001)

    def forward(self, maps: Tensor) -> Tensor:
        return relu(self.bn(self.conv(maps)), inplace=True)


class _Mixed(nn.Module):
    def __init__(self, inputs: int, block: _Block) -> None:
        super().__init__()
        self._branches = [[[k.name for k in step] for step in branch] for branch in block.branches]
        self._pool = block.pool
        self._projects = block.pool_outputs is not None
        self.outputs = block.pool_outputs or inputs
        for branch in block.branches:
            channels = inputs
            for step in branch:
                for kernel in step:
                    self.add_module(kernel.name, _Convolution(channels, kernel))
                channels = sum(kernel.outputs for kernel in step)
            self.outputs += channels
        if block.pool_outputs is not None:
            self.branch_pool = _Convolution(inputs, _Kernel("branch_pool", block.pool_outputs, (1, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        joined = []
        for branch in self._branches:
            inner = maps
            for step in branch:
                inner = torch.cat([self.get_submodule(name)(inner) for name in step], dim=1)
            joined.append(inner)
        pooled = self._pooled(maps)
        joined.append(self.branch_pool(pooled) if self._projects else pooled)
        return torch.cat(joined, dim=1)

    def _pooled(self, maps: Tensor) -> Tensor:
        if self._pool == "average":
            return avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
        if self._pool == "maximum":
            return max_pool2d(maps, 3, stride=1, padding=1)
        return max_pool2d(maps, 3, stride=2)


class InceptionV3(nn.Module):
    """Features [B, 2048] of pictures [B, 3, 299, 299] float32, RGB in 0..255 (`resize_like_tf1`)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, _Kernel("", 32, (3, 3), 2))
        self.Conv2d_2a_3x3 = _Convolution(32, _Kernel("", 32, (3, 3)), padded=False)
        self.Conv2d_2b_3x3 = _Convolution(32, _Kernel("", 64, (3, 3)))
        self.Conv2d_3b_1x1 = _Convolution(64, _Kernel("", 80, (1, 1)))
        self.Conv2d_4a_3x3 = _Convolution(80, _Kernel("", 192, (3, 3)), padded=False)
        channels = 192
        for block in _BLOCKS:
            mixed = _Mixed(channels, block)
            self.add_module(block.name, mixed)
            channels = mixed.outputs
        self.fc = nn.Linear(channels, N_CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """The mean over places of the last block's maps: TensorFlow's `pool_3`."""
        maps = (pictures - 128) / 128
        maps = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(maps)))
        maps = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(maps, 3, stride=2)))
        maps = max_pool2d(maps, 3, stride=2)
        for block in _BLOCKS:
            maps = self.get_submodule(block.name)(maps)
        return maps.mean(dim=(2, 3))


def load_inception(path: Path) -> InceptionV3:
    """The network with the weights of `path`, ready for inference on the CPU.

    Args:
        path: torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`, whose SHA-256 has been compared
            (`benchmark.weights.weight_path`). Only tensors are unpickled.

    Raises:
        RuntimeError: names or shapes of the tensors are not those of the network.
    """
    network = InceptionV3()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval().requires_grad_(False)
    # A quarter faster on a CPU; the order of sums moves features by rounding alone.
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def resize_like_tf1(frame: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Bilinear resize as TensorFlow 1's `ResizeBilinear` does it without aligned corners; the aspect is not kept.

    Output pixel i lies at i * (input size / output size), not at pixel centres, and mixes the two nearest pixels a
    side however much the picture shrinks (no antialias). Published FIDs depend on it: Parmar et al. 2022.

    Args:
        frame: [H, W, 3] uint8.
        side: Height and width of the output, pixels.

    Returns:
        [side, side, 3] float32, the range of the input.
    """
    low_y, high_y, part_y = _taps(frame.shape[0], side)
    low_x, high_x, part_x = _taps(frame.shape[1], side)
    upper, lower = (_mix(frame[y][:, low_x], frame[y][:, high_x], part_x[:, None]) for y in (low_y, high_y))
    return upper + (lower - upper) * part_y[:, None, None]


def _taps(size: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both neighbours of each output pixel, and how far it lies from the first, [side] each."""
    place = np.arange(side, dtype=np.float32) * np.float32(size / side)
    low = place.astype(np.int64)
    return low, np.minimum(low + 1, size - 1), place - low.astype(np.float32)


def _mix(first: np.ndarray, second: np.ndarray, part: np.ndarray) -> np.ndarray:
    first = first.astype(np.float32)
    return first + (second.astype(np.float32) - first) * part
