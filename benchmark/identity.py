"""Who a face belongs to: faces by SCRFD, five-point alignment, ArcFace embeddings, and which face to follow.

What insightface's buffalo_l does to a picture, without the package, whose import costs seconds and whose settings
change with its version. Everything that decides a value is a constant here; parity tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from media.errors import AvatarBenchError

__all__ = [
    "EMBEDDING_SIZE",
    "Faces",
    "Session",
    "align_face",
    "choose_face",
    "detect_faces",
    "embed_face",
    "open_session",
    "similarity_to_template",
]

DETECTION_SIDE = 640
"""Side of the square that SCRFD sees, pixels (insightface's `det_size`, whose default changed with version 2)."""
SCORE_THRESHOLD = 0.5
OVERLAP_THRESHOLD = 0.4
"""IoU above which the face of the smaller score is the same face."""
CROP_SIDE = 112
EMBEDDING_SIZE = 512
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""Where ArcFace expects eyes, nose and corners of the mouth, [5, 2] px of the crop."""

_STRIDES = (8, 16, 32)
_ANCHORS = 2  # at each place of each stride's map


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used."""

    def get_inputs(self) -> Sequence[Any]:
        """Descriptions of the inputs."""
        ...

    def run(self, output_names: None, input_feed: Mapping[str, np.ndarray]) -> Sequence[Any]:
        """All outputs."""
        ...


class Faces(NamedTuple):
    """The faces of one picture, best score first."""

    boxes: np.ndarray
    """[K, 4] float32 px: left, top, right, bottom."""
    scores: np.ndarray
    """[K] float32, 0.5 to 1."""
    points: np.ndarray
    """[K, 5, 2] float32 px: left and right eye (as seen), nose, left and right corner of the mouth."""


def open_session(path: Path) -> Session:
    """An ONNX model on the CPU, each call on one thread.

    Args:
        path: A file whose SHA-256 has been compared (`benchmark.weights.weight_path`).

    Raises:
        AvatarBenchError: E603 without onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise AvatarBenchError(
            "E603",
            "CSIM needs the package 'onnxruntime'",
            got=str(error),
            fix="install what the metrics of the paper need: uv pip install 'avatarbench[paper]'",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def detect_faces(session: Session, picture: np.ndarray) -> Faces:
    """Faces by SCRFD with five points, as insightface finds them at one `det_size`.

    The picture is scaled (bilinear) until it fits into 640x640, and the rest, right or below, is black.

    Args:
        session: `det_10g.onnx`, or a network of the same outputs: scores, boxes and points at strides 8, 16, 32.
        picture: [H, W, 3] uint8 RGB.
    """
    height, width = picture.shape[:2]
    if height > width:
        size = int(DETECTION_SIDE / (height / width)), DETECTION_SIDE
    else:
        size = DETECTION_SIDE, int(DETECTION_SIDE * (height / width))
    padded = np.zeros((DETECTION_SIDE, DETECTION_SIDE, 3), np.uint8)
    import cv2  # here, because listing metrics reads the constants of this module

    padded[: size[1], : size[0]] = cv2.resize(picture, size)
    outputs = _run(session, (padded.astype(np.float32) - 127.5) / 128)
    return _suppress(_decode(outputs, size[1] / height))


def similarity_to_template(points: np.ndarray) -> np.ndarray:
    """The similarity without mirroring that brings five points nearest to ArcFace's template (Umeyama 1991).

    With points as complex numbers p and template q, both centred, it is z = sum(q conj(p)) / sum(|p|^2), whose length
    is the scale and whose angle the rotation.

    Args:
        points: [5, 2] px.

    Returns:
        [2, 3] float64, from the picture's pixels to the crop's.

    Raises:
        ValueError: all points coincide.
    """
    p, q = (array.astype(np.float64) @ np.array([1, 1j]) for array in (points, TEMPLATE))
    spread = np.square(np.abs(p - p.mean())).sum()
    if spread == 0:
        raise ValueError("the five points of a face coincide, so it cannot be aligned")
    z = ((q - q.mean()) * np.conj(p - p.mean())).sum() / spread
    shift = q.mean() - z * p.mean()
    return np.array([[z.real, -z.imag, shift.real], [z.imag, z.real, shift.imag]])


def align_face(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The aligned face, [112, 112, 3] uint8 RGB (bilinear, black outside), of [H, W, 3] uint8 and points [5, 2] px."""
    import cv2

    return cv2.warpAffine(picture, similarity_to_template(points), (CROP_SIDE, CROP_SIDE))


def embed_face(session: Session, crop: np.ndarray) -> np.ndarray:
    """ArcFace's embedding of an aligned face, brought to unit length.

    Args:
        session: `w600k_r50.onnx`, or a network of the same input and output.
        crop: [112, 112, 3] uint8 RGB.

    Returns:
        [512] float32.
    """
    embedding = _run(session, (crop.astype(np.float32) - 127.5) / 127.5)[0].reshape(EMBEDDING_SIZE)
    return embedding / np.linalg.norm(embedding)


def choose_face(boxes: np.ndarray, last: np.ndarray | None) -> int | None:
    """Which of the faces of a frame is followed: the one that overlaps most with the last one, else the largest.

    Args:
        boxes: [K, 4] px.
        last: [4] px, where the face was seen last; None before the first.

    Returns:
        An index; None where there is no face.
    """
    if len(boxes) == 0:
        return None
    areas = _areas(boxes)
    if last is not None:
        shared = _intersections(boxes, last)
        overlap = shared / (areas + _areas(last[None])[0] - shared)
        if overlap.max() > 0:
            return int(overlap.argmax())
    return int(areas.argmax())


def _run(session: Session, picture: np.ndarray) -> Sequence[np.ndarray]:
    """All outputs for one picture [H, W, 3] float32."""
    blob = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
    return session.run(None, {session.get_inputs()[0].name: blob})


def _decode(outputs: Sequence[np.ndarray], scale: float) -> Faces:
    """Candidates above the threshold, best first, in the picture's pixels.

    Each place of a map has two anchors, one after the other. A box is given by the distances of its sides from the
    anchor, a point by its offset from it, both in strides.

    Args:
        outputs: Scores [n, 1] at each stride, boxes [n, 4] at each, points [n, 10] at each, perhaps after an axis of 1.
        scale: Pixels of the network's input a pixel of the picture.
    """
    boxes, scores, points = [], [], []
    levels = len(_STRIDES)
    for level, stride in enumerate(_STRIDES):
        score, side, offset = (
            np.asarray(outputs[level + part * levels]).reshape(-1, n) for part, n in enumerate((1, 4, 10))
        )
        n_places = DETECTION_SIDE // stride
        y, x = np.divmod(np.arange(n_places**2, dtype=np.float32).repeat(_ANCHORS), n_places)
        anchor = stride * np.stack([x, y], axis=1)  # [n, 2]
        found = np.flatnonzero(score[:, 0] >= SCORE_THRESHOLD)
        centre, side = anchor[found], stride * side[found]
        boxes.append(np.concatenate([centre - side[:, :2], centre + side[:, 2:]], axis=1))
        points.append(centre[:, None] + (stride * offset[found]).reshape(-1, 5, 2))
        scores.append(score[found, 0])
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return Faces(
        (np.concatenate(boxes)[order] / scale).astype(np.float32),
        score[order].astype(np.float32),
        (np.concatenate(points)[order] / scale).astype(np.float32),
    )


def _suppress(faces: Faces) -> Faces:
    """Leave out faces that overlap too much with one of a better score; pixels count as squares (the + 1)."""
    boxes = faces.boxes + np.array([0, 0, 1, 1], np.float32)
    areas = _areas(boxes)
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        shared = _intersections(boxes[left], boxes[best])
        left = left[shared / (areas[best] + areas[left] - shared) <= OVERLAP_THRESHOLD]
    return Faces(faces.boxes[kept], faces.scores[kept], faces.points[kept])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _intersections(boxes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Areas that boxes [K, 4] share with one box [4]."""
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    return np.clip(high - low, 0, None).prod(axis=1)
