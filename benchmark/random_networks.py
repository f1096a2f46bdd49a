"""A convolutional network that nobody trained, the same on every machine: frame features without any download.

Random embeddings after Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", who use a
randomly initialised VGG16; this one is smaller. The weights are a formula, and their hash is checked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from benchmark.networks import Network, Networks
from media.threads import one_torch_thread

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BATCH_SIZE", "PREPROCESSING", "RANDOM_CNN", "RandomFrames", "random_kernels"]

BATCH_SIZE = 8
SEED = 20200713
CHANNELS = (3, 16, 32, 48, 64)
"""RGB, then the outputs of the four layers."""
SIDE = 224
SCALE = 10.0
"""Of the features, so that distances are numbers near 1."""
SLOPE = 0.2
"""Of the leaky ReLU for negative values."""
PREPROCESSING = f"RGB, cv2 INTER_AREA to {SIDE}x{SIDE} (aspect not kept), / 127.5 - 1"
KERNELS_SHA256 = "5cf8adc74403d34aea17eabd43ed5aabc3e0f59fd30c85956fb26de2e01f19ae"
"""Of the float32 little-endian bytes of `random_kernels()`, joined in order."""


@cache
def random_kernels() -> tuple[np.ndarray, ...]:
    """The weights of each layer, [out, in, 3, 3] float32, uniform with He's variance 2 / (9 in).

    Raw 64-bit words of numpy's Philox counter generator, whose stream is fixed for ever, unlike the one of
    `Generator.normal`. Their first 24 bits are centred integers, and all that follows is exact until the one product
    that scales them, so that no machine rounds otherwise. Half of the first layer's filters are made free of a mean in
    each colour: without them the brightness of areas outweighs edges and texture in all that comes after.

    Raises:
        RuntimeError: the hash is not the pinned one; the numbers of another network would not be comparable.
    """
    generator = np.random.Philox(SEED)
    kernels = []
    for layer, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
        raw = generator.random_raw(outputs * inputs * 9) >> np.uint64(40)
        centred = 9 * (2 * raw.astype(np.int64).reshape(outputs, inputs, 3, 3) - (2**24 - 1))
        if layer == 0:
            half = centred[: outputs // 2]
            half -= half.sum(axis=(2, 3), keepdims=True) // 9  # nine times the mean, over nine: exact
        bound = math.sqrt(6 / (9 * inputs))
        kernels.append((centred * (bound / (9 * 2**24))).astype("<f4"))
    found = hashlib.sha256(b"".join(kernel.tobytes() for kernel in kernels)).hexdigest()
    if found != KERNELS_SHA256:
        raise RuntimeError(
            f"the random network is not the one of this release: {found}, not {KERNELS_SHA256}"
        )
    return tuple(kernels)


@contextmanager
def _load() -> Iterator[list[Tensor]]:
    import torch

    yield [torch.from_numpy(kernel.astype(np.float32)) for kernel in random_kernels()]


RANDOM_CNN: Network[list[Tensor]] = Network("random_cnn", _load, lambda: KERNELS_SHA256)
"""Four 3x3 convolutions of stride 2 without bias or padding, each under a leaky ReLU."""


class RandomFrames:
    """Features of each frame: `feature` [T, 64] float32, the mean over places of the last layer, times `SCALE`."""

    def __init__(self, networks: Networks) -> None:
        self._kernels = networks.get(RANDOM_CNN)

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        """The frame [H, W, 3] uint8 as [224, 224, 3] uint8."""
        import cv2

        return cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """Features [B, 64] of [B, 224, 224, 3] uint8, on one thread."""
        import torch
        from torch.nn.functional import conv2d, leaky_relu

        with one_torch_thread(), torch.inference_mode():
            maps = torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
            for kernel in self._kernels:
                maps = leaky_relu(conv2d(maps, kernel, stride=2), SLOPE)
            return {"feature": (SCALE * maps.mean(dim=(2, 3))).numpy()}
