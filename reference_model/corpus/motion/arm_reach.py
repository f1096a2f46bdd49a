"""Arms that reach a place: closed-form inverse kinematics of shoulder, elbow, forearm twist and wrist.

A goal is a place of the wrist, a direction of the fingers and one of the palm. Hands are kept in front of the trunk
that the person really has, so the same gesture fits slim and heavy bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import minimum_filter
from scipy.spatial.transform import Rotation

from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.corpus.motion.hand_shapes import finger_bones, finger_rotations, hand_axes

__all__ = ["Physique", "Reach", "arm_bones", "reach"]

_ARM = ("upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
_TWIST_SHARES = (0.30, 0.45, 0.25)
"""Of the forearm's twist, taken by lowerarm01, lowerarm02 and wrist: the skin follows without pinching."""
_MOST_TWIST = np.radians(115.0)
"""Of the forearm from the template's pose; the wrist can turn no further."""
_MOST_BEND = np.radians(62.0)
"""Of the wrist."""
_LONGEST_REACH = 0.965
"""Of the arm's length: an elbow is never locked."""
_CELL_M = 0.02
_HAND_THICKNESS_M = 0.022
"""From the bones of the hand to its skin."""
_CLOTH_M = 0.025
"""Room left for cloth before the trunk."""
_TIP = (1.12, 0.26)
"""Place of the middle fingertip of the shape "steeple" along the hand and out of the palm, over the distance of the
finger's last joint from the wrist."""
_MEETING_M = 0.004
"""Half the thickness of a finger: so far from the midline do fingers meet."""
_POINTS_OF_HAND_M = (
    (0.0, 0.0),
    (0.05, 0.035),
    (0.05, -0.035),
    (0.10, 0.04),
    (0.10, -0.04),
    (0.15, 0.0),
    (0.19, 0.0),
)
"""Along the hand and across it from the wrist: where its distance to the trunk is measured."""
_NEAR = (-0.5, 0.5, -0.2, 0.75)  # metres of x and z that the profile of the trunk covers


@dataclass(frozen=True, slots=True)
class Reach:
    """A posture of one arm. Axes: x away from the midline on the arm's own side, y backwards, z up."""

    place: tuple[float, float, float]
    """The wrist from the middle between the shoulders: x in half shoulder widths, y and z in upper arms' lengths."""
    fingers: tuple[float, float, float]
    """Direction from the wrist to the middle knuckle."""
    palm: tuple[float, float, float]
    """Direction in which the palm faces."""
    shape: str = "relaxed"
    """A name of `HAND_SHAPES`."""
    elbow: tuple[float, float, float] = (0.32, 0.25, -1.0)
    """To which side of the line from shoulder to wrist the elbow lies."""
    touch: bool = False
    """The palm lies on the chest; otherwise the hand keeps off the trunk."""
    meet: bool = False
    """The tip of the middle finger comes to the midline, where it meets the other hand's; x of `place` is ignored."""


class Physique:
    """What gestures must know of a body.

    Args:
        vertices: The straight body, [V, 3] metres.
        joints: Its joint heads, [J, 3] metres.
        rest_pose: Rotation vectors of the pose from which all motion starts, [J, 3] radians.
    """

    def __init__(self, vertices: np.ndarray, joints: np.ndarray, rest_pose: np.ndarray) -> None:
        template = load_template()
        self.joints = joints.astype(np.float64)
        self.rest_pose = rest_pose.astype(np.float64)
        tensors = TemplateTensors(template)
        tensors.vertices = torch.tensor(vertices, dtype=torch.float32)
        tensors.joints = torch.tensor(joints, dtype=torch.float32)
        still = BodyState.neutral(tensors).replace(rotations=torch.tensor(rest_pose, dtype=torch.float32))
        with torch.inference_mode():
            posed = pose(tensors, still)
        self.heads = posed.joints.numpy().astype(np.float64)
        """Joint heads in the rest pose, [J, 3]."""
        self.turns = posed.rotations.numpy().astype(np.float64)
        """Global rotations of the bones in the rest pose, [J, 3, 3]."""
        self._front = _front_of(posed.vertices.numpy()[~_arm_vertices()])

    def front(self, x: float, z: float) -> float:
        """The y (smaller is further forward) of the trunk's front at a place, metres; inf where there is no trunk."""
        column = int((x - _NEAR[0]) / _CELL_M)
        row = int((z - _NEAR[2]) / _CELL_M)
        rows, columns = self._front.shape
        return float(self._front[row, column]) if 0 <= row < rows and 0 <= column < columns else np.inf


