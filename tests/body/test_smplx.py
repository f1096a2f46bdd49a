"""SMPL-X on a made file in the layout of the published one; the real file cannot be passed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from media.errors import AvatarBenchError
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.smplx import (
    N_FACES,
    N_JOINTS,
    N_VERTICES,
    SMPLX_JOINTS,
    load_smplx,
    pose_correctives,
)
from reference_model.body.template import REGIONS

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
PARENTS += [
    p for wrist, first in ((20, 25), (21, 40)) for k in range(first, first + 15, 3) for p in (wrist, k, k + 1)
]
TO_OURS = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = np.zeros((N_VERTICES, N_JOINTS))
    owner = np.arange(N_VERTICES) % N_JOINTS
    rows = np.arange(N_VERTICES)
    weights[rows, owner], weights[rows, np.maximum(np.array(PARENTS)[owner], 0)] = 0.7, 0.3
    weights /= weights.sum(1, keepdims=True)
    regressor = rng.random((N_JOINTS, N_VERTICES))
    return {
        "v_template": rng.normal(0, 0.4, (N_VERTICES, 3)),
        "f": rng.integers(0, N_VERTICES, (N_FACES, 3)).astype(np.uint32),
        "shapedirs": rng.normal(0, 0.01, (N_VERTICES, 3, 20)),
        "posedirs": rng.normal(0, 0.001, (N_VERTICES, 3, 486)).astype(np.float32),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(N_JOINTS)], np.uint32),
        "joint2num": np.array({"pelvis": 0}, dtype=object),  # pickled in the published file, too
    }


@pytest.fixture(scope="module")
def file(arrays, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **arrays)
    return path


def canonical_smplx(arrays, betas, expression, rotations):
    """The published formula (Pavlakos et al. 2019, equations 1 to 4), in the axes of SMPL-X.

    As in `load_smplx`, the expression does not move the joints.
    """
    shaped = arrays["v_template"] + arrays["shapedirs"] @ np.concatenate([betas, np.zeros(10)])
    joints = arrays["J_regressor"] @ shaped
    turns = Rotation.from_rotvec(rotations).as_matrix()
    posed = shaped + arrays["shapedirs"][..., 10:] @ expression
    posed = posed + arrays["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    world = np.zeros((N_JOINTS, 4, 4))
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turns[joint], joints[joint] - (joints[parent] if parent >= 0 else 0)
        world[joint] = local if parent < 0 else world[parent] @ local
    world[:, :3, 3] -= (world[:, :3, :3] @ joints[..., None])[..., 0]
    blended = np.einsum("vj,jab->vab", arrays["weights"], world)
    return np.einsum("vab,vb->va", blended[:, :3, :3], posed) + blended[:, :3, 3]


def test_a_posed_body_is_the_published_formula_in_our_axes(arrays, file):
    rng = np.random.default_rng(1)
    betas, expression = rng.normal(size=10), rng.normal(size=10)
    rotations = rng.normal(0, 0.3, (N_JOINTS, 3))
    expected = canonical_smplx(arrays, betas, expression, rotations) @ TO_OURS.T
    expected -= (
        arrays["J_regressor"][0] @ arrays["v_template"] @ TO_OURS.T
    )  # the pelvis of the mean is our origin

    template = load_smplx(file)
    turned = torch.tensor(rotations @ TO_OURS.T, dtype=torch.float32)
    state = BodyState(
        shape=torch.tensor(betas, dtype=torch.float32),
        actions=torch.tensor(expression, dtype=torch.float32),
        rotations=turned,
        offsets=pose_correctives(file, turned),
    )
    got = pose(TemplateTensors(template), state).vertices.numpy()
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_the_template_stands_in_our_axes(arrays, file):
    template = load_smplx(file)
    assert template.n_vertices == N_VERTICES and template.n_joints == N_JOINTS == len(SMPLX_JOINTS)
    np.testing.assert_allclose(template.joints[0], 0, atol=1e-6)
    height = arrays["v_template"][:, 1] - arrays["J_regressor"][0] @ arrays["v_template"][:, 1]
    np.testing.assert_allclose(template.vertices[:, 2], height, atol=1e-6)
    assert list(template.parents) == PARENTS
    np.testing.assert_allclose(template.skin_weight.sum(1), 1, atol=1e-6)
    assert (template.landmark_face == -1).all()


def test_regions_follow_the_joints(arrays, file):
    template = load_smplx(file)
    left_hand = [20, *range(25, 40)]
    assert SMPLX_JOINTS[20] == "left_wrist" and SMPLX_JOINTS[39] == "left_thumb3"
    all_left = np.isin(arrays["weights"].argmax(1), left_hand)[arrays["f"]].all(1)
    assert all_left.sum() > 50
    assert (template.region[all_left] == REGIONS.index("hand_left")).all()
    assert {"head", "hand_left", "hand_right", "foot_left", "body"} <= {
        REGIONS[r] for r in np.unique(template.region)
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((6890, 24))}, r"weights of shape \(10475, 55\)"),
        ({"posedirs": None}, "no posedirs"),
        ({"shapedirs": np.zeros((N_VERTICES, 3, 17))}, "10 . 10 or 300 . 100"),
        ({"kintree_table": np.zeros((2, N_JOINTS), np.uint32)[:, ::-1] + 60}, "before their children"),
    ],
)
def test_another_layout_is_refused(arrays, tmp_path, change, message):
    cheap = {"posedirs": np.zeros((N_VERTICES, 3, 486), np.int8)}
    changed = {name: value for name, value in {**arrays, **cheap, **change}.items() if value is not None}
    np.savez(tmp_path / "model.npz", **changed)
    with pytest.raises(AvatarBenchError, match=f"E324(.|\n)*{message}"):
        load_smplx(tmp_path / "model.npz")


def test_a_missing_file_and_a_pickle_are_refused(tmp_path):
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(b"\x80\x04pickle")
    for name in ("SMPLX_NEUTRAL.pkl", "none.npz"):
        with pytest.raises(AvatarBenchError, match="E324"):
            load_smplx(tmp_path / name)
