from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.photo.evidence import collect_evidence
from reference_model.photo.fitting import Fit, fit_body
from reference_model.photo.initial_pose import initial_rotations
from tests.photo.known_person import KnownPerson


@pytest.fixture(scope="module")
def fit(known_person: KnownPerson) -> Fit:
    return fit_body(known_person.landmarks, (512, 512), known_person.alpha)


def test_the_first_guess_points_the_arms_and_fingers_where_they_were_seen(known_person: KnownPerson) -> None:
    template = load_template()
    rotations = torch.as_tensor(initial_rotations(template, known_person.landmarks), dtype=torch.float32)
    tensors = TemplateTensors(template)
    guess = pose(tensors, known_person.state.replace(rotations=rotations)).joints
    truth = known_person.posed.joints

    for start, end, degrees in (
        ("upperarm01", "lowerarm01", 15),
        ("lowerarm01", "wrist", 15),
        ("finger2-1", "finger2-2", 12),
        ("finger4-2", "finger4-3", 12),
    ):
        for side in "LR":
            a, b = template.joint(f"{start}.{side}"), template.joint(f"{end}.{side}")
            cosine = torch.nn.functional.cosine_similarity(guess[b] - guess[a], truth[b] - truth[a], dim=0)
            assert np.degrees(np.arccos(float(cosine.clamp(-1, 1)))) < degrees, (start, side)


def test_a_known_person_is_found_again_in_the_picture(fit: Fit) -> None:
    assert fit.error_px["face"] < 1.0
    assert fit.error_px["hand_left"] < 2.0 and fit.error_px["hand_right"] < 2.0
    assert fit.error_px["body"] < 4.0


def test_joints_are_found_again_in_space_up_to_distance(fit: Fit, known_person: KnownPerson) -> None:
    """One view does not tell size from distance: joints are compared in units of the shoulder width."""
    template = load_template()
    tensors = TemplateTensors(template)
    found, truth = pose(tensors, fit.state).joints, known_person.posed.joints
    left, right = template.joint("upperarm01.L"), template.joint("upperarm01.R")

    def normalised(joints: torch.Tensor) -> torch.Tensor:
        return (joints - (joints[left] + joints[right]) / 2) / (joints[left] - joints[right]).norm()

    names = ("lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "head", "finger2-2.L", "finger2-2.R")
    chosen = [template.joint(name) for name in names]
    assert (normalised(found) - normalised(truth))[chosen].norm(dim=-1).max() < 0.22


def test_legs_that_are_out_of_sight_stay_at_rest(fit: Fit) -> None:
    template = load_template()
    legs = [j for j, name in enumerate(template.joint_names) if name.startswith(("upperleg", "lowerleg"))]
    angles = Rotation.from_rotvec(fit.state.rotations[legs].numpy()).magnitude()
    assert angles.max() < 0.05


def test_actions_are_weights_between_zero_and_one(fit: Fit) -> None:
    assert 0 <= float(fit.state.actions.min()) and float(fit.state.actions.max()) <= 1


def test_body_points_from_few_vertices_are_those_from_all(known_person: KnownPerson) -> None:
    template = load_template()
    evidence = collect_evidence(template, known_person.landmarks, 512, 512, known_person.alpha)
    few = evidence.body_regressor @ known_person.posed.vertices[evidence.vertices]
    shoulder = template.keypoint_names.index("left_shoulder")
    weights = torch.as_tensor(template.keypoint_weight[shoulder].copy())[:, None]
    every = (weights * known_person.posed.vertices[template.keypoint_index[shoulder].astype(int)]).sum(0)
    assert (few[0] - every).norm() < 1e-3
