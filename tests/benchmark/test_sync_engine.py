"""Items made of several frames, and of sound: batches that fill across clips, and nothing that shares one is seen."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_engine import (
    FPS,
    TinyCnn,
    arrays_of,
    clip_requests,
    register,
    tiny_metric,
    tiny_run,
    view,
    write_blobs,
)

from benchmark.cache import clean_cache
from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Extractor, Networks
from benchmark.hashing import sha256_file
from benchmark.networks import Network
from benchmark.observations import ClipView, Failure, Request, SoundView
from benchmark.scorer import score_samples
from media.audio import write_wav
from media.errors import AvatarBenchError
from media.video import read_frames

LENGTHS = (3, 9, 8, 1, 14, 5)
WINDOW = 5


class Windows:
    """Features of the mean over each window of five frames, and the number of frames."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.count = 0

    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        self.count += 1
        self.frames = [*self.frames[-WINDOW + 1 :], observed]
        return [np.stack(self.frames)] if len(self.frames) == WINDOW else []

    def end(self) -> Iterable[np.ndarray]:
        return []

    def arrays(self) -> dict[str, np.ndarray]:
        return {"count": np.array(self.count)}


class WindowCnn(TinyCnn):
    def begin(self) -> Windows:
        return Windows()

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return super().run(batch.mean(axis=1, dtype=np.float32).transpose(0, 3, 1, 2).copy() / 255)

    def nothing(self) -> dict[str, np.ndarray]:
        return {"feature": np.zeros((0, 37), np.float32)}


class LateWindows(Windows):
    """The same items, all at the end."""

    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        self.kept = [*getattr(self, "kept", []), *super().add(observed)]
        return []

    def end(self) -> Iterable[np.ndarray]:
        return self.kept


class Loudness:
    """Mean square of each tenth of a second, one item each."""

    class _One:
        def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
            yield from observed[: len(observed) // 1600 * 1600].reshape(-1, 1600).astype(np.float64)

        def end(self) -> Iterable[np.ndarray]:
            return []

        def arrays(self) -> dict[str, np.ndarray]:
            return {}

    def __init__(self, networks: Networks) -> None:
        """Needs nothing."""

    def begin(self) -> Loudness._One:
        return self._One()

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"power": np.square(batch).mean(axis=1)}

    def nothing(self) -> dict[str, np.ndarray]:
        return {"power": np.zeros(0)}


WINDOW_CNN = Extractor("window_cnn", "1", "gather", WindowCnn, "mean of 5", "float32", batch_size=8)
LOUDNESS = Extractor("loudness", "1", "sound", Loudness, "none", "float64", batch_size=4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipView]:
    folder = tmp_path_factory.mktemp("clips")
    return [view(write_blobs(folder / f"{n}.mp4", n, length), length) for n, length in enumerate(LENGTHS)]


@pytest.fixture(autouse=True)
def extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, WINDOW_CNN, LOUDNESS)
    monkeypatch.setattr(TinyCnn, "batches", [])


def features(clips: list[ClipView]) -> tuple[list[dict[str, np.ndarray]], Networks]:
    clean_cache()
    networks = Networks()
    found = observe(clip_requests(clips, "window_cnn"), networks, pytest.fail)
    return [arrays_of(observed, "window_cnn") for observed in found], networks


def test_windows_fill_batches_across_clips_and_change_no_bit(clips: list[ClipView]):
    alone = [features([clip])[0][0] for clip in clips]
    TinyCnn.batches.clear()
    together, networks = features(clips)
    assert TinyCnn.batches == [(8, 3, 64, 64)] * 3  # 20 windows
    assert networks.counters.forwards == {"window_cnn": 3}
    assert all(count == 1 for count in networks.counters.decodes.values())
    backwards, _ = features(clips[::-1])
    for length, one, other, third in zip(LENGTHS, alone, together, backwards[::-1], strict=True):
        assert one["feature"].shape == (max(0, length - WINDOW + 1), 37)
        assert one["count"] == other["count"] == length
        assert one["feature"].tobytes() == other["feature"].tobytes() == third["feature"].tobytes()


def test_windows_are_those_of_consecutive_frames(clips: list[ClipView]):
    worker = WindowCnn(Networks())
    frames = np.stack(list(read_frames(clips[1].path)))
    expected = worker.run(np.stack([frames[i : i + WINDOW] for i in range(5)]))["feature"]
    np.testing.assert_allclose(features(clips[1:2])[0][0]["feature"], expected, rtol=1e-4, atol=1e-4)


def test_items_may_come_at_the_end(clips: list[ClipView], monkeypatch: pytest.MonkeyPatch):
    expected, _ = features(clips)
    monkeypatch.setattr(WindowCnn, "begin", lambda self: LateWindows())
    for one, other in zip(expected, features(clips)[0], strict=True):
        assert one["feature"].tobytes() == other["feature"].tobytes()


def test_what_was_gathered_comes_back_from_the_store(clips: list[ClipView]):
    expected, _ = features(clips)
    networks = Networks()
    found = observe(clip_requests(clips, "window_cnn"), networks, pytest.fail)
    for one, observed in zip(expected, found, strict=True):
        assert arrays_of(observed, "window_cnn")["feature"].tobytes() == one["feature"].tobytes()
    assert not networks.counters.decodes


class BreaksOnTheThird(Windows):
    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        if self.count == 6:
            raise FloatingPointError("the seventh frame")
        return super().add(observed)


