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
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import cv2
import numpy as np

from benchmark.counters import Counters
from benchmark.hashing import sha256_tree
from benchmark.metrics.definition import Arrays

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

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, slots=True)
class Network(Generic[_Loaded]):
    """A network as data: known, and its weights hashed, without being loaded."""

    id: str
    """Name in the counters; unique."""
    load: Callable[[], AbstractContextManager[_Loaded]]
    """Builds it; what it enters is closed at the end of the scoring."""
    sha256: Callable[[], str]
    """Hash of the weights' bytes."""


class Networks:
    """Networks that extractors share: each is loaded once, on first use, and closed with the scoring."""

    def __init__(self) -> None:
        self.counters = Counters()
        self._stack = ExitStack()
        self._loaded: dict[str, Any] = {}

    def __enter__(self) -> Networks:
        return self

    def __exit__(self, *exception: object) -> None:
        self._loaded.clear()
        self._stack.close()

    def get(self, network: Network[_Loaded]) -> _Loaded:
        """The loaded network."""
        if network.id not in self._loaded:
            self._loaded[network.id] = self._stack.enter_context(network.load())
            self.counters.loads[network.id] += 1
        return self._loaded[network.id]


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
    """SSIM of each frame: `ssim` [T] float64, the mean over pixels and channels of RGB on the scale 0..255.

    Wang et al. 2004: Gaussian window 11x11 of sigma 1.5, K1 0.01, K2 0.03, population covariance; the border is
    reflected and counts, as in torchmetrics. The window is separable, so OpenCV does this in double precision in a
    third of the time that a full convolution takes in single precision.
    """

    _WINDOW, _SIGMA = (11, 11), 1.5
    _C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def __init__(self, networks: Networks) -> None:
        self._ssim: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Compare one frame."""
        x, y = prediction.astype(np.float64), truth.astype(np.float64)  # [H, W, 3]
        mean_x, mean_y = self._blur(x), self._blur(y)
        product = mean_x * mean_y
        squares = mean_x**2 + mean_y**2
        covariance = self._blur(x * y) - product
        variances = self._blur(x * x + y * y) - squares
        similarity = (2 * product + self._C1) * (2 * covariance + self._C2)
        similarity /= (squares + self._C1) * (variances + self._C2)
        self._ssim.append(float(similarity.mean()))

    def arrays(self) -> Arrays:
        """`ssim`."""
        return {"ssim": np.array(self._ssim)}

    def _blur(self, picture: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(picture, self._WINDOW, self._SIGMA, borderType=cv2.BORDER_REFLECT_101)


EXTRACTORS: dict[str, Extractor] = {
    extractor.id: extractor
    for extractor in (
        Extractor("hands_mp", "1", "clip", Hands, "padded to a square", "float32", network=HAND_DETECTOR),
        Extractor("pixel_error", "1", "pair", PixelError, "none", "int64"),
        Extractor("ssim_gauss11", "1", "pair", GaussianSsim, "none", "float64"),
    )
}
"""By id."""
