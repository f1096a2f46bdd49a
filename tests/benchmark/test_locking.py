"""Locks: two processes never work on one run, and a dead one's lock is free at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmark.locking import file_lock, run_lock, shard_lock, sweep
from media.errors import AvatarBenchError

HOLD = """
import sys
from pathlib import Path
from benchmark.locking import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_another_process_works_on_is_refused_and_the_holder_named(tmp_path: Path):
    with (
        held_by_another_process(tmp_path) as process,
        pytest.raises(AvatarBenchError, match=f"(?s)E604.*process {process.pid} on "),
        run_lock(tmp_path),
    ):
        pass


def test_the_lock_of_a_killed_process_is_free_at_once_and_its_leftovers_are_removed(tmp_path: Path):
    leftovers = [tmp_path / "predictions/m/.part-ab12/x.mp4", tmp_path / ".plan.0a1b2c3d.json",
                 tmp_path / "predictions/m/.clip.error.00ff00ff.txt"]  # fmt: skip
    with held_by_another_process(tmp_path) as process:
        for path in leftovers:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
        finished = tmp_path / "predictions/m/clip.mp4"
        finished.write_text("whole")
        process.kill()
        process.wait()
        assert (tmp_path / ".lock").exists()
        with run_lock(tmp_path):
            assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == [tmp_path / ".lock", finished]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]


def test_the_process_that_has_the_lock_may_take_it_again(tmp_path: Path):
    with run_lock(tmp_path) as token:
        with run_lock(tmp_path / "." / ".." / tmp_path.name) as again:
            assert again == token
        assert (tmp_path / ".lock").exists()


def test_files_of_living_jobs_are_not_swept(tmp_path: Path):
    scratch = tmp_path / ".part-alive"
    scratch.mkdir()
    with file_lock(tmp_path / ".lock-shard-3"), pytest.raises(AvatarBenchError, match="E604"):
        sweep(tmp_path)
    assert scratch.exists()
    assert sweep(tmp_path) == 1
    assert not scratch.exists()


def test_other_folders_beside_a_run_are_not_swept(tmp_path: Path):
    strangers = [tmp_path / "mine/.part-1/film.mp4", tmp_path / "mine/.notes.deadbeef"]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not of the run")
    assert sweep(tmp_path) == 0
    assert all(path.exists() for path in strangers)


def test_a_shard_is_worked_on_only_for_the_start_that_submitted_it(tmp_path: Path):
    with run_lock(tmp_path) as token:
        with shard_lock(tmp_path, 1, token):
            assert (tmp_path / ".lock-shard-1").exists()
        with (
            pytest.raises(AvatarBenchError, match="E604: the run that this job"),
            shard_lock(tmp_path, 1, "older"),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_in_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def read_only(path: object, *rest: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(AvatarBenchError, match="E602: the folder cannot be written"), run_lock(tmp_path):
        pass
