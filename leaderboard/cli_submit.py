"""`bench submit`: pack a method of a finished run as an entry of a board, or take it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmark.manifest import Dataset
    from leaderboard.schema import Submission
    from leaderboard.submission import Packed

__all__ = ["submit"]


def submit(
    run: Annotated[Path, typer.Argument(help="Folder of the run; with --undo, of the entry.")],
    submitter: Annotated[str, typer.Option(help="Who submits: a person or a group.")] = "",
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="Which method; default: the one that is no control.")
    ] = None,
    board: Annotated[Path, typer.Option(help="Folder of the board.")] = Path("leaderboard"),
    dataset: Annotated[
        Path | None, typer.Option(help="Folder of the run's data set; default: the mini data set.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the table calls the method; default: its title.")
    ] = None,
    paper: Annotated[str | None, typer.Option(help="Address of the paper, https.")] = None,
    code: Annotated[str | None, typer.Option(help="Address of the code, https.")] = None,
    predictions: Annotated[
        str | None, typer.Option(help="Address where the predictions can be had for an audit, https.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What a reader of the numbers should know.")] = None,
    test_data_seen: Annotated[
        bool,
        typer.Option("--test-data-seen", help="The method, or a network in it, was trained on test clips."),
    ] = False,
    videos: Annotated[int, typer.Option(min=0, help="So many predictions are shown beside the numbers.")] = 0,
    pr: Annotated[
        bool, typer.Option("--pr", help="Prepare a branch with the entry alone; nothing is pushed.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take an entry, or its branch, back.")] = False,
) -> None:
    """Pack a method of a finished run: entry, rows, features of set metrics, hashes of the predictions.

    The predictions stay where they are; keep them, an audit needs them.
    """
    if undo:
        return _undo(run, board)
    from datetime import date

    from pydantic import ValidationError

    from benchmark.results import PLAN, read_model
    from benchmark.schema import RunPlan
    from leaderboard.consistency import find_dataset
    from leaderboard.schema import Submission
    from media.errors import AvatarBenchError

    try:
        submission = Submission(
            submitter=submitter, date=date.today().isoformat(), test_data_seen=test_data_seen,
            display_name=name, paper=paper, code=code, predictions=predictions, note=note,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise AvatarBenchError(
            "E813",
            "what is said about the submission is not right",
            where="--" + str(first["loc"][0]).replace("_", "-"),
            expected="plain text without < > `, and addresses that begin with https://",
            got=first["msg"],
        ) from error
    found = find_dataset(read_model(run / PLAN, RunPlan), dataset)
    if pr:
        return _submit_on_branch(run, method, submission, board, found, videos)
    from leaderboard.submission import pack

    packed = pack(run, method, submission, board, found, videos)
    _say_packed(packed, run)
    _say(f"next: bench verify {packed.folder} --predictions {run}")
    return _say(f"undo: bench submit --undo {packed.folder}")


def _submit_on_branch(
    run: Path,
    method: str | None,
    submission: Submission,
    board: Path,
    dataset: Dataset | None,
    n_videos: int,
) -> None:
    import tempfile

    from leaderboard.branches import prepare_branch
    from leaderboard.submission import pack

    with tempfile.TemporaryDirectory() as scratch:
        packed = pack(run, method, submission, Path(scratch), dataset, n_videos)
        branch = prepare_branch(packed.folder, board)
    _say_packed(packed, run)
    _say(
        f"the branch {branch} holds it as its only change; your working tree is untouched and nothing was pushed"
    )
    _say(f"next: git push -u origin {branch}, and open a pull request")
    _say(f"undo: bench submit --undo {packed.folder.name} --board {board}")


def _say_packed(packed: Packed, run: Path) -> None:
    entry = packed.entry
    result = entry.result.methods[0]
    checkout = entry.environment.checkout
    source = "no commit is known" if checkout.commit is None else f"commit {checkout.commit[:12]}"
    if checkout.dirty:
        source += ", with changes that are in no commit"
    lines = [
        f"packed {entry.method} of run {entry.plan.run_id} as {entry.entry_id}",
        f"  {len(entry.files) + 1} files, {packed.n_bytes / 1000:.0f} kB: entry.json, {', '.join(sorted(entry.files))}",
        f"  {entry.result.n_samples} clips, {entry.result.n_identities} people, coverage {result.coverage:.0%}, "
        f"{'ranked' if result.ranked else 'shown, not ranked'}",
        f"  protocol {entry.plan.protocol_id} ({entry.plan.protocol_sha256[:12]}), data set {entry.plan.dataset.id} "
        f"({entry.plan.dataset.sha256[:12]}), {source}",
        f"  hashes of {len(entry.predictions)} predictions; the videos stay in {run}/predictions: keep them",
        "  not in it: predictions beyond the shown ones, paths and host names of this machine",
        f"  checked as bench verify does; digest {packed.digest[:16]}",
    ]
    for line in lines:
        _say(line)
    for line in packed.unchecked:
        _say(f"  not checked: {line}", style="yellow")


def _undo(folder: Path, board: Path) -> None:
    from leaderboard.branches import remove_branch
    from leaderboard.submission import remove_entry
    from media.errors import AvatarBenchError

    branch = remove_branch(folder.name, board) if board.is_dir() else None
    if branch is not None:
        _say(f"removed the branch {branch}")
    if folder.is_dir():
        entry = remove_entry(folder)
        _say(f"removed {folder} with its {len(entry.files) + 1} files; the run is untouched")
    elif branch is None:
        raise AvatarBenchError(
            "E814", "there is no entry and no branch of that name", where=folder, expected="a packed entry"
        )


def _say(line: str, style: str = "") -> None:
    from benchmark.console import out

    out.print(line, style=style, markup=False, soft_wrap=True)
