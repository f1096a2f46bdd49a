"""The shipped template says what its documentation says."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from media.errors import AvatarBenchError
from reference_model.body import template as module
from reference_model.body.template import MASKS, REGIONS, TEMPLATE_PATH, BodyTemplate, load_template


@pytest.fixture(scope="module")
def template() -> BodyTemplate:
    return load_template()


def landmark(template: BodyTemplate, index: int) -> np.ndarray:
    corners = template.vertices[template.faces[template.landmark_face[index]]]
    return template.landmark_barycentric[index] @ corners


def keypoint(template: BodyTemplate, name: str) -> np.ndarray:
    row = template.keypoint_names.index(name)
    return template.keypoint_weight[row] @ template.vertices[template.keypoint_index[row]]


def test_loading_takes_under_half_a_second_and_the_file_is_small() -> None:
    assert TEMPLATE_PATH.stat().st_size < 7e6
    module.load_arrays.cache_clear()
    module.load_template.cache_clear()
    start = time.perf_counter()
    load_template()
    assert time.perf_counter() - start < 0.5


def test_a_damaged_file_is_named_with_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "template.npz"
    broken.write_bytes(TEMPLATE_PATH.read_bytes()[:100_000])
    monkeypatch.setattr(module, "TEMPLATE_PATH", broken)
    module.load_arrays.cache_clear()
    try:
        with pytest.raises(AvatarBenchError) as caught:
            module.load_arrays()
    finally:
        module.load_arrays.cache_clear()
    assert caught.value.code == "E502"
    assert caught.value.where == str(broken)


def test_arrays_have_the_documented_shapes_and_cannot_be_written(template: BodyTemplate) -> None:
    v, f, j = template.n_vertices, len(template.faces), template.n_joints
    expected = {
        "shape_basis": (64, v, 3),
        "joint_basis": (64, j, 3),
        "skin_index": (v, 8),
        "skin_weight": (v, 8),
        "actions": (52, v, 3),
        "region": (f,),
        "landmark_face": (468,),
        "landmark_barycentric": (468, 3),
        **{name: (v,) for name in MASKS},
    }
    for name, shape in expected.items():
        assert getattr(template, name).shape == shape, name
    with pytest.raises(ValueError, match="read-only"):
        template.vertices[0] = 0
    assert np.unique(template.faces).size == v
    np.testing.assert_allclose(template.skin_weight.sum(1), 1, atol=1e-6)
    assert (template.parents < np.arange(j)).all()


def test_the_person_faces_minus_y_with_the_left_on_plus_x(template: BodyTemplate) -> None:
    assert keypoint(template, "left_shoulder")[0] > 0.1 > -0.1 > keypoint(template, "right_shoulder")[0]
    nose, ear = keypoint(template, "nose"), keypoint(template, "left_ear")
    assert nose[1] < ear[1] - 0.05
    np.testing.assert_allclose(template.joints[0], 0, atol=1e-6)
    assert 1.6 < np.ptp(template.vertices[:, 2]) < 1.8  # an adult's height in metres


def test_surfaces_are_oriented_outwards(template: BodyTemplate) -> None:
    corners = template.vertices[
        template.faces[template.region_faces("body", "head", "hand_left", "hand_right")]
    ]
    volume = (np.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    assert 0.04 < volume < 0.11  # cubic metres without feet and cavities


def test_every_region_exists_and_sides_match(template: BodyTemplate) -> None:
    assert (np.bincount(template.region, minlength=len(REGIONS)) > 0).all()
    for name in ("hand", "foot", "eye_front", "eye_back"):
        assert template.vertices[template.region_vertices(f"{name}_left"), 0].min() > 0
        assert template.vertices[template.region_vertices(f"{name}_right"), 0].max() < 0


def test_masks_lie_where_their_names_say(template: BodyTemplate) -> None:
    mouth, eye = landmark(template, 13), landmark(template, 159)  # inner upper lip, right upper lid
    centre = {name: template.vertices[getattr(template, name) > 0.5] for name in MASKS}
    assert np.linalg.norm(centre["lip"].mean(0) - mouth) < 0.015
    lids = centre["eyelid"][centre["eyelid"][:, 0] < 0]
    assert np.linalg.norm(lids.mean(0) - eye) < 0.02
    brow = centre["brow"][centre["brow"][:, 0] < 0]
    assert 0.005 < brow[:, 2].mean() - eye[2] < 0.035
    tips = template.vertices[np.concatenate(list(template.fingertip_vertex.values()))]
    for tip in tips:
        assert np.linalg.norm(centre["nail"] - tip, axis=1).min() < 0.012


def test_face_mesh_points_sit_on_their_features(template: BodyTemplate) -> None:
    assert (template.landmark_face >= 0).sum() > 450
    assert np.median(template.landmark_spread) < 0.002
    head = template.region_vertices("head")
    forward = template.vertices[head][template.vertices[head, 1].argmin()]
    assert np.linalg.norm(landmark(template, 4) - forward) < 0.008  # the tip of the nose
    upper, lower = landmark(template, 13), landmark(template, 14)  # inner lips
    assert np.linalg.norm(upper - lower) < 0.006
    left, right = landmark(template, 263), landmark(template, 33)  # outer corners of the eyes
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.004)


def test_the_jaw_carries_the_lower_teeth_and_leaves_the_upper(template: BodyTemplate) -> None:
    motion = np.linalg.norm(template.actions[template.action("jawOpen")], axis=1)
    assert motion[template.region_vertices("teeth_lower")].min() > 0.010
    assert motion[template.region_vertices("teeth_upper")].max() == 0


@pytest.mark.parametrize("name", ["eyeBlink", "mouthSmile", "browDown"])
def test_left_and_right_actions_are_mirror_images(template: BodyTemplate, name: str) -> None:
    moved = {}
    for side in ("Left", "Right"):
        motion = template.actions[template.action(name + side)]
        moved[side] = (template.vertices * np.linalg.norm(motion, axis=1)[:, None]).sum(0)
    assert moved["Left"][0] > 0
    np.testing.assert_allclose(moved["Left"] * [-1, 1, 1], moved["Right"], rtol=0.03, atol=0.01)


def test_random_coefficients_give_plausible_adults_whose_joints_stay_inside(template: BodyTemplate) -> None:
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(30, 64)).astype(np.float32)
    people = template.vertices + np.tensordot(shapes, template.shape_basis, 1)
    joints = template.joints + np.tensordot(shapes, template.joint_basis, 1)
    heights = np.ptp(people[..., 2], axis=1)
    assert 1.3 < heights.min() < heights.max() < 2.1
    assert heights.std() > 0.04
    elbow = template.joint("lowerarm01.L")
    ring = (template.skin_weight * (template.skin_index == elbow)).sum(1) > 0.4
    away = np.linalg.norm(people[:, ring] - joints[:, elbow, None], axis=-1).min(1)
    assert away.max() < 0.07  # the elbow's centre is no further from the skin than an arm is thick


def test_fingertips_run_from_the_thumb_to_the_little_finger(template: BodyTemplate) -> None:
    for side, letter in (("left", "L"), ("right", "R")):
        for finger, vertex in enumerate(template.fingertip_vertex[side], start=1):
            bone = template.joint(f"finger{finger}-3.{letter}")
            assert template.skin_index[vertex, 0] == bone
