"""Known rotations in, known joints out: what is written for LHM and PERSONA, posed by the smplx package itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from made_smplx import random_motion
from scipy.spatial.transform import Rotation
from smplx.joint_names import JOINT_NAMES as SMPLX_JOINTS

from baselines.motion import lhm, persona
from baselines.motion.anchor import Anchor, PinholeCamera, place
from baselines.motion.layout import JOINT_NAMES, PARENTS, read_smplx_model
from baselines.motion.smplx_motion import SmplxMotion, read_motion_npz

CAMERA = PinholeCamera((1500.0, 1500.0), (200.0, 256.0), 400, 512)
ANCHOR = Anchor(np.array([3.0, 0.1, -0.2]), np.array([0.05, 0.3, 4.0]), CAMERA)


def posed(model_file: Path, motion: SmplxMotion, *, flat_hand_mean: bool) -> np.ndarray:
    """Joints [T, 55, 3] of the parameters as they stand, by the public package in float64."""
    layer = smplx.SMPLX(
        str(model_file),
        use_pca=False,
        flat_hand_mean=flat_hand_mean,
        dtype=torch.float64,
        batch_size=motion.n_frames,
    )
    turns = torch.from_numpy(motion.rotations)
    body = layer(
        global_orient=turns[:, 0],
        body_pose=turns[:, 1:22].flatten(1),
        jaw_pose=turns[:, 22],
        leye_pose=turns[:, 23],
        reye_pose=turns[:, 24],
        left_hand_pose=turns[:, 25:40].flatten(1),
        right_hand_pose=turns[:, 40:55].flatten(1),
        transl=torch.from_numpy(motion.translation),
        return_verts=False,
    )
    return body.joints[:, :55].detach().numpy()


@pytest.fixture
def generated(tmp_path: Path, model_file: Path) -> tuple[SmplxMotion, SmplxMotion]:
    """A motion as MotionCraft writes it (hands from the mean hand), and as it was read."""
    raw = random_motion()
    np.savez(
        tmp_path / "motion.npz",
        poses=raw.rotations.reshape(len(raw.rotations), 165),
        trans=raw.translation,
        expressions=raw.expression,
        betas=np.zeros(300),
        model="smplx2020",
        gender="neutral",
        mocap_frame_rate=30,
    )
    return raw, read_motion_npz(tmp_path / "motion.npz", read_smplx_model(model_file).hand_mean)


def test_the_order_of_the_joints_is_that_of_the_package(model_file: Path):
    layer = smplx.SMPLX(str(model_file), use_pca=False)
    assert tuple(layer.parents.tolist()) == PARENTS
    ours = [name if "eye" not in name else f"{name}_smplhf" for name in JOINT_NAMES]
    assert SMPLX_JOINTS[:55] == ours


def test_rest_joints_and_mean_hands_are_those_of_the_package(model_file: Path):
    ours, layer = (
        read_smplx_model(model_file),
        smplx.SMPLX(str(model_file), use_pca=False, dtype=torch.float64),
    )
    zero = replace(random_motion(1), rotations=np.zeros((1, 55, 3)), translation=np.zeros((1, 3)))
    assert np.allclose(posed(model_file, zero, flat_hand_mean=True)[0], ours.rest_joints, atol=1e-12)
    means = torch.stack([layer.left_hand_mean, layer.right_hand_mean]).detach().numpy()
    assert np.allclose(means.reshape(2, 15, 3), ours.hand_mean, atol=0)


def test_a_generated_motion_keeps_its_joints_whatever_the_convention_of_its_hands(
    model_file: Path, generated
):
    raw, read = generated
    as_generated = posed(model_file, raw, flat_hand_mean=False)
    assert np.allclose(posed(model_file, read, flat_hand_mean=True), as_generated, atol=1e-12)


@pytest.mark.parametrize("consumer", ["lhm", "persona"])
def test_written_parameters_put_the_joints_where_the_motion_has_them_seen_from_the_anchor(
    consumer: str, tmp_path: Path, model_file: Path, generated
):
    raw, read = generated
    model = read_smplx_model(model_file)
    placed = place(read, ANCHOR)
    if consumer == "lhm":
        lhm.write_folder(tmp_path / "out", placed, CAMERA)
        written, flat = lhm.read_folder(tmp_path / "out", 30.0), True
    else:
        persona.write_folder(tmp_path / "out", placed, CAMERA, model.hand_mean)
        back = persona.read_folder(tmp_path / "out", 30.0, np.zeros((2, 15, 3)))  # the numbers as they stand
        written, flat = back, False
    joints = posed(model_file, written, flat_hand_mean=flat)

    pelvis = model.rest_joints[0]
    first = Rotation.from_rotvec(raw.rotations[0, 0])
    turn = (Rotation.from_rotvec(ANCHOR.root) * first.inv()).as_matrix()
    seen = posed(model_file, raw, flat_hand_mean=False) - pelvis - raw.translation[0]
    expected = seen @ turn.T + pelvis + ANCHOR.translation
    assert np.allclose(joints, expected, atol=1e-10)


def test_the_first_frame_stands_exactly_where_the_reference_picture_has_the_person():
    placed = place(random_motion(), ANCHOR)
    assert np.allclose(placed.translation[0], ANCHOR.translation, atol=1e-15)
    turned = Rotation.from_rotvec(placed.rotations[0, 0]) * Rotation.from_rotvec(ANCHOR.root).inv()
    assert turned.magnitude() < 1e-12


def test_a_jump_goes_up_in_the_picture_and_a_step_to_the_persons_left_goes_to_its_right(model_file: Path):
    still = replace(random_motion(3), rotations=np.zeros((3, 55, 3)), translation=np.zeros((3, 3)))
    moving = replace(still, translation=np.array([[0.0, 0, 0], [0, 0.2, 0], [0.2, 0, 0]]))
    frontal = Anchor(np.array([np.pi, 0.0, 0.0]), np.array([0.0, 0.0, 3.0]), CAMERA)
    x, y, z = posed(model_file, place(moving, frontal), flat_hand_mean=True).transpose(2, 0, 1)
    assert np.allclose(y[1] - y[0], -0.2) and np.allclose(x[1], x[0])
    assert np.allclose(x[2] - x[0], 0.2) and np.allclose(z, z[0])
    left, right, head, pelvis = (
        JOINT_NAMES.index(n) for n in ("left_wrist", "right_wrist", "head", "pelvis")
    )
    assert x[0, left] > x[0, right]  # they face the camera
    assert y[0, head] < y[0, pelvis]


def test_a_locked_pelvis_turns_but_does_not_walk():
    placed = place(random_motion(), ANCHOR, "locked")
    assert np.ptp(placed.translation, axis=0).max() == 0
    assert np.allclose(placed.rotations, place(random_motion(), ANCHOR).rotations)
