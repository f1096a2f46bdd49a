"""What the verbs of `bench` share: the two streams and the progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from benchmark.plan import Progress

__all__ = ["err", "out", "progress_bar"]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on the terminal; messages that are no step stay above it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    description = TextColumn("{task.description}", markup=False)
    with Progress(
        SpinnerColumn(),
        description,
        BarColumn(),
        MofNCompleteColumn(),
        Elapsed(),
        console=err,
        transient=True,
    ) as bar:
        task = bar.add_task("start", total=None)

        def update(what: str, done: int, total: int) -> None:
            if total:
                bar.update(task, description=what, completed=done, total=total)
            else:
                err.print(what, style="yellow", markup=False)

        yield update
