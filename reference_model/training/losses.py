"""Losses of geometric supervision, in millimetres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reference_model.body.template import BodyTemplate
from reference_model.innovations import BLINK_ONSET

__all__ = [
    "LossWeights",
    "blinks_seen",
    "joint_levers",
    "joint_loss",
    "joint_velocity_loss",
    "lid_loss",
    "lip_gap_loss",
    "point_loss",
    "velocity_loss",
]

_SHORTEST_LEVER_M = 0.03
_LONGEST_LEVER_M = 0.6
_FULL_DROP_M = 0.005  # of the upper lids, on the mean over their points


class LossWeights(NamedTuple):
    """Weights of the terms; chosen so that lips come first and no term is idle."""

    points: float = 1.0
    points_by_particles: float = 0.5
    """Keeps the motion in the particles and the residuals small."""
    gap: float = 1.5
    gap_closed: float = 4.0
    """Extra weight of the gap in frames where the lips must be shut."""
    velocity: float = 1.0
    joints: float = 2.0
    joint_velocity: float = 20.0
    """A mean over all joints: a stroke moves few of them, for few frames. With a thirtieth of this weight the strokes
    that networks learn have a third of the teacher's speed, and the wrists tremble."""
    tether: float = 0.05
    """Particle twists towards those of the animator, which fixes what points alone leave open."""
    lids: float = 0.3
    """Eyes and brows while the lids are down. A blink takes 5 % of the frames and few points: the mean over all of
    them hardly feels it, and networks trained without this term do not blink."""
    residual: float = 0.05
    spectrum: float = 0.05
    """Power above 10 Hz of the errors outside of the lips, mm^2."""
    speech: float = 5.0
    """What the driving tokens tell of the speech, see `SpeechReadout`."""


def _mean(value: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean; `weight` has leading dimensions of `value`. 0 where all weights are."""
    weight = weight.reshape(*weight.shape, *(1,) * (value.ndim - weight.ndim))
    total = weight.expand_as(value).sum()
    return (value * weight).sum() / total.clamp(min=1e-6)


def point_loss(error: Tensor, point_weight: Tensor, frame_weight: Tensor) -> Tensor:
    """Huber loss of position errors.

    Args:
        error: Metres, [B, T, n, 3].
        point_weight: [n].
        frame_weight: [B, T].

    Returns:
        Scalar, millimetres.
    """
    huber = F.smooth_l1_loss(error * 1e3, torch.zeros_like(error), reduction="none", beta=1.0).sum(-1)
    return _mean(huber, frame_weight[..., None] * point_weight)


def velocity_loss(error: Tensor, point_weight: Tensor, frame_weight: Tensor) -> Tensor:
    """Squared error of the motion from frame to frame, soft above 1 mm; arguments as in `point_loss`."""
    both = frame_weight[:, 1:] * frame_weight[:, :-1]
    return point_loss(error.diff(dim=1), point_weight, both)


def lip_gap_loss(error: Tensor, closure: Tensor, extra: float, frame_weight: Tensor) -> Tensor:
    """Huber loss of the inner-lip gap, heavier where the lips must be shut.

    Args:
        error: Predicted minus wanted gap, metres, [B, T, P].
        closure: [B, T] bool.
        extra: Added weight in frames of closure.
        frame_weight: [B, T].

    Returns:
        Scalar, millimetres.
    """
    huber = F.smooth_l1_loss(error * 1e3, torch.zeros_like(error), reduction="none", beta=0.5)
    return _mean(huber, frame_weight * (1 + extra * closure))


def blinks_seen(innovations: Tensor) -> Tensor:
    """Frames from the crop's first blink onset on: a network cannot know of a blink that began before the crop.

    Without this the lids of the first frames would learn to be down, just in case.

    Args:
        innovations: [B, T, 8].

    Returns:
        0 or 1, [B, T].
    """
    return (innovations[..., BLINK_ONSET] > 0.5).to(innovations.dtype).cummax(1).values


def lid_loss(error: Tensor, wanted_drop: Tensor, frame_weight: Tensor) -> Tensor:
    """Huber loss of points around the eyes in the frames of a blink.

    Args:
        error: Position errors, metres, [B, T, l, 3].
        wanted_drop: How far the lids are to come down, metres, [B, T].
        frame_weight: [B, T].

    Returns:
        Scalar, millimetres; 0 for a batch without a blink.
    """
    down = (wanted_drop / _FULL_DROP_M).clamp(0, 1)
    return point_loss(error, torch.ones_like(error[0, 0, :, 0]), frame_weight * down)


def joint_levers(template: BodyTemplate) -> Tensor:
    """How far each joint's rotation carries the farthest joint below it, metres, [J].

    The farthest descendant's distance, within 3 cm (finger tips hang on joints of no descendants) and 60 cm.

    Args:
        template: The joints.
    """
    reach = np.zeros(len(template.joints))
    for joint in range(len(template.joints)):
        ancestor = template.parents[joint]
        while ancestor >= 0:
            distance = float(np.linalg.norm(template.joints[joint] - template.joints[ancestor]))
            reach[ancestor] = max(reach[ancestor], distance)
            ancestor = template.parents[ancestor]
    skull = template.joint("head")
    reach[skull] = max(reach[skull], 0.15)  # from the joint to the face
    levers = reach.clip(_SHORTEST_LEVER_M, _LONGEST_LEVER_M)
    return torch.tensor(levers, dtype=torch.float32)


def joint_loss(error: Tensor, levers: Tensor, frame_weight: Tensor) -> Tensor:
    """Huber loss of joint rotations as the path of the end of their lever.

    Args:
        error: Rotation vectors, radians, [B, T, J, 3].
        levers: [J] metres.
        frame_weight: [B, T].

    Returns:
        Scalar, millimetres.
    """
    path_mm = error * levers[:, None] * 1e3
    huber = F.smooth_l1_loss(path_mm, torch.zeros_like(path_mm), reduction="none", beta=5.0).sum(-1)
    return _mean(huber, frame_weight)


def joint_velocity_loss(error: Tensor, levers: Tensor, frame_weight: Tensor) -> Tensor:
    """`joint_loss` of the change from frame to frame; arguments as there."""
    both = frame_weight[:, 1:] * frame_weight[:, :-1]
    return joint_loss(error.diff(dim=1), levers, both)
