"""The `bench` program: messages, exit codes, and that mistakes leave nothing behind."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cli import main
from media.errors import AvatarBenchError
from media.video import read_frames, write_video


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that the user got wrong."""
    assert main(list(arguments)) == 3
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_the_controls_run_and_are_shown_in_one_table(
    people: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["run", "-m", "frozen", "--dataset", str(people), "--out", str(run_folder)]) == 0
    table = capsys.readouterr().out
    for word in ("frozen", "ground_truth", "PSNR", "SSIM", "HKC", "HKV", "coverage", "hkc_mp_handedness v1"):
        assert word in table
    assert main(["score", str(run_folder), "--dataset", str(people)]) == 0
    assert main(["aggregate", str(run_folder)]) == 0
    assert {path.name for path in run_folder.iterdir()} == {
        "plan.json", "predictions", "samples.parquet", "result.json", "timings.json", "environment.json",
        "features",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-m", "frozn"], "E501: unknown method 'frozn'. Did you mean 'frozen'"),
        (["--methods", "frozen,oust"], "E501: unknown method 'oust'"),
        (["-m", "frozen", "--protocol", "paper"], "E503: unknown protocol 'paper'"),
        (["-m", "frozen", "--device", "tpu"], "E504: unknown device 'tpu'"),
        (["-m", "frozen", "--device", "cuda:99"], "E504: the device 'cuda:99' is not there"),
        (["-m", "frozen", "--seed", "-1"], "E504: the seed is out of range"),
        (["-m", "frozen", "--dataset", "no/such/folder"], "E401: the data set is not a folder"),
    ],
)
def test_a_wrong_option_has_its_own_message_and_leaves_nothing(
    people: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
):
    with_data = [] if "--dataset" in options else ["--dataset", str(people)]
    assert message in refuse(capsys, "run", *options, *with_data, "--out", str(run_folder))
    assert not run_folder.exists()


def without_sound(path: Path, source: Path) -> None:
    write_video(path, read_frames(source), 25)


def silent(path: Path, source: Path) -> None:
    import numpy as np

    write_video(path, read_frames(source), 25, audio=np.zeros(12 * 640, np.float32))


def a_text(path: Path, source: Path) -> None:
    path.write_text("not a video")


def too_short(path: Path, source: Path) -> None:
    import numpy as np

    frames = [frame for frame, _ in zip(read_frames(source), range(6), strict=False)]
    write_video(path, frames, 25, audio=np.full(6 * 640, 0.1, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_sound, "E202"),
        (silent, "E203"),
        (a_text, "E402"),
        (too_short, "E402: the clip 'clip' is too short"),
    ],
)
def test_a_bad_clip_has_its_own_message_and_leaves_nothing(
    people: Path, tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], make, message: str
):
    make(tmp_path / "clip.mp4", people / "ada/one.mp4")
    assert message in refuse(
        capsys, "run", "-m", "frozen", "--dataset", str(tmp_path), "--out", str(run_folder)
    )
    assert not run_folder.exists()


def test_the_same_clip_in_train_and_test_is_refused(
    people: Path, tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "data/ada").mkdir(parents=True)
    for name in ("one.mp4", "copy.mp4"):
        shutil.copy(people / "ada/one.mp4", tmp_path / "data/ada" / name)
    message = refuse(
        capsys, "run", "-m", "frozen", "--dataset", str(tmp_path / "data"), "--out", str(run_folder)
    )
    assert "E403" in message and "are the same bytes" in message
    assert not run_folder.exists()


def test_an_output_that_is_a_file_is_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("mine")
    out = str(tmp_path / "file")
    assert "E602" in refuse(capsys, "run", "-m", "frozen", "--dataset", str(people), "--out", out)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_crashing_method_ends_with_exit_code_6_and_says_where_to_look(
    people: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    import baselines.controls

    monkeypatch.setenv("COLUMNS", "160")
    broken = replace(baselines.controls.FROZEN, factory="tiny_methods:CrashesOnBen")
    monkeypatch.setattr(baselines.controls, "FROZEN", broken)
    assert main(["run", "-m", "frozen", "--dataset", str(people), "--out", str(run_folder)]) == 6
    printed = capsys.readouterr()
    assert "a bug in somebody's method" in printed.err
    assert "error.txt" in printed.err
    assert "1 of 2 clips" in printed.out


def test_codes_are_explained_and_unknown_ones_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "e403"]) == 0
    assert "train and in the test split" in capsys.readouterr().out
    assert "E504: there is no error code 'E999'" in refuse(capsys, "show", "E999")


def test_doctor_looks_at_methods_data_and_cache(capsys: pytest.CaptureFixture[str], own_cache: Path):
    (own_cache / "observations").mkdir()
    (own_cache / "observations/x.npz").write_bytes(b"1" * 1000)
    main(["doctor", "--clean"])
    printed = capsys.readouterr().out
    assert "method frozen" in printed and "cache" in printed
    assert list(own_cache.iterdir()) == []


def test_doctor_names_missing_weights_and_packages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    import baselines.controls

    monkeypatch.setenv("COLUMNS", "300")
    spec = baselines.controls.FROZEN
    lost = replace(spec, sources=("reference_model/weights/lost.safetensors",))
    monkeypatch.setattr(baselines.controls, "FROZEN", lost)
    assert main(["doctor"]) == 3
    assert "missing: reference_model/weights/lost.safetensors" in capsys.readouterr().out
    monkeypatch.setattr(baselines.controls, "FROZEN", replace(spec, needs=("a_package_nobody_has",)))
    assert main(["doctor"]) == 3
    assert "uv pip install a_package_nobody_has" in capsys.readouterr().out


def test_doctor_looks_at_the_cluster_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    main(["doctor"])
    assert "submitit" not in capsys.readouterr().out
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", "--cluster"]) == 3
    printed = capsys.readouterr().out
    assert "submitit" in printed and "sbatch" in printed


def test_usage_errors_exit_with_2():
    assert main(["run", "--no-such-option"]) == 2


def test_further_verbs_come_by_entry_point(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    import benchmark.cli

    class Verb:
        name = "greet"

        @staticmethod
        def load():
            def greet() -> None:
                """Greet."""
                raise AvatarBenchError("E504", "greeted")

            return greet

    monkeypatch.setattr(
        benchmark.cli, "entry_points", lambda group: [Verb] if group == "avatarbench.commands" else []
    )
    monkeypatch.setattr(benchmark.cli.app, "registered_commands", list(benchmark.cli.app.registered_commands))
    assert "greeted" in refuse(capsys, "greet")
