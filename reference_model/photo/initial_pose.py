"""Closed-form first guess of the pose from the 3D landmarks, so that the fit starts near its optimum."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from media.landmarks import HandLandmarks, PersonLandmarks, Side
from reference_model.body.template import BodyTemplate

__all__ = ["HAND_CHAIN", "SIDES", "camera_to_world_axes", "initial_rotations", "legs_visible"]

SIDES: dict[Side, str] = {"left": "L", "right": "R"}

# mediapipe hand landmark i -> template joint (the finger tips, every fourth, are vertices and not joints).
HAND_CHAIN: dict[int, str] = {0: "wrist"} | {
    4 * finger + knuckle + 1: f"finger{finger + 1}-{knuckle + 1}"
    for finger in range(5)
    for knuckle in range(3)
}
_PALM = (0, 5, 9, 13, 17)  # wrist and the four knuckles: nearly rigid

# Limbs as (joint, joint at the bone's far end, mediapipe pose landmark at each end), left side; right is +1.
_ARM = (("upperarm01", "lowerarm01", 11, 13), ("lowerarm01", "wrist", 13, 15))
_LEG = (("upperleg01", "lowerleg01", 23, 25), ("lowerleg01", "foot", 25, 27))

_MAX_FINGER_BEND = 1.7  # rad; noisy depth would fold a finger through the palm
_YAW_DEAD_ZONE = 0.25  # rad; below it the depth of the shoulders is noise


def camera_to_world_axes(directions: np.ndarray) -> np.ndarray:
    """Directions `[..., 3]` from frontal camera axes (x right, y down, z away) to world axes."""
    return np.stack([directions[..., 0], directions[..., 2], -directions[..., 1]], axis=-1)


def legs_visible(landmarks: PersonLandmarks) -> bool:
    """Whether the photograph shows a knee; unseen legs must stay as they are at rest."""
    return bool(np.asarray(landmarks.pose)[[25, 26], 3].max() >= 0.3)


def initial_rotations(template: BodyTemplate, landmarks: PersonLandmarks) -> np.ndarray:
    """Joint rotations that point the limbs and fingers along the detector's 3D bone directions.

    Args:
        template: The body.
        landmarks: What the detectors saw.

    Returns:
        Bone-local rotation vectors in radians, `[J, 3]`; joints without evidence are zero.
    """
    names = list(template.joint_names)
    index = {name: j for j, name in enumerate(names)}
    joints = np.asarray(template.joints, np.float64)  # [J, 3] rest heads
    world = camera_to_world_axes(np.asarray(landmarks.pose_world, np.float64))  # [33, 3]

    bones: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # joint -> direction at rest, direction seen
    limbs = _ARM + (_LEG if legs_visible(landmarks) else ())
    for near, far, start, end in limbs:
        for side, shift in (("L", 0), ("R", 1)):
            a, b = index[f"{near}.{side}"], index[f"{far}.{side}"]
            bones[a] = joints[b] - joints[a], world[end + shift] - world[start + shift]
    palms: dict[int, np.ndarray] = {}
    for side, hand in landmarks.hands.items():
        palms[index[f"wrist.{SIDES[side]}"]] = _palm_rotation(joints, index, SIDES[side], hand)
        bones |= _finger_bones(joints, index, SIDES[side], hand)

    rotations = np.zeros((len(names), 3))
    globals_ = np.zeros((len(names), 3, 3))
    for j, parent in enumerate(np.asarray(template.parents)):
        g = np.eye(3) if parent < 0 else globals_[parent]
        if parent < 0:
            rotations[j, 2] = _torso_yaw(world)
        elif j in palms:
            twist_joint = index[f"lowerarm02.{names[j][-1]}"]
            g = _share_forearm_twist(rotations, globals_, twist_joint, joints, j, palms[j])
            rotations[j] = Rotation.from_matrix(g.T @ palms[j]).as_rotvec()
        elif j in bones:
            rest, seen = bones[j]
            rotations[j] = _shortest_rotation(rest, g.T @ seen)
            if names[j].startswith("finger"):
                angle = np.linalg.norm(rotations[j])
                rotations[j] *= min(1.0, _MAX_FINGER_BEND / max(float(angle), 1e-9))
        globals_[j] = g @ Rotation.from_rotvec(rotations[j]).as_matrix()
    return rotations


def _torso_yaw(world: np.ndarray) -> float:
    across = world[11] - world[12]  # to the person's left
    yaw = float(np.arctan2(across[1], across[0]))
    return float(np.sign(yaw) * max(abs(yaw) - _YAW_DEAD_ZONE, 0.0))


def _share_forearm_twist(
    rotations: np.ndarray,
    globals_: np.ndarray,
    twist_joint: int,
    joints: np.ndarray,
    wrist: int,
    palm: np.ndarray,
) -> np.ndarray:
    """Let the forearm take half of the palm's turn about it, as the two bones of a real one do.

    Changes the entries of `twist_joint` in `rotations` and `globals_`, and returns the latter.
    """
    axis = joints[wrist] - joints[twist_joint]
    axis /= np.linalg.norm(axis)
    before = globals_[twist_joint]
    x, y, z, w = Rotation.from_matrix(before.T @ palm).as_quat()
    twist = 2 * np.arctan2(np.array([x, y, z]) @ axis, w)
    twist = (twist + np.pi) % (2 * np.pi) - np.pi
    rotations[twist_joint] = 0.5 * twist * axis
    globals_[twist_joint] = before @ Rotation.from_rotvec(rotations[twist_joint]).as_matrix()
    return globals_[twist_joint]


def _palm_rotation(joints: np.ndarray, index: dict[str, int], side: str, hand: HandLandmarks) -> np.ndarray:
    rest = np.stack([joints[index[f"{HAND_CHAIN[i]}.{side}"]] for i in _PALM])
    seen = camera_to_world_axes(np.asarray(hand.world, np.float64)[list(_PALM)])
    rotation = Rotation.align_vectors(seen - seen.mean(0), rest - rest.mean(0))[0]
    return rotation.as_matrix()


def _finger_bones(
    joints: np.ndarray, index: dict[str, int], side: str, hand: HandLandmarks
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    seen = camera_to_world_axes(np.asarray(hand.world, np.float64))
    bones = {}
    for landmark, name in HAND_CHAIN.items():
        if landmark == 0:
            continue
        here = index[f"{name}.{side}"]
        if landmark + 1 in HAND_CHAIN:
            rest = joints[index[f"{HAND_CHAIN[landmark + 1]}.{side}"]] - joints[here]
        else:  # the last bone goes on as the one before it
            rest = joints[here] - joints[index[f"{HAND_CHAIN[landmark - 1]}.{side}"]]
        bones[here] = rest, seen[landmark + 1] - seen[landmark]
    return bones


def _shortest_rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rotation vector of the smallest turn that takes the direction `start` to `end`."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < 1e-8:
        return np.zeros(3)
    return axis / sine * np.arctan2(sine, cosine)
