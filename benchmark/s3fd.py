"""S3FD, the face detector of SyncNet's pipeline (Zhang et al. 2017, "Single Shot Scale-invariant Face Detector").

The names of the parameters are those of `sfd_face.pth`. What happens around the network is that of
joonson/syncnet_python: the picture is scaled, boxes above a threshold pass two suppressions of overlaps.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

__all__ = ["THRESHOLD", "S3fd", "load_s3fd", "scaled_picture", "suppress_overlaps"]

THRESHOLD = 0.9
"""Smallest probability of a face."""
_MEAN = np.array([123.0, 117.0, 104.0], np.float32)
"""RGB. Written as BGR in the reference code, which swaps the channels before and again after."""
_STEPS = (4, 8, 16, 32, 64, 128)
"""Pixels between the anchors of each of the six layers; an anchor is four times as wide."""
_VARIANCES = (0.1, 0.2)
_LAYER_OVERLAP, _FINAL_OVERLAP = 0.3, 0.1
_VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "C", 512, 512, 512, "M", 512, 512, 512, "M")
"""Output channels of 3x3 convolutions; M is a pooling by two, C one that keeps an odd border."""
_TAPS = (16, 23, 30)
"""Layers of the VGG part after which conv3_3, conv4_3 and conv5_3 have come."""


class S3fd(nn.Module):
    """The detector; for inference, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for item in _VGG:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2, ceil_mode=item == "C"))
                continue
            layers += [nn.Conv2d(channels, item, 3, padding=1), nn.ReLU(inplace=True)]
            channels = item
        layers += [nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]
        self.vgg = nn.ModuleList(layers)
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = (_UnitLength(n) for n in (256, 512, 512))
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, 2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, 2, padding=1),
            ]
        )
        sources = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList(nn.Conv2d(n, 4, 3, padding=1) for n in sources)
        self.conf = nn.ModuleList(
            nn.Conv2d(n, 2 if index else 4, 3, padding=1) for index, n in enumerate(sources)
        )
        self.eval().requires_grad_(False)

    def detect(self, frame: np.ndarray, scale: float) -> np.ndarray:
        """Faces of a frame, the surest first.

        Args:
            frame: [H, W, 3] uint8 sRGB.
            scale: Of the picture that the network sees. Its smallest anchor is 16 px wide.

        Returns:
            [n, 5] float64: left, top, right, bottom in px of `frame`, probability above `THRESHOLD`.
        """
        with torch.inference_mode():
            boxes, scores = self._boxes(scaled_picture(frame, scale))
        sure = scores > THRESHOLD  # what lies below cannot suppress what lies above
        boxes, scores = boxes[sure], scores[sure].astype(np.float64)
        kept = suppress_overlaps(boxes, scores, _LAYER_OVERLAP)
        size = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        boxes, scores = (boxes[kept] * size).astype(np.float64), scores[kept]
        kept = suppress_overlaps(boxes, scores, _FINAL_OVERLAP)
        return np.concatenate([boxes[kept], scores[kept, None]], axis=1)

    def _boxes(self, batch: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [A, 4] in parts of the picture's size and probabilities [A] of all anchors, float32."""
        boxes, scores = [], []
        for index, source in enumerate(self._sources(batch)):
            logits = self.conf[index](source)[0]
            if index == 0:  # three kinds of background compete in the layer of the smallest faces
                logits = torch.stack([logits[:3].amax(dim=0), logits[3]])
            scores.append(logits.permute(1, 2, 0).reshape(-1, 2).softmax(dim=1)[:, 1])
            offsets = self.loc[index](source)[0].permute(1, 2, 0).reshape(-1, 4)
            boxes.append(_decode(offsets, _anchors(source.shape[2:], _STEPS[index], batch.shape[2:])))
        return torch.cat(boxes).numpy(), torch.cat(scores).numpy()

    def _sources(self, x: Tensor) -> list[Tensor]:
        sources = []
        norms = dict(zip(_TAPS, (self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3), strict=True))
        for index, layer in enumerate(self.vgg, start=1):
            x = layer(x)
            if index in norms:
                sources.append(norms[index](x))
        sources.append(x)
        for first, second in zip(self.extras[::2], self.extras[1::2], strict=True):
            x = relu(second(relu(first(x))))
            sources.append(x)
        return sources


class _UnitLength(nn.Module):
    """Brings the channels of each place to length 1, then scales each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        length = x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10
        return self.weight[:, None, None] * (x / length)


def load_s3fd(path: Path) -> S3fd:
    """The detector with the weights of a file in the layout of `sfd_face.pth`."""
    with torch.device("meta"):  # without drawing weights that are replaced
        network = S3fd()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
    return network


def scaled_picture(frame: np.ndarray, scale: float) -> Tensor:
    """What the network sees of a frame [H, W, 3] uint8 sRGB, [1, 3, h, w] float32 about the mean colour."""
    scaled = cv2.resize(frame, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy((scaled.astype(np.float32) - _MEAN).transpose(2, 0, 1).copy())[None]


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: [n, 4] left, top, right, bottom.
        scores: [n].
        overlap: Boxes with a larger intersection over union with a kept one are dropped.

    Returns:
        Indices of the kept boxes, the highest score first.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        order = rest[shared / (area[best] + area[rest] - shared) <= overlap]
    return np.array(kept, np.int64)


def _anchors(grid: torch.Size, step: int, picture: torch.Size) -> Tensor:
    """Centre x, y, width, height of a layer's anchors, row by row, in parts of the picture's size, [h * w, 4]."""
    (rows, columns), (height, width) = grid, picture
    y, x = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij")
    side = np.full(rows * columns, 4.0 * step)
    anchors = [x.ravel() / (width / step), y.ravel() / (height / step), side / width, side / height]
    return torch.from_numpy(np.stack(anchors, axis=1).astype(np.float32))


def _decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Left, top, right, bottom [A, 4] from offsets relative to anchors."""
    centre = anchors[:, :2] + offsets[:, :2] * _VARIANCES[0] * anchors[:, 2:]
    size = anchors[:, 2:] * torch.exp(offsets[:, 2:] * _VARIANCES[1])
    corner = centre - size / 2
    return torch.cat([corner, corner + size], dim=1)
