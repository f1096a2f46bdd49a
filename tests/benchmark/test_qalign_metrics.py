"""IQA and ASE: which frames are looked at, what becomes of their logits, and what is said when something is missing."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_engine import FPS, SIDE, arrays_of, clip_requests, register, view, write_blobs

import benchmark.qalign_extractors as extractors
from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Extractor, Networks
from benchmark.metrics.definition import Observations
from benchmark.metrics.quality_qalign import ASE, EXTRACTOR, IQA, ase, iqa, level_score
from benchmark.networks import Network
from benchmark.observations import ClipView, Failure
from benchmark.qalign import LEVELS, pad_to_square, prompt
from benchmark.qalign_extractors import PREPROCESSING, QALIGN, QAlignSeconds
from benchmark.qalign_process import QAlignProcess
from media.errors import AvatarBenchError
from media.video import write_video

MADE_WORKER = [sys.executable, str(Path(__file__).parent / "qalign_made_worker.py")]
MADE = Network("made", lambda: QAlignProcess(MADE_WORKER), lambda: "0" * 64)


class Looked:
    """In place of the process: notes the first pixel of what it is shown."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __enter__(self) -> Looked:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing runs."""

    def check_alive(self) -> None:
        """It is."""

    def logits(self, frame: np.ndarray, words: tuple[str, ...]) -> dict[str, np.ndarray]:
        self.seen.append(int(frame[0, 0, 0]))
        return {word: np.arange(5, dtype=np.float32) + len(word) for word in words}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    looked = Looked()
    monkeypatch.setattr(extractors, "QALIGN", Network("looked", lambda: looked, lambda: "0" * 64))
    return looked


def look_at(n_frames: int) -> dict[str, np.ndarray]:
    extractor = QAlignSeconds(Networks())
    buffer = np.zeros((2, 2, 3), np.uint8)
    for index in range(n_frames):
        buffer[:] = index  # decoders may use their memory again
        extractor.add(buffer)
    return dict(extractor.arrays())


@pytest.mark.parametrize("n_frames", [25, 26, 49, 50, 60, 110, 250])
def test_frames_are_those_of_q_aligns_load_video(looked: Looked, n_frames: int):
    arrays = look_at(n_frames)
    expected = [int(25.0 * i) for i in range(int(n_frames / 25.0))]
    assert looked.seen == arrays["frame"].tolist() == expected
    assert arrays["quality"].shape == arrays["aesthetics"].shape == (len(expected), 5)


@pytest.mark.parametrize("n_frames", [1, 3, 24])
def test_a_clip_shorter_than_a_second_is_judged_by_its_first_frame(looked: Looked, n_frames: int):
    arrays = look_at(n_frames)
    assert looked.seen == arrays["frame"].tolist() == [0]
    assert arrays["quality"].tolist() == [[7, 8, 9, 10, 11]]


def test_a_clip_without_frames_has_no_quality(looked: Looked):
    with pytest.raises(ValueError, match="without frames"):
        look_at(0)


def test_scores_are_the_softmax_over_five_levels_weighted_five_to_one():
    logits = np.random.default_rng(0).normal(0, 10, (50, 5)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits).double(), -1) @ torch.tensor([5.0, 4, 3, 2, 1]).double()
    np.testing.assert_allclose(level_score(logits), expected.numpy(), rtol=1e-12)
    np.testing.assert_allclose(level_score(np.full(5, -1e4)), 3)
    for place, score in enumerate((5, 4, 3, 2, 1)):
        assert level_score(1e4 * np.eye(5)[place]) == score


def test_metrics_are_means_over_seconds_of_their_own_word():
    logits = np.random.default_rng(1).normal(0, 1, (2, 3, 5)).astype(np.float32)
    arrays = {"quality": logits[0], "aesthetics": logits[1], "frame": np.arange(3) * 25}
    observations = Observations({EXTRACTOR: arrays}, {}, {}, SIDE, SIDE)
    for metric, own in ((iqa, logits[0]), (ase, logits[1])):
        found = metric(observations)
        assert found.value == pytest.approx(level_score(own).mean(), rel=1e-12)
        assert (found.n_valid, found.n_total, found.status) == (3, 3, "ok")
    assert (IQA.low, IQA.high, IQA.direction) == (ASE.low, ASE.high, ASE.direction) == (1, 5, "higher")


def test_a_logit_that_is_no_number_is_no_score():
    logits = np.array([[0, 0, np.nan, 0, 0]], np.float32)
    observations = Observations({EXTRACTOR: {"quality": logits}}, {}, {}, SIDE, SIDE)
    assert np.isnan(cast(float, iqa(observations).value))  # the scorer makes it `not_finite`


