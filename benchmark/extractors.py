"""Extractors: what is computed once from the frames of a clip, or of a prediction beside its truth.

An extractor's id and version are part of the cache key of its arrays: raise the version when equal frames
give other arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from benchmark.metrics.definition import Arrays

if TYPE_CHECKING:
    from media.landmarks import HandDetector

__all__ = ["CLIP_EXTRACTORS", "PAIR_EXTRACTORS", "ClipExtractor", "Networks", "PairExtractor"]


class Networks:
    """Networks that extractors share: each is built once, on first use, and closed with the scoring."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._hands: HandDetector | None = None

    def __enter__(self) -> Networks:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def hands(self) -> HandDetector:
        """MediaPipe's hand detector, stateless between frames."""
        if self._hands is None:
            from media.landmarks import HandDetector

            self._hands = self._stack.enter_context(HandDetector())
        return self._hands


class ClipExtractor(Protocol):
    """Looks at one clip, frame by frame."""

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, [H, W, 3] uint8 sRGB."""
        ...

    def arrays(self) -> Arrays:
        """What was found."""
        ...


class PairExtractor(Protocol):
    """Looks at a prediction and its truth side by side."""

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame of both, [H, W, 3] uint8 sRGB of one size."""
        ...

    def arrays(self) -> Arrays:
        """What was found."""
        ...


class Hands:
    """Hands of each frame: `points` [T, 2, 21, 2] float32 px, `score` [T, 2] float32, NaN where none is."""

    version = "1"

    def __init__(self, networks: Networks) -> None:
        self._detector = networks.hands
        self._points: list[np.ndarray] = []
        self._score: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """Detect up to two hands."""
        points = np.full((2, 21, 2), np.nan, np.float32)
        score = np.full(2, np.nan, np.float32)
        for slot, hand in enumerate(self._detector.detect(frame)[:2]):
            points[slot] = hand.points[:, :2]
            score[slot] = hand.score
        self._points.append(points)
        self._score.append(score)

    def arrays(self) -> Arrays:
        """`points` and `score`."""
        return {"points": np.stack(self._points), "score": np.stack(self._score)}


class PixelError:
    """Mean squared error of each frame: `mse` [T] float64 over all pixels and channels, scale 0..255."""

    version = "1"

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

    version = "1"
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


CLIP_EXTRACTORS: dict[str, tuple[str, Callable[[Networks], ClipExtractor]]] = {
    "hands_mp": (Hands.version, Hands),
}
"""By id: version and class of what looks at one clip."""
PAIR_EXTRACTORS: dict[str, tuple[str, Callable[[Networks], PairExtractor]]] = {
    "pixel_error": (PixelError.version, PixelError),
    "ssim_gauss11": (GaussianSsim.version, GaussianSsim),
}
"""By id: version and class of what looks at a prediction beside its truth."""
