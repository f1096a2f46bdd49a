"""Features of frames for FID and KID in the engine, on made weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from paper_extractors import INCEPTION_FRAMES, damage, use_made_weights
from tiny_engine import arrays_of, clip_requests, view, write_blobs

from benchmark.cache import clean_cache
from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.inception import load_inception, resize_like_tf1
from benchmark.metrics.definition import set_measurement
from benchmark.metrics.paper_features import FID, KID
from benchmark.observations import ClipView
from benchmark.paper_networks import InceptionFrames
from media.errors import AvatarBenchError
from media.video import read_frames, write_video

LENGTHS = (16, 3)  # four frames and one: two groups of four, one of them filled up


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from made_inception import write_inception

    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (8, 8, 8, 3), np.uint8)
    pictures = [np.kron(c, np.ones((8, 8, 1), np.uint8)) for c in coarse]
    return write_inception(tmp_path_factory.mktemp("weights"), pictures)


@pytest.fixture(autouse=True)
def registered(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_weights(monkeypatch, weights.parent, INCEPTION_FRAMES, "inception_fid")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipView]:
    folder = tmp_path_factory.mktemp("clips")
    return [view(write_blobs(folder / f"{n}.mp4", n, length), length) for n, length in enumerate(LENGTHS)]


def observed(clips: list[ClipView]) -> tuple[list[np.ndarray], Networks]:
    clean_cache()
    with Networks() as networks:
        found = list(observe(clip_requests(clips, "inception_frames"), networks, pytest.fail))
    return [arrays_of(each, "inception_frames")["feature"] for each in found], networks


def test_every_fifth_frame_has_the_features_of_the_network_called_by_hand(
    clips: list[ClipView], weights: Path
):
    found, networks = observed(clips)
    assert networks.counters.forwards == {"inception_fid": 2}
    assert networks.counters.loads == {"inception_fid": 1}
    network = load_inception(weights)
    for clip, feature in zip(clips, found, strict=True):
        frames = [resize_like_tf1(frame) for frame in list(read_frames(clip.path))[::5]]
        with torch.inference_mode():
            expected = network(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)).numpy()
        assert (feature.shape, feature.dtype) == ((len(frames), 2048), np.float32)
        assert np.abs(feature - expected).max() < 1e-4 * np.abs(expected).max()
    assert FID.features({"inception_frames": {"feature": found[0]}}).shape == (4, 2048)


def test_equal_frames_are_seen_once_and_have_equal_rows():
    first, second = np.random.default_rng(3).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with Networks() as networks:
        worker = InceptionFrames(networks)
        for frame in (first, first, first, second, first, first):  # frames 0, 5, 10...: five times `first`
            for _ in range(5):
                worker.add(frame)
        features = worker.arrays()["feature"]
        assert networks.counters.forwards == {"inception_fid": 1}
    assert features.shape == (6, 2048)
    assert [bool((row == features[0]).all()) for row in features] == [True, True, True, False, True, True]


def test_features_are_the_same_bits_whatever_the_order_of_the_clips_and_the_number_of_threads(
    clips: list[ClipView],
):
    first, _ = observed(clips)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        second, _ = observed(clips[::-1])
        assert torch.get_num_threads() == 3 - min(threads, 2)  # as it was found
    finally:
        torch.set_num_threads(threads)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second[::-1]]


def test_grey_and_tiny_pictures_have_features_and_a_set_of_one_clip_has_a_distance(tmp_path: Path):
    grey = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 1), np.uint8).repeat(3, axis=3)
    write_video(tmp_path / "grey.mp4", grey, 25)
    (features,), _ = observed([view(tmp_path / "grey.mp4", 6)])
    assert features.shape == (2, 2048)
    assert np.isfinite(features).all()
    assert FID.distance(features, features) == pytest.approx(0, abs=1e-6 * np.square(features).sum())
    assert KID.distance(features, features) <= 0  # unbiased
    assert set_measurement(features, features).reason == "set_only"


def test_resizing_follows_tensorflow_1():
    """Output pixel i lies at i * scale, mixes two neighbours, and the last row is not read past."""
    ramp = np.arange(64, dtype=np.uint8)[None, :, None].repeat(32, axis=0).repeat(3, axis=2)
    resized = resize_like_tf1(ramp)
    assert (resized.shape, resized.dtype) == ((299, 299, 3), np.float32)
    np.testing.assert_allclose(resized[7, :, 1], np.minimum(np.arange(299) * 64 / 299, 63), atol=1e-4)
    same = np.random.default_rng(0).integers(0, 256, (299, 299, 3), np.uint8)
    np.testing.assert_array_equal(resize_like_tf1(same), same)
    stripes = np.zeros((8, 4 * 299, 3), np.uint8)
    stripes[:, ::4] = 255  # with antialias, every column would be 64
    np.testing.assert_array_equal(resize_like_tf1(stripes), 255)
    assert resize_like_tf1(np.full((2160, 3840, 3), 9, np.uint8)).tolist()[298][298] == [9, 9, 9]


def test_missing_and_damaged_weights_end_the_scoring_and_are_never_opened(
    clips: list[ClipView], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("the file was opened"))
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(AvatarBenchError, match="bench weights fetch inception_fid") as missing:
        observed(clips[1:])
    assert missing.value.code == "E502"
    shutil.copy(weights, tmp_path)
    damage(tmp_path / weights.name)
    with pytest.raises(AvatarBenchError, match="are not the published ones, or are damaged") as damaged:
        observed(clips[1:])
    assert damaged.value.code == "E502"
