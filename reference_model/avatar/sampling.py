"""Where the Gaussians sit: points spread over the posed body, densest where speech and gesture are read.

A region's density counts on the *largest* area that each triangle takes over {photograph, blink, open mouth}:
lids and the inside of the lips are folded away in most photographs and would be bare when they unfold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from reference_model.body.mesh import RasterizedMesh, triangle_areas
from reference_model.body.skinning import (
    BodyState,
    TemplateTensors,
    blend_transforms,
    pose,
    rest_vertices,
    skinned,
)
from reference_model.body.template import REGIONS, BodyTemplate
from reference_model.render.camera import Camera

__all__ = ["SurfacePoints", "carve", "sample_surface", "sample_uncovered"]

# Points per area relative to the trunk.
_REGION_DENSITY = {
    "body": 1.0,
    "head": 5.0,
    "hand_left": 6.0,
    "hand_right": 6.0,
    "eye_front_left": 25.0,
    "eye_front_right": 25.0,
    "eye_back_left": 12.0,
    "eye_back_right": 12.0,
    "eye_cavity": 0.0,  # dark splats there show through the lids
    "mouth_cavity": 5.0,
    "tongue": 5.0,
    "teeth_upper": 20.0,
    "teeth_lower": 20.0,
    "foot_left": 3.0,
    "foot_right": 3.0,
}
_MASK_DENSITY = {"face": 9.0, "brow": 14.0, "eyelid": 20.0, "lip": 25.0}  # later ones win

# Where a face has few pixels, the points do more good elsewhere: densities are raised to a power below 1.
_FULL_EMPHASIS_PX_PER_M = 650.0
_LEAST_EMPHASIS = 0.6

_UNFOLDED: tuple[dict[str, float], ...] = (
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"jawOpen": 0.5, "mouthFunnel": 0.3},
)
_LARGEST_UNFOLDING = 12.0  # a triangle counts with at most this many times its area in the photograph
_MARGIN = 0.12  # of the picture's size: how far outside of it the body is still covered
_THINNEST_THING = 0.016  # of the picture's size: what sticks out of the body by less is not looked at
_THINNEST_HELD_THING = 0.05
_HULL_MARGIN_M = 0.0025  # how far beside the matte a point may stand; half a Gaussian's width
_LARGEST_CARVING = 0.4  # of a hand or the head
_SMALLEST_SPACING_M = 2.5e-4
_PLASTIC = (0.7548776662466927, 0.5698402909980532)  # R2 low-discrepancy sequence (M. Roberts, 2018)


@dataclass(frozen=True)
class SurfacePoints:
    """N points bound to the posed template."""

    triangle: np.ndarray  # [N] int
    barycentric: np.ndarray  # [N, 3]
    spacing: np.ndarray  # [N] m, distance to the neighbours
    lift: np.ndarray  # [N, 3] m, from the foot point on the triangle, world axes
    two_sided: np.ndarray  # [N] bool

    @staticmethod
    def joined(parts: list[SurfacePoints]) -> SurfacePoints:
        """All points of `parts`, in order."""
        names = ("triangle", "barycentric", "spacing", "lift", "two_sided")
        return SurfacePoints(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def sample_surface(
    template: BodyTemplate,
    tensors: TemplateTensors,
    state: BodyState,
    camera: Camera,
    n_points: int,
    rng: np.random.Generator,
) -> SurfacePoints:
    """Spread `n_points` over what the photograph's frame may show of the body.

    Args:
        template: The body.
        tensors: The same as tensors, with all vertices.
        state: The fitted body with its offsets.
        camera: Camera of the whole photograph.
        n_points: How many.
        rng: Seeded generator; equal seeds give equal points.
    """
    faces = torch.tensor(template.faces, dtype=torch.long)
    posed = pose(tensors, state)
    vertices, blend = posed.vertices, blend_transforms(tensors, posed.transforms)
    area = triangle_areas(vertices, faces).double()  # [F] m^2
    largest = area.clone()
    for actions in _UNFOLDED:
        unfolded = state.actions.clone()
        for name, value in actions.items():
            unfolded[template.action(name)] = value
        other = skinned(blend, rest_vertices(tensors, state.replace(actions=unfolded)))
        other = triangle_areas(other, faces).double()
        largest = torch.maximum(largest, torch.minimum(other, area * _LARGEST_UNFOLDING + 1e-9))

    sharpness = float(camera.focal / camera.project(vertices)[1].median())  # px per m
    emphasis = min(1.0, max(_LEAST_EMPHASIS, sharpness / _FULL_EMPHASIS_PX_PER_M))
    share = largest.numpy() * _density(template) ** emphasis * _in_frame(vertices, faces, camera)
    share /= share.sum()
    # Systematic sampling: one point in each of N equal strata of the cumulative area.
    strata = (np.arange(n_points) + rng.random(n_points)) / n_points
    triangle = np.searchsorted(np.cumsum(share), strata).clip(0, len(share) - 1)
    u = (rng.random(2) + np.arange(1, n_points + 1)[:, None] * np.array(_PLASTIC)) % 1.0  # [N, 2]
    root = np.sqrt(u[:, :1])
    spacing = np.sqrt(area.numpy()[triangle] / (n_points * share[triangle]))
    return SurfacePoints(
        triangle=triangle,
        barycentric=np.hstack([1 - root, root * (1 - u[:, 1:]), root * u[:, 1:]]),
        spacing=np.maximum(spacing, _SMALLEST_SPACING_M),
        lift=np.zeros((n_points, 3)),
        two_sided=template.region_faces("teeth_upper", "teeth_lower")[triangle],
    )


def carve(
    template: BodyTemplate, points: SurfacePoints, means: Tensor, camera: Camera, alpha: np.ndarray
) -> SurfacePoints:
    """Leave out the points that the camera sees beside the person (the visual hull of one view).

    Where the fitted body sticks out of the matte, a halo of guessed colour would hang in the photograph's own view.

    Args:
        template: The body.
        points: N points.
        means: Their places `[N, 3]` in the world.
        camera: Camera of the whole photograph.
        alpha: Matte `[H, W]`.
    """
    pixels, depth = camera.project(means)
    column, row = pixels.floor().long().numpy().T
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    reach = max(1, round(_HULL_MARGIN_M * camera.focal / float(depth.median())))
    hull = cv2.dilate((alpha > 0.3).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    beside = inside & ~hull[row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)]
    region = template.region[points.triangle]
    for name in ("hand_left", "hand_right", "head"):
        part = region == REGIONS.index(name)
        if beside[part].sum() > _LARGEST_CARVING * part.sum():
            beside &= ~part  # then it is the matte that misses the part
    names = ("triangle", "barycentric", "spacing", "lift", "two_sided")
    return SurfacePoints(*(getattr(points, name)[~beside] for name in names))


def sample_uncovered(
    template: BodyTemplate,
    vertices: Tensor,
    camera: Camera,
    raster: RasterizedMesh,
    alpha: np.ndarray,
    step: int,
) -> SurfacePoints:
    """Points for the pixels of the matte that the body leaves bare: loose hair, bags, wide sleeves.

    Each stands near the depth of the nearest covered pixel and is bound to the triangle there.

    Args:
        template: The body.
        vertices: Posed vertices `[V, 3]`.
        camera: Camera of the whole photograph.
        raster: The mesh as this camera sees it.
        alpha: Matte `[H, W]`.
        step: Distance between the points, px.
    """
    covered = raster.face_index >= 0
    near = cv2.dilate(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    ys, xs = np.mgrid[step // 2 : camera.height : step, step // 2 : camera.width : step]
    # A sliver along the rim is misfit of the body or of the matte and no thing of its own.
    bare_map = (alpha > 0.6) & ~near
    loose = _thick(bare_map, _THINNEST_THING)
    bare = loose[ys, xs]
    xs, ys = xs[bare], ys[bare]
    rows, columns = np.nonzero(covered)
    if not len(xs) or not len(rows):
        return _empty()
    distance, j = KDTree(np.stack([columns, rows], 1)).query(np.stack([xs, ys], 1))
    row, column = rows[j], columns[j]
    triangle, barycentric = raster.face_index[row, column], raster.barycentric[row, column].astype(float)
    # Between fingers the matte is filled with background; only a thing that is held is thicker than that.
    hand = np.isin(template.region[triangle], [REGIONS.index("hand_left"), REGIONS.index("hand_right")])
    real = ~hand | _thick(bare_map, _THINNEST_HELD_THING)[ys, xs]
    xs, ys, distance, row, column = xs[real], ys[real], distance[real], row[real], column[real]
    triangle, barycentric = triangle[real], barycentric[real]
    depth = raster.depth[row, column].astype(float)
    ray = np.stack([(xs + 0.5 - camera.cx) / camera.focal, (ys + 0.5 - camera.cy) / camera.focal], 1)
    in_camera = np.hstack([ray, np.ones((len(ray), 1))]) * depth[:, None]
    rotation, translation = camera.rotation.double().numpy(), camera.translation.double().numpy()
    world = (in_camera - translation) @ rotation
    away = rotation[2]  # unit direction away from the camera
    # The rim of a round body lies behind its front: so do things that stick out beyond it.
    world = world + away * (0.02 * np.minimum(1.0, distance / 30.0))[:, None]
    foot = (vertices.double().numpy()[template.faces[triangle]] * barycentric[..., None]).sum(1)
    spacing = depth / camera.focal * step
    return SurfacePoints(triangle, barycentric, spacing, world - foot, np.ones(len(xs), bool))


def _thick(mask: np.ndarray, share: float) -> np.ndarray:
    """What is left of `mask` where it is thicker than `share` of the picture's size, bool."""
    size = max(3, round(share * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0


def _empty() -> SurfacePoints:
    none = np.zeros((0, 3))
    return SurfacePoints(np.zeros(0, int), none, np.zeros(0), none, np.zeros(0, bool))


@lru_cache(maxsize=1)
def _density(template: BodyTemplate) -> np.ndarray:
    """Points per area by triangle, `[F]`."""
    density = np.array([_REGION_DENSITY[name] for name in REGIONS])[template.region]
    head = template.region_faces("head")
    for name, value in _MASK_DENSITY.items():
        inside = getattr(template, name)[template.faces].mean(1) > 0.3
        density[inside & head] = np.maximum(density[inside & head], value)
    return density


def _in_frame(vertices: Tensor, faces: Tensor, camera: Camera) -> np.ndarray:
    pixels, depth = camera.project(vertices[faces].mean(1))
    x, y = pixels[:, 0] / camera.width, pixels[:, 1] / camera.height
    inside = (x > -_MARGIN) & (x < 1 + _MARGIN) & (y > -_MARGIN) & (y < 1 + _MARGIN) & (depth > 0)
    return inside.numpy()
