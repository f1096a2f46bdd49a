"""Where the points of the mediapipe face mesh lie on the template: detected on renders of the template itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from scipy.spatial import KDTree

from media.landmarks import FaceMesh
from reference_model.body.mesh import rasterize_mesh, vertex_normals
from reference_model.body.template import REGIONS

__all__ = ["locate_landmarks"]

N_LANDMARKS = 468
"""Points of the face mesh on the skin; the ten further ones are the irises and have no fixed place."""
SIZE_PX = 512
FOCAL_PX = 1_500.0
DISTANCE_M = 1.0
YAWS = (-0.35, -0.15, 0.0, 0.15, 0.35)
JAW_OPENINGS = (0.0, 0.25)
N_SHAPES = 5
SHAPE_SIGMA = 0.6
MIN_HITS = 5
UNKNOWN_SPREAD_M = 1.0

_COLOURS = {
    "eye_front_left": (40, 50, 60),
    "eye_front_right": (40, 50, 60),
    "eye_back_left": (250, 250, 250),
    "eye_back_right": (250, 250, 250),
    "mouth_cavity": (60, 20, 30),
    "tongue": (200, 80, 90),
}
_INSIDE = ("mouth_cavity", "tongue", "teeth_upper", "teeth_lower")
_SKIN = (215, 175, 150)
_LIGHT = np.array([-0.3, -0.8, 0.5]) / np.linalg.norm([-0.3, -0.8, 0.5])
_HEAD_CENTRE_BELOW_TOP_M = 0.12

# The red of the lips without the corners, which both lips share. On closed lips the two rims lie fractions of a
# millimetre apart, so that the nearest triangle is often the other lip's; how far the jaw carries it tells them apart.
_UPPER_LIP = (
    *(191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(183, 42, 41, 38, 12, 268, 271, 272, 407),
)
_LOWER_LIP = (
    *(95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(96, 89, 179, 86, 15, 316, 403, 319, 325),
    *(77, 90, 180, 85, 16, 315, 404, 320, 307),
)
_JAW_CARRIES_M = 0.008


def locate_landmarks(
    vertices: np.ndarray,
    faces: np.ndarray,
    region: np.ndarray,
    shape_basis: np.ndarray,
    actions: np.ndarray,
    action_names: list[str],
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Detect the face mesh on renders of several people, turns and jaw openings and carry the hits to the mean person.

    Args:
        vertices: [V, 3] mean person.
        faces: [F, 3].
        region: [F].
        shape_basis: [K, V, 3].
        actions: [52, V, 3].
        action_names: [52].
        seed: Seed of the people.

    Returns:
        `landmark_face` [468] (-1 where fewer than five renders show the point), `landmark_barycentric` [468, 3] and
        `landmark_spread` [468], the median distance of the hits from their centre in metres.
    """
    rng = np.random.default_rng(seed)
    shapes = SHAPE_SIGMA * rng.normal(size=(N_SHAPES, len(shape_basis)))
    shapes[0] = 0
    jaw = actions[action_names.index("jawOpen")]
    inside = np.isin(region, [REGIONS.index(name) for name in _INSIDE])
    hits: list[list[np.ndarray]] = [[] for _ in range(N_LANDMARKS)]
    with FaceMesh() as detector:
        for shape, yaw, opening in product(shapes, YAWS, JAW_OPENINGS):
            body = vertices + np.tensordot(shape, shape_basis, 1) + opening * jaw
            image, face_index, barycentric = _render(body, faces, region, yaw)
            points = detector.detect(image)
            if points is None:
                continue
            column = points[:N_LANDMARKS, 0].astype(int).clip(0, SIZE_PX - 1)
            row = points[:N_LANDMARKS, 1].astype(int).clip(0, SIZE_PX - 1)
            hit = face_index[row, column]
            for i in np.flatnonzero((hit >= 0) & ~inside[hit]):
                corners = vertices[faces[hit[i]]]
                hits[i].append(barycentric[row[i], column[i]] @ corners)
    carried = jaw[faces].mean(1)[:, 2] < -_JAW_CARRIES_M  # [F], by the fully open jaw
    return _centres(hits, vertices, faces, region, carried)


