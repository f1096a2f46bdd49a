"""Cuts of garments: where a top, trousers, a skirt or shoes have cloth, as signed distances to their edges.

Lengths are on the mean template; each person's coordinates are scaled to it (`BodyFrame`), so that one cut fits all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.mesh_raster import N_CUTS
from reference_model.corpus.people.fabric import FabricLook
from reference_model.corpus.people.head_chart import CHIN

__all__ = ["BodyFrame", "GarmentLook", "Part", "arm_coordinate", "body_frame", "cut_fields"]

Part = Literal["top", "collar", "trousers", "skirt", "shoes"]
Neckline = Literal["crew", "v", "shirt", "open"]

_ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
_NECK_EASE = 0.010  # metres between the neck and a round neckline at its sides
_ANKLE = -0.735  # height of a shoe's upper edge above the pelvis of the template, metres


@dataclass(frozen=True, slots=True)
class GarmentLook:
    """A cut and a fabric; lengths in metres on the mean template."""

    part: Part
    fabric: FabricLook
    hem: float = -0.12
    """Height of the lower edge above the pelvis."""
    looseness: float = 0.012
    """Ease beyond the skin, from the chest (or hips) downwards and along the sleeves."""
    taper: float = 0.2
    """How fast the cloth narrows downwards: 0 hangs straight, 1 follows a 45 degree slope; negative flares."""
    neckline: Neckline = "crew"
    neck_radius: float = 0.084
    """Least half-width of the neck opening."""
    v_depth: float = 0.07
    """How far the point of a V neck lies below the round neckline."""
    sleeve: float = 0.20
    """From the shoulder joint along the arm; the wrist is at 0.49."""
    sleeve_width: float = 0.006
    """Radius of the sleeve's end beyond the arm."""
    waist: float = 0.085
    """Height of a waistband above the pelvis."""
    underlay: float = 0.0
    """Thickness of what is worn below."""


class BodyFrame(NamedTuple):
    """Where a person's parts are, for placing cuts."""

    upper: float  # the person's size over the template's above the pelvis
    lower: float  # and below
    chin: np.ndarray  # [3] metres
    neck: float  # half-width of the neck, metres
    arm: np.ndarray  # [V] share of the arm's bones in each body vertex
    along: np.ndarray  # [V] length along the arm on the template, metres


def arm_coordinate(template: BodyTemplate, points: np.ndarray) -> np.ndarray:
    """Length along the arm from the shoulder joint, the same on both sides; negative towards the chest, [N]."""
    mirrored = np.abs(points * [1, 0, 0]) + points * [0, 1, 1]
    shoulder, elbow, wrist = (
        template.joints[template.joint(f"{n}.L")] for n in ("upperarm01", "lowerarm01", "wrist")
    )
    upper, fore = elbow - shoulder, wrist - elbow
    reach, length = np.linalg.norm(upper), np.linalg.norm(fore)
    along_upper = (mirrored - shoulder) @ (upper / reach)
    along_fore = (mirrored - elbow) @ (fore / length)
    to_upper = np.linalg.norm(
        mirrored - shoulder - np.clip(along_upper, -0.2, reach)[:, None] * upper / reach, axis=1
    )
    to_fore = np.linalg.norm(mirrored - elbow - np.clip(along_fore, 0, 1)[:, None] * fore / length, axis=1)
    return np.where(to_upper < to_fore, np.minimum(along_upper, reach + 0.02), reach + along_fore)


def body_frame(template: BodyTemplate, rest: np.ndarray, joints: np.ndarray) -> BodyFrame:
    """Measure a person.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        joints: The person's joint heads, [J, 3] metres.

    Returns:
        The person's frame.
    """
    shoulder, foot, neck = (template.joint(name) for name in ("upperarm01.L", "foot.L", "neck02"))
    body = rest[template.region_vertices("body")]
    throat = body[(np.abs(body[:, 2] - joints[neck, 2]) < 0.02) & (np.abs(body[:, 0]) < 0.12)]
    skin = np.zeros((template.n_vertices, template.n_joints), np.float32)
    np.add.at(skin, (np.arange(template.n_vertices)[:, None], template.skin_index), template.skin_weight)
    arm = skin[:, [i for i, name in enumerate(template.joint_names) if name.startswith(_ARM_BONES)]].sum(1)
    return BodyFrame(
        float(joints[shoulder, 2] / template.joints[shoulder, 2]),
        float(joints[foot, 2] / template.joints[foot, 2]),
        template.landmark_barycentric[CHIN] @ rest[template.faces[template.landmark_face[CHIN]]],
        float(np.abs(throat[:, 0]).max()),
        arm,
        arm_coordinate(template, template.vertices),
    )


