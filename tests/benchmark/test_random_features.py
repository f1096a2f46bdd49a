"""Stand-ins of Frechet distances: one network on every machine, known answers, and the orders that they declare."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_engine import arrays_of, clip_requests, view, write_blobs

import benchmark.protocol
from benchmark import random_networks
from benchmark.cache import clean_cache
from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Networks
from benchmark.frechet import frechet_distance, kernel_distance
from benchmark.ladder import RUNGS, run_ladder
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import SetMetric
from benchmark.metrics.random_features import (
    FD_RANDOM_FRAMES,
    FD_RANDOM_WINDOWS,
    KD_RANDOM_FRAMES,
    frame_features,
    window_features,
)
from benchmark.plan import RunOptions
from benchmark.random_networks import RANDOM_CNN, RandomFrames, random_kernels
from benchmark.rung_separation import draw_values
from media.audio import SAMPLE_RATE
from media.video import read_frames, write_video

STAND_INS: tuple[SetMetric, ...] = (FD_RANDOM_FRAMES, KD_RANDOM_FRAMES, FD_RANDOM_WINDOWS)
PINNED = "5cf8adc74403d34aea17eabd43ed5aabc3e0f59fd30c85956fb26de2e01f19ae"
N_FRAMES = 32


def talker(who: int, take: int) -> Iterator[np.ndarray]:
    """A person is a pattern; what they say is how a dark disc moves over it. [256, 192, 3] uint8 each."""
    pattern = np.random.default_rng(who).standard_normal((256, 192, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(pattern, (0, 0), 3)
    ground = np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    path = np.random.default_rng(100 * who + take + 1).integers(-6, 7, (N_FRAMES, 2)).cumsum(0)
    for x, y in path.tolist():
        yield cv2.circle(ground.copy(), (96 + x, 128 + y), 28, (20, 20, 20), -1, cv2.LINE_AA)


def features_of(frames: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by extractor of frames [T, H, W, 3], without the engine."""
    worker = RandomFrames(Networks())
    items = np.stack([worker.prepare(frame) for frame in frames])
    return {"random_frames": dict(worker.run(items))}


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Two people, [32, 256, 192, 3] uint8 each."""
    return [np.stack(list(talker(who, 0))) for who in range(2)]


def test_the_weights_are_the_pinned_ones_and_a_machine_that_makes_others_is_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    joined = b"".join(kernel.tobytes() for kernel in random_kernels())
    assert hashlib.sha256(joined).hexdigest() == PINNED == RANDOM_CNN.sha256()
    assert EXTRACTORS["random_frames"].content()[2] == PINNED
    monkeypatch.setattr(random_networks, "SEED", random_networks.SEED + 1)
    random_kernels.cache_clear()
    with pytest.raises(RuntimeError, match="is not the one of this release"):
        random_kernels()
    monkeypatch.undo()
    random_kernels.cache_clear()
    assert random_kernels()[0].shape == (16, 3, 3, 3)


def test_weights_have_hes_variance_and_half_of_the_first_filters_do_not_see_flat_colour():
    first, *others = random_kernels()
    assert np.abs(first[:8].sum(axis=(2, 3))).max() < 1e-6
    assert np.abs(first[8:].sum(axis=(2, 3))).min() > 1e-3
    for kernel in others:
        assert kernel.var() == pytest.approx(2 / (9 * kernel.shape[1]), rel=0.05)


def test_features_are_those_of_convolutions_written_out_in_double_precision():
    frame = next(talker(3, 0))
    maps = cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) / 127.5 - 1  # CHW
    for kernel in random_kernels():
        patches = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(1, 2))[:, ::2, ::2]
        maps = np.tensordot(kernel.astype(np.float64), patches, axes=([1, 2, 3], [0, 3, 4]))
        maps = np.where(maps > 0, maps, 0.2 * maps)
    found = features_of(frame[None])["random_frames"]["feature"]
    assert (found.shape, found.dtype) == ((1, 64), np.float32)
    np.testing.assert_allclose(found[0], 10 * maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)


def test_features_are_the_same_bits_whatever_shares_the_batch_and_however_many_threads(tmp_path: Path):
    lengths = (3, 9, 8, 1)
    paths = [write_blobs(tmp_path / f"{n}.mp4", n, length) for n, length in enumerate(lengths)]
    views = [view(path, length) for path, length in zip(paths, lengths, strict=True)]

    def observed(chosen: list) -> list[bytes]:
        clean_cache()
        found = observe(clip_requests(chosen, "random_frames"), Networks(), pytest.fail)
        return [arrays_of(each, "random_frames")["feature"].tobytes() for each in found]

    alone = [observed([one])[0] for one in views]
    assert alone == observed(views) == observed(views[::-1])[::-1]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert observed(views) == alone
        assert torch.get_num_threads() == 2  # as it was found
    finally:
        torch.set_num_threads(threads)
    assert len(set(alone)) == len(alone)


def test_every_fifth_frame_counts_and_only_whole_windows_do():
    arrays = {"random_frames": {"feature": np.zeros((37, 64), np.float32)}}
    arrays["random_frames"]["feature"][:, 0] = np.arange(37)
    assert frame_features(arrays)[:, 0].tolist() == [0, 5, 10, 15, 20, 25, 30, 35]
    windows = window_features(arrays)
    assert windows.shape == (2, 128)
    assert windows[:, 0].tolist() == [7.5, 23.5]  # means of 0..15 and 16..31
    assert windows[:, 64].tolist() == [1.0, 1.0]  # one a frame
    assert not windows[:, 65:].any()
    assert window_features({"random_frames": {"feature": np.zeros((15, 64), np.float32)}}).shape == (0, 128)


@pytest.mark.parametrize("metric", STAND_INS, ids=lambda metric: metric.id)
def test_the_distance_to_itself_is_zero_and_grows_with_blur(metric: SetMetric, clips: list[np.ndarray]):
    truth = np.concatenate([metric.features(features_of(clip)) for clip in clips])
    values = [metric.distance(truth, truth)]
    for sigma in (1, 2, 4):
        blurred = [np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip]) for clip in clips]
        features = np.concatenate([metric.features(features_of(clip)) for clip in blurred])
        values.append(metric.distance(features, truth))
    assert values == sorted(set(values))
    if metric.distance is frechet_distance:
        assert values[0] == pytest.approx(0, abs=1e-6 * values[1])
    else:  # unbiased: not positive for equal sets
        assert metric.distance is kernel_distance
        assert values[0] <= 0 < values[-1]


def test_only_windows_see_that_frames_stand_in_a_wrong_order(clips: list[np.ndarray]):
    order = np.concatenate([np.random.default_rng(0).permutation(16) + start for start in (0, 16)])
    true = [features_of(clip) for clip in clips]
    mixed = [features_of(clip[order]) for clip in clips]
    means, mixed_means = (
        np.concatenate([window_features(a)[:, :64] for a in both]) for both in (true, mixed)
    )
    np.testing.assert_allclose(mixed_means, means, rtol=1e-6)
    truth, wrong = (np.concatenate([window_features(arrays) for arrays in both]) for both in (true, mixed))
    assert frechet_distance(wrong, truth) > 1e4 * frechet_distance(mixed_means, means)
    assert frechet_distance(wrong, truth) > 1e-3


def test_no_stand_in_carries_the_name_of_the_metric_that_it_stands_in_for():
    real = {"FID", "FVD", "KID", "KVD"}
    for metric in STAND_INS:
        assert METRICS[metric.id] is metric
        assert not any(name.lower() in metric.id or name in metric.column for name in real)
        assert "stand-in, no " in metric.variant


def test_the_ladder_sees_every_declared_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for (who, name), take in itertools.product(enumerate(("ada", "ben")), (1, 2)):
        (tmp_path / "people" / name).mkdir(parents=True, exist_ok=True)
        sound = np.sin(np.arange(N_FRAMES * SAMPLE_RATE // 25) / 20).astype(np.float32) / 4
        write_video(tmp_path / "people" / name / f"{take}.mp4", talker(who, take), 25, audio=sound)
    protocols = tmp_path / "protocols"
    shutil.copytree(benchmark.protocol._FOLDER, protocols)
    mini = (protocols / "mini-v1.yaml").read_text().split("metrics:")[0].replace("512", "256")
    rules = "".join(f'  - {{id: {m.id}, version: "1", on_miss: excluded}}\n' for m in STAND_INS)
    text = mini.replace("id: mini-v1", "id: sets-v1") + f"metrics:\n{rules}min_coverage_ranked: 0.95\n"
    (protocols / "sets-v1.yaml").write_text(text)
    monkeypatch.setattr(benchmark.protocol, "_FOLDER", protocols)
    options = RunOptions(
        (), protocol="sets-v1", dataset=tmp_path / "people", out=tmp_path / "run", device="cpu"
    )
    climbed = run_ladder(options, (), lambda what, done, total: None)
    declared = {(metric.id, *pair) for metric in STAND_INS for pair in metric.orders}
    assert {(j.metric_id, j.better, j.worse) for j in climbed.judgements if j.holds} == declared
    assert {method.id for method in climbed.result.methods} == set(RUNGS)


def test_draws_of_halves_separate_what_differs_and_nothing_else():
    """Standard normal clouds; a shift of the mean by 3 in each of 4 dimensions is a distance of about 36."""
    random = np.random.default_rng(0)
    truth = {f"clip{n}": random.standard_normal((60, 4)) for n in range(4)}
    same = {name: rows.copy() for name, rows in truth.items()}
    far = {name: rows + 3.0 for name, rows in truth.items()}
    values = draw_values(FD_RANDOM_FRAMES, truth, {"same": same, "far": far}, draws=20)
    np.testing.assert_allclose(values["same"], 0, atol=1e-9)
    np.testing.assert_allclose(values["far"], 36, rtol=1e-9)


def test_filmed_people_are_nearer_to_themselves_than_their_blurred_pictures(shared_data: Path):
    """One second of each film."""
    stretches = [
        np.stack(list(read_frames(path, fps=25, size=(288, 512), duration_s=1.28)))
        for path in sorted((shared_data / "video").glob("*.mp4"))
    ]
    blurred = [np.stack([cv2.GaussianBlur(frame, (0, 0), 4) for frame in clip]) for clip in stretches]
    frozen = [np.repeat(clip[:1], len(clip), axis=0) for clip in stretches]
    for metric in STAND_INS:
        truth, soft, still = (
            np.concatenate([metric.features(features_of(clip)) for clip in group])
            for group in (stretches, blurred, frozen)
        )
        own = metric.distance(truth, truth)
        assert own < metric.distance(soft, truth)
        assert own < metric.distance(still, truth)