def _render(
    body: np.ndarray, faces: np.ndarray, region: np.ndarray, yaw: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centre = np.array([0.0, -0.1, body[:, 2].max() - _HEAD_CENTRE_BELOW_TOP_M])
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turned = (body - centre) @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]).T
    # From x right, z up to x right, y down, z forward.
    camera = np.stack([turned[:, 0], -turned[:, 2], turned[:, 1] + DISTANCE_M], 1)
    projected = np.concatenate([FOCAL_PX * camera[:, :2] / camera[:, 2:] + SIZE_PX / 2, camera[:, 2:]], 1)
    drawn = rasterize_mesh(projected, faces, SIZE_PX, SIZE_PX)

    colour = np.tile(np.array(_SKIN, np.float64), (len(REGIONS), 1))
    for name, value in _COLOURS.items():
        colour[REGIONS.index(name)] = value
    normals = vertex_normals(torch.tensor(turned, dtype=torch.float32), torch.tensor(faces).long()).numpy()
    seen = drawn.face_index >= 0
    visible = drawn.face_index[seen]
    normal = (normals[faces[visible]] * drawn.barycentric[seen][..., None]).sum(1)
    light = 0.35 + 0.65 * (normal @ _LIGHT).clip(0, 1)
    image = np.full((SIZE_PX, SIZE_PX, 3), 235.0)
    image[seen] = colour[region[visible]] * light[:, None]
    return image.clip(0, 255).astype(np.uint8), drawn.face_index, drawn.barycentric


def _centres(
    hits: list[list[np.ndarray]],
    vertices: np.ndarray,
    faces: np.ndarray,
    region: np.ndarray,
    carried: np.ndarray,
) -> dict[str, np.ndarray]:
    """Median of each point's hits, put back on the skin of the head, points of a lip on that lip."""
    head = region == REGIONS.index("head")
    masks = {"any": head, "upper": head & ~carried, "lower": head & carried}
    skins = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    trees = {name: KDTree(vertices[faces[skin]].mean(1)) for name, skin in skins.items()}
    lip = dict.fromkeys(_UPPER_LIP, "upper") | dict.fromkeys(_LOWER_LIP, "lower")
    face = np.full(N_LANDMARKS, -1, np.int32)
    barycentric = np.zeros((N_LANDMARKS, 3), np.float32)
    spread = np.full(N_LANDMARKS, UNKNOWN_SPREAD_M, np.float32)
    for i, places in enumerate(hits):
        if len(places) < MIN_HITS:
            continue
        centre = np.median(places, axis=0)
        spread[i] = np.median(np.linalg.norm(np.array(places) - centre, axis=1))
        where = lip.get(i, "any")
        near = skins[where][trees[where].query(centre, k=40)[1]]
        shares = _closest_barycentric(vertices[faces[near]], centre)  # [40, 3]
        distance = np.linalg.norm((vertices[faces[near]] * shares[..., None]).sum(1) - centre, axis=1)
        best = distance.argmin()
        face[i], barycentric[i] = near[best], shares[best]
    return {"landmark_face": face, "landmark_barycentric": barycentric, "landmark_spread": spread}


def _closest_barycentric(triangles: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Barycentric coordinates of the point of each triangle [n, 3, 3] closest to `point`, [n, 3]."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    d = point - a
    aa, bb, cross = (ab * ab).sum(1), (ac * ac).sum(1), (ab * ac).sum(1)
    p, q = (ab * d).sum(1), (ac * d).sum(1)
    area = aa * bb - cross**2
    v, w = (bb * p - cross * q) / area, (aa * q - cross * p) / area
    inside = np.stack([1 - v - w, v, w], 1)
    candidates = [inside]
    for i, j in ((0, 1), (1, 2), (2, 0)):  # else the closest point lies on an edge
        edge = triangles[:, j] - triangles[:, i]
        along = (((point - triangles[:, i]) * edge).sum(1) / (edge * edge).sum(1)).clip(0, 1)
        share = np.zeros_like(inside)
        share[:, i], share[:, j] = 1 - along, along
        candidates.append(share)
    options = np.stack(candidates, 1)  # [n, 4, 3]
    distance = np.linalg.norm(np.einsum("nkc,ncd->nkd", options, triangles) - point, axis=-1)
    distance[(options < 0).any(-1)] = np.inf
    return options[np.arange(len(options)), distance.argmin(1)]
