"""Made people: bodies, arms and looks, files, and that landmark detectors see a person who speaks and blinks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from media.landmarks import FaceMesh, HandDetector
from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.drawing.scene import LIGHT_RIGS, develop, frontal_view
from reference_model.corpus.people.arm_pose import ArmTarget, draw_arms, posed_joints, solve_arms
from reference_model.corpus.people.bodies import BodyShape, make_body
from reference_model.corpus.people.look import look_from_json, look_to_json
from reference_model.corpus.people.person import MadePerson, load_person, save_person
from tests.corpus.sample_people import SOMEONE, mean_body, sample_look, sample_person

INNER_LIPS, FOREHEAD, CHIN = (13, 14), 10, 152  # points of the mediapipe face mesh
UPPER_LID, LOWER_LID = 159, 145


@pytest.fixture(scope="module")
def template() -> BodyTemplate:
    return load_template()


@pytest.fixture(scope="module")
def person() -> MadePerson:
    return sample_person(SOMEONE)


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


def test_plain_forward_kinematics_agrees_with_the_body_model(template: BodyTemplate) -> None:
    rotations = np.random.default_rng(1).normal(scale=0.4, size=(template.n_joints, 3))
    expected, _, _ = pose_joints(TemplateTensors(template), torch.zeros(64), torch.tensor(rotations).float())
    np.testing.assert_allclose(posed_joints(template, template.joints, rotations), expected, atol=1e-5)


def test_arms_reach_their_directions_and_mirror_each_other(template: BodyTemplate) -> None:
    for seed in range(3):
        target = draw_arms(np.random.default_rng(seed)) if seed else ArmTarget(wrist=(-0.15, -0.98, -0.05))
        heads = posed_joints(template, template.joints, solve_arms(template, template.joints, target))
        elbow, wrist, other = (heads[template.joint(bone)] for bone in ("lowerarm01.L", "wrist.L", "wrist.R"))
        forearm = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        assert np.degrees(np.arccos(forearm @ target.wrist / np.linalg.norm(target.wrist))) < 6
        np.testing.assert_allclose(other, wrist * [-1, 1, 1], atol=2e-3)


def test_made_people_are_adults() -> None:
    with pytest.raises(AvatarBenchError, match="E504"):
        make_body(BodyShape((("age", 0.5),), ()))


@pytest.mark.parametrize("worn", ["shirt", "jacket"])
def test_a_look_goes_through_json(worn: str) -> None:
    look = sample_look(replace(SOMEONE, top=worn, beard="full", glasses=True, bottom="skirt"))
    assert look_from_json(json.loads(json.dumps(look_to_json(look)))) == look


def test_a_look_of_another_version_is_refused() -> None:
    stored = look_to_json(sample_look(SOMEONE))
    stored["skin"]["scales"] = 1.0
    with pytest.raises(AvatarBenchError, match="E402"):
        look_from_json(stored)


def test_a_stored_person_is_drawn_from_the_same_arrays(person: MadePerson, tmp_path: Path) -> None:
    path = tmp_path / "person.npz"
    save_person(path, person.look, mean_body(), 0)
    again = load_person(path)
    for kept, read in zip(person.figure.layers, again.figure.layers, strict=True):
        assert kept.rest.tobytes() == read.rest.tobytes()
        assert kept.surface.cuts.tobytes() == read.surface.cuts.tobytes()
        assert kept.surface.colour.tobytes() == read.surface.colour.tobytes()


def test_a_broken_person_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "person.npz"
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(AvatarBenchError, match="E402"):
        load_person(path)


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
