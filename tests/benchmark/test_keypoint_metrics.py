"""Average keypoint distances against scipy's assignment, closed forms, and pictures that are moved by known ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.optimize import linear_sum_assignment

from benchmark.extractors import EXTRACTORS, Hands, Networks
from benchmark.metrics.definition import Measurement, Observations
from benchmark.metrics.keypoints import akd_face, akd_hand, matched_hand_distances
from benchmark.person_extractors import FACE_MESH, FaceLandmarks
from media.image import load_image
from media.landmarks import FaceMesh

SIDE = 512
AWAY = np.array([3.0, 4.0])  # px: 5 px


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    with Networks() as shared:
        yield shared


def hands_seen(prediction: np.ndarray, truth: np.ndarray, side: int = SIDE) -> Observations:
    """Hands [T, 2, 21, 2] px of both, NaN where none is."""
    arrays = [{"hands_mp": {"points": points.astype(np.float32)}} for points in (prediction, truth)]
    return Observations(arrays[0], arrays[1], {}, 2 * side, side)


def faces_seen(prediction: np.ndarray, truth: np.ndarray, side: int = SIDE) -> Observations:
    """Faces [T, 478, 3] px of both, NaN where none is."""
    arrays = [{"face_mesh_mp": {"points": points.astype(np.float32)}} for points in (prediction, truth)]
    return Observations(arrays[0], arrays[1], {}, side, 2 * side)


def two_hands(n_frames: int) -> np.ndarray:
    """Two hands that stand 200 px apart, [T, 2, 21, 2]."""
    rng = np.random.default_rng(0)
    rest = rng.uniform(0, 60, (1, 2, 21, 2)) + np.array([[150.0, 300.0], [350.0, 300.0]])[None, :, None]
    return rest + rng.normal(0, 5, (n_frames, 2, 1, 2))


@pytest.mark.parametrize("n_prediction", [0, 1, 2])
@pytest.mark.parametrize("n_truth", [0, 1, 2])
def test_hands_are_matched_as_scipys_assignment_matches_them(n_prediction: int, n_truth: int):
    rng = np.random.default_rng(10 * n_prediction + n_truth)
    for _ in range(20):
        prediction, truth = (rng.uniform(0, 512, (n, 21, 2)) for n in (n_prediction, n_truth))
        cost = np.linalg.norm(prediction[:, None] - truth[None], axis=-1).mean(axis=-1)  # [P, Q]
        expected = cost[linear_sum_assignment(cost)]
        assert sorted(matched_hand_distances(prediction, truth)) == pytest.approx(sorted(expected))


def test_hands_moved_by_3_and_4_px_are_5_px_away_in_whichever_order_they_were_found():
    truth = two_hands(30)
    moved = truth + AWAY
    moved[::2] = moved[::2, ::-1]
    assert akd_hand(hands_seen(moved, truth)).value == pytest.approx(5.0, rel=1e-5)
    assert akd_hand(hands_seen(truth, truth)) == Measurement(0.0, 60, 60)


@pytest.mark.parametrize("side", [256, 720])
def test_distances_are_px_of_a_picture_whose_short_side_is_512(side: int):
    truth = two_hands(10) * side / SIDE
    face = np.random.default_rng(0).uniform(0, side, (10, 478, 3))
    way = np.array([3.0, 4.0]) * side / SIDE
    assert akd_hand(hands_seen(truth + way, truth, side)).value == pytest.approx(5.0, rel=1e-4)
    moved = face + np.array([*way, 50.0])  # depth does not count
    assert akd_face(faces_seen(moved, face, side)).value == pytest.approx(5.0, rel=1e-4)


def test_a_missed_hand_is_left_out_and_lowers_the_number_of_hands():
    truth = two_hands(10)
    truth[8:, 1] = np.nan  # 18 hands expected
    prediction = truth + AWAY
    prediction[:4, 0] = np.nan
    measured = akd_hand(hands_seen(prediction, truth))
    assert measured.value == pytest.approx(5.0, rel=1e-5)
    assert (measured.n_valid, measured.n_total) == (14, 18)


def test_surplus_hands_have_no_partner_and_cost_nothing():
    prediction = two_hands(10)
    truth = prediction + AWAY
    truth[:, 0] = np.nan
    measured = akd_hand(hands_seen(prediction, truth))
    assert measured.value == pytest.approx(5.0, rel=1e-5)
    assert (measured.n_valid, measured.n_total) == (10, 10)


@pytest.mark.parametrize(("n_found", "status"), [(5, "ok"), (4, "undetected")])
def test_less_than_half_of_what_is_expected_gives_no_value(n_found: int, status: str):
    hands, face = two_hands(10), np.ones((10, 478, 3))
    few_hands, few_faces = hands.copy(), face.copy()
    few_hands[n_found:] = np.nan
    few_faces[n_found:] = np.nan
    by_hand, by_face = akd_hand(hands_seen(few_hands, hands)), akd_face(faces_seen(few_faces, face))
    assert (by_hand.status, by_hand.n_valid, by_hand.n_total) == (status, 2 * n_found, 20)
    assert (by_face.status, by_face.n_valid, by_face.n_total) == (status, n_found, 10)
    if status == "undetected":
        assert (by_hand.value, by_hand.reason) == (None, "no_hands")
        assert (by_face.value, by_face.reason) == (None, "no_face")


def test_a_truth_without_hands_or_face_asks_for_none():
    hands, face = two_hands(10), np.ones((10, 478, 3))
    nothing = Measurement(None, 0, 0, "not_applicable", "no_hands")
    assert akd_hand(hands_seen(hands, np.full_like(hands, np.nan))) == nothing
    assert akd_face(faces_seen(face, np.full_like(face, np.nan))).reason == "no_face"


def test_faces_are_averaged_over_points_then_over_frames():
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(0, SIDE, (2, 7, 478, 3))
    truth[2] = np.nan
    prediction[5] = np.nan
    both = [0, 1, 3, 4, 6]
    expected = np.hypot(*(prediction - truth)[both, :, :2].reshape(-1, 2).T).mean()
    measured = akd_face(faces_seen(prediction, truth))
    assert measured.value == pytest.approx(expected, rel=1e-6)
    assert (measured.n_valid, measured.n_total) == (5, 6)


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """A picture [H, W, 3] moved right and down, its edge repeated."""
    height, width = picture.shape[:2]
    return cv2.warpAffine(
        picture,
        np.array([[1, 0, x], [0, 1, y]], np.float64),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
    )


def faces_in(networks: Networks, *frames: np.ndarray) -> np.ndarray:
    extractor = FaceLandmarks(networks)
    for frame in frames:
        extractor.add(frame)
    return extractor.arrays()["points"]


@pytest.mark.parametrize("way", [(12, 0), (0, 20), (-9, 12)])
def test_a_real_face_that_is_moved_is_that_far_away(networks: Networks, way: tuple[int, int]):
    truth = skimage.data.astronaut()
    prediction = faces_in(networks, moved(truth, *way))
    # The mesh of one face scatters by about a pixel with the crop that it is read from.
    measured = akd_face(faces_seen(prediction, faces_in(networks, truth)))
    assert measured.value == pytest.approx(np.hypot(*way), abs=1.5)


def test_faces_have_478_points_in_px_and_a_picture_without_one_is_nan(networks: Networks):
    frame = skimage.data.astronaut().copy()
    before = networks.counters.forwards[FACE_MESH.id]
    points = faces_in(networks, frame, np.full((96, 96, 3), 128, np.uint8), frame)
    assert points.shape == (3, 478, 3) and points.dtype == np.float32
    assert np.isnan(points[1]).all() and np.isfinite(points[[0, 2]]).all()
    assert points[0].tobytes() == points[2].tobytes()
    assert networks.counters.forwards[FACE_MESH.id] <= before + 2  # the same frame is looked at once
    with FaceMesh() as mesh:  # without the memory of what was seen
        assert mesh.detect(moved(frame, 9, 9)) is not None  # and whatever was seen in between
        again = mesh.detect(frame)
    assert again is not None and again.astype(np.float32).tobytes() == points[0].tobytes()


def test_the_mesh_lies_where_opencvs_cascade_sees_the_face(networks: Networks):
    frame = skimage.data.astronaut()
    folder = Path(cv2.__file__).parent / "data"
    cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
    boxes = cascade.detectMultiScale(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1.1, 5)
    x, y, width, height = max(boxes, key=lambda box: box[2])
    points = faces_in(networks, frame)[0, :, :2]
    assert np.abs(points.mean(axis=0) - (x + width / 2, y + height / 2)).max() < 0.15 * width
    assert 0.5 * width < np.ptp(points[:, 0]) < 1.1 * width


def test_of_two_faces_the_larger_one_is_measured(networks: Networks):
    frame = skimage.data.astronaut()
    small = cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA)
    beside = np.full((512, 768, 3), 90, np.uint8)
    beside[:, 256:], beside[128:384, :256] = frame, small
    alone = faces_in(networks, frame)[0, :, :2] + (256, 0)
    assert np.linalg.norm(faces_in(networks, beside)[0, :, :2] - alone, axis=-1).mean() < 3


def test_the_weights_of_the_mesh_are_part_of_the_key():
    assert FACE_MESH.sha256() in EXTRACTORS["face_mesh_mp"].content()
    assert len(FACE_MESH.sha256()) == 64


def test_real_hands_that_are_moved_are_that_far_away(networks: Networks, shared_data: Path):
    picture = cv2.resize(
        load_image(shared_data / "photos/half_body/woman_0010.jpg"), (512, 512), interpolation=cv2.INTER_AREA
    )
    extractor = Hands(networks)
    for frame in (moved(picture, 12, -9), picture):
        extractor.add(frame)
    points = extractor.arrays()["points"]
    measured = akd_hand(hands_seen(points[:1], points[1:]))
    assert measured.n_valid == measured.n_total == 2
    assert measured.value == pytest.approx(15.0, abs=2.5)