def template_height(frame: BodyFrame, z: np.ndarray) -> np.ndarray:
    """Heights on the person to heights on the template, metres."""
    return np.where(z > 0, z / frame.upper, z / frame.lower)


def cut_fields(
    frame: BodyFrame, points: np.ndarray, arm: np.ndarray, along: np.ndarray, look: GarmentLook
) -> np.ndarray:
    """Signed distances to the edges of a garment, positive where there is cloth.

    Args:
        frame: The person's frame.
        points: Places on the person in the rest pose, [N, 3] metres.
        arm: Share of the arm's bones in each point, [N] 0..1.
        along: Length along the arm (`arm_coordinate`), [N] metres.
        look: The cut.

    Returns:
        [N, N_CUTS] float32 metres: lower edges, upper edge, opening.
    """
    fields = np.ones((len(points), N_CUTS), np.float32)
    z = template_height(frame, points[:, 2])
    if look.part in ("trousers", "skirt"):
        fields[:, 0] = np.where(arm > 0.3, -1, z - look.hem)
        fields[:, 1] = np.where(arm > 0.3, -1, look.waist - z)
    elif look.part == "shoes":
        fields[:, 0] = _ANKLE + 0.25 * (points[:, 1] - 0.02) - z
    else:
        offset = points - [0.0, 0.012, frame.chin[2] - 0.002]
        radius = max(look.neck_radius, frame.neck + _NECK_EASE)
        ellipse = np.array([1.0, 1.1, 1.25]) * (radius, radius, 0.086)
        neck = (np.linalg.norm(offset / ellipse, axis=1) - 1) * radius
        if look.part == "collar":
            return _collar(points, arm, neck, frame)
        hem = np.where(arm > 0.5, 1.0, z - look.hem)
        fields[:, 0] = np.minimum(hem, np.where(arm > 0.2, look.sleeve - along, 1.0))
        fields[:, 1] = neck
        fields[:, 2] = _opening(points, frame, look, radius)
    return fields


def _opening(points: np.ndarray, frame: BodyFrame, look: GarmentLook, radius: float) -> np.ndarray:
    """Distance from the V of a neckline or from the open front of a jacket, [N]."""
    across, front = np.abs(points[:, 0]), points[:, 1] < 0.02
    throat = frame.chin[2] - 0.110
    if look.neckline == "open":  # lapels part from the belly up to the neck
        half = 0.030 + 0.18 * np.clip(points[:, 2] - (throat - 0.36), 0, 0.36)
        return np.where(front, across - half, 1.0)
    if look.neckline == "crew":
        return np.ones(len(points))
    slope = radius / (look.v_depth + 0.06)
    v = (across - slope * (points[:, 2] - (throat - look.v_depth))) / np.hypot(1, slope)
    return np.where(front, v, 1.0)


def _collar(points: np.ndarray, arm: np.ndarray, neck: np.ndarray, frame: BodyFrame) -> np.ndarray:
    """The leaf of a shirt's collar: a band round the neckline, pointed at the front, [N, N_CUTS]."""
    across = np.abs(points[:, 0])
    front = np.clip((-points[:, 1] - 0.01) / 0.05, 0, 1)
    width = 0.030 + 0.026 * front * np.exp(-(((across - 0.060) / 0.022) ** 2))
    gap = across - (0.008 + 0.55 * np.clip(frame.chin[2] - 0.075 - points[:, 2], 0, 0.1))
    leaf = np.where(arm > 0.2, -1.0, width - neck)
    return np.stack([leaf, neck + 0.006, np.where(front > 0, gap, 1.0)], -1).astype(np.float32)
