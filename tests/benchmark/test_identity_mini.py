"""The stand-in for identity: against skimage, under light, size and turn, and on people who are told apart."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.feature import hog

import benchmark.protocol
from benchmark.extractors import EXTRACTORS, Extractor, Networks
from benchmark.face_descriptor import DESCRIPTOR_SIZE, describe_face, five_points, gradient_histograms
from benchmark.face_descriptor_extractor import FACE_LIKENESS_PREPROCESSING, FaceLikeness
from benchmark.face_descriptor_separation import SeenFaces, separate
from benchmark.identity import TEMPLATE
from benchmark.ladder import RUNGS, run_ladder
from benchmark.manifest import load_dataset
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Measurement, Observations
from benchmark.metrics.identity_mini import FACE_LIKENESS, face_likeness
from benchmark.metrics.quality_mini import CLARITY
from benchmark.person_extractors import FACE_MESH, PERSON_SEGMENTER
from benchmark.plan import RunOptions
from benchmark.sharpness_extractor import SHARPNESS_PREPROCESSING, PersonSharpness
from media.landmarks import FaceMesh
from media.video import read_frames, write_video

SIDE = 160


@pytest.fixture(scope="module")
def face_mesh() -> Iterator[FaceMesh]:
    with FaceMesh() as found:
        yield found


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[:256, 96:352])


def descriptor(mesh: FaceMesh, picture: np.ndarray) -> np.ndarray:
    points = mesh.detect(picture)
    assert points is not None
    return describe_face(picture, five_points(points))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_the_histograms_are_those_of_skimage(name: str):
    """1e-6: skimage sums the votes of a cell in float32."""
    brightness = getattr(skimage.data, name)()[40:128, 100:180].mean(axis=2)
    expected = hog(brightness, 9, (8, 8), (2, 2), block_norm="L2-Hys", feature_vector=False)
    np.testing.assert_allclose(gradient_histograms(brightness), expected, atol=1e-6)


def test_the_five_points_fall_on_those_of_arcfaces_template(face_mesh: FaceMesh, photograph: np.ndarray):
    """Within 8 px of 112 of the mean face's: no point is mistaken for another, nor left for right."""
    from benchmark.identity import similarity_to_template

    mesh = face_mesh.detect(photograph)
    assert mesh is not None
    points = five_points(mesh)
    matrix = similarity_to_template(points)
    assert np.abs(points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).max() < 8


