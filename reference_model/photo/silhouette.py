"""Offsets that make the fitted body fill the matte: hair and clothes become volume of the mesh.

Iterated closest contour points pull the rim of the projected mesh on to the rim of the matte; a sparse
Laplacian and bi-Laplacian solve spreads the pull smoothly over the surface. It is the step that closes most of
the gap between a naked template and a dressed person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
import scipy.sparse as sparse
import torch
from scipy.spatial import KDTree
from torch import Tensor

from reference_model.body.mesh import rasterize_mesh
from reference_model.body.skinning import BodyState, TemplateTensors, blend_transforms, pose, template_tensors
from reference_model.body.template import BodyTemplate, load_template
from reference_model.photo.smooth_displacement import DenseSolver, Solver, SparseSolver
from reference_model.render.camera import Camera

__all__ = ["offsets_to_rest", "silhouette_offsets"]

_ITERATIONS = 6
_WORK_SIZE = 512  # px, longer side of the silhouettes that are compared
_REACH = 0.07  # of the picture's longer side: contour points further apart do not belong together
_NORMAL_WEIGHT = 0.025  # of the same: how far a contour's direction counts as distance
_STIFFNESS = 0.12  # first-order smoothness
_BENDING = 0.3  # second-order smoothness
_TANGENT_STEP = 4  # contour pixels on either side that define its direction

# How firmly a part is held at its fitted place; a contour point pulls with 1.
_HOLD_HAND = 0.15
_HOLD_FACE = 3.0
_HOLD_INSIDE = 10.0
_HOLD = 1e-3  # everything else
_INSIDE = (
    "eye_front_left",
    "eye_front_right",
    "eye_back_left",
    "eye_back_right",
    "eye_cavity",
    "mouth_cavity",
    "tongue",
    "teeth_upper",
    "teeth_lower",
)
_SHARP_LANDMARK_M = 3e-3  # face-mesh points that stay this still on the template mark the face


def silhouette_offsets(
    state: BodyState, camera: Camera, alpha: np.ndarray, device: torch.device | str = "cpu"
) -> tuple[Tensor, float]:
    """Find the displacements that make the silhouette of the body that of the matte.

    Args:
        state: The fitted body.
        camera: Frontal camera of the photograph; displacements stay parallel to its picture.
        alpha: Matte `[H, W]`, 0 to 1.
        device: Where the displacements are solved for; all else happens on the CPU.

    Returns:
        Rest-space offsets `[V, 3]` in metres, to be stored in the state (posing it gives the displaced mesh),
        and the intersection over union of the displaced silhouette with the matte.
    """
    template = load_template()
    tensors = template_tensors()
    posed = pose(tensors, state)
    vertices = posed.vertices.numpy().astype(np.float64)
    small = min(1.0, _WORK_SIZE / max(camera.width, camera.height))
    work = camera.resized(max(1, round(camera.width * small)), max(1, round(camera.height * small)))
    target = cv2.resize(alpha, (work.width, work.height), interpolation=cv2.INTER_AREA) > 0.5
    edge = _contour(target)
    solver, free = _solver(device), _hold_weights(template) < 1
    shift = np.zeros_like(vertices)
    for _ in range(_ITERATIONS):
        weight, pull_px = _contour_pull(template, vertices + shift, work, edge)
        depth = work.project(torch.as_tensor(vertices + shift).float())[1].numpy()[:, None]  # [V, 1] m
        along = np.concatenate([pull_px * depth / work.focal, np.zeros_like(depth)], axis=1)
        pull = along @ work.rotation.double().numpy()  # camera axes to world
        shift = solver.solve(weight * free, shift + pull)
    silhouette = _silhouette(template, vertices + shift, work)[0]
    overlap = float((silhouette & target).sum() / max((silhouette | target).sum(), 1))
    displaced = torch.as_tensor(shift, dtype=torch.float32)
    return state.offsets + offsets_to_rest(tensors, posed.transforms, displaced), overlap


def offsets_to_rest(tensors: TemplateTensors, transforms: Tensor, displacement: Tensor) -> Tensor:
    """Displacements `[V, 3]` of posed vertices as rest-space offsets, by solving with the blended rotation.

    The blend of rotations is not a rotation: its transpose would misplace vertices by up to 15 mm.
    """
    blend = blend_transforms(tensors, transforms)[..., :3]  # [V, 3, 3]
    return torch.linalg.solve(blend, displacement[..., None]).squeeze(-1)


@lru_cache(maxsize=2)
def _solver(device: torch.device | str) -> Solver:
    """Of displacements over the template's edges."""
    template = load_template()
    laplacian = _graph_laplacian(template)
    smoothness = _BENDING * (laplacian.T @ laplacian) + _STIFFNESS * laplacian
    matrix = (smoothness + sparse.diags(_hold_weights(template) + _HOLD)).tocsc()
    return SparseSolver(matrix) if torch.device(device).type == "cpu" else DenseSolver(matrix, device)


