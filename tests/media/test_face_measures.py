"""`media.faces`: measures of lips, eyes and head on landmarks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from media.faces import align_rigidly, eye_openings, head_pose, inner_lip_gap, mouth_width

UPPER_LIP, LOWER_LIP = [13, 82, 312], [14, 87, 317]


@pytest.fixture
def face() -> np.ndarray:
    """Random landmarks [478, 3] about a head of 100 px whose outer eye corners are 60 px apart."""
    points = np.random.default_rng(0).normal(0, 30, (478, 3))
    points[33], points[263] = (-30, -20, 5), (30, -20, 5)
    points[61], points[291] = (-21, 40, 0), (21, 40, 0)
    points[UPPER_LIP] = [(0, 38, -10), (-8, 38, -8), (8, 38, -8)]
    points[LOWER_LIP] = points[UPPER_LIP] + (0, 12, 0)
    return points


def talking(face: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """A sequence [T, 478, 3] in which only the lower lip moves, to `gaps` px under the upper one."""
    frames = np.repeat(face[None], len(gaps), axis=0)
    frames[:, LOWER_LIP, 1] = face[UPPER_LIP, 1] + gaps[:, None]
    return frames


def moved(frames: np.ndarray, angles: Rotation, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    turned = np.einsum("tij,tkj->tki", angles.as_matrix(), frames)
    return scale[:, None, None] * turned + shift[:, None]


def test_lip_gap_is_the_opening_over_the_distance_of_the_eyes(face: np.ndarray) -> None:
    assert inner_lip_gap(face) == pytest.approx(12 / 60)
    assert mouth_width(face) == pytest.approx(42 / 60)


def test_lip_gap_of_a_sequence_does_not_see_the_head_move(face: np.ndarray) -> None:
    random = np.random.default_rng(1)
    gaps = 6 + 6 * np.sin(np.arange(50) / 4)
    still = talking(face, gaps)
    angles = Rotation.from_euler("xyz", random.normal(0, 15, (50, 3)), degrees=True)
    shaken = moved(still, angles, random.uniform(0.5, 2, 50), random.normal(0, 100, (50, 3)))
    np.testing.assert_allclose(inner_lip_gap(still), gaps / 60, atol=1e-9)
    relative = inner_lip_gap(shaken) / inner_lip_gap(shaken).mean()
    np.testing.assert_allclose(relative, gaps / gaps.mean(), atol=1e-9)


def test_head_pose_recovers_the_rotation_of_scipy(face: np.ndarray) -> None:
    random = np.random.default_rng(2)
    angles = Rotation.from_euler("xyz", random.normal(0, 20, (20, 3)), degrees=True)
    scale = random.uniform(0.5, 2, 20)
    frames = moved(np.repeat(face[None], 20, axis=0), angles, scale, random.normal(0, 50, (20, 3)))
    pose = head_pose(frames, reference=face)
    np.testing.assert_allclose(pose.rotation, angles.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(pose.scale, 1 / scale, rtol=1e-9)
    aligned = align_rigidly(frames, reference=face)
    np.testing.assert_allclose(aligned - aligned[:1], np.zeros_like(aligned), atol=1e-9)


@pytest.mark.parametrize(
    ("axis", "nose_moves"),
    [(0, (0, 1)), (1, (1, 0))],
    ids=["pitch is positive when the nose goes down", "yaw is positive when it goes to the image's right"],
)
def test_signs_of_pitch_and_yaw(face: np.ndarray, axis: int, nose_moves: tuple[int, int]) -> None:
    """The nose is in front of the head's centre, which is at smaller z."""
    for turn in (Rotation.from_euler("xyz"[axis], sign * 10, degrees=True) for sign in (-1, 1)):
        shift = turn.apply([0, 0, -1])[:2] @ nose_moves
        pose = head_pose((face @ turn.as_matrix().T)[None], reference=face)
        assert pose.euler_deg[0, axis] == pytest.approx(10 * np.sign(shift))


def test_roll_is_positive_clockwise_in_the_image(face: np.ndarray) -> None:
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert (turn @ [1, 0, 0])[1] > 0  # what is to the right goes down
    pose = head_pose((face @ turn.T)[None], reference=face)
    np.testing.assert_allclose(pose.euler_deg[0], [0, 0, 10], atol=1e-9)


def test_frames_without_a_face_stay_nan_and_leave_the_others_alone(face: np.ndarray) -> None:
    frames = talking(face, np.array([3.0, 6.0, 9.0]))
    holed = np.insert(frames, 1, np.nan, axis=0)
    gaps = inner_lip_gap(holed)
    assert np.isnan(gaps[1])
    np.testing.assert_allclose(np.delete(gaps, 1), inner_lip_gap(frames), atol=1e-12)
    assert np.isnan(eye_openings(holed)[1]).all()


def test_eye_openings_tell_which_eye_is_shut(face: np.ndarray) -> None:
    for corner, x in ((362, 10), (263, 30), (33, -30), (133, -10)):
        face[corner] = (x, -20, 5)
    lids = {"left": ((386, 374), (385, 380), (387, 373)), "right": ((159, 145), (158, 153), (160, 144))}
    for side, height in (("left", 6.0), ("right", 1.0)):
        for upper, lower in lids[side]:
            face[upper], face[lower] = (0, -20 - height / 2, 0), (0, -20 + height / 2, 0)
    np.testing.assert_allclose(eye_openings(face), [6 / 20, 1 / 20])
