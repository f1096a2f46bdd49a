"""`bench compare`: two methods beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.console import err, out

if TYPE_CHECKING:
    from benchmark.efficiency import Efficiency
    from benchmark.run_files import RunFiles, Side

__all__ = ["compare"]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run: its folder or its result.json.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="B", help="Another run; left out: two methods of A.")
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="x,y: method x of A, and method y of B (or of A).")
    ] = "",
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Runs of the same methods with another seed: A2,B2, or A2 where B is left out. Repeatable."
        ),
    ] = None,
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
    further = [_further_runs(pair, 1 if b is None else 2) for pair in also or []]
    sides = (
        sides[0].with_seeds([runs[0] for runs in further]),
        sides[1].with_seeds([runs[-1] for runs in further]),
    )
    with err.status("compare") as status:
        comparison = compare_sides(*sides, metrics_of_run(a), status.update)
    out.print(compare_table(comparison))
    out.print(efficiency_table([_speed(side) for side in sides]))
    for refusal in comparison.refusals[:-1]:
        err.print(str(refusal), style="red", markup=False, soft_wrap=True)
    if comparison.refusals:
        raise comparison.refusals[-1]


def _further_runs(listed: str, n_runs: int) -> list[RunFiles]:
    from benchmark.run_files import open_run_files
    from media.errors import AvatarBenchError

    paths = [part.strip() for part in listed.split(",") if part.strip()]
    if len(paths) != n_runs:
        raise AvatarBenchError(
            "E504",
            "further runs are given as the first ones are",
            where="--also",
            expected="A2,B2" if n_runs == 2 else "A2",
            got=listed,
        )
    return [open_run_files(Path(path)) for path in paths]


def _speed(side: Side) -> Efficiency:
    from benchmark.efficiency import efficiency, sample_durations
    from benchmark.results import read_json
    from benchmark.timings import TIMINGS

    files = side.files
    timings = read_json(files.folder / TIMINGS)
    durations = sample_durations(files.folder, files.plan)
    figures = efficiency(timings, files.plan, durations, side.identity_of)
    return next(figure for figure in figures if figure.method_id == side.method.id)
