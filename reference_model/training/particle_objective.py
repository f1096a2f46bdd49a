"""Geometric supervision of our model: particles first, residuals for what they leave."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.body.particles import load_particles
from reference_model.body.template import load_template
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import MINI, AvatarModel, ModelConfig, config_dict
from reference_model.networks.surface import FPS, rest_twists
from reference_model.training.batches import Batch
from reference_model.training.face_geometry import FaceGeometry, Scene
from reference_model.training.losses import (
    LossWeights,
    blinks_seen,
    joint_levers,
    joint_loss,
    joint_velocity_loss,
    lid_loss,
    lip_gap_loss,
    point_loss,
    velocity_loss,
)
from reference_model.training.regularisers import tremble_loss
from reference_model.training.speech_readout import SpeechReadout

__all__ = ["ParticleObjective"]

_IDLE_PARTICLES = 24
"""Particles outside the face that are also drawn in each step; nothing moves them, which they must learn."""


class ParticleObjective(nn.Module):
    """Loss and held-out prediction of `AvatarModel`.

    Args:
        density: Share of the supervised points, see `choose_points`.
        config: Sizes of the model.
        weights: Weights of the loss terms.
    """

    kind = "AvatarModel"
    levers: Tensor
    idle: Tensor
    moving: Tensor

    def __init__(
        self,
        density: float = 1.0,
        config: ModelConfig = MINI,
        weights: LossWeights | None = None,
    ) -> None:
        super().__init__()
        template, particles = load_template(), load_particles()
        self.model = AvatarModel(config)
        self.geometry = FaceGeometry(template, particles, density)
        self.weights = LossWeights() if weights is None else weights
        self.readout = SpeechReadout(config.dim_driving)
        self.n_joints = particles.n_joints
        used = self.geometry.used
        everything = torch.arange(self.model.particles.n_particles)
        idle = everything[self.n_joints :]
        idle = idle[~torch.isin(idle, used)]
        for name, value in {
            "levers": joint_levers(template),
            "idle": idle,
            "moving": torch.cat([everything[: self.n_joints], used]),
        }.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def network(self) -> AvatarModel:
        """What is saved."""
        return self.model

    def config(self) -> dict[str, int | float | str]:
        """Sizes, for the header of the weights file."""
        return config_dict(self.model.config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted loss terms of a batch; their sum is what is minimised."""
        geometry, weights, frames = self.geometry, self.weights, batch.weight
        scene = geometry.scene(batch.shape, batch.expression)
        wanted = geometry.targets(batch.change)  # [B, T, n, 3]
        drawn = torch.randint(len(self.idle), (_IDLE_PARTICLES,), device=frames.device)
        states, driving = self._states(batch, scene, torch.cat([self.moving, self.idle[drawn]]))
        joints, local, idle = states.split([self.n_joints, len(geometry.used), _IDLE_PARTICLES], 2)
        residual = self._residuals(scene, driving)

        by_particles = geometry.particle_displacement(scene, local)
        error = by_particles - wanted  # [B, T, n, 3]
        full = error + residual.offset
        gap_error = geometry.lip_gap(scene, full + wanted) - geometry.lip_gap(scene, wanted)
        joint_error = joints[..., :3] - batch.rotations
        still = torch.cat([joints[..., 3:], idle[..., 3:]], 2)
        point = geometry.loss_weight
        drop = geometry.lid_drop(wanted) * blinks_seen(batch.innovations)
        lids = [
            lid_loss(of[:, :, where], drop, frames)
            for of in (full, error)
            for where in (geometry.upper_lid, geometry.around_eyes)
        ]
        losses = {
            "points": weights.points * point_loss(full, point, frames),
            "by_particles": weights.points_by_particles * point_loss(error, point, frames),
            "gap": weights.gap * lip_gap_loss(gap_error, batch.closure, weights.gap_closed, frames),
            "lids": weights.lids * torch.stack(lids).sum(),
            "velocity": weights.velocity * velocity_loss(full, point, frames),
            "joints": weights.joints * joint_loss(joint_error, self.levers, frames),
            "joint_velocity": weights.joint_velocity * joint_velocity_loss(joint_error, self.levers, frames),
            "still": (still * 1e3).square().mean() * 0.01 + (idle[..., :3] * 1e2).square().mean() * 0.01,
            "tether": weights.tether * self._tether(local, batch),
            "residual": weights.residual * (residual.offset * 1e3).square().mean(),
            "spectrum": weights.spectrum
            * tremble_loss(full[:, :, geometry.calm], joint_error, self.levers, FPS),
            "speech": weights.speech * self.readout(driving[:, self.model.config.window_past :], batch),
        }
        return losses

    @torch.no_grad()
    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """How the points move and how the animator moves them, metres, [B, T, n, 3] each."""
        scene = self.geometry.scene(batch.shape, batch.expression)
        states, driving = self._states(batch, scene, self.moving)
        moved = self.geometry.particle_displacement(scene, states[:, :, self.n_joints :])
        moved = moved + self._residuals(scene, driving).offset
        wanted = self.geometry.targets(batch.change)
        return moved, wanted

    def _states(self, batch: Batch, scene: Scene, subset: Tensor) -> tuple[Tensor, Tensor]:
        """States of some particles, [B, T, m, 6], and the driving tokens with the head's zero past."""
        deformer = self.model.particles
        text = None if self.model.text is None else self.model.text(batch.text_ids, batch.text_start)
        driving, _ = self.model.audio(batch.mel, batch.innovations, text=text)
        static = deformer.static_tokens(scene.person_offset, rest_twists(batch.expression))
        twists = deformer.twists(deformer.proposals(driving, static, subset), subset=subset)
        states = deformer.clamp(deformer.integrate(twists, subset=subset))
        past = driving.new_zeros(len(driving), self.model.config.window_past, driving.shape[-1])
        return states, torch.cat([past, driving], 1)

    def _residuals(self, scene: Scene, driving: Tensor) -> Residuals:
        geometry = self.geometry
        tokens = self.model.head.point_tokens(
            geometry.position,
            geometry.region,
            geometry.particle_index,
            geometry.particle_weight,
            scene.rest_offset,
        )
        return self.model.head(driving, tokens, geometry.region)

    def _tether(self, local: Tensor, batch: Batch) -> Tensor:
        """Distance of the particles' states from the animator's twists, in mm and hundredths of a radian."""
        wanted = rest_twists(batch.change)[:, :, self.geometry.used]
        error = (local - wanted) * local.new_tensor([1e2] * 3 + [1e3] * 3)
        huber = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none").mean((2, 3))
        return (huber * batch.weight).sum() / batch.weight.sum().clamp(min=1e-6)
