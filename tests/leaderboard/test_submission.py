"""Packing a run as an entry, on a board or on a branch, and taking it back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from forgery import SUBMISSION

from benchmark.cli import main
from benchmark.manifest import Dataset
from benchmark.results import PLAN, RunPlan, read_model, read_samples
from leaderboard.entries import load_entries, read_entry
from leaderboard.submission import pack, remove_entry
from media.errors import AvatarBenchError


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
    folder = tmp_path / "repository"
    (folder / "board" / "entries").mkdir(parents=True)
    (folder / "board/entries/README").write_text("a board")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "start")
    (folder / "draft").write_text("not committed")
    return folder


def test_an_entry_holds_the_method_alone_with_all_that_verification_needs(entry: Path, run: Path, dataset):
    packed = read_entry(entry)
    plan = read_model(run / PLAN, RunPlan)
    assert entry.name == packed.entry_id == f"frozen-1-{plan.run_id[:8]}"
    assert packed.plan == plan
    assert [p.sample_id for p in packed.predictions] == list(plan.sample_ids)
    assert {row.method_id for row in read_samples(entry / "samples.parquet")} == {"frozen"}
    assert {name.split("/")[0] for name in packed.files} == {"samples.parquet", "features", "videos"}
    assert packed.attributes["p04_clip"] == {"hair": "red"}
    assert packed.environment.python
    text = (entry / "entry.json").read_text()
    assert str(run) not in text
    assert str(dataset.root) not in text


def test_packing_the_same_run_twice_gives_the_same_bytes(run: Path, dataset: Dataset, tmp_path: Path):
    folders = [pack(run, None, SUBMISSION, tmp_path / name, dataset).folder for name in ("a", "b")]
    contents = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert contents[0] == contents[1]


def test_an_entry_that_stands_is_not_overwritten(run: Path, dataset: Dataset, entry: Path):
    with pytest.raises(AvatarBenchError, match="E814: the entry stands already"):
        pack(run, None, SUBMISSION, entry.parents[1], dataset)


def test_a_run_whose_predictions_are_not_the_scored_ones_is_refused(own_run: Path, dataset, tmp_path):
    video = own_run / "predictions/frozen/p00_clip.mp4"
    video.write_bytes((own_run / "predictions/frozen/p01_clip.mp4").read_bytes())
    with pytest.raises(AvatarBenchError, match="E813: the prediction is missing, or is not the one"):
        pack(own_run, None, SUBMISSION, tmp_path / "board", dataset)
    assert list((tmp_path / "board" / "entries").iterdir()) == []


def test_a_run_whose_rows_were_edited_is_refused(own_run: Path, dataset, tmp_path):
    content = bytearray((own_run / "samples.parquet").read_bytes())
    content[300] ^= 1
    (own_run / "samples.parquet").write_bytes(content)
    with pytest.raises(AvatarBenchError, match="E504"):
        pack(own_run, None, SUBMISSION, tmp_path / "board", dataset)


def test_undo_removes_what_was_packed_and_nothing_else(entry: Path):
    (entry / "notes.txt").write_text("somebody's own")
    with pytest.raises(AvatarBenchError, match=r"E814: .* nothing was removed"):
        remove_entry(entry)
    (entry / "notes.txt").unlink()
    remove_entry(entry)
    assert list(entry.parent.iterdir()) == []


def test_the_command_packs_says_what_it_did_and_takes_it_back(run: Path, crowd: Path, tmp_path, capsys):
    board = tmp_path / "board"
    arguments = [
        "submit",
        str(run),
        "--board",
        str(board),
        "--dataset",
        str(crowd),
        "--submitter",
        "a tester",
    ]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    entry = load_entries(board).entries[0]
    assert f"packed frozen of run {entry.entry.plan.run_id}" in said
    assert "20 clips, 20 people, coverage 100%, ranked" in said
    assert f"undo: bench submit --undo {entry.folder}" in said
    assert main(["submit", "--undo", str(entry.folder)]) == 0
    assert load_entries(board).entries == []
    assert main(["submit", "--undo", str(entry.folder)]) == 3


def test_a_name_with_a_script_is_refused_before_anything_is_written(run, crowd, tmp_path, capsys):
    arguments = ["submit", str(run), "--board", str(tmp_path / "board"), "--dataset", str(crowd)]
    assert main([*arguments, "--submitter", "<script>alert(1)</script>"]) == 3
    assert main([*arguments, "--submitter", ""]) == 3
    assert main([*arguments, "--submitter", "me", "--paper", "javascript:alert(1)"]) == 3
    assert capsys.readouterr().err.count("E813") == 3
    assert not (tmp_path / "board").exists()


def test_a_branch_holds_the_entry_alone_and_leaves_the_working_tree(run, crowd, repository, capsys):
    board = repository / "board"
    arguments = [
        "submit",
        str(run),
        "--board",
        str(board),
        "--dataset",
        str(crowd),
        "--submitter",
        "a tester",
    ]
    assert main([*arguments, "--pr"]) == 0
    branch = git(repository, "branch", "--list", "submit/*", "--format=%(refname:short)")
    name = branch.removeprefix("submit/")
    changed = git(repository, "diff", "--name-only", "HEAD", branch).splitlines()
    assert changed
    assert all(path.startswith(f"board/entries/{name}/") for path in changed)
    told = json.loads(git(repository, "show", f"{branch}:board/entries/{name}/entry.json"))
    assert set(told["files"]) | {"entry.json"} == {
        path.removeprefix(f"board/entries/{name}/") for path in changed
    }
    assert git(repository, "status", "--porcelain") == "?? draft"
    assert git(repository, "worktree", "list").count("\n") == 0
    assert "nothing was pushed" in " ".join(capsys.readouterr().out.split())
    assert main([*arguments, "--pr"]) == 3  # stands already
    assert main(["submit", "--undo", name, "--board", str(board)]) == 0
    assert git(repository, "branch", "--list", "submit/*") == ""


def test_a_branch_onto_which_more_was_committed_stays(run, crowd, repository, capsys):
    board = repository / "board"
    arguments = [
        "submit",
        str(run),
        "--board",
        str(board),
        "--dataset",
        str(crowd),
        "--submitter",
        "a tester",
    ]
    assert main([*arguments, "--pr"]) == 0
    branch = git(repository, "branch", "--list", "submit/*", "--format=%(refname:short)")
    git(repository, "switch", "--quiet", branch)
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "more work")
    git(repository, "switch", "--quiet", "-")
    assert main(["submit", "--undo", branch.removeprefix("submit/"), "--board", str(board)]) == 3
    assert "E815" in capsys.readouterr().err
    assert git(repository, "branch", "--list", "submit/*") != ""


def test_outside_of_a_repository_there_is_no_branch(run, crowd, tmp_path, capsys):
    (tmp_path / "board").mkdir()
    arguments = ["submit", str(run), "--board", str(tmp_path / "board"), "--dataset", str(crowd)]
    assert main([*arguments, "--submitter", "a tester", "--pr"]) == 3
    assert "E815" in capsys.readouterr().err
