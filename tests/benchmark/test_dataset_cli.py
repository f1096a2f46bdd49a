"""`bench dataset`: import, verify, split, show."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import casual_v1, seamless_fetched, write_talk
from typer.testing import CliRunner, Result

from benchmark.cli_dataset import dataset
from benchmark.datasets import verifying
from benchmark.datasets.verifying import verify_dataset
from benchmark.hashing import sha256_file
from benchmark.manifest import Clip, load_dataset, write_manifest
from media.audio import SAMPLE_RATE, write_wav
from media.errors import AvatarBenchError


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(dataset, [str(argument) for argument in arguments])


def flat(result: Result) -> str:
    """What was printed, without the line breaks of tables."""
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("v1")
    paths = [f"CasualConversationsA/{person}/{person}_0{take}.MP4" for person in (7, 8, 9) for take in (0, 1)]
    casual_v1(root, {path: (path.split("/")[1], False) for path in paths})
    assert bench("import", "casual-conversations-v1", root).exit_code == 0
    return root


def test_import_says_what_it_made_and_what_it_could_not_use(tmp_path: Path):
    root = casual_v1(tmp_path, {"CasualConversationsA/7/7_00.MP4": ("7", False)})
    write_talk(root / "CasualConversationsA/8/8_00.MP4", 3.0, [(0, 3)])
    result = bench("import", "casual-conversations-v1", root, "--out", tmp_path / "set")
    assert result.exit_code == 0
    said = flat(result)
    assert "1 clips of 1 people" in said
    assert "in the folder, but not labelled" in said and "8_00.MP4" in said
    assert load_dataset(tmp_path / "set").clips[0].identity == "7"


def test_what_is_wrong_with_the_arguments_is_an_error_with_a_code():
    for arguments, code in (
        (("import", "seamless", "nowhere"), "E504"),
        (("import", "folder", "nowhere"), "E401"),
        (("show", "nowhere"), "E401"),
        (("split", "--split", "unseen"), "E504"),
    ):
        error = bench(*arguments).exception
        assert isinstance(error, AvatarBenchError) and error.code == code


def test_show_counts_clips_people_hours_and_values(imported: Path):
    said = flat(bench("show", imported))
    assert "│ 6 │ 3 │ 6 │ 0.005" in said  # six clips of 3.2 s
    assert "Casual Conversations dataset agreement (Meta) (6 clips)" in said
    assert "skin-type │ 6 │ 1 │ 5 (6, 3)" in said
    assert load_dataset(imported).sha256 in said


def test_show_measures_the_videos_of_a_plain_folder(tmp_path: Path):
    write_talk(tmp_path / "ada/one.mp4", 36.0, [(0, 36)])
    assert "│ 1 │ 1 │ 1 │ 0.010" in flat(bench("show", tmp_path))


def test_split_counts_both_sides_of_each_identity_and_writes_the_ids(imported: Path, tmp_path: Path):
    result = bench("split", imported, "--split", "unseen-identity", "--json", tmp_path / "ids.json")
    assert result.exit_code == 0
    ids = json.loads((tmp_path / "ids.json").read_text())
    dataset_ids = {clip.id for clip in load_dataset(imported).clips}
    assert set(ids["test"]) | set(ids["train"]) == dataset_ids
    assert ids["split"] == "unseen-identity" and ids["dataset"]["sha256"] == load_dataset(imported).sha256
    assert len(ids["test"]) == 2
    person = ids["test"][0].split("_")[0]
    assert f"│ {person} │ 2 │ 0 │" in flat(result)
    assert "3 identities, 1 tested │ 2 │ 4" in flat(result)


def test_split_says_which_identities_have_a_single_clip(tmp_path: Path):
    write_talk(tmp_path / "solo.mp4", 1.0, [(0, 1)])
    assert "'solo' has a single clip" in flat(bench("split", tmp_path))


def test_verify_is_content_with_what_an_import_made(imported: Path, tmp_path: Path):
    assert "6 clips in 6 files: all right." in flat(bench("verify", imported))
    root = seamless_fetched(tmp_path)
    assert bench("import", "seamless-interaction", root).exit_code == 0
    assert "2 clips in 4 files: all right." in flat(bench("verify", root))


def test_the_lists_of_the_program_stay_light():
    code = "import sys, benchmark.cli_dataset; print(sorted({'torch', 'av', 'cv2', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def write_set(root: Path, *clips: dict[str, object]) -> Path:
    made = []
    for values in clips:
        file = root / str(values["media"])
        sound = root / str(values.get("audio", ""))
        hashes = {"sha256": sha256_file(file)} | (
            {"audio_sha256": sha256_file(sound)} if "audio" in values else {}
        )
        made.append(Clip.model_validate({"identity": "ada"} | hashes | values))
    write_manifest(root / "manifest.jsonl", made)
    return root


def test_verify_lists_every_problem_at_once_and_exits_with_3(tmp_path: Path):
    talk = write_talk(tmp_path / "talk.mp4", 6.0, [(1.0, 3.0)], floor=0.0)
    for name in ("changed", "gone", "half"):
        shutil.copy(talk, tmp_path / f"{name}.mp4")
    write_talk(tmp_path / "mute.mp4", 2.0, None)
    write_talk(tmp_path / "short.mp4", 2.0, [(0, 2)])
    (tmp_path / "text.mp4").write_text("no video")
    write_wav(tmp_path / "quiet.wav", 1e-5 * talk_noise(2))
    (tmp_path / "half.mp4").write_bytes(talk.read_bytes()[: talk.stat().st_size * 2 // 3])
    root = write_set(
        tmp_path,
        {"id": "right", "media": "talk.mp4", "start_s": 1.0, "duration_s": 2.0, "recording": "talk"},
        {"id": "silent", "media": "talk.mp4", "start_s": 3.5, "duration_s": 2.0, "recording": "talk"},
        {"id": "beyond", "media": "short.mp4", "start_s": 1.0, "duration_s": 2.0},
        {"id": "changed", "media": "changed.mp4"},
        {"id": "gone", "media": "gone.mp4"},
        {"id": "half", "media": "half.mp4"},
        {"id": "mute", "media": "mute.mp4"},
        {"id": "quiet", "media": "mute.mp4", "audio": "quiet.wav", "recording": "m"},
        {"id": "text", "media": "text.mp4"},
    )
    write_talk(tmp_path / "changed.mp4", 2.0, [(0, 2)], seed=9)
    (tmp_path / "gone.mp4").unlink()
    with open(root / "manifest.jsonl", "a") as stream:
        stream.write("{\n")
    found = verify_dataset(root, lambda what, done, total: None)
    told = sorted(
        (problem.code, next(n for n in NAMES if n in str(problem.what))) for problem in found.problems
    )
    assert told == [
        ("E201", "half"), ("E201", "text"), ("E202", "mute"), ("E203", "quiet"), ("E203", "silent"), ("E402", "beyond"),
        ("E402", "changed"), ("E402", "gone"), ("E402", "half"), ("E402", "text"), ("E404", "line 10"),
    ]  # fmt: skip
    result = bench("verify", root)
    assert result.exit_code == 3
    assert "11 problems in 9 clips" in flat(result)


NAMES = ("beyond", "changed", "gone", "half", "mute", "quiet", "silent", "text", "line 10")


def talk_noise(seconds: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(seconds * SAMPLE_RATE).astype(np.float32)


def test_verify_decodes_each_file_once_however_many_clips_it_has(tmp_path: Path, monkeypatch):
    write_talk(tmp_path / "talk.mp4", 9.0, [(0.0, 9.0)])
    clips = [{"id": f"c{n}", "media": "talk.mp4", "start_s": 2.0 * n, "duration_s": 2.0} for n in range(4)]
    root = write_set(tmp_path, *clips)
    calls: list[str] = []
    for name in ("probe", "count_frames", "load_audio", "sha256_file"):
        real = getattr(verifying, name)
        monkeypatch.setattr(
            verifying, name, lambda path, real=real, name=name: (calls.append(name), real(path))[1]
        )
    assert not verify_dataset(root, lambda what, done, total: None).problems
    assert sorted(calls) == ["count_frames", "load_audio", "probe", "sha256_file"]


def test_verify_of_an_empty_manifest_says_that_it_is_empty(tmp_path: Path):
    (tmp_path / "manifest.jsonl").write_text("\n")
    with pytest.raises(AvatarBenchError, match="E401: the manifest has no clips"):
        verify_dataset(tmp_path, lambda what, done, total: None)
