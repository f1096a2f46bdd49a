"""SyncNet and S3FD against syncnet-python 0.2.3: the same weights, the same real clip, each in its own process.

The weights are random with BatchNorm statistics of the clip. They prove that networks, tracking, cropping, sound and
arithmetic are the same; what the published weights would say they do not prove.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from made_syncnet import write_s3fd, write_syncnet

import benchmark.face_tracks
import benchmark.sync_extractors
from benchmark.face_tracks import CANONICAL
from benchmark.metrics.sync import shifted_distances, sync_score
from benchmark.mfcc import mfcc
from benchmark.parity import ParityCase, check_parity
from benchmark.s3fd import load_s3fd
from benchmark.sync_extractors import CanonicalFaces
from benchmark.syncnet import SyncNet, load_syncnet
from benchmark.weights import weight_path
from media.audio import load_audio
from media.errors import AvatarBenchError
from media.landmarks import FaceMesh
from media.video import read_frames

N_FRAMES, SIZE, SCALE = 36, (540, 960), 0.25
MISSED = (7, 8, 9, 10, 11, 20)  # frames in which the detector is made to find nothing
PROFILE = replace(CANONICAL, min_found=25, min_side=90.0)
TOLERANCE = 1e-4
CANONICAL_CODE = f"syncnet-python {version('syncnet-python')}"


@dataclass(frozen=True)
class Clip:
    frames: np.ndarray  # [T, H, W, 3] uint8
    samples: np.ndarray  # [S] int16
    found: np.ndarray  # [k]
    boxes: np.ndarray  # [k, 4]


@dataclass(frozen=True)
class Weights:
    syncnet: Path
    s3fd: Path


@pytest.fixture(scope="module")
def clip(shared_data: Path) -> Clip:
    video = shared_data / "video" / "woman_coat.mp4"
    frames = np.stack(list(read_frames(video, fps=25, size=SIZE, start_s=2, duration_s=N_FRAMES / 25)))
    samples = np.round(load_audio(video, start_s=2, duration_s=N_FRAMES / 25) * 32767).astype(np.int16)
    with FaceMesh() as mesh:
        points = [mesh.detect(frame)[:, :2] for frame in frames]
    found = np.array([index for index in range(N_FRAMES) if index not in MISSED])
    boxes = np.array([[*points[index].min(axis=0), *points[index].max(axis=0)] for index in found])
    return Clip(frames, samples, found, boxes.astype(np.float64))


@pytest.fixture(scope="module")
def weights(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("weights")
    faces, sound = gathered(clip)
    return Weights(
        write_syncnet(folder / "syncnet_v2.model", faces[::6, ..., ::-1].copy(), sound[::2]),
        write_s3fd(folder / "sfd_face.pth", clip.frames[0], SCALE),
    )


@pytest.fixture(scope="module")
def canonical(clip: Clip, weights: Weights, run_canonical, tmp_path_factory) -> dict[str, np.ndarray]:
    given = tmp_path_factory.mktemp("given") / "clip.npz"
    limits = {"min_track": PROFILE.min_found, "min_face": PROFILE.min_side}
    np.savez(
        given, frames=clip.frames, samples=clip.samples, found=clip.found, boxes=clip.boxes,
        scale=SCALE, n_detect=2, **limits,
    )  # fmt: skip
    return run_canonical("syncnet_pipeline.py", given, weights.syncnet, weights.s3fd)


class MadeDetector:
    """Finds what stands in the clip, frame by frame."""

    def __init__(self, clip: Clip) -> None:
        self._boxes = dict(zip(clip.found.tolist(), clip.boxes, strict=True))
        self._index = -1

    def detect(self, frame: np.ndarray, scale: float) -> np.ndarray:
        self._index += 1
        return (
            np.array([[*self._boxes[self._index], 1.0]]) if self._index in self._boxes else np.zeros((0, 5))
        )


def gathered(clip: Clip, beside: dict[str, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The items of lips [n, 5, 224, 224, 3] uint8 RGB and of sound [n, 13, 20] as the extractors make them."""
    faces = benchmark.sync_extractors._FaceGatherer(MadeDetector(clip), PROFILE, lambda: None)
    for frame in clip.frames:
        assert not list(faces.add(frame))
    windows = np.stack(list(faces.end()))
    if beside is not None:
        beside.update(faces.arrays())
    sound = benchmark.sync_extractors._SoundGatherer()
    return windows, np.stack(list(sound.add(clip.samples)))


