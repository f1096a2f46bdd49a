"""SMPL-X's forward kinematics in float64, and rotations between directions."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from baselines.motion.layout import PARENTS

__all__ = ["aiming", "matrices", "posed_joints", "rotation_vectors", "shortest_rotation"]


def matrices(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] of rotation vectors [..., 3]."""
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)


def rotation_vectors(rotations: np.ndarray) -> np.ndarray:
    """Rotation vectors [..., 3] of rotation matrices [..., 3, 3]."""
    return Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(rotations.shape[:-1])


def posed_joints(rest_joints: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Joints [T, 55, 3] of rotation vectors [T, 55, 3]; the pelvis stays where it rests."""
    turned = matrices(rotations)
    turns, places = np.empty_like(turned), np.empty_like(rotations)
    for j, parent in enumerate(PARENTS):
        if parent < 0:
            turns[:, j], places[:, j] = turned[:, j], rest_joints[j]
        else:
            turns[:, j] = turns[:, parent] @ turned[:, j]
            places[:, j] = places[:, parent] + turns[:, parent] @ (rest_joints[j] - rest_joints[parent])
    return places


def shortest_rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Matrices [..., 3, 3] of the smallest turn that takes the directions `start` [..., 3] to `end`."""
    a = start / np.linalg.norm(start, axis=-1, keepdims=True)
    b = end / np.linalg.norm(end, axis=-1, keepdims=True)
    axis = np.cross(a, b)
    sine, cosine = np.linalg.norm(axis, axis=-1), (a * b).sum(-1)
    angle = np.arctan2(sine, cosine)
    return matrices(axis * (angle / np.maximum(sine, 1e-12))[..., None])


def aiming(direction: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """The axes [3, 3] (columns) of a bone: along `direction`, then towards `beside` as far as that is across it."""
    x = direction / np.linalg.norm(direction)
    y = beside - (beside @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)
