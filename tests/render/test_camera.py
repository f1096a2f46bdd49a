from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
import torch

from reference_model.render.camera import Camera

POINTS = torch.tensor([[0.1, -0.2, 1.5], [-0.3, 0.1, 1.2], [0.0, 0.0, 1.0], [0.2, 0.3, 1.7]])


@pytest.fixture
def camera() -> Camera:
    return Camera.frontal((0.1, 1.3, 2.5), focal=800.0, width=640, height=480).cropped(5.0, 7.0, 600, 450)


def test_projection_is_that_of_opencv(camera: Camera) -> None:
    turned = camera.orbited(torch.tensor([0.0, 0.1, 1.2]), 25.0)
    matrix = np.array([[turned.focal, 0, turned.cx], [0, turned.focal, turned.cy], [0, 0, 1]])
    rotation_vector, _ = cv2.Rodrigues(turned.rotation.double().numpy())
    expected, _ = cv2.projectPoints(
        POINTS.double().numpy(), rotation_vector, turned.translation.double().numpy(), matrix, None
    )
    pixels, depths = turned.project(POINTS)
    np.testing.assert_allclose(pixels.numpy(), expected[:, 0], atol=1e-3)
    np.testing.assert_allclose(depths, (POINTS - turned.center) @ turned.rotation[2], atol=1e-5)


def test_frontal_camera_sees_the_person_upright_and_their_left_on_the_right(camera: Camera) -> None:
    low_right, high_left = camera.project(torch.tensor([[-0.1, 0.0, 1.0], [0.1, 0.0, 1.5]]))[0]
    assert high_left[0] > low_right[0]
    assert high_left[1] < low_right[1]


def test_a_person_faces_the_frontal_camera(camera: Camera) -> None:
    nose, back_of_the_head = camera.project(torch.tensor([[0.0, -0.1, 1.5], [0.0, 0.1, 1.5]]))[1]
    assert nose < back_of_the_head


def test_resizing_covers_the_new_picture_and_crops_evenly(camera: Camera) -> None:
    resized = camera.resized(300, 400)  # 600x450 scaled by 400/450, 233.3 px of the width cut away
    scale = 400 / 450
    before, after = camera.project(POINTS)[0], resized.project(POINTS)[0]
    expected = before * scale - torch.tensor([(600 * scale - 300) / 2, 0.0])
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=0)
    assert (resized.width, resized.height) == (300, 400)


def test_resizing_back_and_forth_changes_nothing_at_the_same_aspect(camera: Camera) -> None:
    same = camera.resized(1200, 900).resized(600, 450)
    assert same.focal == pytest.approx(camera.focal)
    assert (same.cx, same.cy) == pytest.approx((camera.cx, camera.cy))


def test_cropping_shifts_the_picture(camera: Camera) -> None:
    cropped = camera.cropped(40.0, -10.0, 100, 80)
    shift = camera.project(POINTS)[0] - cropped.project(POINTS)[0]
    torch.testing.assert_close(shift, torch.tensor([40.0, -10.0]).expand(4, 2), atol=1e-3, rtol=0)


def test_positive_yaw_shows_the_left_side_and_keeps_the_axis_in_place(camera: Camera) -> None:
    center = torch.tensor([0.0, 0.0, 1.5])
    turned = camera.orbited(center, 30.0)
    left_ear, right_ear = turned.project(torch.tensor([[0.08, 0.0, 1.5], [-0.08, 0.0, 1.5]]))[1]
    assert left_ear < right_ear - 0.05
    for before, after in zip(camera.project(center), turned.project(center), strict=True):
        torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-5)
    distance = [torch.dist(c.center, center).item() for c in (camera, turned)]
    assert distance[1] == pytest.approx(distance[0], rel=1e-5)
    azimuth = [math.degrees(math.atan2(*(c.center - center)[:2].tolist())) for c in (camera, turned)]
    assert (azimuth[0] - azimuth[1]) % 360 == pytest.approx(30.0, abs=1e-3)


def test_a_full_orbit_comes_back(camera: Camera) -> None:
    turned = camera
    for _ in range(8):
        turned = turned.orbited(torch.tensor([0.2, -0.1, 1.0]), 45.0)
    torch.testing.assert_close(turned.rotation, camera.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.translation, camera.translation, atol=1e-5, rtol=0)


def test_json_gives_back_the_same_camera_bit_for_bit(camera: Camera) -> None:
    turned = camera.orbited(torch.zeros(3), 12.3)
    again = Camera.from_dict(json.loads(json.dumps(turned.to_dict())))
    assert torch.equal(again.rotation, turned.rotation)
    assert torch.equal(again.translation, turned.translation)
    assert again.to_dict() == turned.to_dict()


def test_a_camera_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rotation must have shape \(3, 3\), got \(4, 4\)"):
        Camera(torch.eye(4), torch.zeros(3), 1.0, 0.0, 0.0, 1, 1)
