"""Which face is followed and what CSIM says of it, on made networks that take magenta squares for faces."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from paper_extractors import FACE_IDENTITY, damage, use_made_weights

from benchmark import identity_extractors
from benchmark.cache import clean_cache
from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.hashing import sha256_file
from benchmark.identity import Session, align_face, choose_face, embed_face
from benchmark.identity_extractors import FaceIdentity
from benchmark.metrics.definition import Measurement, Observations
from benchmark.metrics.identity import csim, csim_strict
from benchmark.observations import ClipView, Request
from media.errors import AvatarBenchError
from media.video import write_video

SIDE = 640
LEFT, RIGHT = (160, 320), (480, 320)  # px, of a face's centre
Face = tuple[int, tuple[int, int]]
"""Who, and where the centre is."""


def picture(*faces: Face) -> np.ndarray:
    """Faces on grey: who it is shows in the pattern about a magenta square, [640, 640, 3] uint8."""
    frame = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for who, (x, y) in faces:
        coarse = np.random.default_rng(who).integers(0, 256, (10, 10, 1), np.uint8).repeat(3, axis=2)
        frame[y - 150 : y + 150, x - 150 : x + 150] = np.kron(coarse, np.ones((30, 30, 1), np.uint8))
        frame[y - 70 : y + 70, x - 70 : x + 70] = (255, 0, 255)
    return frame


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from made_identity import FACE_POINTS, write_blob_detector, write_recogniser

    folder = tmp_path_factory.mktemp("weights")
    write_blob_detector(folder)
    points = np.array(LEFT) + 32 * FACE_POINTS
    write_recogniser(folder, [align_face(picture((who, LEFT)), points) for who in range(8)])
    return folder


@pytest.fixture(autouse=True)
def registered(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ("buffalo_l_detection", "buffalo_l_recognition")
    use_made_weights(monkeypatch, weights, FACE_IDENTITY, *ids)


def look(prediction: Sequence[np.ndarray], reference: np.ndarray) -> Observations:
    """What the extractor finds in frames beside a truth that begins with `reference`."""
    with Networks() as networks:
        worker = FaceIdentity(networks)
        for frame in prediction:
            worker.add(frame, reference)
        arrays = worker.arrays()
        n_looks = networks.counters.forwards["insightface_buffalo_l"]
    different = {(frame.shape, frame.tobytes()) for frame in (*prediction, reference)}
    assert n_looks == len(different)  # of the true frames one alone
    return Observations({}, {}, {"face_identity": arrays}, SIDE, SIDE)


def centres(observations: Observations) -> list[tuple[int, int] | None]:
    boxes = observations.pair["face_identity"]["box"].astype(np.float64)
    return [None if np.isnan(b[0]) else (round((b[0] + b[2]) / 2), round((b[1] + b[3]) / 2)) for b in boxes]


def test_the_same_person_is_the_same_wherever_they_stand_and_another_is_not():
    same = csim(look([picture((0, RIGHT))] * 3, picture((0, LEFT))))
    other = csim(look([picture((1, LEFT))] * 3, picture((0, LEFT))))
    assert same.value == pytest.approx(1.0, abs=1e-5)
    assert other.value is not None and abs(other.value) < 0.5
    assert (same.n_valid, same.n_total, same.status) == (3, 3, "ok")


def test_without_a_face_in_the_reference_there_is_no_value():
    seen = look([picture((0, LEFT))] * 2, picture())
    expected = Measurement(None, 0, 2, "undetected", "no_reference_face")
    assert csim(seen) == csim_strict(seen) == expected


def test_without_a_face_in_any_frame_csim_has_no_value_and_the_strict_one_is_0():
    seen = look([picture()] * 3, picture((0, LEFT)))
    assert csim(seen) == Measurement(None, 0, 3, "undetected", "no_face")
    assert csim_strict(seen) == Measurement(0.0, 0, 3)


def test_a_face_that_leaves_and_returns_lowers_the_coverage_and_the_strict_value():
    frames = [picture((0, LEFT)), picture(), picture(), picture((0, RIGHT))]
    seen = look(frames, picture((0, LEFT)))
    assert centres(seen) == [LEFT, None, None, RIGHT]
    mean, strict = csim(seen), csim_strict(seen)
    assert (mean.n_valid, mean.n_total, strict.n_valid, strict.n_total) == (2, 4, 2, 4)
    assert mean.value == pytest.approx(1.0, abs=1e-5)
    assert strict.value == pytest.approx(mean.value / 2)


def test_of_two_faces_the_one_is_followed_that_was_there_before():
    """Person 0 begins on the right and moves; person 1 joins on the left, where a search from the left would begin."""
    steps = [(480 - 16 * n, 320) for n in range(3)]
    frames = [
        picture((0, steps[0])),
        picture((1, (150, 320)), (0, steps[1])),
        picture((1, (150, 320)), (0, steps[2])),
    ]
    found = centres(look(frames, picture((0, RIGHT))))
    assert all(abs(place[0] - step[0]) <= 16 for place, step in zip(found, steps, strict=True) if place)
    assert None not in found


def test_the_largest_face_is_chosen_first_and_then_the_one_that_overlaps():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 40, 20], [100, 0, 130, 30]], np.float32)
    assert choose_face(boxes, None) == 2
    assert choose_face(boxes, np.array([8, 8, 19, 19], np.float32)) == 0
    assert (
        choose_face(boxes, np.array([9, 0, 30, 20], np.float32)) == 1
    )  # touches both, shares more with the second
    assert choose_face(boxes, np.array([300, 0, 310, 10], np.float32)) == 2  # nothing there: a cut
    assert choose_face(boxes[:0], None) is None


@pytest.mark.parametrize(("width", "height"), [(64, 64), (3840, 2160), (1080, 1920)])
def test_pictures_of_any_size_are_scaled_to_the_detectors(width: int, height: int):
    """A face takes the same share of the frame's longer side."""
    side = max(width, height)
    places = np.arange(side) * SIDE // side
    scaled = picture((0, (320, 170)))[places[:height, None], places[None, :width]]
    if height > width:
        scaled = picture((0, (170, 320)))[places[:height, None], places[None, :width]]
    seen = look([scaled], scaled)
    centre = (320, 170) if width >= height else (170, 320)
    expected = [side * c / SIDE for c in centre]
    (found,) = centres(seen)
    assert found is not None
    assert np.abs(np.subtract(found, expected)).max() <= 17 * side / SIDE  # half a stride of the detector
    assert csim(seen).value == pytest.approx(1.0)


