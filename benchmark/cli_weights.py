"""`bench weights list | fetch | verify`: verbs only; see `benchmark.weights` and `benchmark.fetching`.

`fetch` is the one verb of `bench` that uses the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from benchmark.console import err, out
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from benchmark.downloading import Transfer
    from benchmark.weights import Weight

__all__ = ["weights"]

EXIT_BAD_INPUT = 3

weights = typer.Typer(
    name="weights", help="List, fetch and verify the weights of metrics.", no_args_is_help=True
)

_Ids = Annotated[list[str] | None, typer.Argument(help="Weights by id; default: all of them.")]


@weights.command("list")
def list_() -> None:
    """List the weights that metrics need and whether they stand here; hashes nothing and asks nobody."""
    from benchmark.fetching import mirror_url
    from benchmark.weights import WEIGHTS, expected_facts, find_weight, search_folders

    table = Table(Column("id", no_wrap=True), "for", "size", "state", header_style="bold")
    for weight in WEIGHTS.values():
        found = find_weight(weight)
        if found.folder is None:
            state = "[yellow]missing[/yellow]"
        elif found.missing:
            state = f"[red]{len(found.missing)} of {len(weight.names)} files missing[/red]"
        elif any(facts.sha256 is None for facts in expected_facts(weight).values()):
            state = "[yellow]there, hash not recorded[/yellow]"
        else:
            state = "[green]there[/green]"
        table.add_row(weight.id, weight.purpose, _size(weight), state)
    out.print(table)
    for weight in WEIGHTS.values():
        out.print(weight.id, style="bold")
        out.print(f"  licence   {weight.licence}", markup=False, soft_wrap=True)
        out.print(f"  source    {weight.url}", markup=False, soft_wrap=True)
        out.print(f"  revision  {weight.revision or 'the source has none'}", markup=False, soft_wrap=True)
        out.print(f"  sha256    {_sha256(weight)}", markup=False, soft_wrap=True)
    for folder in search_folders():
        out.print(f"  looked in {folder}", style="dim", markup=False, soft_wrap=True)
    if mirror := mirror_url():
        out.print(f"  mirror {mirror}", style="dim", markup=False, soft_wrap=True)


@weights.command()
def fetch(ids: _Ids = None) -> None:
    """Download what is missing into the cache; goes on where an earlier start was cut off."""
    from benchmark.fetching import fetch_weight

    failed = 0
    for weight in _chosen(ids):
        try:
            with _transfer_bar() as transfer:
                done = fetch_weight(weight, transfer)
        except AvatarBenchError as error:
            failed += 1
            err.print(str(error), style="red", markup=False, soft_wrap=True)
            continue
        what = "fetched" if done.downloaded else "stands already"
        out.print(f"{weight.id}: {what}: {done.path}", markup=False, soft_wrap=True)
        if done.recorded:
            err.print(
                f"{weight.id}: no hash is published. What was found now is recorded, and later files are compared "
                "with it; that it is the published file, nobody has checked.",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    if failed:
        raise typer.Exit(EXIT_BAD_INPUT)


@weights.command()
def verify(ids: _Ids = None) -> None:
    """Compare size and SHA-256 of every file; exits with 3 when one is missing or wrong."""
    from benchmark.weights import weight_path

    wrong = 0
    for weight in _chosen(ids):
        try:
            path = weight_path(weight.id)
        except AvatarBenchError as error:
            wrong += 1
            err.print(str(error), style="red", markup=False, soft_wrap=True)
        else:
            out.print(f"{weight.id}: right: {path}", markup=False, soft_wrap=True)
    if wrong:
        err.print(f"{wrong} weights are missing or wrong.")
        raise typer.Exit(EXIT_BAD_INPUT)


def _chosen(ids: list[str] | None) -> list[Weight]:
    from benchmark.weights import WEIGHTS, look_up_weight

    return [look_up_weight(weight_id) for weight_id in dict.fromkeys(ids or WEIGHTS)]


def _sha256(weight: Weight) -> str:
    from benchmark.weights import expected_facts

    if weight.sha256 is not None:
        return weight.sha256
    known = sum(facts.sha256 is not None for facts in expected_facts(weight).values())
    if known == len(weight.names):
        return "none is published; recorded at the first fetch"
    return f"none is published; recorded at first fetch ({known} of {len(weight.names)} files)"


def _size(weight: Weight) -> str:
    if weight.bytes is None:
        return "not published"
    size = f"{weight.bytes / 1e6:.1f} MB"
    return f"{size} of a zip of {weight.archive.bytes / 1e6:.1f} MB" if weight.archive else size


@contextmanager
def _transfer_bar() -> Iterator[Transfer]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    name = TextColumn("{task.description}", markup=False)
    with Progress(
        name, BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn(), console=err, transient=True
    ) as bar:
        task = bar.add_task("connect", total=None)

        def update(what: str, done: int, total: int | None) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield update
