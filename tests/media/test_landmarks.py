"""`media.landmarks`: the largest person of a photograph, and faces and hands in frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.feature import Cascade

from media._body import BodyFinder
from media._views import View
from media.errors import AvatarBenchError
from media.image import load_image
from media.landmarks import FaceMesh, HandDetector, PersonLandmarks, detect_person

LEFT_SHOULDER, RIGHT_SHOULDER = 11, 12
LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 263, 33  # outer; the person's sides


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def found(astronaut: np.ndarray) -> PersonLandmarks:
    return detect_person(astronaut)


def same(a: PersonLandmarks, b: PersonLandmarks) -> bool:
    arrays = (
        (a.pose, b.pose),
        (a.pose_world, b.pose_world),
        (a.face, b.face),
        (a.mask, b.mask),
        *((hand.points, b.hands[side].points) for side, hand in a.hands.items()),
    )
    return a.hands.keys() == b.hands.keys() and all(np.array_equal(x, y) for x, y in arrays)  # pyright: ignore


def test_face_lies_where_another_detector_sees_it(astronaut: np.ndarray, found: PersonLandmarks) -> None:
    """Reference: the LBP cascade of scikit-image."""
    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    box = max(
        cascade.detect_multi_scale(
            astronaut, scale_factor=1.2, step_ratio=1, min_size=(60, 60), max_size=(200, 200)
        ),
        key=lambda box: box["width"],
    )
    assert found.face is not None and found.face.shape == (478, 3)
    centre = found.face[:, :2].mean(axis=0)
    theirs = np.array([box["c"] + box["width"] / 2, box["r"] + box["height"] / 2])
    assert np.linalg.norm(centre - theirs) < 0.2 * box["width"]
    assert found.face[LEFT_EYE_CORNER, 0] > found.face[RIGHT_EYE_CORNER, 0]


def test_body_and_mask_belong_to_the_face(found: PersonLandmarks) -> None:
    assert found.n_people == 1
    assert found.pose.shape == (33, 4) and found.pose_world.shape == (33, 3)
    assert found.face is not None
    np.testing.assert_allclose(found.pose[0, :2], found.face[1, :2], atol=12)  # the tip of the nose
    assert found.pose[LEFT_SHOULDER, 0] > found.pose[RIGHT_SHOULDER, 0] + 100
    width_m = np.linalg.norm(found.pose_world[LEFT_SHOULDER] - found.pose_world[RIGHT_SHOULDER])
    assert 0.25 < width_m < 0.5
    assert found.mask.dtype == np.float32 and found.mask.shape == (512, 512)
    x, y = found.pose[[LEFT_SHOULDER, RIGHT_SHOULDER], :2].mean(axis=0).astype(int)
    assert found.mask[y, x] > 0.9 and found.mask[60, 330] < 0.1  # chest; wall behind
    assert 0.3 < (found.mask > 0.5).mean() < 0.6


def test_same_image_gives_the_same_bytes_whatever_came_before(
    astronaut: np.ndarray, found: PersonLandmarks
) -> None:
    with FaceMesh() as mesh:
        mesh.detect(astronaut[:, ::-1].copy())
    assert same(detect_person(astronaut.copy()), found)


def test_mirrored_photograph_gives_the_mirrored_person(astronaut: np.ndarray, found: PersonLandmarks) -> None:
    mirrored = detect_person(np.ascontiguousarray(astronaut[:, ::-1]))
    swap = [12, 11, 14, 13]
    back = np.stack([512 - mirrored.pose[swap, 0], mirrored.pose[swap, 1]], axis=1)
    np.testing.assert_allclose(back[:2], found.pose[[11, 12], :2], atol=6)
    assert np.abs(mirrored.mask[:, ::-1] - found.mask).mean() < 0.02


def test_of_two_people_the_larger_is_taken(astronaut: np.ndarray, found: PersonLandmarks) -> None:
    """The smaller copy stands on the left, where a detector that takes the first would begin."""
    small = cv2.resize(astronaut, (320, 320), interpolation=cv2.INTER_AREA)
    image = np.full((512, 320 + 512, 3), 90, np.uint8)
    image[512 - 320 :, :320] = small
    image[:, 320:] = astronaut
    both = detect_person(image)
    assert both.n_people == 2
    assert both.face is not None and found.face is not None
    np.testing.assert_allclose(both.face[:, :2], found.face[:, :2] + (320, 0), atol=3)
    np.testing.assert_allclose(both.pose[[11, 12], :2], found.pose[[11, 12], :2] + (320, 0), atol=15)
    assert both.mask[:, :300].mean() < 0.05 < both.mask[:, 320:].mean()


def test_images_without_a_usable_person_have_their_own_codes(astronaut: np.ndarray) -> None:
    with pytest.raises(AvatarBenchError, match="E104"):
        detect_person(astronaut[:255])
    with pytest.raises(AvatarBenchError, match="E102"):
        detect_person(skimage.data.coffee())
    faceless = astronaut.copy()
    faceless[50:195, 165:285] = (200, 160, 140)
    with pytest.raises(AvatarBenchError, match=r"E10[23]"):
        detect_person(faceless)


def test_body_without_a_face_is_e103(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back view, say: the body model still sees a body where the face detector sees nothing."""
    body = BodyFinder.find
    with BodyFinder() as bodies:
        seen = body(bodies, astronaut, None, [])
    monkeypatch.setattr(BodyFinder, "find", lambda *_: seen)
    with pytest.raises(AvatarBenchError, match="E103"):
        detect_person(skimage.data.coffee())