def _arm_vertices() -> np.ndarray:
    """[V] bool: vertices that arms and hands move."""
    template = load_template()
    names = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    arm = np.array([name.startswith(names) for name in template.joint_names])
    share = (arm[template.skin_index] * template.skin_weight).sum(1)
    return share > 0.35


def _front_of(points: np.ndarray) -> np.ndarray:
    columns, rows = (int((b - a) / _CELL_M) for a, b in (_NEAR[:2], _NEAR[2:]))
    front = np.full((rows, columns), np.inf)
    column = ((points[:, 0] - _NEAR[0]) / _CELL_M).astype(int)
    row = ((points[:, 2] - _NEAR[2]) / _CELL_M).astype(int)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    np.minimum.at(front, (row[inside], column[inside]), points[inside, 1])
    return minimum_filter(front, 3)


def arm_bones(side: str) -> list[int]:
    """Joints of the 20 bones that `reach` turns: shoulder to wrist, then the fingers."""
    template = load_template()
    return [template.joint(f"{name}.{side}") for name in _ARM] + finger_bones(side)


def reach(physique: Physique, side: str, goal: Reach) -> np.ndarray:
    """Bone rotations that bring one arm to a posture.

    Args:
        physique: Whose arm.
        side: "L" or "R".
        goal: The posture; what the arm cannot reach is reached as nearly as it can.

    Returns:
        [20, 3] float64 rotation vectors relative to the rest pose in the axes of each bone, in the order of
        `arm_bones`; to be applied after the rest pose's rotations.
    """
    template = load_template()
    bones = arm_bones(side)
    mirror = np.array([1.0 if side == "L" else -1.0, 1.0, 1.0])
    upper_joint, _, fore_joint, _, wrist_joint = bones[:5]
    straight = physique.joints * mirror
    upper0, fore0 = straight[fore_joint] - straight[upper_joint], straight[wrist_joint] - straight[fore_joint]
    parent = mirror[:, None] * physique.turns[template.parents[upper_joint]] * mirror  # [3, 3]
    shoulder = physique.heads[upper_joint] * mirror
    upper, fore = float(np.linalg.norm(upper0)), float(np.linalg.norm(fore0))
    along, palm = _unit(goal.fingers), _perpendicular(goal.palm, _unit(goal.fingers))
    wrist = _free_place(physique, mirror, goal, _place(physique, goal, upper), along, palm)
    elbow, wrist = _two_bones(shoulder, wrist, upper, fore, np.array(goal.elbow))
    rotations = np.zeros((20, 3))
    hinge0 = _unit(np.cross(upper0, fore0))
    hinge = _unit(np.cross(elbow - shoulder, wrist - elbow))
    turn_upper = _frame(elbow - shoulder, hinge) @ _frame(upper0, hinge0).T
    twist, swing = _swing_after_twist(parent.T @ turn_upper, _unit(upper0))
    half = Rotation.from_rotvec(0.5 * twist)
    rotations[0], rotations[1] = (swing * half).as_rotvec(), 0.5 * twist
    bend = _angle(elbow - shoulder, wrist - elbow) - _angle(upper0, fore0)
    elbow_turn = Rotation.from_rotvec(bend * hinge0)
    turn_fore = turn_upper @ elbow_turn.as_matrix()
    axes0 = hand_axes()
    turn_hand = _frame(along, palm) @ _frame(axes0[0], axes0[2]).T
    forearm_twist, wrist_swing = _twist_then_swing(turn_fore.T @ turn_hand, _unit(fore0))
    forearm_twist, wrist_swing = _limited(forearm_twist, _MOST_TWIST), _limited(wrist_swing, _MOST_BEND)
    shares = [Rotation.from_rotvec(share * forearm_twist) for share in _TWIST_SHARES]
    rotations[2] = (elbow_turn * shares[0]).as_rotvec()
    rotations[3] = shares[1].as_rotvec()
    rotations[4] = (shares[2] * Rotation.from_rotvec(wrist_swing)).as_rotvec()
    rotations[:5] *= [1.0, mirror[0], mirror[0]]
    rotations[5:] = finger_rotations(goal.shape, side)
    base = Rotation.from_rotvec(physique.rest_pose[bones])
    return (base.inv() * Rotation.from_rotvec(rotations)).as_rotvec()


