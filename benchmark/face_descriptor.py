"""What a face looks like, without any trained network: histograms of oriented gradients of the aligned face.

The face is brought to a fixed crop by five points, and its gradients are described by HOG (Dalal and Triggs 2005),
whose normalised blocks know neither brightness nor contrast of an area. It compares pictures of faces, not people.
"""

from __future__ import annotations

import numpy as np

from benchmark.identity import similarity_to_template
from benchmark.sharpness import luma

__all__ = ["DESCRIPTOR_SIZE", "describe_face", "five_points", "gradient_histograms"]

CROP = (slice(16, 104), slice(16, 96))
"""Rows and columns of ArcFace's 112x112 template that are described: brows to chin, cheek to cheek, with little of hair
and background."""
SMOOTHING = 1.5
"""Deviation of the Gaussian before the gradients, px of the template: faces of all sizes get the same detail."""
CELL, ORIENTATIONS = 8, 9
CLIP, EPSILON = 0.2, 1e-5
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # cells of a block, down and across
DESCRIPTOR_SIZE = (88 // CELL - 1) * (80 // CELL - 1) * 4 * ORIENTATIONS

_LEFT_IRIS, _RIGHT_IRIS = slice(468, 473), slice(473, 478)  # left and right as seen, not the person's own
_NOSE_TIP, _MOUTH_LEFT, _MOUTH_RIGHT = 1, 61, 291


def five_points(mesh: np.ndarray) -> np.ndarray:
    """Irises, tip of the nose and corners of the mouth, [5, 2] px, of MediaPipe's mesh [478, 3]."""
    points = [mesh[_LEFT_IRIS].mean(axis=0), mesh[_RIGHT_IRIS].mean(axis=0)]
    points += [mesh[index] for index in (_NOSE_TIP, _MOUTH_LEFT, _MOUTH_RIGHT)]
    return np.stack(points)[:, :2]


def describe_face(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The descriptor of a face.

    The picture is smoothed before it is sampled, by `SMOOTHING` px of the template: a large face is not undersampled,
    and a small one keeps what it has. Beyond the picture's border its last pixels are repeated.

    Args:
        picture: [H, W, 3] uint8 sRGB.
        points: [5, 2] px: irises, tip of the nose, corners of the mouth, left as seen first.

    Returns:
        [3240] float64, no value negative; of unit length, and 0 where the crop is flat.

    Raises:
        ValueError: all points coincide.
    """
    import cv2

    matrix = similarity_to_template(points)  # [2, 3]
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    smooth = cv2.GaussianBlur(luma(picture), (0, 0), SMOOTHING / scale, borderType=cv2.BORDER_REPLICATE)
    crop = cv2.warpAffine(smooth, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    descriptor = gradient_histograms(crop[CROP]).ravel()
    return descriptor / max(float(np.linalg.norm(descriptor)), EPSILON)


def gradient_histograms(brightness: np.ndarray) -> np.ndarray:
    """HOG: cells of 8x8 pixels, 9 directions without sign, blocks of 2x2 cells, L2-Hys; as `skimage.feature.hog`.

    Args:
        brightness: [H, W] float64, sides multiples of 8.

    Returns:
        [H / 8 - 1, W / 8 - 1, 2, 2, 9] float64: place of the block, cell in it, direction from 0 degrees on.
    """
    rise, run = np.zeros_like(brightness), np.zeros_like(brightness)
    rise[1:-1] = brightness[2:] - brightness[:-2]
    run[:, 1:-1] = brightness[:, 2:] - brightness[:, :-2]
    angle = np.rad2deg(np.arctan2(rise, run)) % 180
    direction = np.minimum(angle // (180 / ORIENTATIONS), ORIENTATIONS - 1)
    votes = np.hypot(rise, run)[..., None] * (direction[..., None] == np.arange(ORIENTATIONS))  # [H, W, 9]
    rows, columns = (side // CELL for side in brightness.shape)
    cells = votes.reshape(rows, CELL, columns, CELL, ORIENTATIONS).mean(axis=(1, 3))
    corners = [cells[down : rows - 1 + down, across : columns - 1 + across] for down, across in _CORNERS]
    blocks = np.stack(corners, axis=2).reshape(rows - 1, columns - 1, 2, 2, ORIENTATIONS)
    return _unit(np.minimum(_unit(blocks), CLIP))


def _unit(blocks: np.ndarray) -> np.ndarray:
    return blocks / np.sqrt(np.square(blocks).sum(axis=(2, 3, 4), keepdims=True) + EPSILON**2)
