"""Extractors: what is computed once from the frames of a clip, or of a prediction beside its truth.

An extractor is data about a class of one of three forms: `clip` looks at one clip frame by frame and may remember
what it saw, `pair` does so at a prediction beside its truth, and `batch` is a stateless network whose batches are
filled with frames of any clips. All that decides its arrays beside the frames is part of their key in the store:
id, version, the weights' bytes, preprocessing, batch size and number format. Raise the version when equal frames
give other arrays.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from benchmark import random_networks
from benchmark.hashing import sha256_tree
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from benchmark.person_extractors import FACE_MESH, PERSON_SEGMENTER, FaceLandmarks, PersonFidelity
from benchmark.similarity import ssim_map

if TYPE_CHECKING:
    from media.landmarks import HandDetector

__all__ = [
    "EXTRACTORS",
    "BatchExtractor",
    "ClipExtractor",
    "Extractor",
    "Network",
    "Networks",
    "PairExtractor",
]


class ClipExtractor(Protocol):
    """Looks at one clip, frame by frame; a new object a clip."""

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, [H, W, 3] uint8 sRGB."""
        ...

    def arrays(self) -> Arrays:
        """What was found; small for each frame, because it is held for the whole clip."""
        ...


class PairExtractor(Protocol):
    """Looks at a prediction and its truth side by side; a new object a pair."""

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame of both, [H, W, 3] uint8 sRGB of one size."""
        ...

    def arrays(self) -> Arrays:
        """What was found; small for each frame, because it is held for the whole clip."""
        ...


class BatchExtractor(Protocol):
    """A network without memory between frames; one object for all clips.

    `run` always gets exactly `Extractor.batch_size` items: a batch that is not full is padded by repeating its last
    item. It must treat each item by itself (no statistics over the batch), and then an item's values do not depend
    on what shares its batch, to the bit; `tests/benchmark/test_engine_batches.py` shows how to prove it.
    """

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        """An item from one frame [H, W, 3] uint8 sRGB: the same shape and dtype whatever the clip."""
        ...

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """Arrays [B, ...] from items [B, ...], row by row; they become arrays [T, ...] of each clip."""
        ...


@dataclass(frozen=True, slots=True)
class Extractor:
    """An extractor as data."""

    id: str
    """Name in metrics' `needs`, and of its folder in the store."""
    version: str
    """Raised when equal frames give other arrays."""
    form: Literal["clip", "pair", "batch"]
    build: Callable[[Networks], ClipExtractor | PairExtractor | BatchExtractor]
    """Makes an object of the form; whatever it raises ends the scoring, because no clip has caused it."""
    preprocessing: str
    """What happens to a decoded frame first, in one line."""
    dtype: str
    """Number format of the computation."""
    batch_size: int = 1
    """Items in a batch (form `batch`)."""
    network: Network[Any] | None = None
    """Whose weights decide the arrays."""

    def content(self) -> list[object]:
        """What decides the arrays beside the frames."""
        weights = None if self.network is None else self.network.sha256()
        return [self.id, self.version, weights, self.preprocessing, self.batch_size, self.dtype]


@cache
def _hand_models_sha256() -> str:
    found = importlib.util.find_spec("mediapipe")  # finds the folder without the seconds of importing it
    modules = Path(found.origin).parent / "modules" if found and found.origin else Path("mediapipe")
    names = ("palm_detection/palm_detection_full.tflite", "hand_landmark/hand_landmark_full.tflite")
    return sha256_tree(modules, names)


def _load_hand_detector() -> HandDetector:
    from media.landmarks import HandDetector

    return HandDetector()


HAND_DETECTOR: Network[HandDetector] = Network("mediapipe_hands", _load_hand_detector, _hand_models_sha256)
"""MediaPipe's palm detector and hand landmark model, stateless between frames."""


class Hands:
    """Hands of each frame: `points` [T, 2, 21, 2] float32 px, `score` [T, 2] float32, NaN where none is."""

    def __init__(self, networks: Networks) -> None:
        self._detector = networks.get(HAND_DETECTOR)
        self._forwards = networks.counters.forwards
        self._points = array("f")  # flat and growing: a list of small arrays takes three times the memory
        self._score = array("f")

    def add(self, frame: np.ndarray) -> None:
        """Detect up to two hands."""
        points = np.full((2, 21, 2), np.nan, np.float32)
        score = np.full(2, np.nan, np.float32)
        self._forwards[HAND_DETECTOR.id] += 1
        for slot, hand in enumerate(self._detector.detect(frame)[:2]):
            points[slot] = hand.points[:, :2]
            score[slot] = hand.score
        self._points.frombytes(points.tobytes())
        self._score.frombytes(score.tobytes())

    def arrays(self) -> Arrays:
        """`points` and `score`."""
        points = np.frombuffer(self._points, np.float32).reshape(-1, 2, 21, 2)
        return {"points": points, "score": np.frombuffer(self._score, np.float32).reshape(-1, 2)}


class PixelError:
    """Mean squared error of each frame: `mse` [T] float64 over all pixels and channels, scale 0..255."""

    def __init__(self, networks: Networks) -> None:
        self._mse: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Compare one frame; exact in integers, so the order of summation cannot matter."""
        difference = prediction.astype(np.int32) - truth
        self._mse.append(int(np.square(difference).sum(dtype=np.int64)) / difference.size)

    def arrays(self) -> Arrays:
        """`mse`."""
        return {"mse": np.array(self._mse)}


class GaussianSsim:
    """SSIM of each frame: `ssim` [T] float64, the mean over pixels and channels of RGB; see `ssim_map`."""

    def __init__(self, networks: Networks) -> None:
        self._ssim: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Compare one frame."""
        self._ssim.append(float(ssim_map(prediction, truth).mean()))

    def arrays(self) -> Arrays:
        """`ssim`."""
        return {"ssim": np.array(self._ssim)}


EXTRACTORS: dict[str, Extractor] = {
    extractor.id: extractor
    for extractor in (
        Extractor("hands_mp", "1", "clip", Hands, "padded to a square", "float32", network=HAND_DETECTOR),
        Extractor("pixel_error", "1", "pair", PixelError, "none", "int64"),
        Extractor("ssim_gauss11", "1", "pair", GaussianSsim, "none", "float64"),
        Extractor("face_mesh_mp", "1", "clip", FaceLandmarks, "none", "float32", network=FACE_MESH),
        Extractor(
            "person_fidelity", "1", "pair", PersonFidelity, "none", "float64", network=PERSON_SEGMENTER
        ),
        Extractor(
            "random_frames",
            "1",
            "batch",
            random_networks.RandomFrames,
            random_networks.PREPROCESSING,
            "float32",
            batch_size=random_networks.BATCH_SIZE,
            network=random_networks.RANDOM_CNN,
        ),
    )
}
"""By id."""
