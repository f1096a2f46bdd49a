"""From particle states to Gaussians: the two levels of the deformer and the per-Gaussian residuals.

Order (section 3.2 of the paper, equations 3, 7 and 8): local particles move the surface of the photo pose (level 1),
the residual offset corrects it, joint particles carry it along the kinematic tree (level 0), and scales, opacity and
colour take their residuals. With zero states and residuals the avatar comes out bit for bit.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.body.particles import load_particles
from reference_model.body.se3 import exp_se3, rotation_vector_to_quaternion
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.surface import (
    HEAD_REGIONS,
    SurfacePoints,
    bind_points,
    particle_places,
    rest_twists,
)
from reference_model.stretch import SurfaceStretch

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = ["Rig"]


class _Bindings(NamedTuple):
    """What moves each of the N Gaussians; see `SurfacePoints`."""

    particle_index: Tensor
    particle_weight: Tensor
    bone_index: Tensor
    bone_weight: Tensor


class Rig:
    """Everything of an avatar that stays the same from frame to frame, and the motion of its Gaussians.

    Args:
        avatar: The avatar; its photo pose is the canonical space. Its own skinning weights count where it has them.

    Attributes:
        points: Where its N Gaussians are bound.
        head_rows: Gaussians that the Gaussian head corrects, [n] int64; residuals follow this order.
        bone_frames: Axes of the heaviest bone of each Gaussian in the photo, [N, 3, 3].
        person_offset: Neutral person minus mean template at each particle, metres, [M, 3].
        rest_twist: Motion of each particle from the neutral face to the photo's expression, [M, 6].
        rest_offset: The same as a displacement, at the Gaussians of `head_rows`, metres, [n, 3].
        stretch: Growth of the surface where it folds open.
    """

    def __init__(self, avatar: Avatar) -> None:
        template, particles = load_template(), load_particles()
        tensors = TemplateTensors(template)
        state = avatar.state
        triangle, barycentric = avatar.triangle.numpy(), avatar.barycentric.numpy()
        self.points = bind_points(template, particles, triangle, barycentric)
        if avatar.skin is not None:
            self.points = dataclasses.replace(
                self.points,
                bone_index=avatar.skin.index.numpy().astype(np.int32),
                bone_weight=avatar.skin.weight.numpy().astype(np.float32),
            )
        self._bindings = _Bindings(
            *(torch.from_numpy(getattr(self.points, name)) for name in _Bindings._fields)
        )
        self.head_rows = torch.from_numpy(np.flatnonzero(HEAD_REGIONS[self.points.region]))
        self._gaussians = avatar.gaussians
        self._n_joints = particles.n_joints
        self._parents = torch.from_numpy(np.array(template.parents, np.int32))

        posed = pose(tensors, state)
        centers = particle_places(template, particles, posed.vertices.numpy(), posed.joints.numpy())
        self._centers = torch.from_numpy(np.ascontiguousarray(centers, np.float32))  # [M, 3]
        self.stretch = SurfaceStretch(
            template, particles, posed.vertices.numpy(), triangle, ~avatar.two_sided.numpy()
        )
        bone = torch.cat(
            [torch.arange(particles.n_joints), torch.from_numpy(particles.bone.astype(np.int64))]
        )
        self._frames = posed.rotations[bone]  # G of each particle, [M, 3, 3]
        self.bone_frames = posed.rotations[torch.from_numpy(self.points.bone_index[:, 0].astype(np.int64))]
        self._head_frames = self.bone_frames[self.head_rows]  # [n, 3, 3]

        shaped = torch.einsum("k,kvc->vc", state.shape, tensors.shape_basis).numpy()
        joints = torch.einsum("k,kjc->jc", state.shape, tensors.joint_basis).numpy()
        self.person_offset = torch.from_numpy(particle_places(template, particles, shaped, joints))
        self.rest_twist = rest_twists(state.actions)
        expression = torch.einsum("a,avc->vc", state.actions, tensors.actions).numpy()  # [V, 3]
        at_points = (expression[template.faces[triangle]] * barycentric[..., None]).sum(1)
        self.rest_offset = torch.from_numpy(at_points)[self.head_rows]

    def to(self, device: torch.device | str) -> Rig:
        """The same rig with its tensors on `device`."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor | Gaussians | SurfaceStretch):
                setattr(moved, name, value.to(device))
        moved._bindings = _Bindings(*(part.to(device) for part in self._bindings))
        return moved

    @property
    def n_particles(self) -> int:
        """M, joints and local particles."""
        return len(self._centers)

    def apply(self, states: Tensor, residuals: Residuals | None = None) -> Gaussians:
        """Gaussians of one frame, or of T frames at once.

        Args:
            states: Log-twist of each particle relative to the photo, in the axes of its bone, [M, 6] or [T, M, 6], on
                the rig's device. Gradients reach it and the residuals.
            residuals: Corrections of the Gaussians in `head_rows`, each [n, ...] or [T, n, ...]; None for none.

        Returns:
            N Gaussians in the world, with the leading dimension of the states.
        """
        if residuals is None:
            return self.move(states)
        rows = self.head_rows
        moved = self.move(states, rows, _turned(self._head_frames, residuals.offset))
        scales, opacities, colors = moved.scales, moved.opacities.clone(), moved.colors.clone()
        scales[..., rows, :] *= residuals.log_scale.exp()
        opacities[..., rows] = _shift_logit(opacities[..., rows], residuals.opacity_logit)
        colors[..., rows, :] = _shift_logit(colors[..., rows, :], residuals.color_logit)
        return Gaussians(moved.means, moved.quats, scales, opacities, colors)

    def move(self, states: Tensor, rows: Tensor | None = None, offsets: Tensor | None = None) -> Gaussians:
        """Move and turn the Gaussians and widen those on skin that unfolds; the rest is shared with the avatar.

        Args:
            states: As in `apply`, [M, 6] or [T, M, 6].
            rows: Gaussians with an offset between level 1 and level 0, [n] int64.
            offsets: These, metres in the world axes of the photo, [n, 3] or [T, n, 3].
        """
        if states.ndim not in (2, 3) or states.shape[-2:] != (self.n_particles, 6):
            raise ValueError(
                f"states must have shape {(self.n_particles, 6)}, with or without frames before it, "
                f"got {tuple(states.shape)}"
            )
        frames = states.shape[:-2]
        joints, local = self._split_motions(states)
        source = self._gaussians
        offset = states.new_zeros(*frames, len(source), 3)
        if rows is not None and offsets is not None:
            offset[..., rows, :] = offsets
        points = (source.means, source.quats, *self._bindings)
        if torch.is_grad_enabled() and (states.requires_grad or offset.requires_grad):
            from reference_model.deform_torch import move_frames
        elif states.is_cuda:
            from reference_model.deform_cuda import move_frames
        else:
            from reference_model.deform_kernels import move_frames
        means, quats = move_frames(self._parents, joints, local, points, offset)
        growth = self.stretch.by_particles(*local[:3])
        whole = source.expand(frames)
        return Gaussians(means, quats, self.widened(whole.scales, growth), whole.opacities, whole.colors)

    def carry(self, states: Tensor, places: Tensor, bound: SurfacePoints) -> Tensor:
        """Where other points of the person go, differentiably.

        Args:
            states: As in `apply`, [M, 6] or [T, M, 6].
            places: The points in the photo, metres, [n, 3].
            bound: What moves them, for example from `bind_points`.

        Returns:
            Metres, [n, 3] or [T, n, 3].
        """
        from reference_model.deform_torch import move_frames

        bindings = (torch.from_numpy(getattr(bound, name)).to(places.device) for name in _Bindings._fields)
        upright = places.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(places), 4)
        joints, local = self._split_motions(states)
        still = states.new_zeros(*states.shape[:-2], len(places), 3)
        return move_frames(self._parents, joints, local, (places, upright, *bindings), still)[0]

    def _split_motions(self, states: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Motions of the joints and of the local particles: R - I, translation, centre, quaternion; world axes."""
        j = self._n_joints
        turn, shift, quaternion = self._world_motions(states)
        joints = (turn[..., :j, :, :], shift[..., :j, :], self._centers[:j], quaternion[..., :j, :])
        local = (turn[..., j:, :, :], shift[..., j:, :], self._centers[j:], quaternion[..., j:, :])
        return joints, local

    def widened(self, scales: Tensor, growth: Tensor) -> Tensor:
        """Scales [..., N, 3] with both widths of the Gaussians on folding skin multiplied by `growth`, [..., n]."""
        scales = scales.clone()
        scales[..., self.stretch.rows, :2] *= growth[..., None]
        return scales

    def _world_motions(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each particle's motion about its centre: R - I [..., M, 3, 3], t [..., M, 3], quaternion; world axes."""
        rotation, translation = exp_se3(states)
        frames = self._frames
        turn = frames @ (rotation - torch.eye(3, device=states.device)) @ frames.transpose(-1, -2)
        shift = _turned(frames, translation)
        quaternion = rotation_vector_to_quaternion(_turned(frames, states[..., :3]))
        return turn, shift, quaternion


def _turned(frames: Tensor, vectors: Tensor) -> Tensor:
    """`frames @ vectors`, [..., 3, 3] and [..., 3]; matrix products so small cost many times their arithmetic."""
    x, y, z = vectors[..., :1], vectors[..., 1:2], vectors[..., 2:]
    return frames[..., 0] * x + frames[..., 1] * y + frames[..., 2] * z


def _shift_logit(value: Tensor, shift: Tensor) -> Tensor:
    """`sigmoid(logit(value) + shift)`, exact for a zero shift and for values of 0 and 1."""
    growth = shift.expm1()
    return value + value * (1 - value) * growth / (1 + value * growth)
