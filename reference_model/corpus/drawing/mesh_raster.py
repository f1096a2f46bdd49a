"""Triangle meshes to fragments, and soft visibility from depth maps: the geometry half of the mesh renderer.

The renderer draws the made people of the corpus. It shares no code with the Gaussian renderer on purpose:
its pictures are ground truth for it. All kernels give the same bits for any number of threads. What happens to
one triangle or one point is plain Python that `mesh_cuda` compiles for a GPU as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from reference_model.compiled import compile_together, cpu

__all__ = [
    "N_CUTS",
    "RASTERIZING",
    "SHADOWING",
    "Fragments",
    "directional_visibility",
    "light_axes",
    "rasterize",
    "vertex_normals",
]

N_CUTS = 3
"""Scalar fields a vertex carries; a fragment is kept where all of them interpolate to more than zero."""

_BANDS = 8  # rows are shared out in fixed bands, so the picture does not depend on the number of threads
_NEAR = 0.01  # metres


class Fragments(NamedTuple):
    """What each pixel sees of a mesh."""

    depth: np.ndarray  # [H, W] float32 distance along the optical axis, metres; 1e9 where nothing is
    face: np.ndarray  # [H, W] int32 index of the triangle, -1 where nothing is
    barycentric: np.ndarray  # [H, W, 2] float32 perspective-correct weights of the corners 1 and 2


def rasterize(
    projected: np.ndarray,  # [V, 3] float32 x px, y px, depth m
    faces: np.ndarray,  # [F, 3] int32
    cuts: np.ndarray,  # [V, N_CUTS] float32
    width: int,
    height: int,
) -> Fragments:
    """Draw a mesh with a z-buffer.

    Hems and necklines are level sets of the cut fields, resolved per pixel: one mesh gives any cut of a
    garment with a clean edge.

    Args:
        projected: Vertices in pixels (pixel centres at +0.5) with their depth in metres, [V, 3].
        faces: Corner indices, [F, 3]; both sides are drawn.
        cuts: Fields that must be positive where the surface exists, [V, N_CUTS].
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Returns:
        The nearest fragment of every pixel.
    """
    depth = np.full((height, width), 1e9, np.float32)
    face = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 2), np.float32)
    _rasterize_cpu(projected, faces, cuts, depth, face, barycentric)
    return Fragments(depth, face, barycentric)


def alive(cuts, a, b, c):
    """Whether any point of the triangle may survive all cuts."""
    for k in range(cuts.shape[1]):
        if cuts[a, k] <= 0 and cuts[b, k] <= 0 and cuts[c, k] <= 0:
            return False
    return True


def kept(cuts, a, b, c, w0, w1, w2):
    """Whether the point with these weights survives all cuts."""
    for k in range(cuts.shape[1]):
        if w0 * cuts[a, k] + w1 * cuts[b, k] + w2 * cuts[c, k] <= 0:
            return False
    return True


def triangle_box(points, cuts, a, b, c, height, width):
    """Pixels a triangle may cover as top, bottom, left, right; bottom is -1 where it cannot be seen."""
    ax, ay, bx, by, cx, cy = (
        points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1],
    )  # fmt: skip
    top = max(0, np.int64(math.ceil(min(ay, by, cy) - 0.5)))
    bottom = min(height - 1, np.int64(math.floor(max(ay, by, cy) - 0.5)))
    left = max(0, np.int64(math.ceil(min(ax, bx, cx) - 0.5)))
    right = min(width - 1, np.int64(math.floor(max(ax, bx, cx) - 0.5)))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    behind = min(points[a, 2], points[b, 2], points[c, 2]) <= _NEAR
    if right < left or behind or abs(area) < 1e-12 or not alive(cuts, a, b, c):
        bottom = -1
    return top, bottom, left, right


def triangle_edges(points, a, b, c):
    """What all pixels of a triangle share: corner a, edges to b and c, 1 / doubled area, 1 / depths."""
    ax, ay = points[a, 0], points[a, 1]
    bx, by, cx, cy = points[b, 0] - ax, points[b, 1] - ay, points[c, 0] - ax, points[c, 1] - ay
    inverse = np.float32(1.0) / (bx * cy - cx * by)
    near_a, near_b, near_c = (
        np.float32(1.0) / points[a, 2], np.float32(1.0) / points[b, 2], np.float32(1.0) / points[c, 2],
    )  # fmt: skip
    return ax, ay, bx, by, cx, cy, inverse, near_a, near_b, near_c


def weights_at(x, y, edges):
    """Depth of a triangle at the middle of a pixel, and the perspective-correct weights of b and c.

    The depth is -1 where the pixel lies outside.
    """
    ax, ay, bx, by, cx, cy, inverse, near_a, near_b, near_c = edges
    dy = np.float32(y) + np.float32(0.5) - ay
    dx = np.float32(x) + np.float32(0.5) - ax
    w1, w2 = (dx * cy - cx * dy) * inverse, (bx * dy - dx * by) * inverse
    w0 = np.float32(1.0) - w1 - w2
    if w0 < 0 or w1 < 0 or w2 < 0:
        return np.float32(-1.0), w1, w2
    z = np.float32(1.0) / (w0 * near_a + w1 * near_b + w2 * near_c)
    return z, w1 * z * near_b, w2 * z * near_c


RASTERIZING = (alive, kept, triangle_box, triangle_edges, weights_at)
"""The functions of the z-buffer, callees first."""


def _bounds(points, faces, cuts, height, width):  # pragma: no cover - compiled
    """Pixel box of each triangle, [F, 4] int32."""
    boxes = np.empty((faces.shape[0], 4), np.int32)
    for f in prange(faces.shape[0]):
        top, bottom, left, right = triangle_box(
            points, cuts, faces[f, 0], faces[f, 1], faces[f, 2], height, width
        )
        boxes[f, 0], boxes[f, 1], boxes[f, 2], boxes[f, 3] = top, bottom, left, right
    return boxes


def _rasterize(points, faces, cuts, depth, face, barycentric):  # pragma: no cover - compiled
    height, width = depth.shape
    boxes = _bounds(points, faces, cuts, height, width)
    for band in prange(_BANDS):
        top = band * height // _BANDS
        bottom = (band + 1) * height // _BANDS - 1
        for f in range(faces.shape[0]):
            y0, y1 = max(top, boxes[f, 0]), min(bottom, boxes[f, 1])
            if y1 < y0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            edges = triangle_edges(points, a, b, c)
            for y in range(y0, y1 + 1):
                for x in range(boxes[f, 2], boxes[f, 3] + 1):
                    z, w1, w2 = weights_at(x, y, edges)
                    if z < 0 or z >= depth[y, x]:
                        continue
                    if kept(cuts, a, b, c, np.float32(1.0) - w1 - w2, w1, w2):
                        depth[y, x] = z
                        face[y, x] = f
                        barycentric[y, x, 0] = w1
                        barycentric[y, x, 1] = w2


_PARALLEL = njit(parallel=True, fastmath=True, cache=True)
_rasterize_cpu = compile_together(_PARALLEL, [_bounds, _rasterize], known=cpu(*RASTERIZING))["_rasterize"]


def directional_visibility(
    vertices: np.ndarray,  # [V, 3] float32 metres
    faces: np.ndarray,  # [F, 3] int32
    points: np.ndarray,  # [Q, 3] float32 metres
    normals: np.ndarray,  # [Q, 3] float32 unit
    directions: np.ndarray,  # [K, 3] float32 unit, towards the light
    *,
    centre: np.ndarray,  # [3] float32 metres
    half_extent: float,
    resolution: int = 384,
    bias: float = 0.003,
) -> np.ndarray:
    """How much of the light from each direction reaches each point, by one orthographic depth map a direction.

    Args:
        vertices: Occluders in world space, [V, 3] metres.
        faces: Corner indices of the occluders, [F, 3].
        points: Query points, [Q, 3] metres.
        normals: Unit normals of the query points, [Q, 3]; points are lifted along them against self-shadow.
        directions: Unit vectors towards the light, [K, 3].
        centre: Middle of the volume that the depth maps cover, [3] metres.
        half_extent: Half the edge of that volume, metres.
        resolution: Edge of a depth map, pixels.
        bias: Depth tolerance, metres.

    Returns:
        Visibility in 0..1 (bilinear over four depth samples), [K, Q] float32.
    """
    seen = np.empty((len(directions), len(points)), np.float32)
    _visibility_cpu(vertices, faces, points, normals, directions, centre, half_extent, resolution, bias, seen)
    return seen


@njit(cache=True)
def light_axes(direction):  # pragma: no cover - compiled
    """Two unit vectors [3] that span the plane across `direction` [3]."""
    up = np.zeros(3, np.float32)
    up[1 if abs(direction[2]) > 0.9 else 2] = 1.0
    right = np.cross(up, direction)
    right /= np.sqrt((right * right).sum())
    return right, np.cross(direction, right)


def seen_from(x, y, z, right, up, direction, depth, scale, middle, bias):
    """Visibility of a lifted point, relative to the volume's centre, in one depth map: bilinear over four samples."""
    u = (x * right[0] + y * right[1] + z * right[2]) * scale + middle - 0.5
    v = (x * up[0] + y * up[1] + z * up[2]) * scale + middle - 0.5
    limit = -(x * direction[0] + y * direction[1] + z * direction[2]) - bias
    column, row = np.int64(math.floor(u)), np.int64(math.floor(v))
    if column < 0 or row < 0 or column >= depth.shape[1] - 1 or row >= depth.shape[0] - 1:
        return 1.0
    fu, fv = u - column, v - row
    lit = 0.0
    for dv in range(2):
        for du in range(2):
            if limit < depth[row + dv, column + du]:
                lit += (fu if du else 1.0 - fu) * (fv if dv else 1.0 - fv)
    return lit


