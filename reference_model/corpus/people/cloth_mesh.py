"""Meshes of cloth: parts of the body's mesh refined once, tubes, neighbour averages and edge strips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

__all__ = [
    "ClothMesh",
    "Rim",
    "broad_average",
    "neighbour_average",
    "refined_part",
    "rim_strip",
    "tube",
    "unique_edges",
]

_RIM_THICKNESS = 0.0028  # metres


class ClothMesh(NamedTuple):
    """Connectivity of a shell: vertices of the body, refined once."""

    source: np.ndarray  # [N] body vertices
    coarse: np.ndarray  # [F, 3] int over `source`
    faces: np.ndarray  # [4F, 3] int32 over the refined vertices
    refine: sp.csr_matrix  # [N', N] midpoint subdivision


class Rim(NamedTuple):
    """A strip along the edges of a garment that gives the cloth its thickness."""

    place: sp.csr_matrix  # [M, N] each vertex as a point on an edge of the garment's mesh
    depth: np.ndarray  # [M] metres below the surface, along the normal
    faces: np.ndarray  # [F, 3] int32 over the strip's vertices


def unique_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique edges [E, 2] and how many triangles share each, [E]."""
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return np.unique(sides, axis=0, return_counts=True)


def neighbour_average(faces: np.ndarray, n: int) -> sp.csr_matrix:
    """Row-stochastic matrix that averages neighbours and leaves border vertices alone, [n, n]."""
    edges, count = unique_edges(faces)
    border = np.ones(n, bool)
    border[edges.ravel()] = False
    border[edges[count == 1].ravel()] = True
    row, column = np.concatenate([edges, edges[:, ::-1]]).T
    free, fixed = ~border[row], np.flatnonzero(border)
    row, column = np.concatenate([row[free], fixed]), np.concatenate([column[free], fixed])
    share = 1 / np.bincount(row, minlength=n)[row]
    return sp.csr_matrix((share.astype(np.float32), (row, column)), (n, n))


def refined_part(faces: np.ndarray) -> ClothMesh:
    """A part of a mesh, each triangle split into four.

    Args:
        faces: The part's triangles in the numbering of the whole, [F, 3].

    Returns:
        The refined part.
    """
    source, corners = np.unique(faces, return_inverse=True)
    corners, n = corners.reshape(-1, 3), len(source)
    edges, _ = unique_edges(corners)
    key = edges[:, 0].astype(np.int64) * n + edges[:, 1]

    def midpoint(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return n + np.searchsorted(key, np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b))

    a, b, c = corners.T
    ab, bc, ca = midpoint(a, b), midpoint(b, c), midpoint(c, a)
    refined = np.stack([np.stack(t, -1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))], 1)
    row = np.repeat(np.arange(len(edges)), 2)
    middle = sp.csr_matrix((np.full(len(row), 0.5), (row, edges.ravel())), (len(edges), n))
    refine = sp.csr_matrix(sp.vstack([sp.identity(n), middle]), dtype=np.float32)
    return ClothMesh(source, corners, np.ascontiguousarray(refined.reshape(-1, 3), np.int32), refine)


def tube(n_around: int, n_rows: int) -> np.ndarray:
    """Triangles of a closed tube whose vertices are numbered row by row from the top, outside out, [F, 3] int32.

    Columns run from the back round the person's right, front and left.
    """
    row, column = np.mgrid[0 : n_rows - 1, 0:n_around]
    a, b = row * n_around + column, row * n_around + (column + 1) % n_around
    c, d = a + n_around, b + n_around
    return np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2).reshape(-1, 3).astype(np.int32)


def broad_average(points: np.ndarray, reach: float) -> sp.csr_matrix:
    """Gaussian average over neighbours in space, however densely the mesh samples them, [N, N].

    Cloth bridges what is smaller than a few centimetres; averages over mesh neighbours keep it where the mesh is
    fine.

    Args:
        points: [N, 3] metres.
        reach: Standard deviation, metres.

    Returns:
        Row-stochastic matrix.
    """
    tree = KDTree(points)
    distance = tree.sparse_distance_matrix(tree, 2.5 * reach, output_type="coo_matrix")
    crowd = np.array([len(near) for near in tree.query_ball_point(points, 0.5 * reach)])
    weight = np.exp(-0.5 * (distance.data / reach) ** 2) / crowd[distance.col]
    average = sp.csr_matrix((weight, (distance.row, distance.col)), distance.shape)
    return sp.csr_matrix(sp.diags(1 / np.asarray(average.sum(1)).ravel()) @ average)


def rim_strip(faces: np.ndarray, cuts: np.ndarray, edges_of: tuple[int, ...]) -> Rim:
    """The strip along the zero sets of cut fields.

    Args:
        faces: Triangles, [F, 3].
        cuts: Fields that are positive where the surface exists, [N, C].
        edges_of: Which fields are edges of the cloth (another garment's cover is none).

    Returns:
        A strip of two rows: on the surface and `_RIM_THICKNESS` below.
    """
    n = len(cuts)
    lows, highs, shares = [], [], []
    for k in edges_of:
        sign = cuts[faces, k] > 0
        crossed = faces[sign.any(1) & ~sign.all(1)]  # [T, 3]
        sides = crossed[:, [[0, 1], [1, 2], [2, 0]]]  # [T, 3, 2]
        value = cuts[sides, k]
        cut = (value[..., 0] > 0) != (value[..., 1] > 0)  # two of three in each row
        pair = sides[cut].reshape(-1, 2, 2)  # [T, 2 points, 2 ends]
        ends = value[cut].reshape(-1, 2, 2)
        share = ends[..., 0] / (ends[..., 0] - ends[..., 1])
        at = cuts[pair[..., 0]] * (1 - share[..., None]) + cuts[pair[..., 1]] * share[..., None]  # [T, 2, C]
        others = np.delete(at, k, axis=2)
        kept = (others > -1e-4).all((1, 2))
        lows.append(pair[kept, :, 0])
        highs.append(pair[kept, :, 1])
        shares.append(share[kept])
    low, high, share = (np.concatenate(part).reshape(-1) for part in (lows, highs, shares))
    n_points = len(low)
    row = np.repeat(np.arange(n_points), 2)
    place = sp.csr_matrix(
        (np.stack([1 - share, share], 1).ravel(), (row, np.stack([low, high], 1).ravel())), (n_points, n)
    )
    first = np.arange(0, n_points, 2)
    below = first + n_points
    strip = np.concatenate(
        [np.stack([first, first + 1, below], 1), np.stack([first + 1, below + 1, below], 1)]
    )
    depth = np.repeat(np.array([0.0, _RIM_THICKNESS], np.float32), n_points)
    return Rim(sp.csr_matrix(sp.vstack([place, place]), dtype=np.float32), depth, strip.astype(np.int32))
