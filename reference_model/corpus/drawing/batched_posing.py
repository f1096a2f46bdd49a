"""Many frames of a figure at once in torch: the posing of `layers.pose_layer`, on the GPU or on the CPU.

Sparse averages are stored as rows of equal length and added in a fixed order, so that the same frames give the same
bits: no atomic additions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.corpus.drawing.figure import QUERY_STRIDE, STRAND_WRAP, Figure
from reference_model.corpus.drawing.layers import Layer, light_of_strands

__all__ = ["BatchedFigure", "PosedBatch", "SparseRows"]


class SparseRows:
    """A sparse matrix [P, Q] as equally long rows, for products in a fixed order.

    Args:
        matrix: Any scipy sparse matrix.
        device: Where it lives.
    """

    def __init__(self, matrix: sp.spmatrix | sp.sparray, device: torch.device) -> None:
        rows = sp.csr_matrix(matrix)
        rows.eliminate_zeros()
        counts = np.diff(rows.indptr)
        length = max(1, int(counts.max()))
        place = np.arange(length)[None] < counts[:, None]  # [P, length]
        indices, values = np.zeros(place.shape, np.int64), np.zeros(place.shape, np.float32)
        indices[place], values[place] = rows.indices, rows.data
        self.indices = torch.from_numpy(np.ascontiguousarray(indices.T)).to(device)  # [length, P]
        self.values = torch.from_numpy(np.ascontiguousarray(values.T)).to(device)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product with [B, Q, C], as [B, P, C]."""
        total = dense[:, self.indices[0]] * self.values[0, :, None]
        for index, value in zip(self.indices[1:], self.values[1:], strict=True):
            total.addcmul_(dense[:, index], value[:, None])
        return total


class PosedBatch(NamedTuple):
    """B frames of a figure."""

    positions: Tensor  # [B, N, 3] metres
    normals: Tensor  # [B, N, 3] unit
    points: list[Tensor]  # per layer, [B, P, 3] metres
    joints: Tensor  # [B, J, 3] metres


