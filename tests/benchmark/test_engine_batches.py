"""Batches that fill across clips: nothing that shares a batch may be seen in a value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_engine import TINY_CNN, TinyCnn, arrays_of, clip_requests, register, view, write_blobs

import benchmark.engine
from benchmark.cache import clean_cache
from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.observations import ClipView, Failure
from media.video import read_frames

LENGTHS = (3, 9, 8, 1, 14, 5)  # 40 frames: five full batches of eight, or one padded batch a clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipView]:
    folder = tmp_path_factory.mktemp("clips")
    return [view(write_blobs(folder / f"{n}.mp4", n, length), length) for n, length in enumerate(LENGTHS)]


@pytest.fixture(autouse=True)
def tiny_cnn(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, TINY_CNN)
    monkeypatch.setattr(TinyCnn, "batches", [])


def features(clips: list[ClipView]) -> tuple[list[np.ndarray], Networks]:
    """Features of the clips, observed together with an empty store."""
    clean_cache()
    networks = Networks()
    found = observe(clip_requests(clips, "tiny_cnn"), networks, pytest.fail)
    return [arrays_of(observed, "tiny_cnn")["feature"] for observed in found], networks


def test_values_are_the_same_bits_whether_a_clip_is_alone_or_among_others(clips: list[ClipView]):
    alone = [features([clip])[0][0] for clip in clips]
    together, _ = features(clips)
    backwards, _ = features(clips[::-1])
    assert [a.shape for a in alone] == [(length, 37) for length in LENGTHS]
    for one, other, third in zip(alone, together, backwards[::-1], strict=True):
        assert one.tobytes() == other.tobytes() == third.tobytes()


def test_values_are_those_of_the_network_called_by_hand(clips: list[ClipView]):
    worker = TinyCnn(Networks())
    for clip, feature in zip(clips, features(clips)[0], strict=True):
        frames = torch.from_numpy(np.stack(list(read_frames(clip.path))))
        with torch.inference_mode():
            expected = worker.net(frames.permute(0, 3, 1, 2).float() / 255).numpy()
        np.testing.assert_allclose(feature, expected, rtol=1e-4, atol=1e-4)


def test_short_clips_share_batches_of_one_fixed_size(clips: list[ClipView]):
    _, networks = features(clips)
    assert TinyCnn.batches == [(8, 3, 64, 64)] * 5
    assert networks.counters.forwards == {"tiny_cnn": 5}
    TinyCnn.batches.clear()
    features(clips[:1])
    assert TinyCnn.batches == [(8, 3, 64, 64)]


def test_observations_come_in_the_order_of_the_requests_and_decoding_is_late(clips: list[ClipView]):
    clean_cache()
    pulled: list[str] = []

    def requests():
        for request in clip_requests(clips, "tiny_cnn"):
            pulled.append(request.sample_id)
            yield request

    found = observe(requests(), Networks(), pytest.fail)
    assert next(found).request.sample_id == "clip0"
    assert pulled == ["clip0", "clip1"]  # three frames and nine: the first batch
    assert [observed.request.sample_id for observed in found] == [f"clip{n}" for n in range(1, 6)]


def test_a_clip_does_not_wait_for_its_batch_for_ever(clips: list[ClipView], monkeypatch: pytest.MonkeyPatch):
    features(clips[1:2])  # now in the store: it fills no batch
    monkeypatch.setattr(benchmark.engine, "_MAX_WAITING", 4)
    pulled = 0

    def requests():
        nonlocal pulled
        for clip in (clips[0], *[clips[1]] * 50):
            pulled += 1
            yield clip_requests([clip], "tiny_cnn")[0]

    found = observe(requests(), Networks(), pytest.fail)
    assert arrays_of(next(found), "tiny_cnn")["feature"].shape == (3, 37)
    assert pulled == 5
    assert len(list(found)) == 50


class FailsOnDark(TinyCnn):
    """Cannot bear a batch with a black item."""

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        if (batch.max(axis=(1, 2, 3)) < 0.1).any():
            raise FloatingPointError("a black frame")
        return super().run(batch)


class RefusesDark(TinyCnn):
    """Cannot prepare a black frame."""

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        if frame.max() < 25:
            raise FloatingPointError("a black frame")
        return super().prepare(frame)


@pytest.mark.parametrize("worker", [FailsOnDark, RefusesDark])
def test_a_clip_that_crashes_a_batch_costs_itself_alone(
    clips: list[ClipView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: type[TinyCnn]
):
    from dataclasses import replace

    from media.video import write_video

    expected, _ = features(clips[:3])
    frames = [np.full((64, 64, 3), 200 if index < 2 else 0, np.uint8) for index in range(4)]
    write_video(tmp_path / "dark.mp4", frames, 25)
    among = [clips[0], view(tmp_path / "dark.mp4", 4), clips[1], clips[2]]
    clean_cache()
    register(monkeypatch, replace(TINY_CNN, build=worker))
    said: list[str] = []
    outcomes = list(observe(clip_requests(among, "tiny_cnn"), Networks(), said.append))
    assert outcomes[1].truth(["tiny_cnn"]) == Failure("crash")
    assert len(said) == 1
    assert said[0].startswith(
        "truth clip1 tiny_cnn: FloatingPointError: a black frame (test_engine_batches.py:"
    )
    unharmed = [arrays_of(outcomes[n], "tiny_cnn")["feature"] for n in (0, 2, 3)]
    assert [array.tobytes() for array in unharmed] == [array.tobytes() for array in expected]


def test_a_network_that_returns_too_few_rows_is_not_believed(
    clips: list[ClipView], monkeypatch: pytest.MonkeyPatch
):
    from dataclasses import replace

    class DropsPadding(TinyCnn):
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            return {"feature": super().run(batch)["feature"][:3]}

    register(monkeypatch, replace(TINY_CNN, build=DropsPadding))
    said: list[str] = []
    found = list(observe(clip_requests(clips[:1], "tiny_cnn"), Networks(), said.append))
    assert found[0].truth(["tiny_cnn"]) == Failure("crash")
    assert "expected arrays with 8 rows" in said[0]
