"""Which Gaussians the photograph shows, and which of them it shows cleanly.

A pixel near an occlusion edge mixes two surfaces, or shows the wrong one where the fit is off by a few pixels:
a sleeve would colour a hand, a hand the shirt behind it. Only Gaussians well inside of what the camera sees
take their colour from the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from reference_model.body.mesh import RasterizedMesh
from reference_model.body.template import BodyTemplate
from reference_model.render.camera import Camera

__all__ = [
    "FACE",
    "HANDS",
    "HEAD",
    "LEFT_EAR",
    "MIDDLE",
    "MOUTH",
    "N_PARTS",
    "TRUNK",
    "Supervision",
    "body_parts",
    "supervise",
]

_SEEN_TOLERANCE_M = (
    0.008  # a Gaussian this far behind the nearest surface of its own part still belongs to it
)
_OTHER_PART_TOLERANCE_M = 0.002  # cloth under a hand that rests on it is hidden
_CLEAN_COSINE = 0.3  # surfaces more grazing than this smear in every other view
_OCCLUSION_STEP_M = 0.015  # a jump of depth between neighbouring pixels that separates two surfaces
_MARGIN_M = 0.005  # how near to such a jump, or to the matte's rim, a colour is doubtful (blur, misfit)
_FINE_MARGIN_M = 0.0015  # the same on head, hands and feet, which a wider margin would eat up
_HAND_REACH_M = 0.02  # around a hand, where its Gaussians and those of the cloth behind it share pixels
_SOLID = 0.97
_NEIGHBOURS = np.ones((3, 3), np.uint8)

# Parts that rarely lend colours to one another; limb segments by the start of the dominant joint's name.
_LIMBS: tuple[tuple[str, ...], ...] = (
    ("upperarm", "shoulder01"),
    ("lowerarm",),
    ("wrist", "finger", "metacarpal"),
    ("upperleg",),
    ("lowerleg",),
    ("foot", "toe"),
)
LEFT_EAR, _LEFT_EYE = 13, 15
TRUNK, HEAD, FACE, MOUTH = 0, 17, 18, 19
HANDS = (5, 6)
MIDDLE = (TRUNK, HEAD, FACE, MOUTH)
N_PARTS = 20


@dataclass(frozen=True)
class Supervision:
    """What the photograph says about each of N Gaussians."""

    pixel: np.ndarray  # [N, 2] int column, row; clipped to the picture
    seen: np.ndarray  # [N] bool: nearest surface along its ray, turned to the camera
    clean: np.ndarray  # [N] bool: seen, and its pixel shows this surface and no other
    beside_hand: np.ndarray  # [N] bool: no part of a hand, and a hand is seen within `_HAND_REACH_M`


def supervise(
    means: Tensor,
    normals: Tensor,
    two_sided: np.ndarray,
    slender: np.ndarray,
    part: np.ndarray,
    face_part: np.ndarray,
    camera: Camera,
    raster: RasterizedMesh,
    alpha: np.ndarray,
) -> Supervision:
    """Find what the camera sees of each Gaussian.

    Args:
        means: `[N, 3]` world.
        normals: `[N, 3]` unit, outward.
        two_sided: `[N]`; such Gaussians lie off the mesh and are seen where they project on to the matte.
        slender: `[N]`; points of the head, hands and feet.
        part: `[N]`; part of `body_parts` that each belongs to.
        face_part: `[F]`; the same for the triangles of the mesh.
        camera: Camera of the whole photograph.
        raster: The mesh as this camera sees it.
        alpha: Matte `[H, W]`.
    """
    pixels, depth = camera.project(means)
    column = pixels[:, 0].floor().long().numpy()
    row = pixels[:, 1].floor().long().numpy()
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row = column.clip(0, camera.width - 1), row.clip(0, camera.height - 1)
    to_camera = torch.nn.functional.normalize(camera.center - means, dim=-1)
    cosine = (normals * to_camera).sum(-1).numpy()

    highest = cv2.dilate(_finite(raster.depth), _NEIGHBOURS)
    nearest = highest[row, column]
    shown = raster.face_index[row, column]
    other = (shown >= 0) & (face_part[shown] != part)
    on_top = depth.numpy() < nearest + np.where(other, _OTHER_PART_TOLERANCE_M, _SEEN_TOLERANCE_M)
    seen = inside & np.where(two_sided, alpha[row, column] > 0.3, on_top & (cosine > -0.05))
    per_metre = camera.focal / float(depth.median())  # px
    solid, jump = (alpha > _SOLID).astype(np.uint8), _jumps(raster, highest)
    coarse, fine = (
        _certain(solid, jump, max(1, math.ceil(m * per_metre))) for m in (_MARGIN_M, _FINE_MARGIN_M)
    )
    certain = np.where(slender, fine[row, column], coarse[row, column])
    clean = seen & certain & (two_sided | (cosine > _CLEAN_COSINE))
    hand = (raster.face_index >= 0) & np.isin(face_part, HANDS)[raster.face_index]
    reach = max(1, math.ceil(_HAND_REACH_M * per_metre))
    near_hand = cv2.dilate(hand.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    beside_hand = near_hand[row, column] & ~np.isin(part, HANDS)
    return Supervision(np.stack([column, row], 1), seen, clean, beside_hand)


def _finite(depth: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def _certain(solid: np.ndarray, jump: np.ndarray, margin: int) -> np.ndarray:
    """Pixels `[H, W]` further than `margin` px from the matte's rim and from jumps between two surfaces."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return (cv2.erode(solid, kernel) > 0) & ~(cv2.dilate(jump, kernel) > 0)


def _jumps(raster: RasterizedMesh, highest: np.ndarray) -> np.ndarray:
    """Pixels `[H, W]` uint8 beside which another surface begins; `highest` depth of each one's neighbours."""
    body = raster.face_index >= 0
    lowest = cv2.erode(np.where(body, raster.depth, np.float32(1e3)), _NEIGHBOURS)
    return (body & (highest - lowest > _OCCLUSION_STEP_M)).astype(np.uint8)


@lru_cache(maxsize=1)
def body_parts(template: BodyTemplate) -> np.ndarray:
    """Part of each vertex, `[V]`: `TRUNK`, a limb segment, `HEAD`, `FACE`, an ear, an eyeball or `MOUTH`.

    Parts of the left side are odd, the same of the right side one higher; those of `MIDDLE` have no side.
    """
    limb = np.zeros(len(template.joint_names), int)
    for j, name in enumerate(template.joint_names):
        for number, starts in enumerate(_LIMBS):
            if name.startswith(starts):
                limb[j] = 1 + 2 * number + name.endswith(".R")
        if name.startswith(("head", "neck02", "neck03", "eye")):
            limb[j] = HEAD
    dominant = template.skin_index[np.arange(len(template.vertices)), template.skin_weight.argmax(1)]
    part = limb[dominant]
    head = template.region_vertices("head")
    part[head & (template.face > 0.5)] = FACE
    left = template.vertices[:, 0] > 0
    part[head & (template.ear > 0.5) & left] = LEFT_EAR
    part[head & (template.ear > 0.5) & ~left] = LEFT_EAR + 1
    for offset, side in enumerate(("left", "right")):
        part[template.region_vertices(f"eye_front_{side}", f"eye_back_{side}")] = _LEFT_EYE + offset
    part[template.region_vertices("mouth_cavity", "tongue", "teeth_upper", "teeth_lower")] = MOUTH
    return part
