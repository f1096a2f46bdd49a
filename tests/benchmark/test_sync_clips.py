"""SyncNet's extractors on whole clips, with random weights and a detector that takes white squares for faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_engine import arrays_of, clip_requests

from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.hashing import sha256_file
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Measurement
from benchmark.mfcc import mfcc
from benchmark.observations import ClipView, Request, SoundView
from benchmark.s3fd import S3fd
from benchmark.syncnet import SyncNet, load_syncnet
from benchmark.weights import WEIGHTS
from media.audio import write_wav
from media.errors import AvatarBenchError
from media.video import write_video

WIDTH, HEIGHT = 128, 96
FACES = "syncnet_faces_fullbody"
Square = tuple[int, int, int]  # left, top, side


@pytest.fixture(scope="module")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), folder / "syncnet_v2.model")
    torch.save(S3fd().state_dict(), folder / "sfd_face.pth")
    return folder


@pytest.fixture
def weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights in place of the published ones, hashes included."""
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(weights_folder))
    for name in ("syncnet_v2", "s3fd"):
        path = weights_folder / WEIGHTS[name].file
        known = replace(WEIGHTS[name], bytes=path.stat().st_size, sha256=sha256_file(path))
        monkeypatch.setitem(WEIGHTS, name, known)
    return weights_folder