class _BatchedLayer:
    def __init__(self, layer: Layer, device: torch.device) -> None:
        def put(array: np.ndarray) -> Tensor:
            return torch.tensor(np.ascontiguousarray(array, np.float32), device=device)

        self.rest = put(layer.rest)
        self.weights = SparseRows(layer.weights, device)
        self.actions = None if layer.actions is None else put(layer.actions)
        self.relax = None if layer.relax is None else SparseRows(layer.relax, device)
        self.relax_steps = layer.relax_steps
        self.inset = None if layer.inset is None else put(layer.inset)
        self.soften = None if layer.soften is None else SparseRows(layer.soften, device)
        self.width = None if layer.strand_width is None else put(layer.strand_width)
        if self.width is None:
            faces = layer.surface.faces
            self.faces = torch.tensor(faces, dtype=torch.int64, device=device)
            corner = (np.ones(faces.size, np.float32), (faces.ravel(), np.repeat(np.arange(len(faces)), 3)))
            self.around = SparseRows(sp.csr_matrix(corner, (len(layer.rest), len(faces))), device)
        else:
            self.between = put(light_of_strands(self.width.shape[1], QUERY_STRIDE))  # [K, measured]

    def points(self, actions: Tensor, transforms: Tensor) -> Tensor:
        """Skinned and relaxed points, [B, P, 3], of actions [B, 52] and transforms [B, J, 4, 4]."""
        rest = self.rest[None]
        if self.actions is not None:
            rest = rest + (actions @ self.actions.flatten(1)).unflatten(1, (-1, 3))
        motion = self.weights @ transforms[:, :, :3].flatten(2)  # [B, P, 12]
        motion = motion.unflatten(2, (3, 4))
        points = (motion[..., :3] * rest[:, :, None]).sum(-1) + motion[..., 3]
        if self.relax is not None:
            for _ in range(self.relax_steps):
                points = self.relax @ points
        return points

    def normals(self, points: Tensor) -> Tensor:
        """Area-weighted unit normals of a mesh layer, [B, P, 3]."""
        a, b, c = (points[:, self.faces[:, corner]] for corner in range(3))
        total = self.around @ torch.linalg.cross(b - a, c - a)
        return total / (total.square().sum(-1, keepdim=True).sqrt() + 1e-12)

    def ribbons(self, points: Tensor, width: Tensor, viewpoint: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn vertices and tangents, [B, 2 P, 3] each, of ribbons with half-widths `width` [S, K]."""
        strands = points.unflatten(1, (-1, width.shape[1]))  # [B, S, K, 3]
        tangent = torch.empty_like(strands)
        tangent[:, :, 1:-1] = (strands[:, :, 2:] - strands[:, :, :-2]) / 2
        tangent[:, :, 0] = strands[:, :, 1] - strands[:, :, 0]
        tangent[:, :, -1] = strands[:, :, -1] - strands[:, :, -2]
        tangent = _unit(tangent)
        across = _unit(torch.linalg.cross(tangent, viewpoint - strands)) * width[..., None]
        vertices = torch.stack([strands - across, strands + across], 3).flatten(1, 3)
        return vertices, tangent.flatten(1, 2).repeat_interleave(2, 1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / (vectors.square().sum(-1, keepdim=True).sqrt() + 1e-9)


class BatchedFigure:
    """A figure's arrays on a device.

    Args:
        figure: The person.
        device: Where to compute.
    """

    def __init__(self, figure: Figure, device: torch.device | str) -> None:
        self.figure = figure
        self.device = torch.device(device)
        self.layers = [_BatchedLayer(layer, self.device) for layer in figure.layers]
        self._tensors = _skeleton(figure.tensors, self.device)
        self._head = torch.as_tensor(figure.head, dtype=torch.int64, device=self.device)
        self.colour, self.canonical, self.edge = (
            torch.from_numpy(array).to(self.device) for array in figure.painted
        )

    @torch.inference_mode()
    def pose(self, actions: np.ndarray, rotations: np.ndarray, viewpoint: np.ndarray) -> PosedBatch:
        """Geometry of B frames.

        Args:
            actions: Facial actions, [B, 52].
            rotations: Rotation vectors of the bones, [B, J, 3] radians.
            viewpoint: The camera's centre, [3] metres.

        Returns:
            The frames' meshes, as `Figure.pose` gives them up to rounding.
        """
        acted = torch.tensor(actions, dtype=torch.float32, device=self.device)
        turned = torch.tensor(rotations, dtype=torch.float32, device=self.device)
        eye = torch.tensor(viewpoint, dtype=torch.float32, device=self.device)
        shape = self._tensors.joints.new_zeros(self._tensors.joint_basis.shape[0])
        joints, _, transforms = pose_joints(self._tensors, shape, turned)
        positions, normals, points = [], [], []
        for layer in self.layers:
            moved = layer.points(acted, transforms)
            points.append(moved)
            if layer.width is None:
                normal = layer.normals(moved)
                positions.append(moved if layer.inset is None else moved - normal * layer.inset[:, None])
                normals.append(normal)
            else:
                vertices, tangents = layer.ribbons(moved, layer.width, eye)
                positions.append(vertices)
                normals.append(tangents)
        return PosedBatch(torch.cat(positions, 1), torch.cat(normals, 1), points, joints)

    def light_queries(self, posed: PosedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Where light is measured: points [B, Q, 3], unit normals [B, Q, 3], wrap of the sky light [Q]."""
        points, normals, wraps = [], [], []
        middle = posed.points[0][:, self._head].mean(1)[:, None, None]  # [B, 1, 1, 3]
        for i, layer in enumerate(self.layers):
            if layer.width is None:
                part = slice(int(self.figure.starts[i]), int(self.figure.starts[i + 1]))
                points.append(posed.positions[:, part])
                normals.append(posed.normals[:, part])
            else:
                strands = posed.points[i].unflatten(1, (-1, layer.width.shape[1]))[:, :, ::QUERY_STRIDE]
                outward = (strands - middle).flatten(1, 2)
                points.append(strands.flatten(1, 2))
                normals.append(outward / outward.square().sum(-1, keepdim=True).sqrt())
            wraps.append(points[-1].new_full((points[-1].shape[1],), STRAND_WRAP * (layer.width is not None)))
        return torch.cat(points, 1).contiguous(), torch.cat(normals, 1).contiguous(), torch.cat(wraps)

    def spread_light(self, measured: Tensor) -> Tensor:
        """Light at the queries [B, Q, 4] to light at all drawn vertices, [B, N, 4]."""
        parts, start = [], 0
        for layer in self.layers:
            count = len(layer.rest)
            if layer.width is not None:
                count = count // layer.width.shape[1] * layer.between.shape[1]
            light = measured[:, start : start + count]
            start += count
            if layer.width is not None:
                strands = light.unflatten(1, (-1, layer.between.shape[1]))  # [B, S, measured, 4]
                whole = (layer.between[:, :, None] * strands[:, :, None]).sum(3)  # [B, S, K, 4]
                light = whole.flatten(1, 2).repeat_interleave(2, 1)
            elif layer.soften is not None:
                light = layer.soften @ (layer.soften @ light)
            parts.append(light)
        return torch.cat(parts, 1)


def _skeleton(tensors: TemplateTensors, device: torch.device) -> TemplateTensors:
    """A person's skeleton on another device; the vertices stay behind."""
    moved = TemplateTensors.__new__(TemplateTensors)
    moved.joints, moved.joint_basis = tensors.joints.to(device), tensors.joint_basis.to(device)
    moved.parents, moved.parent_or_self = tensors.parents, tensors.parent_or_self.to(device)
    levels = tensors.levels
    moved.levels = type(levels)(
        levels.order.to(device),
        levels.sizes,
        [parents.to(device) for parents in levels.parents],
        levels.inverse.to(device),
    )
    return moved
