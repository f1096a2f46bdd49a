"""Random networks of the published sizes, for measurements of time: what they cost is what the real ones cost.

The makers of the parity tests are small, so that the tests are fast. Here the detector has the layers of SCRFD-10G
(stages 3, 4, 2, 3; 13 billion products a picture of 640x640), and finds about one face a picture; the recogniser has
those of IResNet-50 (stages 3, 4, 14, 3; 6.3 billion a crop) and I3D has its published channels. `made_inception` is of
the published size anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from made_i3d import write_i3d
from made_identity import (
    DETECTION_FILE,
    DETECTOR_OUTPUTS,
    RECOGNITION_FILE,
    Graph,
    anchor_rows,
    save_detector,
    save_recogniser,
)

__all__ = ["write_published_sizes"]

_WINDOW = 16
_DAMPED = 0.5  # gain of the last kernel of a residual block, so that sums do not grow


def write_published_sizes(folder: Path, frames: np.ndarray) -> None:
    """Detector, recogniser and I3D under the real files' names, over whatever stands there.

    Args:
        folder: Of the weights.
        frames: [T, H, W, 3] uint8, T at least 32, to calibrate with.
    """
    write_i3d(folder, [frames[:_WINDOW], frames[_WINDOW : 2 * _WINDOW]], divisor=1)
    _write_detector(folder / DETECTION_FILE, frames)
    crops = [cv2.resize(frame, (112, 112)) for frame in frames[::8]]
    _write_recogniser(folder / RECOGNITION_FILE, crops)


def _write_detector(path: Path, frames: np.ndarray) -> None:
    """Scores pass 0.5 at the best place of each picture, and at few others."""
    _detector(path, 0.0)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    best = []
    for frame in frames[::8]:
        # As insightface scales: into the upper left of 640x640, the rest black.
        scale = 640 / max(frame.shape[:2])
        scaled = cv2.resize(frame, (int(frame.shape[1] * scale), int(frame.shape[0] * scale)))
        padded = np.zeros((640, 640, 3), np.uint8)
        padded[: len(scaled), : scaled.shape[1]] = scaled
        blob = ((padded.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        scores = session.run(list(DETECTOR_OUTPUTS[:3]), {"input.1": blob})
        chance = np.clip(max(score.max() for score in scores).astype(np.float64), 1e-7, 1 - 1e-7)
        best.append(np.log(chance / (1 - chance)))
    _detector(path, 0.01 - float(np.min(best)))


def _detector(path: Path, shift: float) -> None:
    graph = Graph(0)
    maps = "input.1"
    for inputs, outputs, stride in ((3, 28, 2), (28, 28, 1), (28, 56, 1)):
        maps = graph.node("Relu", graph.convolution(maps, inputs, outputs, 3, stride))
    maps = graph.node("MaxPool", maps, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels, levels = 56, []
    for n_blocks, outputs in ((3, 56), (4, 88), (2, 88), (3, 224)):
        for block in range(n_blocks):
            stride = 2 if block == 0 and levels else 1
            maps, channels = _basic_block(graph, maps, channels, outputs, stride), outputs
        levels.append((maps, channels))
    sideways = [graph.convolution(maps, channels, 56, 1, 1) for maps, channels in levels[1:]]
    for level in (1, 0):  # down the pyramid, and up again
        wider = graph.node(
            "Resize",
            sideways[level + 1],
            "",
            graph.constant(np.array([1, 1, 2, 2], np.float32)),
            mode="nearest",
        )
        sideways[level] = graph.node("Add", sideways[level], wider)
    maps = [graph.convolution(each, 56, 56, 3, 1) for each in sideways]
    for level in (1, 2):
        maps[level] = graph.node("Add", maps[level], graph.convolution(maps[level - 1], 56, 56, 3, 2))
        maps[level] = graph.convolution(maps[level], 56, 56, 3, 1)
    for level, each in enumerate(maps):
        for inputs in (56, 80, 80):
            each = graph.node("Relu", graph.convolution(each, inputs, 80, 3, 1))
        score = graph.convolution(each, 80, 2, 3, 1, np.full(2, shift), gain=0.1)
        anchor_rows(graph, graph.node("Sigmoid", score), 1, DETECTOR_OUTPUTS[level])
        side = graph.node("Relu", graph.convolution(each, 80, 8, 3, 1, np.full(8, 3.0), gain=0.1))
        anchor_rows(graph, side, 4, DETECTOR_OUTPUTS[level + 3])
        anchor_rows(graph, graph.convolution(each, 80, 20, 3, 1), 10, DETECTOR_OUTPUTS[level + 6])
    save_detector(graph, path)


def _basic_block(graph: Graph, maps: str, inputs: int, outputs: int, stride: int) -> str:
    inner = graph.node("Relu", graph.convolution(maps, inputs, outputs, 3, stride))
    inner = graph.convolution(inner, outputs, outputs, 3, 1, gain=_DAMPED)
    if stride > 1:
        maps = graph.node("AveragePool", maps, kernel_shape=[2, 2], strides=[2, 2])
    if stride > 1 or inputs != outputs:
        maps = graph.convolution(maps, inputs, outputs, 1, 1)
    return graph.node("Relu", graph.node("Add", maps, inner))


def _write_recogniser(path: Path, crops: Sequence[np.ndarray]) -> None:
    """Embeddings of `crops` have no common part."""
    _recogniser(path, np.zeros(512))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    blob = ((np.stack(crops).astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    _recogniser(path, -session.run(None, {"input.1": blob})[0].mean(axis=0))


def _recogniser(path: Path, bias: np.ndarray) -> None:
    graph = Graph(1)
    maps, channels = _prelu(graph, graph.convolution("input.1", 3, 64, 3, 1), 64), 64
    for n_blocks, outputs in ((3, 64), (4, 128), (14, 256), (3, 512)):
        for block in range(n_blocks):
            stride = 2 if block == 0 else 1
            inner = graph.convolution(_normalised(graph, maps, channels), channels, outputs, 3, 1)
            inner = graph.convolution(
                _prelu(graph, inner, outputs), outputs, outputs, 3, stride, gain=_DAMPED
            )
            if stride > 1:
                maps = graph.convolution(maps, channels, outputs, 1, stride)
            maps, channels = graph.node("Add", maps, inner), outputs
    flat = graph.node("Flatten", _normalised(graph, maps, channels))
    save_recogniser(graph, flat, channels * 7 * 7, bias, path)


def _prelu(graph: Graph, maps: str, channels: int) -> str:
    return graph.node("PRelu", maps, graph.constant(np.full((channels, 1, 1), 0.25, np.float32)))


def _normalised(graph: Graph, maps: str, channels: int) -> str:
    """A batch normalisation that changes nothing: padding keeps it from being folded into the convolution behind it."""
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    return graph.node("BatchNormalization", maps, *map(graph.constant, (ones, zeros, zeros, ones)))
