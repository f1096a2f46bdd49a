"""The clips that stand beside a sample's own: who is chosen, and that their bytes count."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from baselines.controls import FROZEN, GROUND_TRUTH
from benchmark.hashing import sha256_file
from benchmark.inputs import SampleInputs, make_inputs
from benchmark.manifest import Dataset, load_dataset
from benchmark.plan import RunOptions, propose_run
from benchmark.predictions import prediction_key
from benchmark.protocol import load_protocol
from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError
from media.video import write_video

FPS = 25


def film(path: Path, n_frames: int, brightness: int) -> Path:
    """A flat video with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = (np.full((64, 48, 3), brightness, np.uint8) for _ in range(n_frames))
    sound = np.sin(np.arange(n_frames * SAMPLE_RATE // FPS) / 9).astype(np.float32) / 4
    write_video(path, frames, FPS, audio=sound)
    return path


def manifest(folder: Path, *clips: dict[str, object]) -> Dataset:
    """A data set of the named clips; `media` is a file in `folder`."""
    lines = [
        {"id": f"c{number}", "sha256": sha256_file(folder / str(clip["media"]))} | clip
        for number, clip in enumerate(clips)
    ]
    (folder / "manifest.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return load_dataset(folder)


def inputs_of(dataset: Dataset, clip_id: str) -> SampleInputs:
    clip = next(clip for clip in dataset.clips if clip.id == clip_id)
    return make_inputs(dataset, clip, load_protocol("mini-v1"), seed=0)


def chosen(dataset: Dataset, clip_id: str) -> tuple[str | None, str | None]:
    """Names of the files of the same person's and of the other person's clip."""
    truth = inputs_of(dataset, clip_id).ground_truth
    others = (truth.other_speech, truth.other_identity)
    return tuple(None if source is None else source.media.name for source in others)  # type: ignore[return-value]


def test_one_other_clip_is_of_the_same_person_and_one_of_somebody_else(people: Path):
    dataset = load_dataset(people)
    for clip in dataset.clips:
        inputs = inputs_of(dataset, clip.id)
        truth = inputs.ground_truth
        assert truth.clip.media == people / clip.media
        assert truth.other_speech is not None and truth.other_identity is not None
        assert truth.other_speech.media.parent == truth.clip.media.parent
        assert truth.other_speech.media != truth.clip.media
        assert truth.other_identity.media.parent != truth.clip.media.parent


def test_the_choice_falls_on_all_clips_and_hangs_on_the_name_alone(tmp_path: Path):
    media = [film(tmp_path / f"{number}.mp4", 12, 10 * number).name for number in range(6)]
    dataset = manifest(tmp_path, *({"identity": "ada", "media": name} for name in media))
    first = {clip.id: chosen(dataset, clip.id)[0] for clip in dataset.clips}
    assert first == {clip.id: chosen(dataset, clip.id)[0] for clip in reversed(dataset.clips)}
    assert len(set(first.values())) > 2  # not always the same neighbour


def test_a_shorter_clip_is_never_chosen(tmp_path: Path):
    film(tmp_path / "long.mp4", 20, 50), film(tmp_path / "short.mp4", 19, 60)
    film(tmp_path / "theirs.mp4", 20, 70), film(tmp_path / "cut.mp4", 40, 80)
    dataset = manifest(
        tmp_path,
        {"identity": "ada", "media": "long.mp4"},
        {"identity": "ada", "media": "short.mp4"},
        {"identity": "ben", "media": "theirs.mp4"},
        {"identity": "ben", "media": "cut.mp4", "duration_s": 0.5},
    )
    assert chosen(dataset, "c0") == (None, "theirs.mp4")
    assert chosen(dataset, "c1")[0] == "long.mp4"


def test_a_person_alone_with_one_clip_has_no_other(tmp_path: Path):
    film(tmp_path / "only.mp4", 12, 50)
    assert chosen(manifest(tmp_path, {"identity": "ada", "media": "only.mp4"}), "c0") == (None, None)


def test_the_same_stretch_under_another_name_is_no_other_clip_but_another_stretch_is(tmp_path: Path):
    film(tmp_path / "film.mp4", 50, 50)
    shutil.copy(tmp_path / "film.mp4", tmp_path / "copy.mp4")
    piece = {"identity": "ada", "media": "film.mp4", "recording": "film", "duration_s": 0.8}
    overlapping = manifest(
        tmp_path,
        piece,
        piece | {"start_s": 0.4},
        piece | {"media": "copy.mp4", "identity": "ben"},  # the same bytes, said to be somebody else
    )
    assert chosen(overlapping, "c0") == (None, None)
    apart = manifest(tmp_path, piece, piece | {"start_s": 1.0})
    source = inputs_of(apart, "c0").ground_truth.other_speech
    assert source is not None and (source.media.name, source.start_s) == ("film.mp4", 1.0)


def test_a_clip_that_does_not_stand_here_is_passed_over_and_a_damaged_one_is_told(tmp_path: Path):
    for number in range(3):
        film(tmp_path / f"{number}.mp4", 12, 50 * number)
    dataset = manifest(tmp_path, *({"identity": "ada", "media": f"{number}.mp4"} for number in range(3)))
    first = chosen(dataset, "c0")[0]
    assert first is not None
    (tmp_path / first).unlink()
    second = chosen(dataset, "c0")[0]
    assert second not in (None, first)
    (tmp_path / str(second)).write_bytes(b"something else")
    with pytest.raises(AvatarBenchError, match=r"E402: the clip 'c[12]' is not the file"):
        inputs_of(dataset, "c0")


def test_the_bytes_of_the_other_clips_are_in_the_key_of_what_sees_them_alone(tmp_path: Path):
    keys: dict[str, set[str]] = {"ground_truth": set(), "frozen": set()}
    for brightness in (100, 150):
        folder = tmp_path / str(brightness)
        film(folder / "mine.mp4", 12, 50), film(folder / "theirs.mp4", 12, brightness)
        dataset = manifest(
            folder, {"identity": "ada", "media": "mine.mp4"}, {"identity": "ben", "media": "theirs.mp4"}
        )
        inputs = inputs_of(dataset, "c0")
        plan = propose_run(RunOptions((GROUND_TRUTH, FROZEN), dataset=folder, device="cpu")).plan
        for info in plan.methods:
            keys[info.id].add(prediction_key(info, inputs, "cpu", 0))
    assert (len(keys["ground_truth"]), len(keys["frozen"])) == (2, 1)


def test_the_key_does_not_hang_on_where_the_files_stand(people: Path, tmp_path: Path):
    elsewhere = shutil.copytree(people, tmp_path / "people")
    plan = propose_run(RunOptions((GROUND_TRUTH,), dataset=people, device="cpu")).plan
    keys = {
        prediction_key(plan.methods[0], inputs_of(load_dataset(folder), "ada_one"), "cpu", 0)
        for folder in (people, elsewhere)
    }
    assert len(keys) == 1


def test_a_file_that_changes_while_the_program_runs_is_read_again(tmp_path: Path):
    film(tmp_path / "film.mp4", 12, 50)
    dataset = manifest(tmp_path, {"identity": "ada", "media": "film.mp4"})
    inputs_of(dataset, "c0")
    film(tmp_path / "film.mp4", 12, 51)
    os.utime(tmp_path / "film.mp4", ns=(1, 1))
    with pytest.raises(AvatarBenchError, match="E402: the clip 'c0' is not the file"):
        inputs_of(dataset, "c0")


def test_sound_may_stand_in_a_file_of_its_own(tmp_path: Path):
    film(tmp_path / "film.mp4", 50, 50)
    steps = np.repeat(np.float32([0.1, 0.2, 0.3, 0.4]), SAMPLE_RATE // 2)  # 2 s, louder each half second
    write_wav(tmp_path / "sound.wav", steps)
    clip = {"identity": "ada", "media": "film.mp4", "start_s": 1.0, "duration_s": 1.0}
    sound = {"audio": "sound.wav", "audio_sha256": sha256_file(tmp_path / "sound.wav")}
    dataset = manifest(tmp_path, clip | sound)
    heard = load_audio(inputs_of(dataset, "c0").sample.audio)
    half = SAMPLE_RATE // 2
    assert heard.shape == (2 * half,)
    assert np.allclose([heard[:half].mean(), heard[half:].mean()], [0.3, 0.4], atol=1e-3)
    write_wav(tmp_path / "sound.wav", 2 * steps)
    with pytest.raises(AvatarBenchError, match=r"E402: the clip 'c0' is not the file"):
        inputs_of(dataset, "c0")
    (tmp_path / "sound.wav").unlink()
    with pytest.raises(AvatarBenchError, match="E402: the clip 'c0' is missing"):
        inputs_of(dataset, "c0")
