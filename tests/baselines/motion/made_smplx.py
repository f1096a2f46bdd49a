"""A made model file in SMPL-X's layout, which the smplx package loads; proportions are made up, nothing is SMPL-X's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from baselines.motion.layout import FINGERS, JOINT_NAMES, N_JOINTS, PARENTS
from baselines.motion.smplx_motion import SmplxMotion

N_VERTICES = 10_475  # the smplx package picks key points by index
_LEFT = {
    "left_hip": (0.07, -0.09, 0.0),
    "left_knee": (0.11, -0.47, 0.01),
    "left_ankle": (0.10, -0.88, -0.02),
    "left_foot": (0.13, -0.93, 0.1),
    "left_collar": (0.05, 0.4, 0.0),
    "left_shoulder": (0.17, 0.42, -0.01),
    "left_elbow": (0.43, 0.41, -0.03),
    "left_wrist": (0.68, 0.42, -0.02),
    "left_eye": (0.03, 0.62, 0.09),
}
_MIDDLE = {
    "pelvis": (0.0, 0.0, 0.0),
    "spine1": (0.0, 0.11, -0.01),
    "spine2": (0.0, 0.24, 0.0),
    "spine3": (0.0, 0.3, 0.0),
    "neck": (0.0, 0.47, -0.02),
    "head": (0.0, 0.56, 0.01),
    "jaw": (0.0, 0.55, 0.03),
}
_ACROSS = {"index": 0.03, "middle": 0.01, "ring": -0.01, "pinky": -0.03}


def rest_joints() -> np.ndarray:
    """[55, 3] metres, y up, facing +z, T-pose with the palms down; the pelvis lies off the origin."""
    places = dict(_MIDDLE) | dict(_LEFT)
    wrist = np.array(_LEFT["left_wrist"])
    for finger in FINGERS:
        for k in (1, 2, 3):
            along = 0.09 + 0.03 * (k - 1)
            offset = (
                (0.03 * k, -0.01, 0.03 + 0.015 * k) if finger == "thumb" else (along, 0.0, _ACROSS[finger])
            )
            places[f"left_{finger}{k}"] = tuple(wrist + offset)
    for name, (x, y, z) in list(places.items()):
        if name.startswith("left_"):
            places[name.replace("left_", "right_")] = (-x, y, z)
    return np.array([places[name] for name in JOINT_NAMES]) + np.array([0.003, -0.35, 0.012])


def hand_means() -> np.ndarray:
    """[2, 15, 3] rotation vectors of relaxed hands."""
    return np.random.default_rng(7).normal(0.0, 0.25, (2, 15, 3))


def write_model(path: Path) -> Path:
    """Write the model; its first 55 vertices are the joints, and each joint carries its own vertices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    joints = rest_joints()
    owner = np.arange(N_VERTICES) % 55
    near = (
        np.random.default_rng(0).normal(0.0, 0.02, (N_VERTICES, 3)) * (np.arange(N_VERTICES) >= 55)[:, None]
    )
    regressor = np.eye(55, N_VERTICES)
    means = hand_means().reshape(2, 45)
    np.savez(
        path,
        v_template=joints[owner] + near,
        J_regressor=regressor,
        weights=np.eye(55)[owner],
        kintree_table=np.array([PARENTS, range(55)], np.int64),
        shapedirs=np.zeros((N_VERTICES, 3, 20), np.float32),
        posedirs=np.zeros((N_VERTICES, 3, 486), np.float32),
        f=np.array([[0, 1, 2]], np.uint32),
        hands_meanl=means[0],
        hands_meanr=means[1],
        hands_componentsl=np.eye(45),
        hands_componentsr=np.eye(45),
        lmk_faces_idx=np.zeros(51, np.int64),
        lmk_bary_coords=np.full((51, 3), 1 / 3),
        dynamic_lmk_faces_idx=np.zeros((79, 17), np.int64),
        dynamic_lmk_bary_coords=np.full((79, 17, 3), 1 / 3),
    )
    return path


def random_motion(n_frames: int = 5, fps: float = 30.0, seed: int = 0) -> SmplxMotion:
    rng = np.random.default_rng(seed)
    return SmplxMotion(
        rng.normal(0.0, 0.6, (n_frames, N_JOINTS, 3)),
        rng.normal((0.0, 1.3, 0.0), 0.3, (n_frames, 3)),
        rng.normal(0.0, 1.0, (n_frames, 100)),
        fps,
    )
