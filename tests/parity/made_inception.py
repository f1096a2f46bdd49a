"""Weights of FID's network that nobody trained, whose features vary with the picture all the same.

A default initialisation gives features that are nearly constant, and then any two preprocessings agree. Here the
kernels are He's, and the normalisations take their statistics from real frames, in one pass in training mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmark.inception import InceptionV3, resize_like_tf1

FILE = "weights-inception-2015-12-05-6726825d.pth"


def write_inception(folder: Path, frames: Sequence[np.ndarray], seed: int = 0) -> Path:
    """A state dict in the real file's layout under its name.

    Args:
        folder: Where to write it.
        frames: Pictures [H, W, 3] uint8 of any sizes, to take the statistics from.
        seed: Of the kernels.
    """
    generator = torch.Generator().manual_seed(seed)
    network = InceptionV3().train()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over passes, and there is one
            nn.init.constant_(
                module.bias, 0.5
            )  # fewer units at zero: rounding grows less from layer to layer
    pictures = np.stack([resize_like_tf1(frame) for frame in frames])
    with torch.no_grad():
        network(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    torch.save(network.state_dict(), folder / FILE)
    return folder / FILE
