"""The truth of a clip against independent formulas."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.corpus.drawing.scene import View, frontal_view
from reference_model.corpus.motion.animator import FPS, Motion
from reference_model.corpus.motion.arm_reach import Physique
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.motion.performer import perform
from reference_model.corpus.motion.personal_style import PersonalStyle
from reference_model.corpus.motion.truth import (
    ClipTruth,
    clip_truth,
    load_sealed,
    load_truth,
    save_sealed,
    save_truth,
    speech_events,
)
from reference_model.corpus.people.arm_pose import ArmTarget, solve_arms
from reference_model.corpus.people.head_chart import landmark_positions
from reference_model.innovations import sample_innovations

TEMPLATE = load_template()
REST = solve_arms(TEMPLATE, TEMPLATE.joints, ArmTarget())


def posed(actions: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tensors = TemplateTensors(TEMPLATE)
    state = BodyState.neutral(tensors).replace(
        actions=torch.tensor(actions).float(), rotations=torch.tensor(rotations).float()
    )
    result = pose(tensors, state)
    return result.vertices.numpy(), result.joints.numpy()


def mouth(**weights: float) -> np.ndarray:
    actions = np.zeros(52)
    for name, weight in weights.items():
        actions[TEMPLATE.action(name)] = weight
    return actions


def view(yaw_deg: float = 0.0) -> View:
    return frontal_view(np.array([0.0, -0.05, 0.37]), 1.0, 384, 512, yaw_deg=yaw_deg)


def nodding(angle: float) -> np.ndarray:
    rotations = REST.copy()
    rotations[TEMPLATE.joint("head")] = [angle, 0.3, -0.2]
    return rotations


@pytest.fixture(scope="module")
def still() -> ClipTruth:
    return clip_truth([posed(np.zeros(52), REST)], view())


def test_points_are_where_opencv_projects_them(still: ClipTruth) -> None:
    camera = view()
    matrix = np.array([[camera.focal, 0, 192], [0, camera.focal, 256], [0, 0, 1]], np.float64)
    turn, _ = cv2.Rodrigues(camera.rotation.astype(np.float64))
    _, joints = posed(np.zeros(52), REST)
    # The head of the rest pose does not move: the face mesh of the template itself.
    for points, found in (
        (landmark_positions(TEMPLATE), still.landmarks[0]),
        (joints, still.joints[0]),
        (still.hands_3d[0].reshape(42, 3), still.hands[0].reshape(42, 2)),
    ):
        known = np.isfinite(points).all(1)
        expected, _ = cv2.projectPoints(
            points[known].astype(np.float64), turn, camera.translation.astype(np.float64), matrix, np.zeros(5)
        )
        np.testing.assert_allclose(found[known], expected[:, 0], atol=0.05)


def test_keypoints_agree_with_the_face_mesh(still: ClipTruth) -> None:
    def keypoint(name: str) -> np.ndarray:
        return still.keypoints[0, TEMPLATE.keypoint_names.index(name)]

    assert np.linalg.norm(keypoint("nose") - still.landmarks[0, 1]) < 12  # px; 2 cm
    for name, corners in (("left_eye", [263, 362]), ("right_eye", [33, 133])):
        assert np.linalg.norm(keypoint(name) - still.landmarks[0, corners].mean(0)) < 6


def test_the_lip_gap_is_that_of_the_actions_however_the_head_is_turned() -> None:
    weights = [mouth(), mouth(jawOpen=0.2), mouth(jawOpen=0.4), mouth(jawOpen=0.4, mouthClose=0.4)]
    truth = clip_truth([posed(w, nodding(angle)) for w in weights for angle in (-0.3, 0.3)], view())
    expected = np.repeat(lip_gap().millimetres(np.stack(weights)), 2)
    np.testing.assert_allclose(truth.lip_gap_mm, expected, atol=0.25)
    face_mm = truth.lip_gap_mm[4] / truth.lip_gap[4]
    assert 140 < face_mm < 230  # of an adult, forehead to chin, jaw open


def test_eyes_close_with_a_blink_each_by_itself() -> None:
    blink = np.zeros(52)
    blink[TEMPLATE.action("eyeBlinkLeft")] = 1.0
    truth = clip_truth([posed(np.zeros(52), REST), posed(blink, REST)], view())
    assert truth.eye_opening_mm[0].min() > 6
    assert truth.eye_opening_mm[1, 0] == 0.0
    assert truth.eye_opening_mm[1, 1] == pytest.approx(truth.eye_opening_mm[0, 1], abs=0.05)


def test_what_is_behind_the_body_is_not_visible(still: ClipTruth) -> None:
    from_left = clip_truth([posed(np.zeros(52), REST)], view(yaw_deg=75.0))
    from_right = clip_truth([posed(np.zeros(52), REST)], view(yaw_deg=-75.0))
    left_cheek, right_cheek, nose = 425, 205, 1  # points of the face mesh
    assert still.landmarks_visible[0, [left_cheek, right_cheek, nose]].all()
    sides = {bool(truth.landmarks_visible[0, left_cheek]): truth for truth in (from_left, from_right)}
    assert set(sides) == {False, True}  # one of the two cameras sees the left cheek
    for seen, truth in sides.items():
        assert bool(truth.landmarks_visible[0, right_cheek]) != seen
    behind = clip_truth([posed(np.zeros(52), REST)], view(yaw_deg=180.0))
    assert not behind.landmarks_visible[0, [left_cheek, right_cheek, nose]].any()
    assert not behind.hands_visible.any()  # before the belly


def test_what_is_out_of_the_picture_is_not_visible(still: ClipTruth) -> None:
    feet = [TEMPLATE.keypoint_names.index(name) for name in ("left_heel", "right_big_toe")]
    assert not still.keypoints_visible[0, feet].any()
    shoulders = [TEMPLATE.keypoint_names.index(name) for name in ("left_shoulder", "right_shoulder")]
    assert still.keypoints_visible[0, shoulders].all()


def test_points_of_the_hands_lie_inside_their_silhouettes(still: ClipTruth) -> None:
    vertices, _ = posed(np.zeros(52), REST)
    camera = view()
    seen = vertices @ camera.rotation.T + camera.translation
    pixels = seen[:, :2] / seen[:, 2:] * camera.focal + [192, 256]
    for index, side in enumerate(("left", "right")):
        mask = np.zeros((512, 384), np.uint8)
        # The wrist lies where hand and arm meet.
        faces = TEMPLATE.faces[TEMPLATE.region_faces(f"hand_{side}", "body")]
        near = np.linalg.norm(vertices[faces].mean(1) - still.hands_3d[0, index, 9], axis=1) < 0.14
        for triangle in np.round(pixels[faces[near]] * 16).astype(np.int32):
            cv2.fillConvexPoly(mask, triangle, (1,), shift=4)
        column, row = np.round(still.hands[0, index] - 0.5).astype(int).T
        assert mask[row, column].all()
        mirrored = np.linalg.norm(still.hands_3d[0, 0] * [-1, 1, 1] - still.hands_3d[0, 1], axis=1)
        assert mirrored.max() < 0.01


def test_truth_is_read_back_as_written(tmp_path: Path, still: ClipTruth) -> None:
    save_truth(tmp_path / "clip.npz", still)
    again = load_truth(tmp_path / "clip.npz")
    np.testing.assert_array_equal(again.landmarks, still.landmarks)
    np.testing.assert_array_equal(again.hands_visible, still.hands_visible)
    assert again.picture_size.tolist() == [384, 512]
    save_truth(tmp_path / "again.npz", still)
    assert (tmp_path / "clip.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_the_truth_for_methods_does_not_hold_what_is_sealed(tmp_path: Path, still: ClipTruth) -> None:
    motion = Motion(np.ones((2, 52), np.float32), np.zeros((2, TEMPLATE.n_joints, 3), np.float32))
    (tmp_path / "sealed").mkdir()
    save_sealed(tmp_path / "sealed" / "clip.npz", motion)
    np.testing.assert_array_equal(load_sealed(tmp_path / "sealed" / "clip.npz").actions, motion.actions)
    with pytest.raises(ValueError, match="sealed"):
        save_sealed(tmp_path / "clip.npz", motion)
    save_truth(tmp_path / "clip.npz", still)
    with np.load(tmp_path / "clip.npz") as archive:
        assert not {"actions", "rotations"} & set(archive.files)


def test_a_damaged_file_is_a_readable_error(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(AvatarBenchError) as caught:
        load_truth(path)
    assert caught.value.code == "E402"
    assert str(path) in str(caught.value)


def test_speech_events_name_stress_and_apexes(spoken) -> None:
    innovations = sample_innovations(round(spoken.duration * FPS), seed=2)
    physique = Physique(TEMPLATE.vertices, TEMPLATE.joints, REST)
    _, performance = perform(spoken, innovations, PersonalStyle(), np.random.default_rng(0), physique)
    events = json.loads(json.dumps(speech_events(spoken, performance)))
    stressed = {word["stress_s"]: word["word"] for word in events["words"] if word["stress_s"] is not None}
    assert "beautiful" in stressed.values()
    assert all(word["start_s"] < word["end_s"] for word in events["words"])
    assert all(
        word["start_s"] - 0.02 <= (word["stress_s"] or word["start_s"]) < word["end_s"]
        for word in events["words"]
    )
    assert len(events["gestures"]) >= 2
    for gesture in events["gestures"]:
        assert stressed[gesture["onset_s"]] == gesture["word"]
        assert abs(gesture["apexes_s"][0] - gesture["onset_s"]) < 0.2
    ipa = [phoneme["ipa"] for phoneme in events["phonemes"]]
    assert ipa.count("b") >= 4 and "" not in ipa
