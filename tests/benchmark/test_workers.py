"""Predictions by several processes: the same bytes, each failure once, and a death that loses nothing."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from mortal_methods import MARKER, mortal_spec
from moving_clips import write_clip
from tiny_methods import tiny_spec
from tiny_runs import contents, hidden, install_tiny_protocol

from benchmark.contract import MethodSpec, Preparation
from benchmark.plan import RunOptions
from benchmark.stages import Done, Work, run_stages
from benchmark.workers import available_workers
from media.errors import AvatarBenchError

PREPARED = tiny_spec("prepared", "NeedsPrepared", preparation=True)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with one short clip each, and ben."""
    folder = tmp_path_factory.mktemp("crowd")
    for seed, name in enumerate(("ada", "ben", "cleo", "dora")):
        write_clip(folder / name / "clip.mp4", seed)
    return folder


@pytest.fixture(autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    install_tiny_protocol(tmp_path_factory.mktemp("tiny") / "protocols", monkeypatch)


def run(
    specs: tuple[MethodSpec, ...],
    dataset: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int | None,
) -> tuple[Done, list[str]]:
    """Run all stages with a cache of its own; returns what was reported, too."""
    (home / "cache").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("AVATARBENCH_CACHE", str(home / "cache"))
    said: list[str] = []
    options = RunOptions(specs, "tiny-v1", dataset, home / "run", "cpu")
    return run_stages(options, Work(workers=workers), lambda what, done, total: said.append(what)), said


def test_results_and_timings_do_not_depend_on_the_number_of_processes(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    specs = (PREPARED, tiny_spec("sliding", "Sliding"))
    written, measured = [], []
    for workers in (1, 3):
        home = tmp_path / str(workers)
        done, said = run(specs, crowd, home, monkeypatch, workers)
        assert (done.failed, done.unfinished) == (0, 0)
        assert any("3 processes" in line for line in said) == (workers == 3)
        assert any(line.startswith("observe, 2 processes") for line in said) == (workers == 3)
        written.append(contents(home / "run"))
        measured.append(sorted(json.loads((home / "run/timings.json").read_text())))
        assert len(list((home / "cache/prepared/tiny").iterdir())) == 4
        assert hidden(home / "run") == []
    assert written[0] == written[1]
    assert measured[0] == measured[1]


def test_a_prediction_that_fails_in_a_process_is_reported_once_and_not_made_again(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    crashing = replace(tiny_spec("crashing", "CrashesOnBen"), preparation=Preparation("tiny", "1", ()))
    done, said = run((crashing,), crowd, tmp_path, monkeypatch, 2)
    assert done.failed == 1
    assert len([line for line in said if "failed (crash)" in line]) == 1


def test_a_process_that_is_killed_ends_the_run_and_the_next_one_goes_on(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(MARKER, str(tmp_path / "died"))
    mortal = replace(mortal_spec("DiesOnce"), preparation=Preparation("tiny", "1", ()))
    with pytest.raises(AvatarBenchError, match="--workers 1") as caught:
        run((mortal,), crowd, tmp_path, monkeypatch, 2)
    assert caught.value.code == "E605"
    done, _ = run((mortal,), crowd, tmp_path, monkeypatch, 2)
    assert (done.failed, done.unfinished) == (0, 0)
    assert hidden(tmp_path / "run") == []


def test_an_error_comes_home_whole_from_a_process():
    error = AvatarBenchError(
        "E601", "the disk is full", where="here", expected="room", got="none", fix="make some"
    )
    home = pickle.loads(pickle.dumps(error))
    assert (str(home), vars(home)) == (str(error), vars(error))


def test_a_gpu_is_given_to_one_process_and_a_machine_at_least_one():
    assert available_workers("cuda:0") == 1
    assert available_workers("cpu") >= 1
