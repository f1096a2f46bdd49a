"""`bench compare`: two methods beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.console import err, out

if TYPE_CHECKING:
    from benchmark.efficiency import Efficiency
    from benchmark.run_files import Side

__all__ = ["compare"]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run: its folder or its result.json.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="B", help="Another run; left out: two methods of A.")
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="x,y: method x of A, and method y of B (or of A).")
    ] = "",
) -> None:
    """Compare two methods: difference, interval over people, p by permutation (Holm), and who wins how often.

    Ends with an error, below the table, when a metric cannot be compared or people are too few for any test.
    """
    from benchmark.compare import compare_sides
    from benchmark.run_files import choose_sides, metrics_of_run, open_run_files, require_same_samples
    from benchmark.table import compare_table, efficiency_table

    a = open_run_files(first)
    b = None if second is None else open_run_files(second)
    if b is not None:
        require_same_samples(a, b)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    sides = choose_sides(a, b, names)
    with err.status("compare") as status:
        comparison = compare_sides(*sides, metrics_of_run(a), status.update)
    out.print(compare_table(comparison))
    out.print(efficiency_table([_speed(side) for side in sides]))
    for refusal in comparison.refusals[:-1]:
        err.print(str(refusal), style="red", markup=False, soft_wrap=True)
    if comparison.refusals:
        raise comparison.refusals[-1]


def _speed(side: Side) -> Efficiency:
    from benchmark.efficiency import efficiency, sample_durations
    from benchmark.results import read_json
    from benchmark.timings import TIMINGS

    files = side.files
    timings = read_json(files.folder / TIMINGS)
    durations = sample_durations(files.folder, files.plan)
    figures = efficiency(timings, files.plan, durations, side.identity_of)
    return next(figure for figure in figures if figure.method_id == side.method.id)
