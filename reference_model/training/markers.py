"""Points of face and hands that training follows in the picture: bound to the surface, moved by the rig, projected."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.io import Avatar
from reference_model.body.particles import load_particles
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import BodyTemplate, load_template
from reference_model.deform import Rig
from reference_model.networks.surface import BONES_PER_POINT, PARTICLES_PER_POINT, SurfacePoints, bind_points
from reference_model.render.camera import Camera

__all__ = ["N_FACE", "Markers", "lip_opening"]

N_FACE = 468
"""Points of the mediapipe face mesh; those that the template has not are never seen."""
_FOREHEAD, _CHIN = 10, 152
_INNER_LIPS = ((13, 14), (82, 87), (312, 317))  # upper, lower: the middle of the mouth


class Markers:
    """468 points of the face and 21 of each hand of one avatar.

    Args:
        avatar: The avatar.
        rig: Its rig, on the CPU.

    Attributes:
        known: Points that the template has, [510] bool: face, left hand, right hand.
    """

    def __init__(self, avatar: Avatar, rig: Rig) -> None:
        template, particles = load_template(), load_particles()
        posed = pose(TemplateTensors(template), avatar.state)
        vertices, joints = posed.vertices.numpy(), posed.joints.numpy()
        known = template.landmark_face >= 0
        triangle = np.maximum(template.landmark_face, 0)
        tips = np.concatenate([template.fingertip_vertex[side] for side in ("left", "right")])
        tip_triangle = np.array([np.flatnonzero((template.faces == tip).any(1))[0] for tip in tips])
        tip_corner = (template.faces[tip_triangle] == tips[:, None]).astype(np.float32)
        triangle = np.concatenate([triangle, tip_triangle])
        barycentric = np.concatenate([template.landmark_barycentric, tip_corner])
        on_surface = bind_points(template, particles, triangle, barycentric)
        bones = np.concatenate([_hand_joints(template, side) for side in "LR"])  # [32]
        # A joint's head is carried by the bones above it and does not move when the joint itself turns.
        places = (vertices[template.faces[triangle]] * barycentric[..., None]).sum(1)
        self._bound = _joined(on_surface, bones)
        self._places = torch.from_numpy(np.concatenate([places, joints[bones]]).astype(np.float32))
        self._order = torch.from_numpy(_mediapipe_order())
        self._rig = rig
        self.known = torch.from_numpy(np.concatenate([known, np.ones(42, bool)]))

    def to(self, device: torch.device | str) -> Markers:
        """The same markers on `device`."""
        moved = object.__new__(Markers)
        moved._bound, moved._rig = self._bound, self._rig.to(device)
        moved._places, moved._order = self._places.to(device), self._order.to(device)
        moved.known = self.known.to(device)
        return moved

    def project(self, states: Tensor, camera: Camera) -> Tensor:
        """Pixels of the points, differentiably.

        Args:
            states: Log-twists of the particles, [M, 6] or [T, M, 6].
            camera: The view, on the same device.

        Returns:
            Face, left hand, right hand, [..., 510, 2] px.
        """
        carried = self._rig.carry(states, self._places, self._bound)
        return camera.project(carried[..., self._order, :])[0]


def lip_opening(face: Tensor) -> Tensor:
    """Opening between the inner lips as it is seen, along the line from forehead to chin.

    Args:
        face: Pixels of the face's points, [..., 468, 2].

    Returns:
        Shares of the distance from forehead to chin, [...]; negative where the lips overlap.
    """
    axis = face[..., _CHIN, :] - face[..., _FOREHEAD, :]
    square = axis.square().sum(-1).clamp_min(1.0)
    gaps = [((face[..., low, :] - face[..., up, :]) * axis).sum(-1) / square for up, low in _INNER_LIPS]
    return torch.stack(gaps).mean(0)


def _hand_joints(template: BodyTemplate, side: str) -> np.ndarray:
    """Joints of a hand: wrist, then three of each finger from thumb to little, [16]."""
    names = [f"wrist.{side}"] + [f"finger{f}-{b}.{side}" for f in range(1, 6) for b in (1, 2, 3)]
    return np.array([template.joint(name) for name in names])


def _joined(surface: SurfacePoints, bones: np.ndarray) -> SurfacePoints:
    """Points of the surface, then heads of joints, which bones alone move."""
    n = len(bones)
    bone_index = np.zeros((n, BONES_PER_POINT), np.int32)
    bone_index[:] = bones[:, None]
    bone_weight = np.zeros((n, BONES_PER_POINT), np.float32)
    bone_weight[:, 0] = 1.0
    return SurfacePoints(
        position=np.concatenate([surface.position, np.zeros((n, 3), np.float32)]),
        region=np.concatenate([surface.region, np.zeros(n, np.int64)]),
        particle_index=np.concatenate([surface.particle_index, np.zeros((n, PARTICLES_PER_POINT), np.int32)]),
        particle_weight=np.concatenate([surface.particle_weight, np.zeros((n, PARTICLES_PER_POINT), np.float32)]),
        bone_index=np.concatenate([surface.bone_index, bone_index]),
        bone_weight=np.concatenate([surface.bone_weight, bone_weight]),
    )  # fmt: skip


def _mediapipe_order() -> np.ndarray:
    """From (468 face, 5 + 5 tips, 16 + 16 joints) to face, then 21 points of each hand as mediapipe counts them."""
    order = list(range(N_FACE))
    for side in range(2):
        tips = N_FACE + 5 * side
        joints = N_FACE + 10 + 16 * side
        order.append(joints)
        for finger in range(5):
            order += [joints + 1 + 3 * finger + bone for bone in range(3)] + [tips + finger]
    return np.array(order, np.int64)
