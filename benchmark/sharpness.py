"""How sharp and how clean a picture is, without a reference: Crete's blur, the noise, and one score of both.

A picture under noise has more fine detail than a clean one, so that every measure of sharpness alone takes noise for
quality. `clarity` therefore divides by what the noise is.
"""

from __future__ import annotations

import numpy as np

__all__ = ["MIN_SIDE", "clarity", "crete_blur", "luma", "noise_deviation"]

MIN_SIDE = 16
"""Pixels of the shortest side that can be judged: blur looks at windows of 11."""
NOISE_SCALE = 6.0
"""Deviation of the noise, of 255, that halves the score. Ours: at 8, noise of 5 gained by its false detail what it cost
on half of the made clips; at 6 it cost more on all of them, on photographs and on filmed people."""

_WINDOW = 11  # of Crete's strong blur, and of skimage.measure.blur_effect
_TINY = float(np.spacing(1.0))  # stands for an absent gradient, as in scikit-image: a flat picture has blur 1
_SMOOTH = np.array([1.0, 2.0, 1.0]) / 4
_DIFFERENCE = np.array([-1.0, 0.0, 1.0]) / 2
_CURVATURE = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0])
_QUARTER = 0.3186393639643752  # lower quartile of |x| for normal x of variance 1


def luma(picture: np.ndarray) -> np.ndarray:
    """Brightness of BT.601, not rounded: [H, W] float64 in 0..255 of [H, W, 3] uint8 sRGB."""
    return picture @ np.array([0.299, 0.587, 0.114])


def crete_blur(brightness: np.ndarray) -> float:
    """Blur of Crete et al. 2007, "The blur effect": the share of the gradient that a further blur leaves as it is.

    Sobel gradients along each axis before and after a mean over 11 pixels along it; the larger of the two axes' shares.
    Equal to `skimage.measure.blur_effect`. Noise lowers it, contrast and brightness do not change it.

    Args:
        brightness: [H, W] float64, sides of at least `MIN_SIDE`.

    Returns:
        0 (sharp) to 1 (a further blur changes nothing; also a flat picture).
    """
    import cv2

    shares = []
    for size, horizontal in (((_WINDOW, 1), True), ((1, _WINDOW), False)):
        blurred = cv2.blur(brightness, size, borderType=cv2.BORDER_REFLECT)
        before, after = (
            np.maximum(np.abs(_gradient(image, horizontal=horizontal))[2:-1, 2:-1], _TINY)
            for image in (brightness, blurred)
        )
        lost = np.maximum(before - after, 0).sum()
        shares.append(1 - lost / before.sum())
    return float(max(shares))


def noise_deviation(brightness: np.ndarray, chosen: np.ndarray) -> float:
    """Standard deviation of white noise on a part of a picture, in its own unit; Immerkaer 1996, with a quartile.

    The kernel [[1, -2, 1], [-2, 4, -2], [1, -2, 1]] answers to no plane and to noise of deviation s with 6 s. The lower
    quartile of its size in place of the mean lets edges, hair and cloth hardly count as long as a good part of the
    pixels is smooth, in the manner of the median of Donoho and Johnstone 1994. White noise is meant: what a codec has
    smoothed, or what is coarser than a pixel, is hardly seen.

    Args:
        brightness: [H, W] float64.
        chosen: [H, W] bool, at least one true: the pixels that count.
    """
    import cv2

    answers = cv2.filter2D(brightness, -1, _CURVATURE, borderType=cv2.BORDER_REFLECT_101)
    return float(np.quantile(np.abs(answers[chosen]), 0.25) / (6 * _QUARTER))


def clarity(blur: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Sharpness over noise: `(1 - blur) / (1 + (noise / 6)^2)`, 0 (worst) to 1.

    Args:
        blur: Of `crete_blur`, any shape.
        noise: Of `noise_deviation` on the scale 0..255, the same shape.
    """
    return (1 - blur) / (1 + np.square(noise / NOISE_SCALE))


def _gradient(image: np.ndarray, *, horizontal: bool) -> np.ndarray:
    import cv2

    kernels = (_DIFFERENCE, _SMOOTH) if horizontal else (_SMOOTH, _DIFFERENCE)
    return cv2.sepFilter2D(image, -1, *kernels, borderType=cv2.BORDER_REFLECT)