def test_detectors_say_nothing_on_stderr(astronaut: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    with FaceMesh() as mesh, HandDetector() as hands:
        mesh.detect(astronaut)
        hands.detect(astronaut)
    assert capfd.readouterr().err == ""


def test_face_mesh_reads_a_small_face_in_a_large_frame(astronaut: np.ndarray) -> None:
    """The face is 31 px wide in a frame of 1280 px, far below what MediaPipe's mesh finds by itself."""
    small = cv2.resize(astronaut, (160, 160), interpolation=cv2.INTER_AREA)
    frame = np.full((720, 1280, 3), 128, np.uint8)
    frame[400:560, 900:1060] = small
    with FaceMesh() as mesh:
        large = mesh.detect(astronaut)
        points = mesh.detect(frame)
        assert mesh.detect(np.full((720, 1280, 3), 128, np.uint8)) is None
        again = mesh.detect(astronaut)
    assert large is not None and points is not None and again is not None
    expected = large[:, :2] * 160 / 512 + (900, 400)
    assert np.linalg.norm(points[:, :2] - expected, axis=1).mean() < 1.0
    np.testing.assert_array_equal(large, again)


def test_hand_detector_finds_no_hands_where_there_are_none(astronaut: np.ndarray) -> None:
    with HandDetector() as hands:
        assert hands.detect(astronaut[:300]) == []


@pytest.mark.parametrize("size", [None, (384, 384)], ids=["as it is", "384 px"])
def test_hands_are_given_to_the_persons_own_sides(shared_data: Path, size: tuple[int, int] | None) -> None:
    """The person faces the camera with open arms: the left hand is on the right of the picture."""
    image = load_image(shared_data / "photos" / "half_body" / "woman_0057.jpg")
    if size is not None:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    person = detect_person(image)
    assert person.hands.keys() == {"left", "right"}
    k = image.shape[1] / 1024
    for side, middle_finger_tip in (("left", (852, 748)), ("right", (165, 706))):
        hand = person.hands[side]
        assert hand.points.shape == (21, 3) and hand.world.shape == (21, 3) and hand.score > 0.8
        assert 0.1 < np.linalg.norm(hand.world[12] - hand.world[0]) < 0.25
        np.testing.assert_allclose(hand.points[12, :2] / k, middle_finger_tip, atol=12)


def test_hand_detector_reports_its_own_guess_of_the_side(shared_data: Path) -> None:
    image = load_image(shared_data / "photos" / "half_body" / "woman_0057.jpg")
    with HandDetector() as detector:
        hands = sorted(detector.detect(image), key=lambda hand: hand.points[0, 0])
    assert [hand.handedness for hand in hands] == ["right", "left"]
    assert all(0.5 <= hand.score <= 1.0 for hand in hands)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("centre", [(256, 256), (20, 500)])
def test_points_go_into_a_view_and_back(centre: tuple[int, int], mirrored: bool) -> None:
    view = View.around(np.array(centre), 201, 512, mirrored)
    points = np.random.default_rng(0).uniform(0, 512, (20, 2))
    np.testing.assert_allclose(view.to_image(view.from_image(points)), points, atol=1e-9)


@pytest.mark.parametrize("mirrored", [False, True])
def test_picture_of_a_view_agrees_with_its_points(mirrored: bool) -> None:
    """A white pixel must appear where its centre is mapped, also in a window that leaves the image."""
    image = np.zeros((100, 80, 3), np.uint8)
    image[90, 10] = 255
    view = View.around(np.array([5.0, 95.0]), 40, 400, mirrored)
    bright = np.argwhere(view.take(image)[:, :, 0] > 128)[:, ::-1].mean(axis=0) + 0.5
    np.testing.assert_allclose(bright, view.from_image(np.array([10.5, 90.5])), atol=1.0)
