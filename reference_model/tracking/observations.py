"""What the frames of a video show of one person, as tensors over time, and the template points they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from media.following import PersonFollower, SeenPerson
from reference_model.body.template import BodyTemplate
from reference_model.photo.evidence import HAND_PARENT, regressor_rows
from reference_model.photo.initial_pose import HAND_CHAIN, SIDES, camera_to_world_axes

__all__ = ["Observations", "follow", "gather"]

# Body point of the template -> BlazePose point, trust, and trust of a wrist whose hand the hand model lacks.
_BODY: dict[str, tuple[int, float]] = {
    "shoulder": (11, 1.0),
    "elbow": (13, 1.0),
    "wrist": (15, 0.3),
    "hip": (23, 0.3),
    "knee": (25, 1.0),
    "ankle": (27, 1.0),
    "ear": (7, 0.1),
}
_LONE_WRIST = 1.0
_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"))
_LANDMARK_SPREAD_M = 1.5e-3  # face points that scatter more on the template than this count less


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """T frames; weights are 0 where nothing was seen. Left before right wherever there are two hands.

    `vertices` lists the template vertices that a fit needs; every other vertex index counts in that subset.
    """

    vertices: np.ndarray  # [S]
    body_regressor: Tensor  # [P, S]
    body: Tensor  # [T, P, 2] px
    body_weight: Tensor  # [T, P]
    limbs: Tensor  # [L, 2] rows of body: start and end
    limb_directions: Tensor  # [T, L, 3] unit, world axes
    limb_weight: Tensor  # [T, L]
    face_triangles: Tensor  # [F, 3]
    face_barycentric: Tensor  # [F, 3]
    face: Tensor  # [T, F, 2] px
    face_weight: Tensor  # [T, F]; sums to 1 where a face was seen
    hand_joints: Tensor  # [2, 16] template joints
    hand_tips: Tensor  # [2, 5] rows of the vertex subset
    hands: Tensor  # [T, 2, 21, 2] px
    hand_bones: Tensor  # [T, 2, 20, 3] unit directions in world axes
    hand_weight: Tensor  # [T, 2]

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.body)


def follow(frames: Iterable[np.ndarray]) -> list[SeenPerson | None]:
    """Look at each frame [H, W, 3] uint8 sRGB."""
    with PersonFollower() as follower:
        return [follower.look(frame) for frame in frames]


def gather(
    template: BodyTemplate, seen: Sequence[SeenPerson | None], width: int, height: int
) -> Observations:
    """Arrange what was seen; frames without a person, face or hand have zero weight there.

    Args:
        template: The body.
        seen: One entry a frame.
        width: Of the frames, px.
        height: Of the frames, px.
    """
    names = [f"{side}_{part}" for part in _BODY for side in SIDES]
    slots = np.array([_BODY[n.split("_", 1)[1]][0] + n.startswith("right") for n in names])
    regressor = regressor_rows(template, names)  # [P, V]
    limbs = [(names.index(f"{s}_{a}"), names.index(f"{s}_{b}")) for a, b in _LIMBS for s in SIDES]
    face = np.flatnonzero(template.landmark_face >= 0)
    corners = template.faces[template.landmark_face[face]]  # [F, 3]
    tips = np.stack([template.fingertip_vertex[side] for side in SIDES])  # [2, 5]
    vertices = np.unique(
        np.concatenate([np.flatnonzero((regressor != 0).any(0)), corners.ravel(), tips.ravel()])
    )
    row = np.full(template.n_vertices, -1)
    row[vertices] = np.arange(len(vertices))
    joint = {name: j for j, name in enumerate(template.joint_names)}
    reliability = np.clip(_LANDMARK_SPREAD_M / (template.landmark_spread[face] + 1e-4), 0.02, 1.0)
    frames = [_Frame(person, names, slots, limbs, face, width, height) for person in seen]
    return Observations(
        vertices=vertices,
        body_regressor=_float(regressor[:, vertices]),
        body=_stack(frames, "body"),
        body_weight=_stack(frames, "body_weight"),
        limbs=torch.tensor(limbs),
        limb_directions=_stack(frames, "limb_directions"),
        limb_weight=_stack(frames, "limb_weight"),
        face_triangles=torch.as_tensor(row[corners]),
        face_barycentric=_float(template.landmark_barycentric[face]),
        face=_stack(frames, "face"),
        face_weight=_stack(frames, "face_seen")[:, None] * _float(reliability / reliability.sum()),
        hand_joints=torch.tensor(
            [[joint[f"{n}.{SIDES[side]}"] for n in HAND_CHAIN.values()] for side in SIDES]
        ),
        hand_tips=torch.as_tensor(row[tips]),
        hands=_stack(frames, "hands"),
        hand_bones=_stack(frames, "hand_bones"),
        hand_weight=_stack(frames, "hand_weight"),
    )


class _Frame:
    """One frame's row of every tensor."""

    def __init__(
        self,
        person: SeenPerson | None,
        names: list[str],
        slots: np.ndarray,
        limbs: list[tuple[int, int]],
        face: np.ndarray,
        width: int,
        height: int,
    ) -> None:
        self.body, self.body_weight = np.zeros((len(names), 2)), np.zeros(len(names))
        self.limb_directions, self.limb_weight = np.zeros((len(limbs), 3)), np.zeros(len(limbs))
        self.face, self.face_seen = np.zeros((len(face), 2)), 0.0
        self.hands, self.hand_bones = np.zeros((2, 21, 2)), np.zeros((2, 20, 3))
        self.hand_weight = np.zeros(2)
        if person is None:
            return
        self.body = person.pose[slots, :2]
        trust = np.array([_BODY[name.split("_", 1)[1]][1] for name in names])
        for side in SIDES:
            if side not in person.hands:
                trust[names.index(f"{side}_wrist")] = _LONE_WRIST
        inside = ((self.body > 0) & (self.body < (width, height))).all(1)
        self.body_weight = person.pose[slots, 3] ** 2 * inside * trust
        world = camera_to_world_axes(person.pose_world)
        self.limb_directions = _unit(np.stack([world[slots[b]] - world[slots[a]] for a, b in limbs]))
        self.limb_weight = person.pose[slots[[b for _, b in limbs]], 3]
        if person.face is not None:
            self.face, self.face_seen = person.face[face, :2], 1.0
        for i, side in enumerate(SIDES):
            hand = person.hands.get(side)
            if hand is not None:
                points = camera_to_world_axes(hand.world)
                self.hands[i], self.hand_weight[i] = hand.points[:, :2], 1.0
                self.hand_bones[i] = _unit(points[1:] - points[HAND_PARENT[1:]])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _stack(frames: Sequence[_Frame], name: str) -> Tensor:
    return _float(np.stack([getattr(frame, name) for frame in frames]))


def _float(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
