"""SMPL-X as a second body template, for those who have accepted its licence and have `SMPLX_*.npz`.

The file is read, never fetched and never copied: its licence forbids to pass it on. What comes out is a `BodyTemplate`
in our axes and units, which `body.skinning` shapes and poses. What SMPL-X lacks stays empty: it has no teeth, tongue or
mouth cavity, and the file holds none of mediapipe's landmarks, ARKit's facial actions or the particles' bindings, so
photographs are fitted and particles driven on the shipped template alone.

One thing differs from the published code: joints follow the shape, not the expression as well (there the jaw's joint
moves a little when the mouth does). Eight skinning weights of a vertex are kept.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media.errors import AvatarBenchError
from reference_model.body.se3 import exp_so3
from reference_model.body.template import MASKS, REGIONS, BodyTemplate

__all__ = ["N_JOINTS", "N_VERTICES", "SMPLX_JOINTS", "load_smplx", "pose_correctives"]

N_VERTICES, N_FACES, N_JOINTS = 10_475, 20_908, 55
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
SMPLX_JOINTS: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye", "right_eye",
    *(f"{side}_{finger}{i}" for side in ("left", "right") for finger in _FINGERS for i in (1, 2, 3)),
)  # fmt: skip
"""Names of the 55 joints in the file's order (Pavlakos et al. 2019)."""

# Ours: z up, the person faces -y. SMPL-X: y up, facing +z; x is the person's left in both.
_AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_SHAPE_COEFFICIENTS = {
    400: 300,
    20: 10,
}  # columns of shapedirs -> how many of them are shape; expression follows
_ARRAYS = {
    "v_template": (N_VERTICES, 3),
    "f": (N_FACES, 3),
    "J_regressor": (N_JOINTS, N_VERTICES),
    "weights": (N_VERTICES, N_JOINTS),
    "kintree_table": (2, N_JOINTS),
    "posedirs": (N_VERTICES, 3, 9 * (N_JOINTS - 1)),
}


def load_smplx(path: str | Path, n_shape: int = 64, n_expression: int = 52) -> BodyTemplate:
    """Read `SMPLX_NEUTRAL.npz` (or `_MALE`, `_FEMALE`; 10 + 10 or 300 + 100 coefficients).

    Args:
        path: The file.
        n_shape: Shape components to take at most.
        n_expression: Expression components to take at most; they stand where the shipped template has facial actions.

    Returns:
        The template; pelvis at the origin, metres, reference pose with the arms sideways. Landmarks are all -1.

    Raises:
        AvatarBenchError: E324, the file is missing or does not have the published layout.
    """
    path = Path(path)
    stored = _read(path)
    directions = stored["shapedirs"]
    n_total = _SHAPE_COEFFICIENTS[directions.shape[2]]
    shape = directions[:, :, : min(n_shape, n_total)].transpose(2, 0, 1) @ _AXES.T  # [K, V, 3]
    expression = directions[:, :, n_total : n_total + n_expression].transpose(2, 0, 1) @ _AXES.T
    vertices = stored["v_template"] @ _AXES.T
    joints = stored["J_regressor"] @ vertices
    origin = joints[0].copy()
    faces = stored["f"].astype(np.int32)
    index = np.argsort(-stored["weights"], axis=1, kind="stable")[:, :8]
    weight = np.take_along_axis(stored["weights"], index, 1)
    parents = stored["kintree_table"][0].astype(np.int64).astype(np.int32)
    parents[0] = -1  # stored as 2^32 - 1
    if (parents[1:] < 0).any() or (parents[1:] >= np.arange(1, N_JOINTS)).any():
        raise _not_smplx(path, "parents that come before their children", "another order in kintree_table")
    fields = {
        "vertices": vertices - origin,
        "shape_basis": shape,
        "joints": joints - origin,
        "joint_basis": stored["J_regressor"] @ shape,
        "skin_weight": weight / weight.sum(1, keepdims=True),
        "actions": expression,
        **dict.fromkeys(MASKS, np.zeros(N_VERTICES)),
        "landmark_barycentric": np.zeros((468, 3)),
        "landmark_spread": np.zeros(468),
        "keypoint_weight": np.zeros((0, 1)),
    }
    return BodyTemplate(
        **{name: np.ascontiguousarray(value, np.float32) for name, value in fields.items()},
        faces=faces,
        parents=parents,
        joint_names=SMPLX_JOINTS,
        skin_index=index.astype(np.int32),
        action_names=tuple(f"expression{i:02d}" for i in range(len(expression))),
        region=_regions(faces, index[:, 0], vertices, joints),
        landmark_face=np.full(468, -1, np.int32),
        keypoint_names=(),
        keypoint_index=np.zeros((0, 1), np.int32),
        fingertip_vertex={},
    )


