"""What the verbs of `bench` share: the two streams and the progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions

if TYPE_CHECKING:
    from rich.table import Table

    from benchmark.plan import Progress

__all__ = ["TableInBlocks", "err", "out", "progress_bar"]

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


class TableInBlocks:
    """A table of many columns as several tables below each other, each no wider than the terminal."""

    def __init__(self, n_columns: int, build: Callable[[range], Table]) -> None:
        """`build` makes the table of some of the columns, with what each block repeats."""
        self._n_columns = n_columns
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Fill blocks from the left."""
        start, unbounded = 0, options.update(max_width=10_000)
        while start < self._n_columns:
            stop = start + 1
            while stop < self._n_columns:
                wider = self._build(range(start, stop + 1))
                if console.measure(wider, options=unbounded).maximum > options.max_width:
                    break
                stop += 1
            yield self._build(range(start, stop))
            start = stop
