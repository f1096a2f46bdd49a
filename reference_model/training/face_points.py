"""The surface points that geometric supervision looks at, and which lip points face each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference_model.body.template import BodyTemplate

__all__ = ["FacePoints", "choose_points", "lip_columns"]

_LIP_COLUMNS_M = (-0.012, -0.006, 0.0, 0.006, 0.012)
_COLUMN_HALF_WIDTH_M = 0.002

# Triangles drawn from each part, and the weight of each in the loss.
_PARTS = {
    "lips": (260, 4.0),
    "eyelids": (150, 2.0),
    "brows": (40, 1.0),
    "face": (160, 1.0),
    "eyeballs": (60, 1.0),
    "eye_cavity": (20, 0.5),
    "teeth": (30, 2.0),
    "tongue": (40, 1.0),
    "mouth_cavity": (50, 0.5),
    "head": (50, 0.5),
    "hands": (40, 0.5),
}


class FacePoints(NamedTuple):
    """n places on the template; the last ones are vertices of the lips."""

    triangle: np.ndarray
    """[n] int64."""
    barycentric: np.ndarray
    """[n, 3] float32."""
    weight: np.ndarray
    """Weight in the loss, [n] float32."""
    upper_lip: np.ndarray
    """Points of the upper lip in each of P columns, [P, k]; rows repeat their first point to be of equal length."""
    lower_lip: np.ndarray
    """The same of the lower lip, [P, k]."""


def lip_columns(template: BodyTemplate) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vertices of upper and lower lip in upright columns across the mouth, from the person's right to left.

    The red of the lips is split by how far `jawOpen` carries it. Seen from the front, the opening in a column is
    as high as the lowest vertex of its upper lip stands above the highest of its lower lip.
    """
    jaw = template.actions[template.action("jawOpen"), :, 2]  # [V] metres, downwards negative
    lips = np.flatnonzero((template.lip > 0.3) & (np.abs(template.vertices[:, 0]) < 0.015))
    lower = jaw[lips] < 0.5 * jaw[lips].min()
    columns = []
    for column in _LIP_COLUMNS_M:
        near = np.abs(template.vertices[lips, 0] - column) < _COLUMN_HALF_WIDTH_M
        columns.append((lips[near & ~lower], lips[near & lower]))
    return columns


def choose_points(template: BodyTemplate, density: float = 1.0, seed: int = 0) -> FacePoints:
    """Draw triangles part by part; the vertices of the lips' columns are added.

    Args:
        template: The body template.
        density: Share of the triangles to draw; less makes a step cheaper. The lips' columns are always whole.
        seed: Which triangles.

    Returns:
        About 950 places for a density of 1, the same ones for the same seed.
    """
    rng = np.random.default_rng(seed)
    triangles, weights = [], []
    for name, candidates in _part_faces(template).items():
        count, weight = _PARTS[name]
        chosen = rng.permutation(candidates)[: max(1, round(density * count))]
        triangles.append(chosen)
        weights.append(np.full(len(chosen), weight))
    columns = lip_columns(template)
    lip_vertices = np.unique(np.concatenate([np.concatenate(column) for column in columns]))
    lip_triangles, lip_barycentric = _triangle_at(template.faces, lip_vertices)
    triangle = np.concatenate([*triangles, lip_triangles])
    barycentric = np.full((len(triangle), 3), 1 / 3)
    barycentric[-len(lip_vertices) :] = lip_barycentric
    weight = np.concatenate([*weights, np.full(len(lip_vertices), _PARTS["lips"][1])])
    first = len(triangle) - len(lip_vertices)
    upper, lower = (
        first + np.searchsorted(lip_vertices, _equal_rows([column[side] for column in columns]))
        for side in (0, 1)
    )
    return FacePoints(triangle, barycentric.astype(np.float32), weight.astype(np.float32), upper, lower)


def _equal_rows(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of different length as one array, filled up with their first value."""
    length = max(map(len, rows))
    return np.stack([np.concatenate([row, np.full(length - len(row), row[0])]) for row in rows])


def _part_faces(template: BodyTemplate) -> dict[str, np.ndarray]:
    """Candidate triangles of each part of `_PARTS`; a triangle belongs to one part."""

    def mean(mask: np.ndarray) -> np.ndarray:
        return mask[template.faces].mean(1)

    head = template.region_faces("head")
    lips = head & (mean(template.lip) > 0.15)
    lids = head & (mean(template.eyelid) > 0.2) & ~lips
    brows = head & (mean(template.brow) > 0.2) & ~lips & ~lids
    face = head & (mean(template.face) > 0.3) & ~lips & ~lids & ~brows
    eyeballs = ("eye_front_left", "eye_front_right", "eye_back_left", "eye_back_right")
    parts = {
        "lips": lips,
        "eyelids": lids,
        "brows": brows,
        "face": face,
        "eyeballs": template.region_faces(*eyeballs),
        "eye_cavity": template.region_faces("eye_cavity"),
        "teeth": template.region_faces("teeth_upper", "teeth_lower"),
        "tongue": template.region_faces("tongue"),
        "mouth_cavity": template.region_faces("mouth_cavity"),
        "head": head & ~lips & ~lids & ~brows & ~face,
        "hands": template.region_faces("hand_left", "hand_right"),
    }
    return {name: np.flatnonzero(mask) for name, mask in parts.items()}


def _triangle_at(faces: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A triangle that has each vertex as a corner, and the corner's barycentric coordinates."""
    triangles = np.array([np.flatnonzero((faces == vertex).any(1))[0] for vertex in vertices])
    return triangles, (faces[triangles] == vertices[:, None]).astype(np.float32)
