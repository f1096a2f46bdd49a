"""Triangle meshes: normals, areas, triangle frames (torch, differentiable) and a z-buffer (numba)."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

__all__ = ["RasterizedMesh", "rasterize_mesh", "triangle_areas", "triangle_frames", "vertex_normals"]

_TINY = 1e-12


def _edges(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    a = vertices[..., faces[:, 0], :]
    return vertices[..., faces[:, 1], :] - a, vertices[..., faces[:, 2], :] - a


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals of the vertices, the mean of the adjoining triangles' weighted by their areas.

    Args:
        vertices: [..., V, 3].
        faces: [F, 3] int64, counter-clockwise seen from outside.

    Returns:
        [..., V, 3]; zero where a vertex has no triangle.
    """
    normal = torch.linalg.cross(*_edges(vertices, faces))  # [..., F, 3], twice the area long
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(-2, faces[:, corner], normal)
    return torch.nn.functional.normalize(total, dim=-1, eps=_TINY)


def triangle_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """Areas of the triangles.

    Args:
        vertices: [..., V, 3].
        faces: [F, 3] int64.

    Returns:
        [..., F], square metres.
    """
    squared = torch.linalg.cross(*_edges(vertices, faces)).square().sum(-1)
    return 0.5 * squared.clamp_min(_TINY**2).sqrt()


def triangle_frames(vertices: Tensor, faces: Tensor) -> Tensor:
    """A right-handed orthonormal frame on each triangle.

    Args:
        vertices: [..., V, 3].
        faces: [F, 3] int64.

    Returns:
        [..., F, 3, 3] with columns tangent (along the first edge), bitangent and outward normal.
    """
    first, second = _edges(vertices, faces)
    tangent = torch.nn.functional.normalize(first, dim=-1, eps=_TINY)
    normal = torch.nn.functional.normalize(torch.linalg.cross(first, second), dim=-1, eps=_TINY)
    return torch.stack([tangent, torch.linalg.cross(normal, tangent), normal], -1)


class RasterizedMesh(NamedTuple):
    """What a z-buffer sees in each pixel."""

    depth: np.ndarray
    """[H, W] float32, infinite where no triangle is."""
    face_index: np.ndarray
    """[H, W] int32, -1 where no triangle is."""
    barycentric: np.ndarray
    """[H, W, 3] float32, perspective-correct; 0 where no triangle is."""


def rasterize_mesh(projected: np.ndarray, faces: np.ndarray, width: int, height: int) -> RasterizedMesh:
    """Draw a mesh into a z-buffer; both sides of a triangle count.

    Args:
        projected: [V, 3] = (x px, y px, depth), pixel centres at +0.5. Triangles with a corner at depth <= 0 are
            left out.
        faces: [F, 3] integers.
        width: Image width, pixels.
        height: Image height, pixels.

    Returns:
        Depth, triangle and barycentric coordinates of the nearest surface at each pixel centre. Does not depend on
        the number of threads: each row is drawn by one thread, triangles in their order.
    """
    depth = np.full((height, width), np.inf, np.float32)
    face_index = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    points = np.ascontiguousarray(projected, np.float64)
    _fill(points, np.ascontiguousarray(faces, np.int64), depth, face_index, barycentric)
    return RasterizedMesh(depth, face_index, barycentric)


_BAND = 32
"""Rows that one thread draws at a time."""


@numba.njit(parallel=True, cache=True)
def _fill(
    points: np.ndarray, faces: np.ndarray, depth: np.ndarray, face_index: np.ndarray, barycentric: np.ndarray
) -> None:
    height, width = depth.shape
    for band in numba.prange((height + _BAND - 1) // _BAND):
        top, bottom = band * _BAND, min(height, (band + 1) * _BAND)
        for f in range(len(faces)):
            ax, ay, az = points[faces[f, 0]]
            bx, by, bz = points[faces[f, 1]]
            cx, cy, cz = points[faces[f, 2]]
            if az <= 0 or bz <= 0 or cz <= 0:
                continue
            y0 = max(top, int(np.ceil(min(ay, by, cy) - 0.5)))
            y1 = min(bottom - 1, int(np.floor(max(ay, by, cy) - 0.5)))
            if y0 > y1:
                continue
            x0 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
            x1 = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if x0 > x1 or area == 0:
                continue
            for y in range(y0, y1 + 1):
                py = y + 0.5
                for x in range(x0, x1 + 1):
                    px = x + 0.5
                    u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                    v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                    w = 1 - u - v
                    if u < 0 or v < 0 or w < 0:
                        continue
                    # Barycentrics are affine on screen only after division by depth.
                    u, v, w = u / az, v / bz, w / cz
                    z = 1 / (u + v + w)
                    if z < depth[y, x]:
                        depth[y, x] = z
                        face_index[y, x] = f
                        barycentric[y, x, 0] = u * z
                        barycentric[y, x, 1] = v * z
                        barycentric[y, x, 2] = w * z