def _graph_laplacian(template: BodyTemplate) -> sparse.csr_matrix:
    n, faces = len(template.vertices), template.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    a, b = np.concatenate([edges, edges[:, ::-1]]).T
    adjacency = sparse.coo_matrix((np.ones(len(a)), (a, b)), (n, n)).tocsr()
    return sparse.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency


def _hold_weights(template: BodyTemplate) -> np.ndarray:
    hold = np.zeros(len(template.vertices))
    hold[template.region_vertices("hand_left", "hand_right")] = _HOLD_HAND
    sharp = (template.landmark_face >= 0) & (template.landmark_spread < _SHARP_LANDMARK_M)
    hold[template.faces[template.landmark_face[sharp]].ravel()] = _HOLD_FACE
    hold[template.region_vertices(*_INSIDE)] = _HOLD_INSIDE
    return hold


def _contour_pull(
    template: BodyTemplate, vertices: np.ndarray, camera: Camera, edge: _Contour
) -> tuple[np.ndarray, np.ndarray]:
    """1 for the vertices of the rim that the matte's contour pulls, `[V]`, and the mean pull, `[V, 2]` px.

    Both ways count: each rim pixel looks for the matte's contour, and each pixel of that contour for the rim.
    """
    silhouette, face_index, barycentric = _silhouette(template, vertices, camera)
    rim = _contour(silhouette)
    total = np.zeros((len(vertices), 2))
    count = np.zeros(len(vertices))
    if not len(rim.places) or not len(edge.places):
        return count, total
    column, row = rim.places.astype(int).T
    nearest_corner = barycentric[row, column].argmax(1)
    vertex = template.faces[face_index[row, column], nearest_corner]

    size = max(camera.width, camera.height)
    j, i = edge.tree.query(rim.features)[1], rim.tree.query(edge.features)[1]
    rim_at = np.concatenate([np.arange(len(rim.places)), i])
    edge_at = np.concatenate([j, np.arange(len(edge.places))])
    pull = edge.places[edge_at] - rim.places[rim_at]
    near = np.linalg.norm(pull, axis=1) < _REACH * size
    aligned = (edge.normals[edge_at] * rim.normals[rim_at]).sum(1) > 0.3
    use = near & aligned
    np.add.at(total, vertex[rim_at[use]], pull[use])
    np.add.at(count, vertex[rim_at[use]], 1.0)
    return (count > 0).astype(float), total / np.maximum(count, 1)[:, None]


def _silhouette(
    template: BodyTemplate, vertices: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pixels, depth = camera.project(torch.as_tensor(vertices, dtype=torch.float32))
    projected = torch.cat([pixels, depth[:, None]], dim=1).numpy()  # [V, 3] px, px, m
    _, face_index, barycentric = rasterize_mesh(projected, template.faces, camera.width, camera.height)
    return face_index >= 0, face_index, barycentric


@dataclass(frozen=True, eq=False)
class _Contour:
    """Contour pixels of a mask."""

    places: np.ndarray
    """`[C, 2]` (x, y)."""
    normals: np.ndarray
    """`[C, 2]`."""
    features: np.ndarray
    """`[C, 4]`, by whose distance contours are matched."""

    @cached_property
    def tree(self) -> KDTree:
        """Of the features."""
        return KDTree(self.features)


def _contour(mask: np.ndarray) -> _Contour:
    """Outlines and holes of a mask; the picture's own rim is no contour."""
    height, width = mask.shape
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    points, normals = [np.zeros((0, 2))], [np.zeros((0, 2))]
    for contour in contours:
        outline = contour[:, 0].astype(float)
        if len(outline) < 40:
            continue
        tangent = np.roll(outline, -_TANGENT_STEP, 0) - np.roll(outline, _TANGENT_STEP, 0)
        normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
        points.append(outline)
        normals.append(normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6))
    p, n = np.concatenate(points), np.concatenate(normals)
    inner = (p[:, 0] > 2) & (p[:, 0] < width - 3) & (p[:, 1] > 2) & (p[:, 1] < height - 3)
    p, n = p[inner], n[inner]
    return _Contour(p, n, np.hstack([p, n * _NORMAL_WEIGHT * max(mask.shape)]))
