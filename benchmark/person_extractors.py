"""Extractors that look at the person: error and similarity on the person's pixels, and the landmarks of the face."""

from __future__ import annotations

import importlib.util
from array import array
from functools import cache
from pathlib import Path

import numpy as np

from benchmark.hashing import sha256_tree
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from benchmark.recent import RecentFrames
from benchmark.similarity import SIMILARITY

__all__ = ["FACE_MESH", "PERSON_SEGMENTER", "FaceLandmarks", "PersonFidelity"]

_THRESHOLD = 0.5  # of the segmenter's probability, above which a pixel shows the person
_N_FACE_POINTS = 478


def _models_sha256(*names: str) -> str:
    found = importlib.util.find_spec("mediapipe")  # finds the folder without the seconds of importing it
    modules = Path(found.origin).parent / "modules" if found and found.origin else Path("mediapipe")
    return sha256_tree(modules, names)


@cache
def _segmenter_sha256() -> str:
    return _models_sha256("selfie_segmentation/selfie_segmentation.tflite")


@cache
def _face_mesh_sha256() -> str:
    return _models_sha256(
        "face_detection/face_detection_full_range_sparse.tflite",
        "face_detection/face_detection_short_range.tflite",
        "face_landmark/face_landmark_with_attention.tflite",
    )


def _load_segmenter() -> RecentFrames[np.ndarray]:
    from media.segmentation import PersonSegmenter

    segmenter = PersonSegmenter()
    return RecentFrames(segmenter, lambda frame: segmenter.probability(frame) > _THRESHOLD)


def _load_face_mesh() -> RecentFrames[np.ndarray | None]:
    from media.landmarks import FaceMesh

    mesh = FaceMesh()
    return RecentFrames(mesh, mesh.detect)


PERSON_SEGMENTER: Network[RecentFrames[np.ndarray]] = Network(
    "mediapipe_selfie", _load_segmenter, _segmenter_sha256
)
"""MediaPipe's general selfie segmentation: pixels [H, W] bool that show a person."""

FACE_MESH: Network[RecentFrames[np.ndarray | None]] = Network(
    "mediapipe_face", _load_face_mesh, _face_mesh_sha256
)
"""MediaPipe's face detectors and face mesh with irises: [478, 3] px, or None."""


class PersonFidelity:
    """Error and similarity on the pixels that show a person in the TRUE frame.

    `pixels` [T] int64: how many such pixels; `mse` [T] float64: mean squared error over them and the channels, scale
    0..255; `ssim` [T] float64: mean of the SSIM map over them and the channels. NaN where a frame has no such pixel.
    The SSIM map is that of the whole frame: windows at the person's outline see the background, too.
    """

    def __init__(self, networks: Networks) -> None:
        self._segmenter = networks.get(PERSON_SEGMENTER)
        self._map = networks.get(SIMILARITY)
        self._forwards = networks.counters.forwards
        self._pixels: list[int] = []
        self._mse: list[float] = []
        self._ssim: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Compare one frame."""
        before = self._segmenter.n_forwards
        mask = self._segmenter(truth)  # [H, W]
        self._forwards[PERSON_SEGMENTER.id] += self._segmenter.n_forwards - before
        n_pixels = int(np.count_nonzero(mask))
        self._pixels.append(n_pixels)
        if n_pixels == 0:
            self._mse.append(np.nan)
            self._ssim.append(np.nan)
            return
        difference = prediction[mask].astype(np.int32) - truth[mask]  # [N, 3]
        self._mse.append(int(np.square(difference).sum(dtype=np.int64)) / difference.size)
        self._ssim.append(float(self._map(prediction, truth)[mask].mean()))

    def arrays(self) -> Arrays:
        """`pixels`, `mse` and `ssim`."""
        return {
            "pixels": np.array(self._pixels, np.int64),
            "mse": np.array(self._mse, np.float64),
            "ssim": np.array(self._ssim, np.float64),
        }


class FaceLandmarks:
    """Mesh of the largest face of each frame: `points` [T, 478, 3] float32 px, z about the head; NaN where none is."""

    def __init__(self, networks: Networks) -> None:
        self._mesh = networks.get(FACE_MESH)
        self._forwards = networks.counters.forwards
        self._points = array("f")  # flat and growing: a list of small arrays takes three times the memory

    def add(self, frame: np.ndarray) -> None:
        """Find the largest face."""
        before = self._mesh.n_forwards
        points = self._mesh(frame)
        self._forwards[FACE_MESH.id] += self._mesh.n_forwards - before
        if points is None:
            points = np.full((_N_FACE_POINTS, 3), np.nan)
        self._points.frombytes(points.astype(np.float32).tobytes())

    def arrays(self) -> Arrays:
        """`points`."""
        return {"points": np.frombuffer(self._points, np.float32).reshape(-1, _N_FACE_POINTS, 3)}
