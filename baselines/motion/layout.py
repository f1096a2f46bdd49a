"""SMPL-X as data: the order of its joints, and what is needed of a model file.

SMPL-X (Pavlakos et al. 2019): metres, y up, facing +z, the person's left is +x, T-pose at rest. Model files are the
user's own (https://smpl-x.is.tue.mpg.de, non-commercial); nothing of them ships here.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media.errors import AvatarBenchError

__all__ = [
    "BODY",
    "EYES",
    "FINGERS",
    "JAW",
    "JOINT_NAMES",
    "LEFT_HAND",
    "N_JOINTS",
    "PARENTS",
    "RIGHT_HAND",
    "ROOT",
    "SmplxModel",
    "read_smplx_model",
]

FINGERS = ("index", "middle", "pinky", "ring", "thumb")
"""Fingers in the order of SMPL-X."""

_BODY_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
_BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

JOINT_NAMES: tuple[str, ...] = (
    *_BODY_NAMES,
    "jaw",
    "left_eye",
    "right_eye",
    *(f"{side}_{finger}{k}" for side in ("left", "right") for finger in FINGERS for k in (1, 2, 3)),
)
"""[55] in the order of a full pose: root, body, jaw, eyes, left hand, right hand."""

PARENTS: tuple[int, ...] = (
    *_BODY_PARENTS,
    *(15, 15, 15),
    *(
        wrist if knuckle == 0 else first + 3 * finger + knuckle - 1
        for wrist, first in ((20, 25), (21, 40))
        for finger in range(5)
        for knuckle in range(3)
    ),
)
"""[55] parent of each joint; -1 for the root."""

N_JOINTS = len(JOINT_NAMES)
ROOT, BODY, JAW, EYES = 0, slice(1, 22), 22, slice(23, 25)
LEFT_HAND, RIGHT_HAND = slice(25, 40), slice(40, 55)


@dataclass(frozen=True, slots=True, eq=False)
class SmplxModel:
    """What the conversions need of a model file."""

    rest_joints: np.ndarray
    """[55, 3] float64, metres: joints of the mean shape in T-pose."""
    hand_mean: np.ndarray
    """[2, 15, 3] float64, rotation vectors of the relaxed left and right hand.

    With `flat_hand_mean=False` the smplx package *adds these vectors* to a hand's rotation vectors.
    """


def read_smplx_model(path: Path) -> SmplxModel:
    """Read `SMPLX_NEUTRAL_2020.npz`, `SMPLX_MALE.npz` or another model file in that layout.

    Raises:
        AvatarBenchError: E744, not there or not such a file.
    """
    try:
        with np.load(
            path, allow_pickle=True
        ) as archive:  # kintree_table and parts of the public files are pickled
            regressor = np.asarray(archive["J_regressor"], np.float64)  # [J, V]
            vertices = np.asarray(archive["v_template"], np.float64)  # [V, 3]
            means = [np.asarray(archive[name], np.float64) for name in ("hands_meanl", "hands_meanr")]
        joints = regressor[:N_JOINTS] @ vertices
        hand_mean = np.stack(means).reshape(2, 15, 3)
        if joints.shape != (N_JOINTS, 3):
            raise ValueError(f"J_regressor has {len(regressor)} rows")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise AvatarBenchError(
            "E744",
            "the SMPL-X model file cannot be used",
            where=path,
            expected="an .npz with v_template, J_regressor of 55 rows, hands_meanl and hands_meanr",
            got=f"{type(error).__name__}: {error}",
            fix="download the SMPL-X models (version 1.1, .npz) from their authors and name one of them",
        ) from error
    return SmplxModel(joints, hand_mean)