def test_prompts_are_the_sentences_of_the_canonical_scorer():
    assert prompt("quality") == (
        "USER: How would you rate the quality of this image?\n"
        "<|image|>\n"
        "ASSISTANT: The quality of the image is"
    )  # fmt: skip
    assert prompt("aesthetics").count("aesthetics") == 2
    assert LEVELS == ("excellent", "good", "fair", "poor", "bad")


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (4, 7), (7, 4), (6, 6), (1, 3)])
def test_padding_is_that_of_expand2square(size: tuple[int, int]):
    height, width = size
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    side = max(size)
    expected = Image.new("RGB", (side, side), (122, 116, 104))
    expected.paste(Image.fromarray(frame), ((side - width) // 2, (side - height) // 2))
    np.testing.assert_array_equal(pad_to_square(frame), np.asarray(expected))


def seconds(network: Network) -> Extractor:
    return Extractor(
        EXTRACTOR, "1", "clip", QAlignSeconds, PREPROCESSING, "float16", network=network, fps=FPS
    )


def flat_clip(path: Path, value: int) -> ClipView:
    write_video(path, [np.full((SIDE, SIDE, 3), value, np.uint8)] * 3, FPS)
    return view(path, 3)


def test_a_clip_at_whose_frame_the_process_dies_is_lost_and_the_next_one_ends_the_scoring(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    class DiesOnDark(QAlignProcess):
        def logits(self, frame: np.ndarray, words) -> dict[str, np.ndarray]:
            return super().logits(np.full_like(frame, 2) if frame.max() < 30 else frame, words)

    made = Network("made", lambda: DiesOnDark(MADE_WORKER), lambda: "0" * 64)
    monkeypatch.setattr(extractors, "QALIGN", made)
    register(monkeypatch, seconds(made))
    good = [view(write_blobs(tmp_path / f"{n}.mp4", n)) for n in range(2)]
    said: list[str] = []
    with Networks() as networks:
        clips = [good[0], flat_clip(tmp_path / "dark.mp4", 0), good[1]]
        found = observe(clip_requests(clips, EXTRACTOR), networks, said.append)
        assert arrays_of(next(found), EXTRACTOR)["quality"].shape == (1, 5)
        assert next(found).truth([EXTRACTOR]) == Failure("crash")
        assert "the process that runs Q-Align (iqa, ase) died" in said[0]
        with pytest.raises(AvatarBenchError, match="says the made worker") as caught:
            next(found)
    assert caught.value.code == "E605"


def test_frames_are_looked_at_once_and_then_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(extractors, "QALIGN", MADE)
    register(monkeypatch, seconds(MADE))
    clips = [view(write_blobs(tmp_path / "long.mp4", 0, 55), 55)]
    forwards = []
    for _ in range(2):
        with Networks() as networks:
            arrays = arrays_of(
                next(iter(observe(clip_requests(clips, EXTRACTOR), networks, pytest.fail))), EXTRACTOR
            )
            forwards.append((networks.counters.loads["made"], networks.counters.forwards["made"]))
        assert arrays["frame"].tolist() == [0, 25]
    assert forwards == [(1, 4), (0, 0)]


def test_without_weights_the_scoring_ends_and_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    register(monkeypatch, seconds(QALIGN))
    clips = [view(write_blobs(tmp_path / "a.mp4", 0))]
    with pytest.raises(AvatarBenchError, match="bench weights fetch one_align") as caught:
        list(observe(clip_requests(clips, EXTRACTOR), Networks(), pytest.fail))
    assert caught.value.code == "E502"


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extractors, "weight_sha256", lambda weight_id: "0" * 64)
    monkeypatch.setattr(extractors, "version", missing)
    with pytest.raises(AvatarBenchError, match=r"avatarbench\[paper\]") as caught:
        QALIGN.sha256()
    assert (caught.value.code, caught.value.got) == ("E603", "no pyiqa")


def test_the_process_names_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch):
    from benchmark import qalign_model

    monkeypatch.setattr(qalign_model, "_PACKAGES", ("numpy", "a_package_nobody_has"))
    with pytest.raises(AvatarBenchError) as caught:
        qalign_model.prepare_packages()
    assert (caught.value.code, caught.value.got) == ("E603", "no a_package_nobody_has")


def test_values_of_another_device_or_package_have_a_place_of_their_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extractors, "weight_sha256", lambda weight_id: "0" * 64)
    monkeypatch.setattr(extractors, "version", lambda name: "1.0")
    hashes = set()
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(extractors, "_device", lambda device=device: device)
        hashes.add(QALIGN.sha256())
    monkeypatch.setattr(extractors, "version", lambda name: "2.0")
    hashes.add(QALIGN.sha256())
    assert len(hashes) == 3


def test_what_stands_in_the_registry_is_this_extractor():
    found = EXTRACTORS[EXTRACTOR]
    assert (found.build, found.network, found.fps, found.form) == (QAlignSeconds, QALIGN, 25.0, "clip")