def test_grey_pictures_show_no_magenta_face():
    grey = picture((0, LEFT)).mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert csim(look([grey] * 3, picture((0, LEFT)))).reason == "no_face"


def write(path: Path, frames: Sequence[np.ndarray]) -> ClipView:
    write_video(path, frames, 25.0)
    return ClipView(path, sha256_file(path), 0.0, len(frames), 25.0, SIDE, SIDE)


def observed(requests: list[Request]) -> list[bytes]:
    clean_cache()
    with Networks() as networks:
        found = list(observe(requests, networks, pytest.fail))
    seen = [each.of("m", ["face_identity"]) for each in found]
    assert all(isinstance(each, Observations) for each in seen)
    return [b"".join(a.tobytes() for a in each.pair["face_identity"].values()) for each in seen]


def test_the_engine_gives_the_same_bits_whatever_the_order_of_the_clips_and_the_number_of_threads(
    tmp_path: Path,
):
    requests = [
        Request(
            f"clip{who}",
            write(tmp_path / f"true{who}.mp4", [picture((who, LEFT))] * 3),
            {"m": write(tmp_path / f"made{who}.mp4", [picture((who, x)) for x in (LEFT, RIGHT, LEFT)])},
            ["face_identity"],
        )
        for who in range(2)
    ]
    first = observed(requests)
    assert first[0] != first[1]
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        assert observed(requests[::-1]) == first[::-1]
    finally:
        torch.set_num_threads(threads)


def test_only_the_face_that_is_followed_is_embedded_and_equal_crops_once(monkeypatch: pytest.MonkeyPatch):
    embedded: list[np.ndarray] = []

    def counted(session: Session, crop: np.ndarray) -> np.ndarray:
        embedded.append(crop)
        return embed_face(session, crop)

    monkeypatch.setattr(identity_extractors, "embed_face", counted)
    both = picture((0, LEFT), (1, RIGHT))
    frames = [picture((0, LEFT)), both, picture(), both, picture((0, LEFT))]
    seen = look(frames, picture((0, LEFT)))
    assert centres(seen) == [LEFT, LEFT, None, LEFT, LEFT]
    assert len(embedded) == 1
    found = seen.pair["face_identity"]
    alone = [
        np.stack(look([frame], picture((0, LEFT))).pair["face_identity"]["embedding"]) for frame in frames
    ]
    np.testing.assert_array_equal(found["embedding"], np.concatenate(alone))


@pytest.mark.parametrize("weight", ["buffalo_l_detection", "buffalo_l_recognition"])
def test_missing_and_damaged_weights_are_never_opened(
    weights: Path, weight: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import onnxruntime

    from benchmark.weights import WEIGHTS

    def opened(*arguments: object, **options: object) -> None:
        pytest.fail("the file was opened")

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    path = tmp_path / WEIGHTS[weight].file
    damage(path)
    with pytest.raises(AvatarBenchError, match="are not the published ones, or are damaged") as damaged:
        look([picture()], picture())
    path.unlink()
    with pytest.raises(AvatarBenchError, match=f"bench weights fetch {weight}") as missing:
        look([picture()], picture())
    assert damaged.value.code == missing.value.code == "E502"


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AvatarBenchError, match=r"avatarbench\[paper\]") as raised:
        look([picture()], picture())
    assert raised.value.code == "E603"