def flat_box(ax, ay, bx, by, cx, cy, resolution):
    """Texels of a depth map that a triangle may cover as top, bottom, left, right; and its doubled area."""
    top, bottom = (
        max(0, np.int64(math.ceil(min(ay, by, cy) - 0.5))),
        np.int64(math.floor(max(ay, by, cy) - 0.5)),
    )
    left, right = (
        max(0, np.int64(math.ceil(min(ax, bx, cx) - 0.5))),
        np.int64(math.floor(max(ax, bx, cx) - 0.5)),
    )
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    return top, min(resolution - 1, bottom), left, min(resolution - 1, right), area


def flat_weights(x, y, ax, ay, bx, by, cx, cy, area):
    """Weights of the corners b and c at the middle of a texel."""
    dx, dy = x + 0.5 - ax, y + 0.5 - ay
    return (dx * (cy - ay) - (cx - ax) * dy) / area, ((bx - ax) * dy - dx * (by - ay)) / area


SHADOWING = (flat_box, flat_weights, seen_from)
"""The functions of the depth maps, callees first."""


def _depth_map(points, faces, resolution):  # pragma: no cover - compiled
    depth = np.full((resolution, resolution), 1e9, np.float32)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = (
            points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1],
        )  # fmt: skip
        y0, y1, x0, x1, area = flat_box(ax, ay, bx, by, cx, cy, resolution)
        if y1 < y0 or x1 < x0 or abs(area) < 1e-12:
            continue
        z, slope1, slope2 = points[a, 2], points[b, 2] - points[a, 2], points[c, 2] - points[a, 2]
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                w1, w2 = flat_weights(x, y, ax, ay, bx, by, cx, cy, area)
                if w1 >= 0 and w2 >= 0 and w1 + w2 <= 1:
                    depth[y, x] = min(depth[y, x], z + w1 * slope1 + w2 * slope2)
    return depth