def test_a_clip_that_cannot_be_gathered_costs_itself_alone(
    clips: list[ClipView], monkeypatch: pytest.MonkeyPatch
):
    expected, _ = features(clips)
    monkeypatch.setattr(WindowCnn, "begin", lambda self: BreaksOnTheThird())
    clean_cache()
    said: list[str] = []
    found = list(observe(clip_requests(clips, "window_cnn"), Networks(), said.append))
    for length, one, observed in zip(LENGTHS, expected, found, strict=True):
        if length > 6:
            assert observed.truth(["window_cnn"]) == Failure("crash")
        else:
            assert arrays_of(observed, "window_cnn")["feature"].tobytes() == one["feature"].tobytes()
    assert len(said) == 3
    assert "FloatingPointError: the seventh frame (test_sync_engine.py:" in said[0]


def test_names_that_meet_are_a_bug_of_the_extractor(clips: list[ClipView], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Windows, "arrays", lambda self: {"feature": np.zeros(1)})
    said: list[str] = []
    (found,) = observe(clip_requests(clips[1:2], "window_cnn"), Networks(), said.append)
    assert found.truth(["window_cnn"]) == Failure("crash")
    assert "the same names: ['feature']" in said[0]


def test_another_frame_rate_than_the_only_one_ends_the_scoring(clips, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, replace(WINDOW_CNN, fps=FPS))
    assert len(features(clips[:1])[0]) == 1
    clean_cache()
    with pytest.raises(AvatarBenchError, match="E503") as caught:
        list(observe(clip_requests([replace(clips[0], fps=30.0)], "window_cnn"), Networks(), pytest.fail))
    assert (caught.value.expected, caught.value.got) == ("25 fps", "30 fps")


def test_every_network_that_decides_is_part_of_the_key():
    def network(sha256: str) -> Network[None]:
        return Network("any", lambda: pytest.fail("a key needs no weights"), lambda: sha256)

    plain = replace(WINDOW_CNN, network=network("a"))
    first, second = (replace(plain, further_networks=(network(name),)) for name in "bc")
    assert len({str(extractor.content()) for extractor in (plain, first, second)}) == 3


def wav(path: Path, seed: int, seconds: float = 1.0) -> SoundView:
    write_wav(path, np.random.default_rng(seed).uniform(-0.5, 0.5, round(16_000 * seconds)))
    return SoundView(path, sha256_file(path))


def hear(clip: ClipView, *sounds: SoundView, report=pytest.fail) -> list[np.ndarray | Failure]:
    requests = [Request(f"clip{n}", clip, {}, (), ("loudness",), sound) for n, sound in enumerate(sounds)]
    found = [observed.truth(["loudness"]) for observed in observe(requests, Networks(), report)]
    return [one if isinstance(one, Failure) else one["loudness"]["power"] for one in found]


def test_sound_is_heard_without_decoding_pictures_and_once_for_equal_bytes(clips, tmp_path: Path):
    first, second = wav(tmp_path / "a.wav", 1), wav(tmp_path / "b.wav", 2, 0.35)
    networks = Networks()
    requests = [Request("clip", clips[0], {}, (), ("loudness",), sound) for sound in (first, second)]
    found = [observed.truth(["loudness"]) for observed in observe(requests, networks, pytest.fail)]
    assert not networks.counters.decodes
    for sound, one in zip((first, second), found, strict=True):
        assert not isinstance(one, Failure)
        with wave.open(str(sound.path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        tenths = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
        np.testing.assert_allclose(one["loudness"]["power"], np.square(tenths).mean(axis=1), rtol=1e-12)
    moved = replace(first, path=first.path.rename(tmp_path / "moved.wav"))
    forwards = Networks()
    list(observe([replace(requests[0], sound=moved)], forwards, pytest.fail))
    assert not forwards.counters.forwards


def test_a_sound_that_cannot_be_read_costs_its_sample_alone(clips, tmp_path: Path):
    good, missing = wav(tmp_path / "a.wav", 1), SoundView(tmp_path / "none.wav", "0" * 64)
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(6400))
    stereo = SoundView(tmp_path / "stereo.wav", "1" * 64)
    said: list[str] = []
    found = hear(clips[0], missing, good, stereo, report=said.append)
    assert found[0] == found[2] == Failure("decode")
    assert isinstance(found[1], np.ndarray)
    assert [line.split(": ")[:2] for line in said] == [["sound clip0", "E201"], ["sound clip2", "E201"]]


def test_a_metric_reads_the_sample_s_sound_beside_the_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tiny_run(tmp_path / "run", 2)
    sound = wav(tmp_path / "a.wav", 1)
    tasks = [
        replace(
            task,
            inputs=replace(
                task.inputs, sample=replace(task.inputs.sample, audio=sound.path), audio_sha256=sound.sha256
            ),
        )
        for task in run.tasks
    ]
    metric = tiny_metric(
        "both",
        "loudness",
        "window_cnn",
        value=lambda seen: float(
            seen.sound["loudness"]["power"].sum() + len(seen.prediction["window_cnn"]["feature"])
        ),
    )
    assert "loudness" in EXTRACTORS
    scores = list(score_samples(run.folder, run.plan, tasks, [metric], Networks(), pytest.fail))
    (expected,) = hear(run.tasks[0].inputs.truth, sound)
    assert [row.value for score in scores for row in score.rows] == [float(expected.sum() + 4)] * 2


def test_a_file_that_breaks_off_costs_its_clip_alone(clips: list[ClipView]):
    expected, _ = features(clips[1:2])
    clean_cache()
    longer = replace(clips[2], n_frames=LENGTHS[2] + 1)
    said: list[str] = []
    found = list(observe(clip_requests([longer, clips[1]], "window_cnn"), Networks(), said.append))
    assert found[0].truth(["window_cnn"]) == Failure("decode")
    assert arrays_of(found[1], "window_cnn")["feature"].tobytes() == expected[0]["feature"].tobytes()
    assert [line.split(": ")[:2] for line in said] == [["truth clip0", "E402"]]
