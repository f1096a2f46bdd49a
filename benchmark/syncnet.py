"""SyncNet: one network for what lips show in five frames, one for what is heard in the same 0.2 s.

Chung and Zisserman 2016, "Out of time: automated lip sync in the wild", in the form of joonson/syncnet_python. The
names of the parameters are those of `syncnet_v2.model`, so that the published file loads as it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["SyncNet", "load_syncnet"]

FEATURES = 1024


class SyncNet(nn.Module):
    """Both networks; for inference, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1),  # does nothing; keeps the published numbers of the layers
            *_block(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, stride=(1, 2)),
            *_block(nn.Conv2d(192, 384, 3, padding=1)),
            *_block(nn.Conv2d(384, 256, 3, padding=1)),
            *_block(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, stride=2),
            *_block(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netcnnlip = nn.Sequential(
            *_block(nn.Conv3d(3, 96, (5, 7, 7), stride=(1, 2, 2))),  # time ends here
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_block(nn.Conv3d(96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_block(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.eval().requires_grad_(False)

    def lips(self, windows: np.ndarray) -> np.ndarray:
        """Features [B, 1024] float32 of windows [B, 5, 224, 224, 3] uint8 BGR, 0..255 as they are."""
        with torch.inference_mode():
            frames = torch.from_numpy(windows).permute(0, 4, 1, 2, 3).to(torch.float32)  # [B, 3, 5, 224, 224]
            return self._features(self.netcnnlip, self.netfclip, frames)

    def sound(self, windows: np.ndarray) -> np.ndarray:
        """Features [B, 1024] float32 of MFCC windows [B, 13, 20] float32 (see `benchmark.mfcc`)."""
        with torch.inference_mode():
            return self._features(self.netcnnaud, self.netfcaud, torch.from_numpy(windows)[:, None])

    @staticmethod
    def no_features() -> np.ndarray:
        """What no windows give, [0, 1024] float32."""
        return np.zeros((0, FEATURES), np.float32)

    @staticmethod
    def _features(convolutions: nn.Module, head: nn.Module, batch: Tensor) -> np.ndarray:
        return head(convolutions(batch).flatten(1)).numpy()


def load_syncnet(path: Path) -> SyncNet:
    """The network with the weights of a file in the layout of `syncnet_v2.model`."""
    with torch.device("meta"):  # without drawing weights that are replaced
        network = SyncNet()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
    return network


def _block(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    normalisation = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, normalisation(convolution.out_channels), nn.ReLU(inplace=True)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, FEATURES))
