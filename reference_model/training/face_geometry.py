"""Geometry of the supervised points under shape, expression and particles, in batches on any device.

All of it stands in rest space with joints at zero: local particles act before the joints, in the axes of their bone,
so what they do there is what they do in any photo pose.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from reference_model.body.particles import GROUPS, ParticleSet
from reference_model.body.se3 import exp_se3
from reference_model.body.template import BodyTemplate
from reference_model.networks.surface import bind_points, particle_places
from reference_model.training.face_points import choose_points

__all__ = ["FaceGeometry", "Scene"]

_LID_DROP_M = 0.003
"""Points that fall further in a blink belong to the upper lid; its edge falls by 12 mm."""


class Scene(NamedTuple):
    """A batch of people in the expression of their photos."""

    corners: Tensor
    """Corners of the points' triangles in the photo, metres, [B, n, 3 corners, 3]."""
    centers: Tensor
    """Centres of the particles in the photo, metres, [B, M, 3]."""
    person_offset: Tensor
    """Neutral person minus mean template at the particles, metres, [B, M, 3]."""
    rest_offset: Tensor
    """Displacement of the photo's expression at the points, metres, [B, n, 3]."""


class FaceGeometry(nn.Module):
    """Linear bases of the supervised points and their binding to particles.

    Args:
        template: The body template.
        particles: Its particles.
        density: Share of the points, see `choose_points`.
    """

    loss_weight: Tensor
    """Weight of each point in the loss, [n]."""
    position: Tensor
    """Place on the neutral mean template, metres, [n, 3]."""
    region: Tensor
    """Index into REGIONS, [n]."""
    particle_index: Tensor
    """Local particles of each point, 0 .. 767, [n, 6]."""
    particle_weight: Tensor
    """Their shares, [n, 6]."""
    used: Tensor
    """Particles that move any of the points, among all M, [m]."""
    upper_lid: Tensor
    """Points that a blink carries down, [l]."""
    around_eyes: Tensor
    """Points moved by the particles of eyes, lids and brows, [e]."""
    calm: Tensor
    """Points that hang on other particles than those of the lips, [c]."""
    barycentric: Tensor
    blend: Tensor
    corners: Tensor
    corner_shape: Tensor
    corner_action: Tensor
    center: Tensor
    center_shape: Tensor
    center_action: Tensor
    upper_lip: Tensor
    lower_lip: Tensor

    def __init__(self, template: BodyTemplate, particles: ParticleSet, density: float = 1.0) -> None:
        super().__init__()
        points = choose_points(template, density)
        bound = bind_points(template, particles, points.triangle, points.barycentric)
        self.n_joints = particles.n_joints
        used = np.unique(bound.particle_index[bound.particle_weight > 0])  # local indices
        weight = np.zeros((len(points.triangle), len(particles.bone)), np.float32)
        np.add.at(weight, (np.arange(len(weight))[:, None], bound.particle_index), bound.particle_weight)
        corners = template.faces[points.triangle]  # [n, 3]
        no_joints = np.zeros((len(template.actions), *template.joints.shape), np.float32)
        arrays = {
            "barycentric": points.barycentric,
            "loss_weight": points.weight,
            "position": bound.position,
            "particle_weight": bound.particle_weight,
            "blend": weight[:, used],  # [n, m]
            "corners": template.vertices[corners],  # [n, 3, 3]
            "corner_shape": template.shape_basis[:, corners],  # [K, n, 3, 3]
            "corner_action": template.actions[:, corners],  # [52, n, 3, 3]
            "center": particle_places(template, particles, template.vertices, template.joints),
            "center_shape": particle_places(template, particles, template.shape_basis, template.joint_basis),
            "center_action": particle_places(template, particles, template.actions, no_joints),
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.tensor(np.asarray(array, np.float32)), persistent=False)
        indices = {
            "region": bound.region,
            "particle_index": bound.particle_index,
            "used": used + particles.n_joints,  # of the M particles
            "upper_lip": points.upper_lip,
            "lower_lip": points.lower_lip,
        }
        for name, array in indices.items():
            self.register_buffer(name, torch.tensor(array.astype(np.int64)), persistent=False)
        blink = [template.action("eyeBlinkLeft"), template.action("eyeBlinkRight")]
        drop = -self._at_point(self.corner_action[blink].sum(0))[:, 2]
        heaviest = particles.group[particles.n_joints + bound.particle_index[:, 0]]
        around = np.flatnonzero(heaviest == GROUPS.index("eyes_lids_brows"))
        self.register_buffer("around_eyes", torch.from_numpy(around), persistent=False)
        calm = np.flatnonzero(heaviest != GROUPS.index("lips"))
        self.register_buffer("calm", torch.from_numpy(calm), persistent=False)
        self.register_buffer("upper_lid", torch.where(drop > _LID_DROP_M)[0], persistent=False)

    def scene(self, shape: Tensor, expression: Tensor) -> Scene:
        """People of some shape in the expression of their photo.

        Args:
            shape: [B, K] standard deviations.
            expression: [B, 52] facial actions of the photo.

        Returns:
            Their points and particles.
        """
        neutral = self.corners + torch.einsum("bk,knvc->bnvc", shape, self.corner_shape)
        moved = torch.einsum("ba,anvc->bnvc", expression, self.corner_action)
        person_offset = torch.einsum("bk,kmc->bmc", shape, self.center_shape)
        centers = self.center + person_offset + torch.einsum("ba,amc->bmc", expression, self.center_action)
        return Scene(neutral + moved, centers, person_offset, self._at_point(moved))

    def targets(self, change: Tensor) -> Tensor:
        """Motion of the points for a change of facial actions against the photo.

        Args:
            change: Actions of each frame minus those of the photo, [B, T, 52].

        Returns:
            Displacements, metres, [B, T, n, 3].
        """
        return torch.einsum("bta,anc->btnc", change, self._at_point(self.corner_action))

    def particle_displacement(self, scene: Scene, states: Tensor) -> Tensor:
        """Motion of the points by the local particles alone (level 1 of the deformer).

        Args:
            scene: The people, batch B.
            states: States of the particles `used`, [B, T, m, 6].

        Returns:
            Metres, [B, T, n, 3].
        """
        rotation, translation = exp_se3(states)
        turn = rotation - torch.eye(3, device=states.device)  # [B, T, m, 3, 3]
        # Coordinates from the middle of the face keep the products below small, hence exact enough in TF32.
        origin = scene.centers[:, self.used].mean(1, keepdim=True)  # [B, 1, 3]
        centers = (scene.centers[:, self.used] - origin)[:, None, :, :, None]  # [B, 1, m, 3, 1]
        shift = translation[..., None] - turn @ centers  # [B, T, m, 3, 1]
        motions = torch.cat([turn, shift], -1).flatten(-2)  # [B, T, m, 12]
        blended = (self.blend @ motions).unflatten(-1, (3, 4))  # [B, T, n, 3, 4]
        at = (self._at_point(scene.corners) - origin)[:, None, :, :, None]  # [B, 1, n, 3, 1]
        return (blended[..., :3] @ at + blended[..., 3:]).squeeze(-1)

    def lip_gap(self, scene: Scene, displacement: Tensor) -> Tensor:
        """Height of the opening between the lips in each column; negative where they overlap.

        Args:
            scene: The people, batch B.
            displacement: [B, T, n, 3] metres.

        Returns:
            Metres, [B, T, P].
        """
        height = self._at_point(scene.corners)[:, None, :, 2] + displacement[..., 2]  # [B, T, n]
        return height[..., self.upper_lip].amin(-1) - height[..., self.lower_lip].amax(-1)

    def lid_drop(self, displacement: Tensor) -> Tensor:
        """How far the upper lids come down on the mean, for displacements [B, T, n, 3]: metres, [B, T]."""
        return -displacement[..., self.upper_lid, 2].mean(-1)

    def _at_point(self, corners: Tensor) -> Tensor:
        """[..., n, 3 corners, 3] -> [..., n, 3]."""
        return (corners * self.barycentric[..., None]).sum(-2)
