"""Sound and transcript as the folder that MotionCraft reads, and the driver that seeds its script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import textgrid
import yaml

from baselines.motion import motioncraft_driver
from baselines.motion.motioncraft import frames_needed, frames_written, write_sequence
from baselines.motion.textgrid import Word, spread_words, write_textgrid
from media.audio import load_audio, write_wav
from media.errors import AvatarBenchError

RATE = 16_000
PUBLISHED = {"root_path": "/", "new_cache": False, "pre_frames": 4, "pose_rep": "smplxflame_30"}


def bursts(*stretches: tuple[float, float], seconds: float) -> np.ndarray:
    """A tone between the given times, near silence elsewhere."""
    times = np.arange(round(seconds * RATE)) / RATE
    loud = np.any([(a <= times) & (times < b) for a, b in stretches], axis=0)
    return (np.sin(2 * np.pi * 220 * times) * np.where(loud, 0.3, 1e-4)).astype(np.float32)


@pytest.fixture
def job(tmp_path: Path) -> SimpleNamespace:
    checkout, folder = tmp_path / "MotionCraft", tmp_path / "job"
    config = checkout / "mogen/datasets/EMAGE_2024/configs/emage_test_stmogen.yaml"
    vocabulary = checkout / "data/datasets/beats2/PantoMatrix/EMAGE/test_sequences/weights/vocab.pkl"
    for path in (config, vocabulary):
        path.parent.mkdir(parents=True)
    config.write_text(yaml.safe_dump(PUBLISHED | {"word_rep": "textgrid"}))
    vocabulary.write_bytes(b"words")
    folder.mkdir()
    write_wav(tmp_path / "audio.wav", bursts((0.5, 1.5), (2.5, 4.0), seconds=4.4))
    sample = SimpleNamespace(
        sample_id="clip-1",
        audio=tmp_path / "audio.wav",
        transcript="One two, three four.",
        n_frames=110,
        fps=25.0,
    )
    return SimpleNamespace(
        run="r0a1", clip=sample, checkout=checkout, folder=folder, parameters={"pre_frames": 4}
    )


def length_by_the_published_loop(seconds: int, pre_frames: int) -> int:
    """`_g_test_stmogen` with --repaint, step by step (cure-lab/MotionCraft@3472506, tools/s2g_visualize.py)."""
    n = 30 * seconds
    remain = n % 8
    if remain != 0:
        n = n - remain
    roundt, round_l = (n - pre_frames) // (64 - pre_frames), 64 - pre_frames
    out = [64 if i == roundt - 1 else round_l for i in range(roundt)]
    return sum(out)


@pytest.mark.parametrize("pre_frames", [4, 16])
def test_the_number_of_frames_is_that_of_the_published_loop(pre_frames: int):
    for seconds in range(1, 60):
        assert frames_written(seconds, pre_frames) == length_by_the_published_loop(seconds, pre_frames)
    assert frames_written(10, 4) == 244


@pytest.mark.parametrize("n_frames", [50, 60, 110, 250, 749])
def test_the_sound_is_padded_until_the_frames_that_survive_cover_the_clip(
    job: SimpleNamespace, n_frames: int
):
    job.clip.n_frames = n_frames
    write_wav(job.clip.audio, bursts((0.5, 1.5), (2.5, 4.0), seconds=n_frames / 25))
    write_sequence(job)
    sequence = np.load(job.folder / "seq/smplxflame_30/r0a1.npz")
    seconds = len(sequence["poses"]) // 30
    assert (
        len(load_audio(job.folder / "seq/wave16k/r0a1.wav")) // RATE == seconds
    )  # so many whole seconds of both
    assert frames_written(seconds, 4) >= frames_needed(n_frames, 25.0) > (n_frames - 1) * 30 / 25
    assert seconds * 30 - frames_needed(n_frames, 25.0) < 60 + 64 + 30  # and no longer than the windows ask


def test_the_folder_has_what_the_script_reads_and_nothing_of_another_run(job: SimpleNamespace):
    write_sequence(job)
    sequence = job.folder / "seq"
    assert (sequence / "test.csv").read_text() == "id\nr0a1\n"
    values = np.load(sequence / "smplxflame_30/r0a1.npz")
    shapes = {name: values[name].shape[1:] for name in ("poses", "trans", "expressions")}
    assert shapes == {"poses": (165,), "trans": (3,), "expressions": (100,)} and values["betas"].shape == (
        300,
    )
    assert (sequence / "weights/vocab.pkl").read_bytes() == b"words"
    settings = yaml.safe_load((job.folder / "args.yaml").read_text())
    assert settings["word_rep"] == "textgrid"  # what is not ours stays as published
    assert settings["new_cache"] is True and settings["root_path"] == ""
    assert settings["data_path"] == f"{sequence}/" and settings["cache_path"] == f"{job.folder}/cache/"
    assert list((job.folder / "cache").iterdir()) == list((job.folder / "out").iterdir()) == []
    sound, padded = load_audio(job.clip.audio), load_audio(sequence / "wave16k/r0a1.wav")
    assert np.array_equal(padded[: len(sound)], sound) and not padded[len(sound) :].any()


def test_words_are_read_back_by_the_reader_that_motioncraft_uses(job: SimpleNamespace):
    write_sequence(job)
    grid = textgrid.TextGrid.fromFile(str(job.folder / "seq/textgrid/r0a1.TextGrid"))
    words = [(i.mark, i.minTime, i.maxTime) for i in grid[0] if i.mark]
    assert [word for word, _, _ in words] == ["One", "two,", "three", "four."]
    assert grid[0].minTime == 0 and grid[0].maxTime >= 4.4
    speech = ((0.5, 1.5), (2.5, 4.0))
    inside = [any(a - 0.02 <= begin and end <= b + 0.02 for a, b in speech) for _, begin, end in words]
    assert all(inside)  # six of 15 letters fill the first of 2.5 s of speech; nothing lies in the pause
    edges = [i.minTime for i in grid[0]] + [grid[0].maxTime]
    assert edges == sorted(edges)


def test_a_clip_without_words_has_one_empty_interval(tmp_path: Path):
    write_textgrid(tmp_path / "t.TextGrid", [], 3.1)
    (interval,) = textgrid.TextGrid.fromFile(str(tmp_path / "t.TextGrid"))[0]
    assert (interval.mark, interval.minTime, interval.maxTime) == ("", 0.0, 3.1)
    assert spread_words("", bursts((0, 1), seconds=1), RATE) == []
    assert spread_words("word", np.zeros(0, np.float32), RATE) == []


def test_quotes_in_words_survive(tmp_path: Path):
    write_textgrid(tmp_path / "t.TextGrid", [Word('"so"', 0.5, 1.0)], 2.0)
    marks = [interval.mark for interval in textgrid.TextGrid.fromFile(str(tmp_path / "t.TextGrid"))[0]]
    assert [mark.replace('""', '"') for mark in marks] == ["", '"so"', ""]


def test_words_that_overlap_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="does not follow"):
        write_textgrid(tmp_path / "t.TextGrid", [Word("a", 0.0, 1.0), Word("b", 0.9, 1.5)], 2.0)


def test_an_aligners_textgrid_is_taken_as_it_is(job: SimpleNamespace, tmp_path: Path):
    job.parameters["textgrids"] = str(tmp_path / "aligned")
    with pytest.raises(AvatarBenchError, match="E745"):
        write_sequence(job)
    (tmp_path / "aligned").mkdir()
    (tmp_path / "aligned" / "clip-1.TextGrid").write_text("aligned")
    job.folder = tmp_path / "again"
    job.folder.mkdir()
    write_sequence(job)
    assert (job.folder / "seq/textgrid/r0a1.TextGrid").read_text() == "aligned"


def test_a_checkout_without_its_files_is_said(job: SimpleNamespace):
    (job.checkout / "mogen/datasets/EMAGE_2024/configs/emage_test_stmogen.yaml").unlink()
    with pytest.raises(AvatarBenchError, match="E741"):
        write_sequence(job)


def test_the_driver_seeds_the_script_and_supplies_the_file_that_its_repository_lacks(tmp_path: Path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "helper.py").write_text("NAME = 'the checkout is importable'\n")
    (tmp_path / "tools" / "s2g_visualize.py").write_text(
        "import random, sys, numpy, torch, helper\n"
        f"assert numpy.load({motioncraft_driver.MISSING!r}).shape == (55, 3)\n"
        "numpy.save('own.npy', numpy.ones(2)); assert numpy.load('own.npy').sum() == 2\n"
        "assert __name__ == '__main__' and helper.NAME\n"
        "print(random.random(), numpy.random.rand(), torch.seeded, sys.argv[1:])\n"
    )

    # In torch's place, for it takes seconds to import: what the driver asks of it.
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "torch.py").write_text("def manual_seed(seed): globals().update(seeded=seed)\n")

    def run(seed: int) -> str:
        environment = {"PATH": os.defpath, "PYTHONPATH": str(tmp_path / "own")}
        command = [sys.executable, motioncraft_driver.__file__, str(seed), "config.py", "--out", "o/"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert "zeros" in done.stderr
        return done.stdout

    first = run(5)
    assert first.endswith("['config.py', '--out', 'o/']\n")
    assert " 5 [" in first and run(5) == first != run(6)
