"""Motion of face, head and wrists that a model gives to speech, on the surface and without drawing anything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from reference_model.body.particles import GROUPS, load_particles
from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.body.template import load_template
from reference_model.networks.features import normalised_log_mel, power_mel
from reference_model.networks.model import AvatarModel
from reference_model.networks.surface import particle_places, rest_twists
from reference_model.sound_stream import SAMPLES_PER_FRAME
from reference_model.training.face_geometry import FaceGeometry

__all__ = ["BodyShape", "MotionCurves", "SurfaceMotion"]

_WRISTS = ("wrist.L", "wrist.R")


class BodyShape(NamedTuple):
    """Whose motion is looked at."""

    vertices: np.ndarray
    """At rest, joints at zero, metres, [V, 3]."""
    joints: np.ndarray
    """Joint heads at rest, [J, 3]."""
    rest_pose: np.ndarray
    """Bone rotations of the portrait, radians, [J, 3]."""
    expression: np.ndarray | None = None
    """Facial actions on the picture that the avatar is made of, [52]; none when None."""


class MotionCurves(NamedTuple):
    """T pictures at 25 a second."""

    face: np.ndarray
    """Displacement of the points of `FaceGeometry` from the body's expression, before any joint turns, metres,
    [T, n, 3]."""
    gap: np.ndarray
    """Gap between the lips, middle third of the mouth, metres, [T]; negative where they overlap."""
    lid_drop: np.ndarray
    """How far the upper lids are down, metres, [T]."""
    head: np.ndarray
    """A point of the forehead that goes along with the head, metres, [T, 3]."""
    wrists: np.ndarray
    """[T, 2, 3] metres, left and right."""


class SurfaceMotion:
    """Runs a model, or the animator's truth, on the supervised points of the face and the joints of a body.

    Args:
        model: Trained networks.
    """

    def __init__(self, model: AvatarModel) -> None:
        self.model = model.eval()
        self._template, self._particles = load_template(), load_particles()
        self.geometry = FaceGeometry(self._template, self._particles)
        self._tensors = TemplateTensors(self._template)
        self._head = self._template.joint("head")
        self.average = BodyShape(
            self._template.vertices, self._template.joints, np.zeros_like(self._template.joints)
        )

    @property
    def lips(self) -> np.ndarray:
        """Points on the lips' columns, [k]."""
        both = torch.cat([self.geometry.upper_lip.flatten(), self.geometry.lower_lip.flatten()])
        return both.unique().numpy()

    @property
    def calm(self) -> np.ndarray:
        """Points that the particles of the lips do not move, [k]."""
        local = self._particles.group[self._particles.n_joints :]
        bound, weight = self.geometry.particle_index.numpy(), self.geometry.particle_weight.numpy()
        share = (weight * (local[bound] == GROUPS.index("lips"))).sum(1)
        return np.flatnonzero(share < 0.05)

    @torch.no_grad()
    def of_speech(
        self, samples: np.ndarray, innovations: np.ndarray, body: BodyShape | None = None
    ) -> MotionCurves:
        """What the model does.

        Args:
            samples: Sound at 16 kHz, [S] float32.
            innovations: [T, 8].
            body: Whose; the template's mean when None.
        """
        body = self.average if body is None else body
        n = len(innovations)
        samples = np.pad(samples, (0, max(0, n * SAMPLES_PER_FRAME - len(samples))))[: n * SAMPLES_PER_FRAME]
        mel = normalised_log_mel(
            power_mel(torch.from_numpy(np.ascontiguousarray(samples, np.float32)))[: 4 * n]
        )
        template, deformer = self._template, self.model.particles
        driving, _ = self.model.audio(mel[None], torch.from_numpy(innovations)[None].float())
        offset = particle_places(
            template, self._particles, body.vertices - template.vertices, body.joints - template.joints
        )
        expression = self._expression(body)
        scene = self.geometry.scene(torch.zeros(1, len(template.shape_basis)), expression)
        rest = rest_twists(expression)
        static = deformer.static_tokens(torch.from_numpy(offset.astype(np.float32))[None], rest)
        joints = self._particles.n_joints
        moving = torch.cat(
            [torch.arange(joints), self.geometry.used]
        )  # the others move nothing that is looked at
        twists = deformer.twists(deformer.proposals(driving, static, moving), subset=moving)
        states = deformer.clamp(deformer.integrate(twists, subset=moving))
        moved = self.geometry.particle_displacement(scene, states[:, :, joints:])
        past = driving.new_zeros(1, self.model.config.window_past, driving.shape[-1])
        tokens = self.model.head.point_tokens(
            self.geometry.position, self.geometry.region, self.geometry.particle_index,
            self.geometry.particle_weight, scene.rest_offset,
        )  # fmt: skip
        moved = moved + self.model.head(torch.cat([past, driving], 1), tokens, self.geometry.region).offset
        return self._curves(moved, states[0, :, :joints, :3], body)

    @torch.no_grad()
    def of_actions(
        self, actions: np.ndarray, rotations: np.ndarray, body: BodyShape | None = None
    ) -> MotionCurves:
        """What an animator did: facial actions [T, 52] and rotations relative to the portrait [T, J, 3]."""
        body = self.average if body is None else body
        change = torch.from_numpy(np.asarray(actions, np.float32))[None] - self._expression(body)[:, None]
        moved = self.geometry.targets(change)
        return self._curves(moved, torch.from_numpy(np.asarray(rotations, np.float32)), body)

    def _expression(self, body: BodyShape) -> Tensor:  # [1, 52]
        if body.expression is None:
            return torch.zeros(1, len(self._template.actions))
        return torch.from_numpy(body.expression.astype(np.float32))[None]

    def _curves(self, moved: Tensor, rotations: Tensor, body: BodyShape) -> MotionCurves:
        neutral_shape = torch.zeros(1, len(self._template.shape_basis))
        gap = self.geometry.lip_gap(self.geometry.scene(neutral_shape, self._expression(body)), moved)[0]
        third = gap.shape[-1] // 3
        n = len(rotations)
        rest = Rotation.from_rotvec(np.tile(body.rest_pose, (n, 1)))
        absolute = (rest * Rotation.from_rotvec(rotations.numpy().reshape(-1, 3))).as_rotvec()
        tensors = self._tensors
        joints = torch.from_numpy(body.joints.astype(np.float32))
        tensors.joints = joints
        shape = torch.zeros(len(self._template.shape_basis))
        placed, turns, _ = pose_joints(tensors, shape, torch.from_numpy(absolute.reshape(n, -1, 3)).float())
        # In front of and above the head's joint, which itself hardly moves when the head turns or nods.
        forehead = placed[:, self._head] + turns[:, self._head] @ torch.tensor([0.0, -0.10, 0.12])
        wrists = torch.stack([placed[:, self._template.joint(name)] for name in _WRISTS], 1)
        return MotionCurves(
            moved[0].numpy(), gap[:, third:-third].mean(-1).numpy(), self.geometry.lid_drop(moved)[0].numpy(),
            forehead.numpy(), wrists.numpy(),
        )  # fmt: skip
