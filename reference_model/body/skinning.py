"""Pose the template: shape, facial actions and bone rotations to vertices (linear blend skinning), differentiably.

Bone rotations are deltas in reference axes: with all rotations zero every bone frame is the world frame, and
`G_b = G_parent(b) exp(w_b)` about the joint's head (docs/architecture.md, Conventions).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from reference_model.body.se3 import exp_so3
from reference_model.body.template import BodyTemplate, load_template

__all__ = [
    "BodyState",
    "Posed",
    "TemplateTensors",
    "blend_transforms",
    "pose",
    "pose_joints",
    "rest_vertices",
    "skinned",
    "template_tensors",
]


@dataclass(frozen=True, eq=False)
class BodyState:
    """What distinguishes a body from the template. Leading batch dimensions broadcast against one another."""

    shape: Tensor
    """[..., K] coefficients in standard deviations."""
    actions: Tensor
    """[..., 52] facial actions, 0..1."""
    rotations: Tensor
    """[..., J, 3] rotation vectors, radians."""
    offsets: Tensor
    """[..., V, 3] displacements in rest space, metres (clothes, hair)."""

    @staticmethod
    def neutral(tensors: TemplateTensors) -> BodyState:
        """The mean person in the reference pose."""
        like = tensors.vertices
        return BodyState(
            shape=like.new_zeros(tensors.shape_basis.shape[0]),
            actions=like.new_zeros(tensors.actions.shape[0]),
            rotations=like.new_zeros(tensors.joints.shape[0], 3),
            offsets=torch.zeros_like(like),
        )

    def replace(self, **changes: Tensor) -> BodyState:
        """A copy with some fields exchanged."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Posed:
    """A posed body; `...` are the broadcast batch dimensions of the state."""

    vertices: Tensor
    """[..., V, 3] metres."""
    joints: Tensor
    """[..., J, 3] posed joint heads."""
    rotations: Tensor
    """[..., J, 3, 3] global bone rotations G."""
    transforms: Tensor
    """[..., J, 4, 4] from rest space to posed space, one rigid motion for each joint."""