def _place(physique: Physique, goal: Reach, upper: float) -> np.ndarray:
    """The goal's wrist in metres, x away from the midline."""
    template = load_template()
    left, right = (physique.heads[template.joint(f"upperarm01.{side}")] for side in "LR")
    middle = 0.5 * (left + right)
    half_width = 0.5 * abs(left[0] - right[0])
    place = np.array([0.0, middle[1], middle[2]]) + np.array(goal.place) * [half_width, upper, upper]
    if goal.meet:
        wrist, joint = (physique.joints[template.joint(name)] for name in ("wrist.L", "finger3-3.L"))
        along = _unit(goal.fingers)
        tip = _TIP[0] * along + _TIP[1] * _perpendicular(goal.palm, along)
        place[0] = _MEETING_M - np.linalg.norm(joint - wrist) * tip[0]
    return place


def _free_place(
    physique: Physique,
    mirror: np.ndarray,
    goal: Reach,
    wrist: np.ndarray,
    along: np.ndarray,
    palm: np.ndarray,
) -> np.ndarray:
    """Move a wrist forward until the hand is free of the trunk, or backward until its palm lies on it."""
    room = np.inf
    for reach_m, aside in _POINTS_OF_HAND_M:
        point = wrist + reach_m * along + aside * np.cross(palm, along)
        thickness = _HAND_THICKNESS_M + (0.5 if goal.touch else 1.0) * _CLOTH_M
        room = min(room, physique.front(point[0] * mirror[0], point[2]) - thickness - point[1])
    if room < 0 or (goal.touch and np.isfinite(room)):
        return wrist + np.array([0.0, room, 0.0])
    return wrist


def _two_bones(
    shoulder: np.ndarray, wrist: np.ndarray, upper: float, fore: float, towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Elbow and wrist of an arm that reaches for `wrist`, its elbow on the side of `towards`."""
    line = wrist - shoulder
    shortest = 1.25 * abs(upper - fore) + 0.05
    distance = float(np.clip(np.linalg.norm(line), shortest, _LONGEST_REACH * (upper + fore)))
    line = _unit(line)
    share = (upper**2 - fore**2 + distance**2) / (2 * distance)
    height = np.sqrt(max(upper**2 - share**2, 0.0))
    elbow = shoulder + share * line + height * _perpendicular(towards, line)
    return elbow, shoulder + distance * line


def _unit(vector: np.ndarray | tuple[float, ...]) -> np.ndarray:
    return np.asarray(vector, np.float64) / np.linalg.norm(vector)


def _perpendicular(vector: np.ndarray | tuple[float, ...], axis: np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, np.float64)
    return _unit(vector - (vector @ axis) * axis)


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.arccos(np.clip(_unit(first) @ _unit(second), -1.0, 1.0)))


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Columns: two perpendicular directions and their product, [3, 3]."""
    first, second = _unit(first), _unit(second)
    return np.stack([first, second, np.cross(first, second)], 1)


def _twist(turn: np.ndarray, axis: np.ndarray) -> Rotation:
    """The part of a rotation that turns about an axis."""
    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    return Rotation.from_quat([*(np.array([x, y, z]) @ axis * axis), w])


def _swing_after_twist(turn: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, Rotation]:
    """`turn = swing * twist`: rotation vector of the twist, and the swing."""
    twist = _twist(turn, axis)
    return twist.as_rotvec(), Rotation.from_matrix(turn) * twist.inv()


def _twist_then_swing(turn: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`turn = twist * swing`: both rotation vectors."""
    twist = _twist(turn, axis)
    return twist.as_rotvec(), (twist.inv() * Rotation.from_matrix(turn)).as_rotvec()


def _limited(vector: np.ndarray, most: float) -> np.ndarray:
    angle = float(np.linalg.norm(vector))
    return vector * (most / angle) if angle > most else vector