def pose_correctives(path: str | Path, rotations: Tensor) -> Tensor:
    """SMPL-X's pose blend shapes: what to add to `BodyState.offsets` so that elbows and shoulders keep their form.

    Args:
        path: The same file.
        rotations: Rotation vectors of the 55 joints, radians, [..., 55, 3], in our axes.

    Returns:
        [..., V, 3] metres.

    Raises:
        AvatarBenchError: E324, as `load_smplx`.
    """
    axes = torch.tensor(_AXES, dtype=torch.float32)
    directions = torch.from_numpy(_read(Path(path))["posedirs"].astype(np.float32))  # [V, 3, 486]
    turn = axes.T @ exp_so3(rotations[..., 1:, :]) @ axes  # into the axes of SMPL-X
    features = (turn - torch.eye(3)).flatten(-3)  # [..., 486]
    return torch.einsum("...p,vcp->...vc", features, directions) @ axes.T


def _regions(faces: np.ndarray, heaviest: np.ndarray, vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Region of each triangle by the joint that moves its corners most, [F] uint8."""
    of_joint = np.zeros(N_JOINTS, np.uint8)
    for joint, name in enumerate(SMPLX_JOINTS):
        side = name.partition("_")[0]
        if name in ("head", "jaw"):
            region = "head"
        elif name.endswith("_eye"):
            region = f"eye_back_{side}"
        elif name.endswith(("_wrist", *(f"{finger}{i}" for finger in _FINGERS for i in (1, 2, 3)))):
            region = f"hand_{side}"
        elif name.endswith(("_foot", "_ankle")):
            region = f"foot_{side}"
        else:
            region = "body"
        of_joint[joint] = REGIONS.index(region)
    corner = of_joint[heaviest][faces]  # [F, 3]
    region = np.median(corner, axis=1).astype(np.uint8)
    for side in ("left", "right"):
        eye = joints[SMPLX_JOINTS.index(f"{side}_eye")]
        ahead = vertices[faces].mean(1)[:, 1] < eye[1]  # the person faces -y
        region[(region == REGIONS.index(f"eye_back_{side}")) & ahead] = REGIONS.index(f"eye_front_{side}")
    return region


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in (*_ARRAYS, "shapedirs") if name not in archive.files]
            if missing:
                raise _not_smplx(
                    path, "arrays " + ", ".join((*_ARRAYS, "shapedirs")), "no " + ", ".join(missing)
                )
            stored = {name: archive[name] for name in (*_ARRAYS, "shapedirs")}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise _not_smplx(path, "an .npz file that can be read without pickle", str(error)) from error
    for name, expected in _ARRAYS.items():
        if stored[name].shape != expected:
            raise _not_smplx(path, f"{name} of shape {expected}", str(stored[name].shape))
    if (
        stored["shapedirs"].shape[:2] != (N_VERTICES, 3)
        or stored["shapedirs"].shape[2] not in _SHAPE_COEFFICIENTS
    ):
        raise _not_smplx(path, "shapedirs with 10 + 10 or 300 + 100 columns", str(stored["shapedirs"].shape))
    return stored


def _not_smplx(path: Path, expected: str, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E324",
        "this is not an SMPL-X model file",
        where=path,
        expected=expected,
        got=got,
        fix="get SMPLX_NEUTRAL.npz of version 1.1 from smpl-x.is.tue.mpg.de under its licence; no .pkl is read",
    )
