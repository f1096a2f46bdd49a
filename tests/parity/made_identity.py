"""Small networks with the inputs and outputs of buffalo_l's detector and recogniser, as ONNX files of its names.

`write_detector` is random: what it finds is no face, but there are many overlapping candidates at all strides, so that
decoding and suppression have something to do. `write_blob_detector` finds magenta discs, so that a picture can be
given any number of "faces". `write_recogniser` has embeddings that vary with the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

DETECTION_FILE, RECOGNITION_FILE = "buffalo_l/det_10g.onnx", "buffalo_l/w600k_r50.onnx"
DETECTOR_OUTPUTS = ("448", "471", "494", "451", "474", "497", "454", "477", "500")
"""Of det_10g: scores, boxes, points, each at strides 8, 16 and 32."""
_WIDTHS = (1, 4, 10)

FACE_POINTS = np.array([[-1.5, -1.0], [1.5, -1.0], [0, 0.3], [-1.2, 1.5], [1.2, 1.5]], np.float32)
"""Of `write_blob_detector`: places of the five points about the centre, in strides of 32 px of 640."""


class Graph:
    """Nodes and weights of a model in the making."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, array: np.ndarray) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"{kind}_{len(self.nodes)}", **attributes)
        )
        return output

    def convolution(
        self,
        maps: str,
        inputs: int,
        outputs: int,
        size: int,
        stride: int,
        bias: np.ndarray | None = None,
        gain: float = 1.0,
    ) -> str:
        """He's kernels; those that see the picture have no mean over places, so that flat areas do not outweigh."""
        kernel = self.random.normal(0, gain * (2 / (inputs * size**2)) ** 0.5, (outputs, inputs, size, size))
        if inputs == 3:
            kernel -= kernel.mean(axis=(2, 3), keepdims=True)
        weights = [self.constant(kernel.astype(np.float32))]
        if bias is not None:
            weights.append(self.constant(bias.astype(np.float32)))
        pads = [(size - 1) // 2] * 4
        return self.node("Conv", maps, *weights, strides=[stride] * 2, pads=pads, kernel_shape=[size] * 2)

    def save(
        self, path: Path, shape: Sequence[object], outputs: Sequence[tuple[str, Sequence[object]]]
    ) -> None:
        graph = helper.make_graph(
            self.nodes,
            "made",
            [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))


def anchor_rows(graph: Graph, maps: str, width: int, output: str) -> str:
    """Maps [1, 2 width, h, w] as rows [h w 2, width]: place by place, and there anchor by anchor."""
    last = graph.node("Transpose", maps, perm=[0, 2, 3, 1])
    return graph.node("Reshape", last, graph.constant(np.array([-1, width], np.int64)), output=output)


def save_detector(graph: Graph, path: Path) -> None:
    """Write a detector that has all of `DETECTOR_OUTPUTS`."""
    dims = [(name, ["?", _WIDTHS[place // 3]]) for place, name in enumerate(DETECTOR_OUTPUTS)]
    graph.save(path, [1, 3, "?", "?"], dims)


def _random_detector(path: Path, shift: float, seed: int) -> None:
    graph = Graph(seed)
    maps = graph.node("Relu", graph.convolution("input.1", 3, 12, 5, 4))
    maps = graph.node("Relu", graph.convolution(maps, 12, 16, 3, 2))
    for level in range(3):
        if level:
            maps = graph.node("Relu", graph.convolution(maps, 16, 16, 3, 2, gain=1.5))
        score = graph.convolution(maps, 16, 2, 3, 1, np.full(2, shift), gain=4)
        anchor_rows(graph, graph.node("Sigmoid", score), 1, DETECTOR_OUTPUTS[level])
        side = graph.node("Relu", graph.convolution(maps, 16, 8, 3, 1, np.full(8, 2.0)))
        anchor_rows(graph, side, 4, DETECTOR_OUTPUTS[level + 3])
        anchor_rows(graph, graph.convolution(maps, 16, 20, 3, 1), 10, DETECTOR_OUTPUTS[level + 6])
    save_detector(graph, path)


def write_detector(folder: Path, pictures: Sequence[np.ndarray], seed: int = 0) -> Path:
    """A random detector whose scores pass 0.5 at about 1 of 100 places.

    Args:
        folder: Where to write `buffalo_l/det_10g.onnx`.
        pictures: [640, 640, 3] uint8, to take the bias of the scores from.
        seed: Of the kernels.
    """
    path = folder / DETECTION_FILE
    _random_detector(path, 0.0, seed)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    scores = []
    for picture in pictures:
        blob = ((picture.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        scores += [out.ravel() for out in session.run(list(DETECTOR_OUTPUTS[:3]), {"input.1": blob})]
    chance = np.clip(np.concatenate(scores).astype(np.float64), 1e-7, 1 - 1e-7)
    _random_detector(path, -float(np.quantile(np.log(chance / (1 - chance)), 0.99)), seed)
    return path


def write_blob_detector(folder: Path) -> Path:
    """A detector that finds magenta areas (255, 0, 255) of about 100 px of 640, and nothing at strides 8 and 16.

    Each place of stride 32 whose surroundings of 96 px are magenta has a box of 4 strides to each side; the two anchors
    find the same. The five points stand as in a face, and follow the box.
    """
    graph = Graph(0)
    average = np.zeros((1, 3, 96, 96), np.float32)
    average[0, :, :, :] = np.array([0.5, -1.0, 0.5])[:, None, None] / 96**2  # 1.99 where all is magenta
    for level, stride in enumerate((8, 16, 32)):
        kernel = graph.constant(average)
        magenta = graph.node(
            "Conv",
            "input.1",
            kernel,
            strides=[stride] * 2,
            pads=[48, 48, 47, 47],  # centred on the anchor, which is the place's first pixel
            kernel_shape=[96, 96],
        )
        far = graph.node("Add", magenta, graph.constant(np.float32(-1.0 if level == 2 else -9.0)))
        chance = graph.node("Sigmoid", graph.node("Mul", far, graph.constant(np.float32(10.0))))
        anchor_rows(graph, graph.node("Concat", chance, chance, axis=1), 1, DETECTOR_OUTPUTS[level])
        nothing = graph.node("Mul", magenta, graph.constant(np.float32(0.0)))
        for part, values in ((3, np.full(4, 4.0)), (6, FACE_POINTS.ravel())):
            both = np.tile(values, 2).astype(np.float32)[None, :, None, None]
            maps = graph.node("Add", nothing, graph.constant(both))
            anchor_rows(graph, maps, values.size, DETECTOR_OUTPUTS[level + part])
    path = folder / DETECTION_FILE
    save_detector(graph, path)
    return path


def _random_recogniser(path: Path, bias: np.ndarray, seed: int) -> None:
    graph = Graph(seed)
    maps = graph.node("Relu", graph.convolution("input.1", 3, 12, 5, 4))
    maps = graph.node("Relu", graph.convolution(maps, 12, 24, 3, 2))
    maps = graph.node("Relu", graph.convolution(maps, 24, 32, 3, 2))
    save_recogniser(graph, graph.node("Flatten", maps), 32 * 7 * 7, bias, path)


def save_recogniser(graph: Graph, flat: str, width: int, bias: np.ndarray, path: Path) -> None:
    """Write a recogniser whose embedding is a random projection of `flat` [B, width]."""
    matrix = graph.random.normal(0, 0.05, (width, 512)).astype(np.float32)
    graph.node("Gemm", flat, graph.constant(matrix), graph.constant(bias.astype(np.float32)), output="683")
    graph.save(path, ["None", 3, 112, 112], [("683", ["None", 512])])


def write_recogniser(folder: Path, crops: Sequence[np.ndarray], seed: int = 1) -> Path:
    """A random recogniser whose embeddings of `crops` have no common part, so that other crops have other directions.

    Args:
        folder: Where to write `buffalo_l/w600k_r50.onnx`.
        crops: [112, 112, 3] uint8.
        seed: Of the kernels.
    """
    path = folder / RECOGNITION_FILE
    _random_recogniser(path, np.zeros(512), seed)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    blob = ((np.stack(crops).astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    _random_recogniser(path, -session.run(None, {"input.1": blob})[0].mean(axis=0), seed)
    return path