def ours(clip: Clip, weights: Weights, lip: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What our extractors and our metric make of the clip, under the names of the canonical script.

    Features of lips may be given where only the sound is in question.
    """
    beside: dict[str, np.ndarray] = {}
    windows, heard = gathered(clip, beside)
    network = load_syncnet(weights.syncnet)
    if lip is None:
        lips = CanonicalFaces.__new__(CanonicalFaces)
        lips._syncnet = network
        lip = np.concatenate([lips.run(windows[i : i + 8])["lip"] for i in range(0, len(windows), 8)])
    sound = network.sound(heard)[int(beside["first"]) :][: len(lip)]
    score = sync_score(lip, sound)
    return {
        "track": np.array([beside["first"], beside["n_frames"]]),
        "crops": np.concatenate([windows[:, 0], windows[-1, 1:]]),
        "mfcc": benchmark.sync_extractors.mfcc(clip.samples),
        "lip": lip,
        "sound": sound,
        "distances": shifted_distances(lip, sound),
        "score": np.array([score.offset, score.confidence, score.distance]),
    }


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference in parts of the largest expected value."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def expected(canonical: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the package says, under the names of `ours`."""
    names = ("mfcc", "lip", "sound", "distances", "score")
    return {name: canonical[name] for name in names} | {
        "track": np.array([canonical["first"], len(canonical["boxes"])]),
        "crops": canonical["crops"][:-1],  # the last window is left out, and with it the last crop
    }


@pytest.fixture(scope="module")
def found(clip: Clip, weights: Weights) -> dict[str, np.ndarray]:
    """Ours, without any mistake."""
    return ours(clip, weights)


def case(name: str, found: dict, expected: dict, mutants: dict[str, np.ndarray] | None = None) -> ParityCase:
    """One comparison of the chain; of the score, confidence and distance (the offset is compared as it is)."""
    values, canonical = found[name], expected[name]
    if name == "score":
        values, canonical = values[1:], canonical[1:]
    return ParityCase(f"SyncNet: {name}", CANONICAL_CODE, values, canonical, TOLERANCE, mutants or {})


def test_made_features_change_from_frame_to_frame_and_with_what_is_said(expected):
    for name in ("lip", "sound"):
        features = expected[name]
        assert (features.std(axis=0) / np.abs(features).mean(axis=0)).mean() > 0.1
    by_shift = expected["distances"].mean(axis=1)
    assert by_shift.std() / by_shift.mean() > 0.01


def test_the_whole_chain_from_found_faces_to_the_score_is_that_of_the_package(found, expected):
    assert found["track"].tolist() == expected["track"].tolist() == [0, N_FRAMES]
    np.testing.assert_array_equal(found["crops"], expected["crops"])
    np.testing.assert_allclose(found["mfcc"], expected["mfcc"], rtol=0, atol=1e-9)
    assert found["score"][0] == expected["score"][0]
    for name in ("crops", "mfcc", "lip", "sound", "distances", "score"):
        check_parity(case(name, found, expected))


def test_faces_are_those_of_the_package(clip, weights, canonical):
    detector = load_s3fd(weights.s3fd)
    for index in range(2):
        faces = detector.detect(clip.frames[index], SCALE)
        assert 2 <= len(faces) < 100
        np.testing.assert_allclose(faces, canonical[f"faces_{index}"], rtol=TOLERANCE)


@pytest.mark.parametrize("change", ["channels", "scale"])
def test_faces_are_others_when_the_picture_is_given_otherwise(clip, weights, canonical, change: str):
    frame = clip.frames[0][..., ::-1].copy() if change == "channels" else clip.frames[0]
    faces = load_s3fd(weights.s3fd).detect(frame, 1.02 * SCALE if change == "scale" else SCALE)
    expected = canonical["faces_0"]
    assert faces.shape != expected.shape or difference(faces, expected) > 10 * TOLERANCE


@pytest.mark.parametrize("late", [5, 10, 15])
def test_sound_that_is_shifted_has_this_offset_with_the_published_weights(shared_data: Path, late: int):
    """What made weights cannot prove; the clip's own offset is 1 frame at most."""
    try:
        weights = Weights(weight_path("syncnet_v2"), weight_path("s3fd"))
    except AvatarBenchError as error:
        pytest.skip(f"needs the published weights: {error.fix}")
    detector, network = load_s3fd(weights.s3fd), load_syncnet(weights.syncnet)
    video = shared_data / "video" / "woman_coat.mp4"
    faces = benchmark.sync_extractors._FaceGatherer(detector, CANONICAL, lambda: None)
    for frame in read_frames(video, fps=25, size=(720, 1280), duration_s=4.4):
        assert not list(faces.add(frame))
    lip = np.concatenate([network.lips(window[None, ..., ::-1].copy()) for window in faces.end()])
    samples = np.round(load_audio(video, duration_s=4.4) * 32767).astype(np.int16)
    early = np.append(samples[640 * late :], np.zeros(640 * late, np.int16))
    sound = network.sound(np.stack(list(benchmark.sync_extractors._SoundGatherer().add(early))))
    first = int(faces.arrays()["first"])
    assert abs(sync_score(lip, sound[first : first + len(lip)]).offset - late) <= 1


# Mistakes that have been made in published code, each with the first thing that must not agree any more.


def swapped_channels(patch: pytest.MonkeyPatch) -> str:
    lips = SyncNet.lips
    patch.setattr(SyncNet, "lips", lambda self, windows: lips(self, windows[..., ::-1].copy()))
    return "lip"


def values_up_to_one(patch: pytest.MonkeyPatch) -> str:
    lips = SyncNet.lips
    patch.setattr(SyncNet, "lips", lambda self, windows: lips(self, windows.astype(np.float32) / 255))
    return "lip"


def one_frame_late(patch: pytest.MonkeyPatch) -> str:
    choose = benchmark.sync_extractors.longest_track

    def late(tracks):
        track = choose(tracks)
        return replace(track, crops=[track.crops[0], *track.crops[:-1]])

    patch.setattr(benchmark.sync_extractors, "longest_track", late)
    return "crops"


def wrong_crop(patch: pytest.MonkeyPatch) -> str:
    crop = benchmark.face_tracks.crop_face
    patch.setattr(benchmark.face_tracks, "crop_face", lambda *given: crop(*given, scale=0.35))
    return "crops"


def no_median(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(benchmark.face_tracks, "MEDIAN", 1)
    return "crops"


def sound_up_to_one(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(benchmark.sync_extractors, "mfcc", lambda samples: mfcc(samples / 32768))
    return "mfcc"


def sound_one_frame_late(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(benchmark.sync_extractors, "mfcc", lambda samples: mfcc(np.roll(samples, 640)))
    return "mfcc"


MUTANTS = (
    swapped_channels, values_up_to_one, one_frame_late, wrong_crop, no_median, sound_up_to_one, sound_one_frame_late,
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_parity_fails_on(
    mutant: Callable[[pytest.MonkeyPatch], str], clip, weights, found, expected, monkeypatch
):
    name = mutant(monkeypatch)
    mistaken = ours(clip, weights, lip=expected["lip"] if name == "mfcc" else None)
    for seen in (name, "distances"):
        assert difference(mistaken[seen], expected[seen]) > 10 * TOLERANCE
        check_parity(case(seen, found, expected, {mutant.__name__.replace("_", " "): mistaken[seen]}))
    assert abs(mistaken["score"][1] - expected["score"][1]) > 10 * TOLERANCE * expected["score"][1]