def test_light_hardly_changes_a_descriptor(face_mesh: FaceMesh, photograph: np.ndarray):
    slope = np.linspace(0.5, 1.0, photograph.shape[1])[None, :, None]
    darker = np.rint(photograph * slope).astype(np.uint8)
    reference = descriptor(face_mesh, photograph)
    mesh = face_mesh.detect(photograph)
    assert mesh is not None
    points = five_points(mesh)
    assert describe_face(darker, points) @ reference > 0.98
    grey = np.repeat(cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert describe_face(grey, points) @ reference > 0.99


@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_size_and_turn_of_the_picture_are_taken_out(
    photograph: np.ndarray, face_mesh: FaceMesh, factor: float
):
    mesh = face_mesh.detect(photograph)
    assert mesh is not None
    points = five_points(mesh)
    centre = np.array([128.0, 128.0])
    turn = cv2.getRotationMatrix2D(tuple(centre), 25.0, factor)
    size = (round(factor * 300), round(factor * 300))
    turn[:, 2] += factor * 150 - centre
    turned = cv2.warpAffine(photograph, turn, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    moved = points @ turn[:, :2].T + turn[:, 2]
    assert describe_face(turned, moved) @ describe_face(photograph, points) > 0.95


def test_a_flat_face_has_a_descriptor_of_zeros_and_coinciding_points_have_none():
    flat = np.full((SIDE, SIDE, 3), 90, np.uint8)
    assert not describe_face(flat, TEMPLATE.astype(np.float64)).any()
    assert describe_face(flat, TEMPLATE.astype(np.float64)).shape == (DESCRIPTOR_SIZE,)
    with pytest.raises(ValueError, match="coincide"):
        describe_face(flat, np.ones((5, 2)))


class GivenMesh:
    """In place of the face mesh: a face at ArcFace's five points, unless the first pixel is black."""

    def __enter__(self) -> GivenMesh:
        return self

    def __exit__(self, *_: object) -> None:
        """Holds nothing."""

    def detect(self, image: np.ndarray) -> np.ndarray | None:
        if not image[0, 0].any():
            return None
        mesh = np.zeros((478, 3))
        for places, point in zip((range(468, 473), range(473, 478), [1], [61], [291]), TEMPLATE, strict=True):
            mesh[list(places), :2] = point
        return mesh


@pytest.fixture
def given_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.landmarks.FaceMesh", GivenMesh)


def face(seed: int) -> np.ndarray:
    """A picture [112, 112, 3] of soft blobs."""
    coarse = np.random.default_rng(seed).integers(1, 256, (14, 14, 3)).astype(np.uint8)
    return np.maximum(cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC), 1)


def faceless(picture: np.ndarray) -> np.ndarray:
    hidden = picture.copy()
    hidden[0, 0] = 0
    return hidden


def measured(prediction: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Measurement:
    with Networks() as networks:
        extractor = FaceLikeness(networks)
        for pair in zip(prediction, truth, strict=True):
            extractor.add(*pair)
        arrays = extractor.arrays()
    return face_likeness(Observations({}, {}, {"face_likeness": arrays}, SIDE, SIDE))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    points = TEMPLATE.astype(np.float64)
    return float(describe_face(one, points) @ describe_face(other, points))


@pytest.mark.usefixtures("given_mesh")
def test_every_fifth_frame_is_compared_with_the_first_true_one_alone():
    prediction = [face(index) for index in range(11)]
    truth = [face(100 + index) for index in range(11)]
    found = measured(prediction, truth)
    expected = np.mean([cosine(prediction[index], truth[0]) for index in (0, 5, 10)])
    assert (found.value, found.n_valid, found.n_total) == (pytest.approx(expected, rel=1e-12), 3, 3)
    assert measured([truth[0]] * 6, truth[:6]).value == pytest.approx(1.0, rel=1e-12)


@pytest.mark.usefixtures("given_mesh")
def test_frames_without_a_face_lower_the_coverage_and_not_the_value():
    reference = face(0)
    leaves = [reference] * 5 + [faceless(reference)] * 5 + [reference]
    found = measured(leaves, [reference] * 11)
    assert (found.value, found.n_valid, found.n_total) == (pytest.approx(1.0, rel=1e-12), 2, 3)
    gone = measured([faceless(reference)] * 6, [reference] * 6)
    assert (gone.value, gone.n_total, gone.status, gone.reason) == (None, 2, "undetected", "no_face")


@pytest.mark.usefixtures("given_mesh")
def test_without_a_face_in_the_reference_picture_there_is_no_value():
    found = measured([face(0)] * 6, [faceless(face(0)), *[face(0)] * 5])
    assert (found.value, found.status, found.reason) == (None, "undetected", "no_reference_face")


def test_no_stand_in_carries_the_name_of_the_metric_that_it_stands_in_for():
    for metric, real in ((FACE_LIKENESS, "csim"), (CLARITY, "iqa")):
        assert real not in metric.id.lower() and real not in metric.column.lower()
        assert f"not {real.upper()}" in metric.variant


def test_separation_counts_own_frames_of_other_clips_against_those_of_others():
    """Cosines with the reference of ada's first clip: own 0.8; others 0.6 (alike) and 0.9."""

    def at(*cosines: float) -> np.ndarray:
        return np.array([[c, np.sqrt(1 - c * c)] for c in cosines])

    kind = ("female", "light")
    people = [
        SeenFaces("ada", kind, at(1.0, 0.1)),  # its second frame is no own frame: there is another clip
        SeenFaces("ada", kind, at(0.8)),
        SeenFaces("eve", kind, at(0.6)),
        SeenFaces("bob", None, at(0.9)),
    ]
    found = separate(people)
    assert set(found) == {"ada"}  # one frame of the others: nothing of their own to compare
    ada, alone = found["ada"], separate([people[0], *people[2:]])["ada"]
    assert alone.own == pytest.approx(0.1)
    assert (alone.auc, alone.auc_alike) == (0.0, 0.0)
    assert ada.own == pytest.approx((0.8 + (0.8 + (0.08 + 0.6 * np.sqrt(0.99))) / 2) / 2)
    assert ada.others == pytest.approx(
        (0.75 + (0.8 * 0.6 + 0.6 * 0.8 + 0.8 * 0.9 + 0.6 * np.sqrt(0.19)) / 2) / 2
    )


def test_filmed_people_are_told_from_people_of_the_same_sex(shared_data: Path, face_mesh: FaceMesh):
    """Two frames a second against photographs at the size of mini-v1; 0.9 leaves room for turned heads."""
    for film, sex in (("man_white_shirt", "man"), ("woman_coat", "woman")):
        path = shared_data / "video" / f"{film}.mp4"
        frames = itertools.islice(read_frames(path, fps=25, size=(288, 512), duration_s=2.5), 0, None, 12)
        own = [descriptor(face_mesh, frame) for frame in frames]
        others = []
        for photo in sorted((shared_data / "photos" / "half_body").glob(f"{sex}_*.jpg"))[:5]:
            picture = cv2.imread(str(photo))
            assert picture is not None
            small = cv2.resize(picture[..., ::-1], (512, 512), interpolation=cv2.INTER_AREA)
            others.append(descriptor(face_mesh, small))
        found = separate(
            [
                SeenFaces(film, None, np.array(own)),
                *(SeenFaces(str(number), None, row[None]) for number, row in enumerate(others)),
            ]
        )
        assert found[film].auc > 0.9
        assert found[film].own - found[film].others > 0.1


STAND_INS = {
    CLARITY: Extractor(
        "person_sharpness", "1", "clip", PersonSharpness, SHARPNESS_PREPROCESSING, "float64", network=PERSON_SEGMENTER
    ),
    FACE_LIKENESS: Extractor(
        "face_likeness", "1", "pair", FaceLikeness, FACE_LIKENESS_PREPROCESSING, "float64", network=FACE_MESH
    ),
}  # fmt: skip


def test_the_ladder_of_made_people_sees_every_declared_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two takes of 11 frames of the first two people of the mini data set."""
    dataset = load_dataset()
    for who in sorted({clip.identity for clip in dataset.clips})[:2]:
        clips = [clip for clip in dataset.clips if clip.identity == who][:2]
        for take, clip in enumerate(clips):
            path = tmp_path / "people" / who / f"{take}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = read_frames(dataset.root / clip.media, fps=25.0, start_s=clip.start_s, duration_s=0.44)
            write_video(path, frames, 25.0, audio=np.sin(np.arange(7040) / 20).astype(np.float32) / 4)
    for metric, extractor in STAND_INS.items():
        monkeypatch.setitem(EXTRACTORS, extractor.id, extractor)
        monkeypatch.setitem(METRICS, metric.id, metric)
    protocols = tmp_path / "protocols"
    shutil.copytree(benchmark.protocol._FOLDER, protocols)
    mini = (protocols / "mini-v1.yaml").read_text().split("metrics:")[0]
    rules = "".join(f'  - {{id: {m.id}, version: "1", on_miss: excluded}}\n' for m in STAND_INS)
    text = mini.replace("id: mini-v1", "id: stand-ins-v1") + f"metrics:\n{rules}min_coverage_ranked: 0.95\n"
    (protocols / "stand-ins-v1.yaml").write_text(text)
    monkeypatch.setattr(benchmark.protocol, "_FOLDER", protocols)
    options = RunOptions(
        (), protocol="stand-ins-v1", dataset=tmp_path / "people", out=tmp_path / "run", device="cpu"
    )
    climbed = run_ladder(options, (), lambda what, done, total: None)
    declared = {(metric.id, *pair) for metric in STAND_INS for pair in metric.orders}
    assert {(j.metric_id, j.better, j.worse) for j in climbed.judgements if j.holds} == declared
    assert {method.id for method in climbed.result.methods} == set(RUNGS)
