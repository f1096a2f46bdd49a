"""The check of a pull request that submits an entry: one new folder, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pull request's checkout on the branch `work`, which came from `main`."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
    folder = tmp_path / "checkout"
    (folder / "leaderboard/entries/old").mkdir(parents=True)
    (folder / "leaderboard/entries/old/entry.json").write_text("{}")
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "start")
    git(folder, "switch", "--quiet", "-c", "work")
    return folder


def submitted(checkout: Path, tmp_path: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """Commit files, then run the check with a `python3` that only says what it was asked."""
    for name in files:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("changed")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "-m", "submit")
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "python3").write_text('#!/bin/sh\necho "asked: $@"\n')
    (tools / "python3").chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", ROOT / ".ci" / "submission", checkout, "main"],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_one_new_entry_is_verified_by_this_checkouts_code(checkout, tmp_path):
    done = submitted(
        checkout, tmp_path, "leaderboard/entries/new/entry.json", "leaderboard/entries/new/features/x/y.npz"
    )
    assert done.returncode == 0
    assert done.stdout.strip() == f"asked: -m uv run --no-dev bench verify {checkout}/leaderboard/entries/new"


@pytest.mark.parametrize(
    "files",
    [
        ("leaderboard/entries/new/entry.json", "leaderboard/verifications/new.json"),
        ("leaderboard/entries/new/entry.json", ".ci/submission"),
        ("leaderboard/entries/new/entry.json", "leaderboard/entries/newer/entry.json"),
        ("leaderboard/entries/old/entry.json",),
        ("leaderboard/entries/stray.json",),
        ("leaderboard/entries/-rf/entry.json",),
        (),
    ],
)
def test_anything_else_is_refused_before_a_file_is_read(checkout, tmp_path, files):
    done = submitted(checkout, tmp_path, *files)
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr


def test_a_removed_verification_is_refused(checkout, tmp_path):
    (checkout / "leaderboard/entries/old/entry.json").unlink()
    assert submitted(checkout, tmp_path).returncode == 5


def test_entries_that_are_a_link_are_refused(checkout, tmp_path):
    git(checkout, "rm", "-r", "--quiet", "leaderboard")
    (checkout / "leaderboard").symlink_to("/etc")
    assert submitted(checkout, tmp_path).returncode == 5


def test_workflows_can_only_read():
    files = [*(ROOT / ".github" / "workflows").glob("*.yml"), *(ROOT / "docs" / "workflows").glob("*.yml")]
    assert {"ci.yml", "quality.yml", "submission.yml", "avatarbench.yml"} <= {file.name for file in files}
    for file in files:
        assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}


def test_continuous_integration_runs_the_drift_gate():
    assert "bench check --against leaderboard/references/mini-v1" in (ROOT / ".ci" / "run").read_text()
