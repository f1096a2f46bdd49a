"""Training of the rival: the same batches, points and loss terms as the particle deformer, where they apply."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor, nn

from baselines.pose_driven_network import PoseDrivenNetwork
from reference_model.body.particles import load_particles
from reference_model.body.template import load_template
from reference_model.networks.surface import FPS
from reference_model.training.batches import Batch
from reference_model.training.face_geometry import FaceGeometry
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

__all__ = ["PoseDrivenObjective"]

_ACTION_WEIGHT = 2.0
"""Weight of the facial actions' own error; points alone leave combinations of actions open."""


class PoseDrivenObjective(nn.Module):
    """Loss and held-out prediction of `PoseDrivenNetwork`.

    Args:
        density: Share of the supervised points.
        weights: Weights of the loss terms; those of particles and residuals have nothing to act on.
    """

    kind = "PoseDrivenNetwork"
    levers: Tensor

    def __init__(self, density: float = 1.0, weights: LossWeights | None = None) -> None:
        super().__init__()
        template = load_template()
        self.network = PoseDrivenNetwork()
        self.geometry = FaceGeometry(template, load_particles(), density)
        self.weights = LossWeights() if weights is None else weights
        self.readout = SpeechReadout(self.network.config.dim_driving)
        self.register_buffer("levers", joint_levers(template), persistent=False)

    def config(self) -> dict[str, int | float | str]:
        """Sizes, for the header of the weights file."""
        return asdict(self.network.config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted loss terms of a batch; their sum is what is minimised."""
        geometry, weights, frames = self.geometry, self.weights, batch.weight
        driving, _ = self.network.audio(batch.mel, batch.innovations)
        pose = self.network.pose(driving, batch.expression)
        scene = geometry.scene(batch.shape, batch.expression)
        moved, wanted = geometry.targets(pose.change), geometry.targets(batch.change)
        error = moved - wanted
        gap_error = geometry.lip_gap(scene, moved) - geometry.lip_gap(scene, wanted)
        joint_error = pose.rotations - batch.rotations
        point = geometry.loss_weight
        drop = geometry.lid_drop(wanted) * blinks_seen(batch.innovations)
        lids = [
            lid_loss(error[:, :, where], drop, frames) for where in (geometry.upper_lid, geometry.around_eyes)
        ]
        action_error = (pose.change - batch.change).square().mean(-1)
        return {
            "points": (weights.points + weights.points_by_particles) * point_loss(error, point, frames),
            "gap": weights.gap * lip_gap_loss(gap_error, batch.closure, weights.gap_closed, frames),
            "lids": 2 * weights.lids * torch.stack(lids).sum(),
            "velocity": weights.velocity * velocity_loss(error, point, frames),
            "joints": weights.joints * joint_loss(joint_error, self.levers, frames),
            "joint_velocity": weights.joint_velocity * joint_velocity_loss(joint_error, self.levers, frames),
            "spectrum": weights.spectrum
            * tremble_loss(error[:, :, geometry.calm], joint_error, self.levers, FPS),
            "speech": weights.speech * self.readout(driving, batch),
            "actions": _ACTION_WEIGHT * (action_error * frames).sum() / frames.sum().clamp(min=1e-6),
        }

    @torch.no_grad()
    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """How the predicted actions and the animator's move the points, metres, [B, T, n, 3] each."""
        pose, _ = self.network(batch.mel, batch.innovations, batch.expression)
        return self.geometry.targets(pose.change), self.geometry.targets(batch.change)
