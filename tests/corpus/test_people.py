"""Made people: their parts, and that landmark detectors see a person who speaks and blinks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.color import rgb2xyz

from media.landmarks import FaceMesh, HandDetector
from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.arm_pose import ArmTarget, posed_joints, solve_arms
from reference_model.corpus.bodies import load_body
from reference_model.corpus.eyes import fit_sphere
from reference_model.corpus.hair import grow_strands, ribbons
from reference_model.corpus.head_chart import landmark_positions
from reference_model.corpus.mesh_raster import vertex_normals
from reference_model.corpus.people import PEOPLE, MadePerson
from reference_model.corpus.scene import LIGHT_RIGS, develop, frontal_view
from reference_model.corpus.skin import SkinLook, linear, paint_head, skin_albedo

INNER_LIPS, FOREHEAD, CHIN = (13, 14), 10, 152  # points of the mediapipe face mesh
UPPER_LID, LOWER_LID = 159, 145


@pytest.fixture(scope="module")
def template() -> BodyTemplate:
    return load_template()


@pytest.fixture(scope="module")
def person() -> MadePerson:
    """The man, with enough hair for a picture and no more."""
    torch.set_num_threads(1)
    look = PEOPLE["man"]
    return MadePerson(replace(look, hair=replace(look.hair, n_strands=2_500)), seed=0)


def picture(person: MadePerson, height: float = 0.93, **actions: float) -> np.ndarray:
    """The person in the rest pose with facial actions, in a picture `height` metres tall, [512, 384, 3] uint8."""
    head = person.joints[person.template.joint("head"), 2]
    view = frontal_view(np.array([0, -0.05, head + 0.22 - height / 2]), height, 384, 512)
    weights = np.zeros(len(person.template.action_names))
    for name, weight in actions.items():
        for side in [name] if name in person.template.action_names else [f"{name}Left", f"{name}Right"]:
            weights[person.template.action(side)] = weight
    rig = LIGHT_RIGS["studio"]
    posed = person.pose(weights, person.rest_pose, view.centre)
    radiance = person.render(posed, person.visibility(posed, rig), view, rig)
    return develop(radiance, np.full((512, 384, 3), 0.3, np.float32), exposure=0.6)


def test_srgb_becomes_linear_light_as_the_standard_says() -> None:
    grey = np.arange(0, 256, 5)
    luminance = rgb2xyz(np.repeat(grey, 3).reshape(-1, 1, 3).astype(np.uint8))[:, 0, 1]
    np.testing.assert_allclose(linear(grey), luminance, atol=1e-6)


def test_more_melanin_means_darker_skin() -> None:
    shades = np.stack([skin_albedo(SkinLook(melanin)) for melanin in np.linspace(0, 1, 9)])
    assert (np.diff(shades, axis=0) < 0).all()


def test_lips_are_redder_than_the_cheeks_and_brows_darker(template: BodyTemplate) -> None:
    chart = paint_head(template, SkinLook(melanin=0.3), np.random.default_rng(0))
    points = landmark_positions(template)

    def paint_at(*around: int) -> np.ndarray:
        x, y, z = points[list(around)].mean(0)
        azimuth = np.arctan2(x, -(y - chart.axis_y))
        height, width = chart.texels.shape[:2]
        row = (chart.top - z) / (chart.top - chart.bottom) * height
        return chart.texels[int(row), int((azimuth / (2 * np.pi) + 0.5) * width), :3]

    cheek, lower_lip, brow = paint_at(205), paint_at(17, 14), paint_at(105, 105, 52)
    assert lower_lip[0] / lower_lip[1] > 1.2 * cheek[0] / cheek[1]
    assert brow.max() < 0.5 * cheek.min()


def test_a_sphere_is_found_from_a_cap_of_it() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(60, 3))
    directions[:, 1] = -np.abs(directions[:, 1])  # the front half only, as of an eye
    centre = np.array([0.031, -0.107, 0.737])
    points = centre + 0.0145 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    found, radius = fit_sphere(points)
    np.testing.assert_allclose(found, centre, atol=1e-9)
    assert radius == pytest.approx(0.0145)


def test_plain_forward_kinematics_agrees_with_the_body_model(template: BodyTemplate) -> None:
    rotations = np.random.default_rng(1).normal(scale=0.4, size=(template.n_joints, 3))
    expected, _, _ = pose_joints(TemplateTensors(template), torch.zeros(64), torch.tensor(rotations).float())
    np.testing.assert_allclose(posed_joints(template, template.joints, rotations), expected, atol=1e-5)


@pytest.mark.parametrize("name", PEOPLE)
def test_arms_reach_their_directions_and_mirror_each_other(template: BodyTemplate, name: str) -> None:
    _, joints = load_body(name)
    target = ArmTarget(wrist=(-0.15, -0.98, -0.05))
    heads = posed_joints(template, joints, solve_arms(template, joints, target))
    elbow, wrist, other = (heads[template.joint(bone)] for bone in ("lowerarm01.L", "wrist.L", "wrist.R"))
    forearm = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    assert np.degrees(np.arccos(forearm @ target.wrist / np.linalg.norm(target.wrist))) < 5
    np.testing.assert_allclose(other, wrist * [-1, 1, 1], atol=2e-3)


def test_hair_starts_on_the_scalp_and_leaves_the_eyes_free(template: BodyTemplate) -> None:
    rest, _ = load_body("woman")
    normals = vertex_normals(rest, np.ascontiguousarray(template.faces, np.int32))
    look = replace(PEOPLE["woman"].hair, n_strands=800)
    strands = grow_strands(template, rest, normals, look, np.random.default_rng(0))
    scalp = rest[template.region_vertices("head")]
    to_scalp = np.linalg.norm(strands[:, None, 0] - scalp[None], axis=-1).min(1)
    assert to_scalp.max() < 0.02  # the mesh of the scalp has edges of 2 cm
    eye = rest[template.region_vertices("eye_front_left")].mean(0)
    tips = strands[:, 5:].reshape(-1, 3)
    offset = np.stack([np.abs(tips[:, 0]) - eye[0], tips[:, 2] - eye[2]], -1)
    before_eye = (np.abs(offset) < 0.010).all(1) & (tips[:, 1] < eye[1])
    assert not before_eye.any()


def test_ribbons_face_the_camera() -> None:
    strands = np.cumsum(np.random.default_rng(0).normal(size=(20, 8, 3)), axis=1)
    camera = np.array([0.0, -30.0, 5.0])
    vertices, _ = ribbons(strands, np.full(8, 0.01), camera)
    across = vertices.reshape(20, 8, 2, 3)[:, :, 1] - vertices.reshape(20, 8, 2, 3)[:, :, 0]
    towards = camera - strands
    cosine = (across * towards).sum(-1) / np.linalg.norm(across, axis=-1) / np.linalg.norm(towards, axis=-1)
    assert np.abs(cosine).max() < 1e-3


def test_detectors_find_the_face_and_both_hands_at_rest(person: MadePerson) -> None:
    image = picture(person)
    with FaceMesh() as faces, HandDetector() as hands:
        assert faces.detect(image) is not None
        assert len(hands.detect(image)) == 2


def test_the_lips_that_a_detector_sees_open_with_the_jaw(person: MadePerson) -> None:
    gaps = []
    with FaceMesh() as faces:
        for jaw in (0.0, 0.15, 0.3, 0.45):
            points = faces.detect(picture(person, 0.5, jawOpen=jaw))
            assert points is not None
            face = np.linalg.norm(points[FOREHEAD, :2] - points[CHIN, :2])
            gaps.append(np.linalg.norm(points[INNER_LIPS[0], :2] - points[INNER_LIPS[1], :2]) / face)
    assert gaps[0] < 0.02
    assert (np.diff(gaps) > 0.005).all()


def test_a_blink_covers_the_eyeballs(person: MadePerson) -> None:
    with FaceMesh() as faces:
        open_eyes = picture(person, 0.5)
        points = faces.detect(open_eyes)
    assert points is not None
    x, y = points[[UPPER_LID, LOWER_LID], :2].mean(0)
    box = np.s_[int(y) - 3 : int(y) + 3, int(x) - 5 : int(x) + 5]
    blinking = picture(person, 0.5, eyeBlink=1.0)
    closed, opened = (image[box].mean(-1).std() for image in (blinking, open_eyes))
    assert closed < 0.5 * opened  # plain skin instead of white, iris and pupil
