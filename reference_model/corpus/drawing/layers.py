"""A person as the renderer takes it: skinned layers (meshes and ribbons) and the paint on them.

Whatever a person wears, posing is one chain: facial actions -> linear blend skinning -> sparse averages -> an offset
along the normals, or ribbons along strands. Code that draws needs nothing else, so new parts need no new code there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from reference_model.corpus.drawing.mesh_raster import vertex_normals
from reference_model.corpus.drawing.mesh_surfaces import PAINTS_SHIFT

__all__ = ["Layer", "PosedLayer", "ShadowVolume", "Surface", "light_of_strands", "pose_layer", "ribbons"]


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """What is drawn of a layer; N drawn vertices (two per strand point for ribbons), F triangles."""

    faces: np.ndarray
    """[F, 3] int32 over the layer's own drawn vertices."""
    codes: np.ndarray
    """[F] int8, `Material` + `PAINTS_SHIFT` times a row of the person's paints."""
    colour: np.ndarray
    """[N, 3] float32 linear albedo."""
    canonical: np.ndarray
    """[N, 3] float32 place on the mean template, metres."""
    edge: np.ndarray
    """[N, 1] float32: metres to the nearest hem (cloth), gloss (others)."""
    cuts: np.ndarray
    """[N, N_CUTS] float32, positive where the surface exists."""

    @property
    def materials(self) -> np.ndarray:
        """`Material` of each triangle, [F]."""
        return self.codes % PAINTS_SHIFT


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Points that follow the bones, P of them, and the surface over them."""

    rest: np.ndarray
    """[P, 3] float32 metres, before any bone turns."""
    weights: sp.csr_matrix
    """[P, J] float32 shares of the bones, rows sum to 1."""
    surface: Surface
    actions: np.ndarray | None = None
    """[52, P, 3] float32 metres at full facial action, added before skinning; None where the face is far."""
    relax: sp.csr_matrix | None = None
    """[P, P] average that is applied `relax_steps` times after skinning (creases of cloth)."""
    relax_steps: int = 0
    inset: np.ndarray | None = None
    """[P] float32 metres by which a mesh is drawn under its place, along its normals."""
    soften: sp.csr_matrix | None = None
    """[P, P] average that is applied twice to the measured light (noise of the depth maps)."""
    strand_width: np.ndarray | None = None
    """[S, K] half-widths of the ribbons at the K points of S strands, metres; the points are strands of K in a row.
    None for a mesh."""


@dataclass(frozen=True, slots=True)
class ShadowVolume:
    """What the depth maps of the soft light cover."""

    centre: tuple[float, float, float]
    half_extent: float
    """Metres."""
    resolution: int
    """Pixels along an edge."""
    bias: float = 0.003
    """Metres."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedLayer:
    """A layer in one frame."""

    points: np.ndarray  # [P, 3] float32 metres, after skinning and relaxing
    positions: np.ndarray  # [N, 3] float32 metres, drawn vertices
    normals: np.ndarray  # [N, 3] float32 unit; tangents of ribbons


def pose_layer(
    layer: Layer, actions: np.ndarray, transforms: np.ndarray, viewpoint: np.ndarray
) -> PosedLayer:
    """One layer of one frame, on the CPU.

    Args:
        layer: The layer.
        actions: Facial actions, [52] in 0..1.
        transforms: Rest-to-posed motion of each joint, [J, 4, 4].
        viewpoint: The camera's centre, which ribbons face, [3] metres.

    Returns:
        Points, drawn vertices and their normals.
    """
    rest = layer.rest
    if layer.actions is not None:
        active = np.flatnonzero(actions)
        rest = rest + np.tensordot(actions[active], layer.actions[active], 1)
    motion = (layer.weights @ transforms[:, :3].reshape(len(transforms), 12)).reshape(-1, 3, 4)
    points = np.einsum("nij,nj->ni", motion[..., :3], rest) + motion[..., 3]
    for _ in range(layer.relax_steps):
        points = layer.relax @ points
    points = np.ascontiguousarray(points, np.float32)
    if layer.strand_width is not None:
        strands = points.reshape(-1, layer.strand_width.shape[1], 3)
        return PosedLayer(points, *ribbons(strands, layer.strand_width, viewpoint))
    normals = vertex_normals(points, layer.surface.faces)
    positions = points if layer.inset is None else points - normals * layer.inset[:, None]
    return PosedLayer(points, positions, normals)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def ribbons(strands: np.ndarray, width: np.ndarray, viewpoint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Camera-facing strips along strands.

    Args:
        strands: [S, K, 3] float32 metres.
        width: Half-width at each point, [S, K] metres.
        viewpoint: The camera's centre, [3] metres.

    Returns:
        Vertices and tangents, [S * K * 2, 3] float32 each; the two sides of a point stand side by side.
    """
    tangent = _unit(np.gradient(strands, axis=1))
    across = _unit(np.cross(tangent, viewpoint - strands)) * width[..., None]
    vertices = np.stack([strands - across, strands + across], 2)
    return vertices.reshape(-1, 3).astype(np.float32), np.repeat(tangent.reshape(-1, 3), 2, 0).astype(
        np.float32
    )


def light_of_strands(n_points: int, stride: int) -> np.ndarray:
    """Interpolation of the light measured at every `stride`-th point of a strand to all, [n_points, measured]."""
    measured = np.arange(0, n_points, stride)
    rows = [np.interp(np.arange(n_points), measured, row) for row in np.eye(len(measured))]
    return np.stack(rows, 1).astype(np.float32)
