"""The two layers of a photograph: the person's own colours past the rim, and the place behind the person."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["extend_foreground", "paint_out"]

_SOLID = 0.97  # matte value from which a pixel shows nothing but the person
_RIM_PX = 3.0  # at 1024 px: pixels this near the rim may be mixed although the matte calls them solid
_BACKGROUND_SIZE = 160  # px, longer side at which the background is painted over
_BACKGROUND_BLUR = 0.006  # of the longer side


def extend_foreground(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours of the person, continued beyond the rim.

    Rim pixels mix person and background; an avatar that learnt them would carry a halo into every other view.

    Args:
        image: `[H, W, 3]` uint8.
        alpha: Matte `[H, W]`.

    Returns:
        `[H, W, 3]` uint8: `image` where the person is solid, the nearest solid colours elsewhere.
    """
    rim = max(1, round(_RIM_PX * max(image.shape[:2]) / 1024))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    solid = cv2.erode((alpha > _SOLID).astype(np.uint8), kernel).astype(np.float32)
    return _bytes(_spread(image.astype(np.float32), solid))


def paint_out(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The photograph with the person painted over by its surroundings, blurred where nothing is known.

    Args:
        image: `[H, W, 3]` uint8.
        alpha: Matte `[H, W]`.

    Returns:
        `[H, W, 3]` uint8; outside of the person and a margin it is the photograph.
    """
    height, width = alpha.shape
    size = max(height, width)
    margin = max(3, round(0.012 * size)) | 1
    person = cv2.dilate((alpha > 0.05).astype(np.uint8), np.ones((margin, margin), np.uint8))
    scale = min(1.0, _BACKGROUND_SIZE / size)
    small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    hole = cv2.resize(person.astype(np.float32), small_size, interpolation=cv2.INTER_AREA)
    known = (hole <= 0.01).astype(np.float32)
    if not known.any():  # the person fills the picture: a plain backdrop of its mean colour
        return np.broadcast_to(image.mean((0, 1)).astype(np.uint8), image.shape).copy()
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small, (known == 0).astype(np.uint8), 5, cv2.INPAINT_TELEA)
    filled = cv2.GaussianBlur(filled, (0, 0), 2.5)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    blend = cv2.GaussianBlur(person.astype(np.float32), (0, 0), _BACKGROUND_BLUR * size)
    blend = _three(np.maximum(blend, person))
    filled *= blend
    kept = image.astype(np.float32)
    kept *= 1 - blend
    filled += kept
    return _bytes(filled)


def _spread(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill pixels of weight 0 from ever coarser weighted means of the others (pull-push interpolation).

    Args:
        values: `[H, W, 3]` float32.
        weight: `[H, W]` float32, 0 where `values` mean nothing.
    """
    height, width = weight.shape
    if weight.all() or max(height, width) == 1:
        return values
    half = ((width + 1) // 2, (height + 1) // 2)
    mass = cv2.resize(weight, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0])
    total = cv2.resize(values * _three(weight), half, interpolation=cv2.INTER_AREA)
    mean = total.reshape(half[1], half[0], 3) / _three(np.maximum(mass, 1e-6))
    coarse = _spread(mean, (mass > 0).astype(np.float32))
    finer = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    return np.where(_three(weight) > 0, values, finer)


def _three(values: np.ndarray) -> np.ndarray:
    """`[H, W]` as three equal channels: numpy is slow where an axis as short as this is broadcast."""
    return cv2.merge([values, values, values])


def _bytes(picture: np.ndarray) -> np.ndarray:
    """Rounded to uint8; overwrites `picture`, which spares large copies."""
    picture += 0.5
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)
