"""Structural similarity as a map over the picture."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["SSIM_RADIUS", "ssim_map"]

_WINDOW, _SIGMA = (11, 11), 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

SSIM_RADIUS = 5
"""A pixel's value depends on pixels no further away than this, in x and in y."""


def ssim_map(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """SSIM of each pixel and channel (Wang et al. 2004), on the scale 0..255.

    Gaussian window 11x11 of sigma 1.5, K1 0.01, K2 0.03, population covariance; the border is reflected, as in
    torchmetrics. The window is separable, so OpenCV does this in double precision in a third of the time that a full
    convolution takes in single precision.

    Args:
        prediction: [H, W, 3] uint8.
        truth: [H, W, 3] uint8.

    Returns:
        [H, W, 3] float64 in -1..1.
    """
    x, y = prediction.astype(np.float64), truth.astype(np.float64)  # [H, W, 3]
    mean_x, mean_y = _blur(x), _blur(y)
    product = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    covariance = _blur(x * y) - product
    variances = _blur(x * x + y * y) - squares
    similarity = (2 * product + _C1) * (2 * covariance + _C2)
    similarity /= (squares + _C1) * (variances + _C2)
    return similarity


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, _WINDOW, _SIGMA, borderType=cv2.BORDER_REFLECT_101)