def _visibility(
    vertices, faces, points, normals, directions, centre, half_extent, resolution, bias, seen
):  # pragma: no cover - compiled
    scale = np.float32(resolution / (2.0 * half_extent))
    middle = np.float32(resolution / 2.0)
    for k in prange(directions.shape[0]):
        direction = directions[k]
        right, up = light_axes(direction)
        flat = np.empty_like(vertices)
        for i in range(vertices.shape[0]):
            x, y, z = vertices[i, 0] - centre[0], vertices[i, 1] - centre[1], vertices[i, 2] - centre[2]
            flat[i, 0] = (x * right[0] + y * right[1] + z * right[2]) * scale + middle
            flat[i, 1] = (x * up[0] + y * up[1] + z * up[2]) * scale + middle
            flat[i, 2] = -(x * direction[0] + y * direction[1] + z * direction[2])
        depth = _depth_map(flat, faces, resolution)
        for i in range(points.shape[0]):
            x = points[i, 0] - centre[0] + normals[i, 0] * bias
            y = points[i, 1] - centre[1] + normals[i, 1] * bias
            z = points[i, 2] - centre[2] + normals[i, 2] * bias
            seen[k, i] = seen_from(x, y, z, right, up, direction, depth, scale, middle, bias)


_shadowing_cpu = {**cpu(*SHADOWING), "light_axes": light_axes}
_depth_map_cpu = compile_together(njit(fastmath=True, cache=True), [_depth_map], known=_shadowing_cpu)
_visibility_cpu = compile_together(_PARALLEL, [_visibility], known=_depth_map_cpu)["_visibility"]


@njit(cache=True)
def vertex_normals(vertices, faces):  # pragma: no cover - compiled
    """Area-weighted unit normals of a mesh.

    Args:
        vertices: Positions, [V, 3] float32.
        faces: Corner indices, counter-clockwise seen from outside, [F, 3] int32.

    Returns:
        Unit normals, [V, 3] float32.
    """
    normals = np.zeros_like(vertices)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, vx = vertices[b, 0] - vertices[a, 0], vertices[c, 0] - vertices[a, 0]
        uy, vy = vertices[b, 1] - vertices[a, 1], vertices[c, 1] - vertices[a, 1]
        uz, vz = vertices[b, 2] - vertices[a, 2], vertices[c, 2] - vertices[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for j in range(3):
            i = faces[f, j]
            normals[i, 0] += x
            normals[i, 1] += y
            normals[i, 2] += z
    for i in range(vertices.shape[0]):
        length = math.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) + 1e-12
        for j in range(3):
            normals[i, j] /= length
    return normals
