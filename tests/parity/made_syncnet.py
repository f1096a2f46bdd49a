"""Checkpoints in the layouts of syncnet_v2.model and sfd_face.pth: random weights whose output hangs on the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmark.s3fd import S3fd, scaled_picture
from benchmark.syncnet import SyncNet


def write_syncnet(path: Path, lips: np.ndarray, sound: np.ndarray) -> Path:
    """Kaiming weights, and BatchNorm statistics of windows [B, 5, 224, 224, 3] uint8 and [B, 13, 20] float32."""
    network = SyncNet()
    _draw(network, seed=1)
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = None  # the mean over all that it sees
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.uniform_(-0.3, 0.3)
    network.lips(lips)
    network.sound(sound)
    torch.save(network.state_dict(), path)
    return path


def write_s3fd(path: Path, frame: np.ndarray, scale: float) -> Path:
    """Kaiming weights with heads that call about one anchor in a hundred of `frame` [H, W, 3] uint8 a face."""
    network = S3fd()
    _draw(network, seed=2)
    with torch.inference_mode():
        sources = network._sources(scaled_picture(frame, scale))
        for head, source in zip(network.conf, sources, strict=True):
            head.weight.data *= 2.0 / head(source).std()
            margin = head(source)[0, -1] - head(source)[0, :-1].amax(dim=0)
            head.bias.data[-1] = -3.0 - margin.mean()
        for head, source in zip(network.loc, sources, strict=True):
            head.weight.data /= head(source).std()
    torch.save(network.state_dict(), path)
    return path


def _draw(network: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.uniform_(module.bias, -0.1, 0.1)
