"""CSIM's faces, crops and embeddings against insightface, with made networks of the real inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_identity import write_detector, write_recogniser

from benchmark import identity
from benchmark.identity import (
    Faces,
    Session,
    align_face,
    choose_face,
    detect_faces,
    embed_face,
    open_session,
    similarity_to_template,
)
from benchmark.metrics.definition import Observations
from benchmark.metrics.identity import csim
from benchmark.parity import ParityCase, check_parity
from media.image import load_image
from media.video import read_frames

TOLERANCE = 1e-4
INSIGHTFACE = "insightface 2.1"


@dataclass(frozen=True)
class Parity:
    pictures: list[np.ndarray]
    points: np.ndarray  # [N, 5, 2]
    detection: Session
    recognition: Session
    canonical: dict[str, np.ndarray]


def real_pictures(shared_data: Path) -> list[np.ndarray]:
    """Two frames of each film at sizes that are scaled down and up, a portrait and a landscape, and 64 px."""
    pictures = []
    for film, size in zip(
        sorted((shared_data / "video").glob("*.mp4")), ((576, 1024), (288, 512)), strict=True
    ):
        pictures += list(read_frames(film, fps=25, size=size, duration_s=0.28))[::6]
    photo = load_image(sorted((shared_data / "photos" / "half_body").glob("*.jpg"))[0])
    return [*pictures, cv2.resize(photo, (400, 300)), cv2.resize(photo, (64, 64))]


@pytest.fixture(scope="module")
def parity(shared_data: Path, run_canonical, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    folder = tmp_path_factory.mktemp("identity")
    pictures = real_pictures(shared_data)
    detection = write_detector(folder, [cv2.resize(picture, (640, 640)) for picture in pictures])
    recognition = write_recogniser(folder, [cv2.resize(picture, (112, 112)) for picture in pictures])
    random = np.random.default_rng(0)
    points = identity.TEMPLATE * random.uniform(0.3, 8, (50, 1, 1)) + random.normal(0, 20, (50, 5, 2))
    points[:10] *= -1  # upside down, where a fit that may mirror would
    arrays = {f"picture_{n}": picture for n, picture in enumerate(pictures)}
    np.savez(folder / "in.npz", points=points, **arrays)
    found = run_canonical("identity_faces.py", folder / "in.npz", detection, recognition)
    return Parity(pictures, points, open_session(detection), open_session(recognition), found)


def largest(faces: Faces) -> np.ndarray:
    chosen = choose_face(faces.boxes, None)
    assert chosen is not None
    return faces.points[chosen]


def test_the_made_networks_give_decoding_suppression_and_embeddings_something_to_do(parity: Parity):
    numbers = range(len(parity.pictures))
    found = [len(parity.canonical[f"boxes_{n}"]) for n in numbers]
    assert min(found) >= 1 and sum(found) > 30
    embeddings = np.stack([parity.canonical[f"embedding_{n}"] for n in numbers])
    cosines = embeddings @ embeddings.T
    assert np.abs(cosines[~np.eye(len(cosines), dtype=bool)]).mean() < 0.7


def test_faces_are_those_of_insightface(parity: Parity):
    for number, picture in enumerate(parity.pictures):
        faces = detect_faces(parity.detection, picture)
        for name, ours in zip(("boxes", "scores", "points"), faces, strict=True):
            expected = parity.canonical[f"{name}_{number}"]
            assert ours.shape == expected.shape
            np.testing.assert_allclose(ours, expected, rtol=TOLERANCE, atol=1e-3)


def test_suppression_leaves_out_what_insightface_leaves_out(parity: Parity, monkeypatch: pytest.MonkeyPatch):
    kept = [len(detect_faces(parity.detection, picture).boxes) for picture in parity.pictures]
    assert kept == [len(parity.canonical[f"boxes_{n}"]) for n in range(len(kept))]
    for threshold in (0.3, 0.5):
        monkeypatch.setattr(identity, "OVERLAP_THRESHOLD", threshold)
        other = [len(detect_faces(parity.detection, picture).boxes) for picture in parity.pictures]
        assert other != kept


def test_transforms_are_those_of_skimage(parity: Parity):
    found = {
        name: np.stack([similarity_to_template(points) for points in changed])
        for name, changed in (
            ("ours", parity.points),
            ("eyes and mouth exchanged", parity.points[:, [1, 0, 2, 4, 3]]),
            ("moved by half a pixel", parity.points + 0.5),
        )
    }
    check_parity(
        ParityCase(
            name="csim: similarity to the template",
            canonical_code="insightface 2.1 face_align, scikit-image 0.26",
            ours=found.pop("ours"),
            canonical=parity.canonical["transforms"],
            tolerance=1e-6,
            mutants=found,
        )
    )


def test_points_that_coincide_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        similarity_to_template(np.full((5, 2), 7.0))


def test_the_largest_face_is_the_one_that_insightface_finds(parity: Parity):
    stacked = {
        name: np.stack([largest(detect_faces(parity.detection, change(p))) for p in parity.pictures[:4]])
        for name, change in (
            ("ours", lambda p: p),
            ("BGR for RGB", lambda p: np.ascontiguousarray(p[..., ::-1])),
            ("one pixel to the right", lambda p: np.roll(p, 1, axis=1)),
        )
    }
    expected = []
    for number in range(4):
        boxes = parity.canonical[f"boxes_{number}"]
        expected.append(parity.canonical[f"points_{number}"][choose_face(boxes, None)])
    check_parity(
        ParityCase(
            name="csim: five points of the largest face",
            canonical_code="insightface 2.1 SCRFD at 640x640",
            ours=stacked.pop("ours"),
            canonical=np.stack(expected),
            tolerance=1e-5,
            mutants=stacked,
        )
    )


def test_crops_are_those_of_insightface(parity: Parity):
    for number, picture in enumerate(parity.pictures):
        crop = align_face(picture, largest(detect_faces(parity.detection, picture)))
        # OpenCV rounds places to 1/32 px, so the last digit of a point can move single pixels of the crop.
        assert np.abs(crop.astype(int) - parity.canonical[f"crop_{number}"]).mean() < 0.02


def test_embeddings_of_equal_crops_are_those_of_insightface(parity: Parity):
    crops = [parity.canonical[f"crop_{number}"] for number in range(4)]
    check_parity(
        ParityCase(
            name="csim: ArcFace embedding of a crop",
            canonical_code=INSIGHTFACE,
            ours=np.stack([embed_face(parity.recognition, crop) for crop in crops]),
            canonical=np.stack([parity.canonical[f"embedding_{number}"] for number in range(4)]),
            tolerance=1e-5,
            mutants={
                "BGR for RGB": np.stack([embed_face(parity.recognition, c[..., ::-1]) for c in crops]),
                "range 0..1": np.stack([embed_face(parity.recognition, c / 255) for c in crops]),
            },
        )
    )


def embedded(parity: Parity, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    return embed_face(parity.recognition, align_face(picture, points))


def crop_of_the_box(parity: Parity, picture: np.ndarray) -> np.ndarray:
    faces = detect_faces(parity.detection, picture)
    left, top, right, bottom = np.clip(faces.boxes[choose_face(faces.boxes, None)], 0, None).astype(int)
    return embed_face(parity.recognition, cv2.resize(picture[top : bottom + 1, left : right + 1], (112, 112)))


def test_cosines_from_picture_to_embedding_are_those_of_insightface(parity: Parity):
    """CSIM of the first picture as the reference, and the three others as frames."""
    pictures = parity.pictures[:4]
    points = [largest(detect_faces(parity.detection, picture)) for picture in pictures]
    wrong = {
        "crop of the box": [crop_of_the_box(parity, picture) for picture in pictures],
        "points two pixels off": [
            embedded(parity, *each) for each in zip(pictures, np.add(points, 2), strict=True)
        ],
        "off by one frame": [embedded(parity, pictures[i], points[i]) for i in (0, 0, 2, 2)],
        "first face, not the largest": [
            embedded(parity, picture, detect_faces(parity.detection, picture).points[0])
            for picture in pictures
        ],
    }
    ours = np.stack([embedded(parity, *each) for each in zip(pictures, points, strict=True)])
    canonical = np.stack([parity.canonical[f"embedding_{number}"] for number in range(4)])
    check_parity(
        ParityCase(
            name="csim: cosine of two pictures",
            canonical_code=INSIGHTFACE,
            ours=cosines(ours),
            canonical=cosines(canonical),
            tolerance=TOLERANCE,
            unit="absolute",
            mutants={name: cosines(np.stack(rows)) for name, rows in wrong.items()},
        )
    )


def cosines(rows: np.ndarray) -> np.ndarray:
    """What CSIM's arithmetic says of rows 1, 2... as frames and row 0 as the reference picture, [N - 1]."""
    box = np.zeros(4, np.float32)
    values = []
    for row in rows[1:]:
        arrays = {"reference": rows[0], "reference_box": box, "embedding": row[None], "box": box[None]}
        values.append(csim(Observations({}, {}, {"face_identity": arrays}, 1, 1)).value)
    return np.array(values)