class TemplateTensors:
    """The template as torch tensors, if wished with only some of its vertices.

    Fitting needs a few thousand vertices: the bases are cut once here, and every product below is as small.

    Args:
        template: The body template.
        vertex_subset: [V'] indices of the vertices to keep, all when None.
        device: Where the tensors live.
    """

    def __init__(
        self,
        template: BodyTemplate,
        vertex_subset: np.ndarray | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        keep = slice(None) if vertex_subset is None else np.asarray(vertex_subset)

        def put(array: np.ndarray) -> Tensor:
            # Copies, because the template's arrays are read-only; contiguous, because products would copy again.
            return torch.tensor(np.ascontiguousarray(array), device=device)

        self.vertices = put(template.vertices[keep])  # [V, 3]
        self.shape_basis = put(template.shape_basis[:, keep])  # [K, V, 3]
        self.actions = put(template.actions[:, keep])  # [52, V, 3]
        self.joints = put(template.joints)  # [J, 3]
        self.joint_basis = put(template.joint_basis)  # [K, J, 3]
        weights = np.zeros((template.n_vertices, template.n_joints), np.float32)
        np.add.at(
            weights, (np.arange(template.n_vertices)[:, None], template.skin_index), template.skin_weight
        )
        self.skin = put(weights[keep])  # [V, J]
        self.parents: tuple[int, ...] = tuple(int(p) for p in template.parents)
        self.levels = _kinematic_levels(template.parents, device)
        self._is_root = put(template.parents < 0)
        self.parent_or_self = put(np.maximum(template.parents, 0).astype(np.int64))
        self.lineage = put(
            _lineage(template.parents)
        )  # [J, J], 1 where the column is the row's ancestor or itself

    def of_parents(self, values: Tensor) -> Tensor:
        """Each joint's parent's entry of `values` `[J, ...]`; zero for a root."""
        found = values[self.parent_or_self]
        return found.masked_fill(self._is_root.view(-1, *(1,) * (values.ndim - 1)), 0.0)

    def cut(self, vertex_subset: Tensor) -> TemplateTensors:
        """The same template with only the vertices `[V']` of these; quicker than to start from the arrays again."""
        part = copy(self)
        part.vertices, part.skin = self.vertices[vertex_subset], self.skin[vertex_subset]
        part.shape_basis = self.shape_basis[:, vertex_subset]
        part.actions = self.actions[:, vertex_subset]
        return part

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.vertices.device


@lru_cache(maxsize=2)
def template_tensors(device: torch.device | str = "cpu") -> TemplateTensors:
    """The shipped template with all its vertices; the same object on every call, not to be written to."""
    return TemplateTensors(load_template(), device=device)


@dataclass(frozen=True, eq=False)
class _Levels:
    order: Tensor
    """[J] joints, those of one depth below the root after those of the depth before."""
    sizes: list[int]
    """Joints of each depth."""
    parents: list[Tensor]
    """Their parents' positions inside the depth before."""
    inverse: Tensor
    """[J] position of each joint in the concatenation of all depths."""


def _kinematic_levels(parents: np.ndarray, device: torch.device | str) -> _Levels:
    depth = np.zeros(len(parents), int)
    for joint, parent in enumerate(parents):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    levels = [np.flatnonzero(depth == d) for d in range(depth.max() + 1)]
    above = [np.searchsorted(upper, parents[level]) for upper, level in pairwise(levels)]

    def put(indices: np.ndarray) -> Tensor:
        return torch.as_tensor(indices, device=device)

    return _Levels(
        order=put(np.concatenate(levels)),
        sizes=[len(level) for level in levels],
        parents=[put(positions) for positions in above],
        inverse=put(np.argsort(np.concatenate(levels))),
    )


def _lineage(parents: np.ndarray) -> np.ndarray:
    lineage = np.eye(len(parents), dtype=np.float32)
    for joint, parent in enumerate(parents):
        while parent >= 0:
            lineage[joint, parent] = 1.0
            parent = parents[parent]
    return lineage


def _combine(coefficients: Tensor, basis: Tensor) -> Tensor:
    """[..., K] x [K, N, 3] -> [..., N, 3] as one matrix product."""
    return (coefficients @ basis.flatten(1)).unflatten(-1, basis.shape[1:])


def rest_vertices(tensors: TemplateTensors, state: BodyState) -> Tensor:
    """Vertices of a state before any bone turns.

    Returns:
        [..., V, 3] metres.
    """
    shaped = tensors.vertices + _combine(state.shape, tensors.shape_basis) + state.offsets
    return shaped + _combine(state.actions, tensors.actions)


def pose_joints(tensors: TemplateTensors, shape: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Forward kinematics, all joints of one depth at a time.

    Args:
        tensors: The template.
        shape: [..., K].
        rotations: [..., J, 3], radians.

    Returns:
        Posed joint heads [..., J, 3], global rotations [..., J, 3, 3] and rest-to-posed transforms [..., J, 4, 4].
    """
    rest = tensors.joints + _combine(shape, tensors.joint_basis)  # [..., J, 3]
    local = exp_so3(rotations)  # [..., J, 3, 3]
    batch = np.broadcast_shapes(rest.shape[:-2], local.shape[:-3])
    rest = rest.expand(*batch, *rest.shape[-2:])
    local = local.expand(*batch, *local.shape[-3:])
    levels = tensors.levels
    # What can be gathered for all depths at once is: on a GPU every operation of the loop is a kernel to launch.
    bones = (rest - rest[..., tensors.parent_or_self, :])[..., levels.order, :].split(levels.sizes, -2)
    locals_ = local[..., levels.order, :, :].split(levels.sizes, -3)
    turn = locals_[0]
    head = rest[..., levels.order[: levels.sizes[0]], :]
    turns, heads = [turn], [head]
    for parents, bone, own in zip(levels.parents, bones[1:], locals_[1:], strict=True):
        parent_turn = turn[..., parents, :, :]
        head = head[..., parents, :] + (parent_turn @ bone[..., None]).squeeze(-1)
        turn = parent_turn @ own
        turns.append(turn)
        heads.append(head)
    rotation = torch.cat(turns, -3)[..., levels.inverse, :, :]
    posed = torch.cat(heads, -2)[..., levels.inverse, :]
    translation = posed - (rotation @ rest[..., None]).squeeze(-1)
    upper = torch.cat([rotation, translation[..., None]], -1)  # [..., J, 3, 4]
    # No constant of the host's: while a CUDA graph is recorded, nothing can be copied from there.
    bottom = torch.eye(4, dtype=upper.dtype, device=upper.device)[3].expand(*upper.shape[:-2], 1, 4)
    return posed, rotation, torch.cat([upper, bottom], -2)


def blend_transforms(tensors: TemplateTensors, transforms: Tensor) -> Tensor:
    """Each vertex's own affine map: the joints' transforms averaged with the skinning weights.

    The 3x3 part is *not* orthogonal where bones meet: to bring a displacement back to rest space solve with it,
    never multiply by its transpose (4-15 mm of error).

    Args:
        tensors: The template.
        transforms: [..., J, 4, 4], from `pose`.

    Returns:
        [..., V, 3, 4].
    """
    rows = transforms[..., :3, :].flatten(-2)  # [..., J, 12]
    return (tensors.skin @ rows).unflatten(-1, (3, 4))


def skinned(blend: Tensor, rest: Tensor) -> Tensor:
    """Vertices [..., V, 3] moved by their affine maps [..., V, 3, 4]."""
    return (blend[..., :3] @ rest[..., None]).squeeze(-1) + blend[..., 3]


def pose(tensors: TemplateTensors, state: BodyState) -> Posed:
    """Pose a body, or a batch of bodies or frames.

    Args:
        tensors: The template, whole or cut to some vertices; `state.offsets` must have the same vertices.
        state: Shape, actions, rotations and offsets.

    Returns:
        Vertices, joint heads, global rotations and transforms, differentiable in every field of `state`.
    """
    joints, rotations, transforms = pose_joints(tensors, state.shape, state.rotations)
    rest = rest_vertices(tensors, state)
    blend = blend_transforms(tensors, transforms)  # [..., V, 3, 4]
    return Posed(skinned(blend, rest), joints, rotations, transforms)