@pytest.fixture
def white_squares(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces are white squares; features are mean colours of crops and mean coefficients, so that nothing takes long."""

    def detect(self: S3fd, frame: np.ndarray, scale: float) -> np.ndarray:
        count, _, boxes, _ = cv2.connectedComponentsWithStats((frame.min(axis=2) > 200).astype(np.uint8))
        boxes = boxes[1:count]
        return np.array([[x, y, x + w, y + h, 1.0] for x, y, w, h, area in boxes if area > 50]).reshape(-1, 5)

    monkeypatch.setattr(S3fd, "detect", detect)
    monkeypatch.setattr(
        SyncNet, "lips", lambda self, windows: np.repeat(windows.mean(axis=(1, 2, 3)), 400, axis=1)[:, :1024]
    )
    monkeypatch.setattr(
        SyncNet, "sound", lambda self, windows: np.repeat(windows.mean(axis=2), 80, axis=1)[:, :1024]
    )


def pictures(squares: list[list[Square]], *, grey: bool = False) -> Iterator[np.ndarray]:
    ground = np.array([90, 90, 90] if grey else [60, 110, 90], np.uint8)
    for found in squares:
        frame = np.broadcast_to(ground, (HEIGHT, WIDTH, 3)).copy()
        for left, top, side in found:
            frame[top : top + side, left : left + side] = 255
        yield frame


def clip(path: Path, squares: list[list[Square]], fps: float = 25.0, *, grey: bool = False) -> ClipView:
    write_video(path, pictures(squares, grey=grey), fps)
    n_frames = int(len(squares) / fps * 25 + 1e-3)
    return ClipView(path, sha256_file(path), 0.0, n_frames, 25.0, WIDTH, HEIGHT)


def noise(path: Path, n_frames: int, level: float = 0.3) -> SoundView:
    write_wav(path, np.random.default_rng(1).uniform(-level, level, n_frames * 640))
    return SoundView(path, sha256_file(path))


def found_faces(view: ClipView) -> dict[str, np.ndarray]:
    (observed,) = observe(clip_requests([view], FACES), Networks(), pytest.fail)
    return arrays_of(observed, FACES)


def measured(folder: Path, view: ClipView, level: float = 0.3) -> Measurement:
    """SyncC of a prediction that is the clip itself."""
    metric = METRICS["sync_c_fullbody"]
    sound = noise(folder / "sound.wav", view.n_frames, level)
    request = Request("clip", view, {"method": view}, metric.needs, (), sound)
    (observed,) = observe([request], Networks(), pytest.fail)
    observations = observed.of("method", metric.needs)
    return metric.map(observations)


MIDDLE: Square = (40, 20, 40)


def test_windows_of_the_track_pass_the_network_and_windows_of_the_sound(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(S3fd, "detect", lambda self, frame, scale: np.array([[40.0, 20, 80, 60, 1]]))
    squares = [[(40 + index % 7, 20, 30)] for index in range(53)]
    view, sound = clip(tmp_path / "clip.mp4", squares), noise(tmp_path / "sound.wav", 53)
    networks = Networks()
    request = Request("clip", view, {}, (), (FACES, "syncnet_sound"), sound)
    (observed,) = observe([request], networks, pytest.fail)
    assert networks.counters.loads == {"syncnet": 1, "s3fd": 1}
    assert networks.counters.forwards == {"s3fd": 53, "syncnet": 6 + 2}
    assert networks.counters.decodes[view.path] == 1
    lip, heard = arrays_of(observed, FACES)["lip"], arrays_of(observed, "syncnet_sound")
    assert lip.shape == heard["sound"].shape == (48, 1024)
    assert heard["energy"].shape == (53,)
    coefficients = mfcc(sound.samples()).astype(np.float32)
    windows = np.stack([coefficients[4 * i : 4 * i + 20].T for i in range(48)])
    expected = load_syncnet(weights / "syncnet_v2.model").sound(windows)
    np.testing.assert_allclose(heard["sound"], expected, rtol=1e-4, atol=1e-6)
    assert np.ptp(lip, axis=0).max() > 0


@pytest.mark.parametrize("need", [FACES, "syncnet_faces", "syncnet_sound"])
def test_without_weights_the_scoring_ends_with_the_command_that_fetches_them(need: str, tmp_path: Path):
    view = clip(tmp_path / "clip.mp4", [[MIDDLE]] * 3)
    request = Request("clip", view, {}, (), (need,), noise(tmp_path / "sound.wav", 3))
    with pytest.raises(AvatarBenchError, match="E502") as caught:
        list(observe([request], Networks(), pytest.fail))
    assert "bench weights fetch syncnet_v2" in (caught.value.fix or "")


def test_damaged_weights_are_not_opened(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(WEIGHTS, "syncnet_v2", replace(WEIGHTS["syncnet_v2"], sha256="0" * 64))
    monkeypatch.setattr(torch, "load", lambda *given, **options: pytest.fail("opened before it was compared"))
    with pytest.raises(AvatarBenchError, match="E502"):
        found_faces(clip(tmp_path / "clip.mp4", [[MIDDLE]] * 3))


def test_no_face_is_a_missing_value(white_squares, tmp_path: Path):
    view = clip(tmp_path / "clip.mp4", [[]] * 60)
    found = found_faces(view)
    assert (found["n_frames"], found["n_tracks"], found["lip"].shape) == (0, 0, (0, 1024))
    assert measured(tmp_path, view) == Measurement(None, 0, 60, "undetected", "no_face")


def test_of_two_faces_the_one_that_is_seen_longest_stands_for_the_clip(white_squares, tmp_path: Path):
    short, long = (4, 4, 46), (70, 20, 36)
    found = found_faces(clip(tmp_path / "clip.mp4", [[short, long]] * 55 + [[long]] * 5))
    assert (found["n_tracks"], found["first"], found["n_frames"]) == (2, 0, 60)
    assert found["faces"].tolist() == [2] * 55 + [1] * 5
    alone = found_faces(clip(tmp_path / "alone.mp4", [[long]] * 60))
    np.testing.assert_allclose(found["lip"], alone["lip"], atol=3)  # other bytes from the encoder


def test_of_faces_that_are_seen_equally_long_the_larger_one_stands_for_the_clip(
    white_squares, tmp_path: Path
):
    left, right = (4, 4, 36), (70, 20, 46)
    squares = [[left, right]] * 55
    found = found_faces(clip(tmp_path / "clip.mp4", squares))
    larger = found_faces(clip(tmp_path / "larger.mp4", [[right]] * 55))
    assert found["n_tracks"] == 2
    np.testing.assert_allclose(found["lip"], larger["lip"], atol=3)


def test_a_face_that_leaves_and_returns_counts_by_its_longer_stay(white_squares, tmp_path: Path):
    view = clip(tmp_path / "clip.mp4", [[MIDDLE]] * 52 + [[]] * 30 + [[MIDDLE]] * 58)
    found = found_faces(view)
    assert (found["n_tracks"], found["first"], found["n_frames"]) == (2, 82, 58)
    assert found["lip"].shape == (53, 1024)
    value = measured(tmp_path, view)
    assert (value.status, value.n_valid, value.n_total) == ("ok", 58, 140)


def test_a_silent_sound_blames_no_method(white_squares, tmp_path: Path):
    view = clip(tmp_path / "clip.mp4", [[MIDDLE]] * 60)
    assert measured(tmp_path, view, level=1e-4) == Measurement(None, 0, 60, "not_applicable", "silent")


def test_three_frames_are_too_short(white_squares, tmp_path: Path):
    view = clip(tmp_path / "clip.mp4", [[MIDDLE]] * 3)
    assert measured(tmp_path, view) == Measurement(None, 0, 3, "not_applicable", "too_short")


@pytest.mark.parametrize("fps", [24.0, 30.0])
def test_other_frame_rates_are_seen_at_25(white_squares, tmp_path: Path, fps: float):
    view = clip(tmp_path / "clip.mp4", [[MIDDLE]] * round(3 * fps), fps)
    assert view.n_frames == 75
    found = found_faces(view)
    assert (found["n_frames"], len(found["faces"])) == (75, 75)


def test_pictures_without_colour_are_like_any_others(white_squares, tmp_path: Path):
    found = measured(tmp_path, clip(tmp_path / "clip.mp4", [[MIDDLE]] * 60, grey=True))
    assert (found.status, found.n_valid) == ("ok", 60)


def test_small_faces_count_in_the_profile_for_them_alone(white_squares, tmp_path: Path):
    view = clip(tmp_path / "clip.mp4", [[MIDDLE]] * 110)
    (observed,) = observe(clip_requests([view], "syncnet_faces", FACES), Networks(), pytest.fail)
    assert arrays_of(observed, "syncnet_faces")["n_tracks"] == 0
    assert arrays_of(observed, FACES)["n_tracks"] == 1
