"""Windows of 16 frames for FVD and KVD in the engine, on a made script."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from paper_extractors import I3D_WINDOWS, damage, use_made_weights
from tiny_engine import arrays_of, clip_requests, view, write_blobs

from benchmark.cache import clean_cache
from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.frechet import frechet_distance
from benchmark.metrics.definition import set_measurement
from benchmark.metrics.paper_features import FVD, KVD, frechet_distance_by_n
from benchmark.observations import ClipView
from benchmark.paper_networks import VideoWindows, load_i3d
from media.errors import AvatarBenchError
from media.video import read_frames

LENGTHS = (40, 3, 16, 15)  # windows: two, none, one, none


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from made_i3d import write_i3d

    random = np.random.default_rng(0).integers(0, 256, (2, 16, 8, 8, 3), np.uint8)
    return write_i3d(tmp_path_factory.mktemp("weights"), [np.kron(w, np.ones((1, 8, 8, 1))) for w in random])


@pytest.fixture(autouse=True)
def registered(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_weights(monkeypatch, weights.parent, I3D_WINDOWS, "i3d_kinetics400")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipView]:
    folder = tmp_path_factory.mktemp("clips")
    return [view(write_blobs(folder / f"{n}.mp4", n, length), length) for n, length in enumerate(LENGTHS)]


def observed(clips: list[ClipView]) -> tuple[list[np.ndarray], Networks]:
    clean_cache()
    with Networks() as networks:
        found = list(observe(clip_requests(clips, "i3d_windows"), networks, pytest.fail))
    return [arrays_of(each, "i3d_windows")["logits"] for each in found], networks


def test_windows_begin_at_0_and_16_and_short_clips_have_none(clips: list[ClipView], weights: Path):
    found, networks = observed(clips)
    assert [logits.shape for logits in found] == [(2, 400), (0, 400), (1, 400), (0, 400)]
    assert networks.counters.forwards == {"i3d_kinetics400": 3}
    network = load_i3d(weights)
    frames = np.stack(list(read_frames(clips[0].path)))
    for row, start in zip(found[0], (0, 16), strict=True):
        expected = network(frames[start : start + 16])
        assert np.abs(row - expected).max() < 1e-5 * np.abs(expected).max()


def test_equal_windows_are_seen_once_and_have_equal_rows():
    still = np.random.default_rng(3).integers(0, 256, (16, 64, 64, 3), np.uint8)
    moved = still[::-1]
    with Networks() as networks:
        worker = VideoWindows(networks)
        for frame in (*still, *moved, *still):
            worker.add(frame)
        logits = worker.arrays()["logits"]
        assert networks.counters.forwards == {"i3d_kinetics400": 2}
    assert logits.shape == (3, 400)
    np.testing.assert_array_equal(logits[0], logits[2])
    assert np.abs(logits[0] - logits[1]).max() > 0


def test_a_clip_that_is_too_short_is_counted_and_not_scored(clips: list[ClipView]):
    (short,), _ = observed(clips[3:])
    measured = set_measurement(*[FVD.features({"i3d_windows": {"logits": short}})] * 2)
    assert (measured.status, measured.reason, measured.value) == ("not_applicable", "too_short", None)


def test_logits_are_the_same_bits_whatever_the_order_of_the_clips_and_the_number_of_threads(
    clips: list[ClipView],
):
    first, _ = observed(clips)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        second, _ = observed(clips[::-1])
    finally:
        torch.set_num_threads(threads)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second[::-1]]


def test_a_script_that_cannot_be_rewritten_gives_the_same_logits_but_for_rounding(
    weights: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(script: torch.jit.ScriptModule) -> None:
        raise RuntimeError("no")

    window = np.random.default_rng(4).integers(0, 256, (16, 64, 64, 3), np.uint8)
    fused = load_i3d(weights)(window)
    monkeypatch.setattr(torch.jit, "optimize_for_inference", refuse)
    plain = load_i3d(weights)(window)
    assert 0 < np.abs(fused - plain).max() < 1e-5 * np.abs(plain).max()


def test_fvd_takes_covariances_over_n():
    """y = a x: the means are |a - 1| |m| apart, the covariances give (a - 1)^2 tr S."""
    x = np.random.default_rng(0).normal(1, 2, (7, 400)).astype(np.float32)
    spread, mean = np.cov(x.astype(np.float64).T, bias=True).trace(), x.mean(axis=0, dtype=np.float64)
    expected = 0.25 * (spread + mean @ mean)
    assert FVD.distance is frechet_distance_by_n
    assert FVD.distance(1.5 * x, x) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(1.5 * x, x) > 1.05 * expected
    assert KVD.distance(x, x) < 0  # unbiased


def test_missing_and_damaged_weights_end_the_scoring_and_are_never_opened(
    clips: list[ClipView], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """TorchScript is code."""
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("the file was opened"))
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(AvatarBenchError, match="bench weights fetch i3d_kinetics400") as missing:
        observed(clips[2:3])
    assert missing.value.code == "E502"
    shutil.copy(weights, tmp_path)
    damage(tmp_path / weights.name)
    with pytest.raises(AvatarBenchError, match="are not the published ones, or are damaged") as damaged:
        observed(clips[2:3])
    assert damaged.value.code == "E502"
