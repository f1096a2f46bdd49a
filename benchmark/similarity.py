"""Structural similarity as a map over the picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from benchmark.networks import Network
from benchmark.recent import LatestPair

__all__ = ["SIMILARITY", "SSIM_RADIUS", "ssim_map"]

_WINDOW, _SIGMA = (11, 11), 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

SSIM_RADIUS = 5
"""A pixel's value depends on pixels no further away than this, in x and in y."""
_ROWS = 64
"""Rows that are worked on at a time, so that they stay in the processor's cache; it changes no bit."""


def ssim_map(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """SSIM of each pixel and channel (Wang et al. 2004), on the scale 0..255.

    Gaussian window 11x11 of sigma 1.5, K1 0.01, K2 0.03, population covariance; the border is reflected, as in
    torchmetrics. The window is separable, so OpenCV does this in double precision in a third of the time that a full
    convolution takes in single precision; strips of rows halve that again.

    Args:
        prediction: [H, W, 3] uint8.
        truth: [H, W, 3] uint8.

    Returns:
        [H, W, 3] float64 in -1..1.
    """
    similarity = np.empty(prediction.shape, np.float64)
    height = len(prediction)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        first, last = max(top - SSIM_RADIUS, 0), min(bottom + SSIM_RADIUS, height)
        strip = _similarity(prediction[first:last], truth[first:last])
        similarity[top:bottom] = strip[top - first : bottom - first]
    return similarity


def _similarity(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """SSIM of whole arrays; in place, because fresh memory costs more than the arithmetic."""
    x, y = prediction.astype(np.float64), truth.astype(np.float64)  # [H, W, 3]
    means, other = _blur(x), _blur(y)
    covariance = _blur(x * y)
    x *= x
    y *= y
    x += y
    variances = _blur(x)
    product = means * other
    covariance -= product
    means *= means
    other *= other
    means += other  # the sum of the squares
    variances -= means
    product *= 2
    product += _C1
    covariance *= 2
    covariance += _C2
    product *= covariance
    means += _C1
    variances += _C2
    means *= variances
    product /= means
    return product


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, _WINDOW, _SIGMA, borderType=cv2.BORDER_REFLECT_101)


@contextmanager
def _shared() -> Iterator[LatestPair[np.ndarray]]:
    yield LatestPair(ssim_map)


SIMILARITY: Network[LatestPair[np.ndarray]] = Network("ssim", _shared, lambda: "")
"""`ssim_map`, shared by the extractors that ask for the same two frames; it has no weights and enters no key."""
