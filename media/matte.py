"""From a detector's coarse mask to an alpha matte that follows the picture's edges."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["refine_matte"]

_GRABCUT_SIDE = 512  # longer side at which GrabCut runs, px
_BAND = 0.01  # of the longer side: half the width of the band about the coarse edge that is decided anew
_ITERATIONS = 2
_RADIUS = 0.004  # of the guided filter, of the longer side
_EPSILON = 1e-5  # of the guided filter, variance of colours in [0, 1]; small, so that plain edges stay sharp
_BLACK, _WHITE = 0.2, 0.8  # filter output that becomes alpha 0 and 1
_SOLID = 0.3  # alpha above which pixels connect


def refine_matte(image: np.ndarray, coarse_mask: np.ndarray) -> np.ndarray:
    """Sharpen a coarse person mask to an alpha matte.

    GrabCut (Rother et al. 2004) decides the band about the mask's edge by colour, at 512 px; a guided
    filter (He et al. 2010) brings the result to the edges of the full picture. Of what is left the largest
    connected part is kept.

    Args:
        image: [H, W, 3] uint8 sRGB.
        coarse_mask: Probability of the person [H, W] float32 in 0..1, such as `PersonLandmarks.mask`.

    Returns:
        Alpha [H, W] float32 in 0..1; all zero where the mask nowhere reaches 0.5.
    """
    if image.shape[:2] != coarse_mask.shape:
        raise ValueError(f"coarse_mask must have shape {image.shape[:2]}, got {coarse_mask.shape}")
    height, width = coarse_mask.shape
    if not (coarse_mask > 0.5).any():
        return np.zeros((height, width), np.float32)
    person = cv2.resize(_cut(image, coarse_mask), (width, height), interpolation=cv2.INTER_LINEAR)
    radius = max(round(_RADIUS * max(height, width)), 2)
    guided = cv2.ximgproc.guidedFilter(image.astype(np.float32) / 255.0, person, radius, _EPSILON)
    alpha = np.clip((guided - _BLACK) / (_WHITE - _BLACK), 0.0, 1.0)
    return _largest_part(alpha).astype(np.float32)


def _cut(image: np.ndarray, coarse_mask: np.ndarray) -> np.ndarray:
    """GrabCut at a reduced size; 1 for the person, 0 for the rest [h, w] float32."""
    height, width = coarse_mask.shape
    scale = min(1.0, _GRABCUT_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(coarse_mask, size, interpolation=cv2.INTER_AREA)
    reach = max(round(_BAND * max(size)), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    labels = np.where(mask > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.erode((mask > 0.8).astype(np.uint8), kernel) > 0] = cv2.GC_FGD
    labels[cv2.dilate((mask > 0.2).astype(np.uint8), kernel) == 0] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # the colour models start from k-means with OpenCV's own random numbers
    background, person = np.zeros((1, 65)), np.zeros((1, 65))
    if (labels % 2 == 0).any():  # a person who fills the picture leaves nothing to cut away
        cv2.grabCut(small, labels, (0, 0, 0, 0), background, person, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return (labels % 2).astype(np.float32)  # GC_FGD and GC_PR_FGD are odd


def _largest_part(alpha: np.ndarray) -> np.ndarray:
    """Zero everything but the largest connected part and its soft rim."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((alpha > _SOLID).astype(np.uint8))
    if count < 2:
        return np.zeros_like(alpha)
    part = (labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    rim = cv2.dilate(part, np.ones((5, 5), np.uint8)) > 0
    return np.where(rim & ((labels == 0) | (part > 0)), alpha, 0.0)
