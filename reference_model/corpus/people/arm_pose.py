"""A rest pose for the arms: elbows beside the body, hands before the belly, found by inverse kinematics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from reference_model.body.template import BodyTemplate

__all__ = ["ArmTarget", "draw_arms", "posed_joints", "solve_arms"]

_BONES = ("clavicle.L", "upperarm01.L", "upperarm02.L", "lowerarm01.L", "lowerarm02.L", "wrist.L")
_STIFFNESS = np.array([0.3, 0.15, 2.0, 0.15, 0.5, 0.4])
"""How much each bone prefers not to turn: the forearm takes most of the twist, the wrist little."""
_FINGER_CURL = np.array([0.20, 0.28, 0.18])  # radians at the three knuckles of the index finger


@dataclass(frozen=True, slots=True)
class ArmTarget:
    """Where the left arm goes; the right is its mirror image. x points to the person's left, -y to the front."""

    elbow: tuple[float, float, float] = (0.04, 0.19, -0.98)
    """Direction of the upper arm."""
    shoulder: tuple[float, float, float] = (-0.006, 0.004, -0.018)
    """Where the shoulder joint sinks to from the rest pose, metres: arms that hang let the shoulders slope."""
    wrist: tuple[float, float, float] = (-0.13, -0.98, -0.07)
    """Direction of the forearm."""
    fingers: tuple[float, float, float] = (-0.42, -0.75, 0.30)
    """Direction from the wrist to the middle knuckle."""
    palm: tuple[float, float, float] = (-0.55, 0.40, -0.30)
    """Direction in which the palm faces."""
    curl: float = 1.0
    """Bend of the fingers relative to a relaxed hand."""


def draw_arms(rng: np.random.Generator) -> ArmTarget:
    """Draw how a person holds the arms: forearms level or lower, hands nearer or further apart, fingers more bent.

    Args:
        rng: Source of the choice.

    Returns:
        The target.
    """
    default = ArmTarget()
    inward, drop = float(rng.uniform(-0.16, 0.04)), float(rng.uniform(-0.30, 0.02))
    return ArmTarget(
        elbow=(float(rng.uniform(0.02, 0.12)), float(rng.uniform(0.10, 0.22)), -0.98),
        wrist=(default.wrist[0] + inward + 0.06, default.wrist[1], default.wrist[2] + drop),
        curl=float(rng.uniform(0.75, 1.35)),
    )


def posed_joints(template: BodyTemplate, joints: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Forward kinematics in plain numbers: joint heads [J, 3] under rotation vectors [J, 3]."""
    turns = np.empty((len(joints), 3, 3))
    heads = np.empty_like(joints, dtype=np.float64)
    local = Rotation.from_rotvec(rotations).as_matrix()
    for joint, parent in enumerate(template.parents):
        if parent < 0:
            turns[joint], heads[joint] = local[joint], joints[joint]
            continue
        turns[joint] = turns[parent] @ local[joint]
        heads[joint] = heads[parent] + turns[parent] @ (joints[joint] - joints[parent])
    return heads


def _hand_axes(template: BodyTemplate, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the left hand: wrist to middle knuckle, little finger to index finger, out of the palm."""
    wrist, index, middle, little = (
        heads[template.joint(name)] for name in ("wrist.L", "finger2-1.L", "finger3-1.L", "finger5-1.L")
    )
    forward = (middle - wrist) / np.linalg.norm(middle - wrist)
    across = (index - little) / np.linalg.norm(index - little)
    palm = np.cross(forward, across)
    return forward, across, palm / np.linalg.norm(palm)


def solve_arms(template: BodyTemplate, joints: np.ndarray, target: ArmTarget) -> np.ndarray:
    """Bone rotations that bring both arms to the target.

    Args:
        template: The body template.
        joints: The person's joint heads, [J, 3] metres.
        target: Where the arms go.

    Returns:
        Rotation vectors, [J, 3] float32 radians.
    """
    bones = [template.joint(name) for name in _BONES]
    shoulder, elbow, wrist = (template.joint(name) for name in ("upperarm01.L", "lowerarm01.L", "wrist.L"))
    goal_shoulder = joints[shoulder] + target.shoulder
    upper, fore, forward, palm = (
        np.array(v) / np.linalg.norm(v) for v in (target.elbow, target.wrist, target.fingers, target.palm)
    )
    goal_elbow = goal_shoulder + upper * np.linalg.norm(joints[elbow] - joints[shoulder])
    goal_wrist = goal_elbow + fore * np.linalg.norm(joints[wrist] - joints[elbow])
    rotations = np.zeros((len(joints), 3))

    def residual(flat: np.ndarray) -> np.ndarray:
        rotations[bones] = flat.reshape(-1, 3)
        heads = posed_joints(template, joints, rotations)
        now_forward, _, now_palm = _hand_axes(template, heads)
        return np.concatenate([
            12 * (heads[shoulder] - goal_shoulder), 14 * (heads[elbow] - goal_elbow), 17 * (heads[wrist] - goal_wrist),
            1.0 * (now_forward - forward), 1.0 * (now_palm - palm),
            0.17 * (_STIFFNESS[:, None] * flat.reshape(-1, 3)).ravel(),
        ])  # fmt: skip

    solution = least_squares(residual, np.zeros(3 * len(bones)), max_nfev=60).x
    rotations[bones] = solution.reshape(-1, 3)
    _, across, _ = _hand_axes(template, joints)
    for finger in range(2, 6):
        for knuckle, bend in enumerate(_FINGER_CURL * (1 + 0.15 * (finger - 2)), start=1):
            rotations[template.joint(f"finger{finger}-{knuckle}.L")] = -across * bend * target.curl
    for name in [n for n in template.joint_names if n.endswith(".L")]:
        mirrored = rotations[template.joint(name)] * [1, -1, -1]
        rotations[template.joint(name[:-1] + "R")] = mirrored
    return rotations.astype(np.float32)
