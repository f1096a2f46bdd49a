"""The `bench` program: verbs only; what they do stands in the modules that they call.

Nothing heavy is imported at the top, so that `bench --help` and the lists answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from media.errors import CODES, NOTES, AvatarBenchError

if TYPE_CHECKING:
    from benchmark.contract import MethodSpec
    from benchmark.runner import Progress, RunOptions

__all__ = ["app", "main"]

EXIT_BAD_INPUT, EXIT_PARTIAL = 3, 6
COMMAND_GROUP = "avatarbench.commands"
CONTROLS = ("ground_truth", "frozen")
"""Cheap rows that show the scale: what the truth itself reaches, and what a still picture reaches."""

app = typer.Typer(
    name="bench",
    help="Measure talking human avatars. Start with: bench run --method ours",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_Method = Annotated[list[str] | None, typer.Option("--method", "-m", help="Method to run; may be repeated.")]
_Methods = Annotated[str | None, typer.Option("--methods", help="The same as one comma-separated list.")]
_Dataset = Annotated[
    Path | None,
    typer.Option(
        help="Folder of videos, one folder a person (or each file a person); default: the mini data set."
    ),
]
_Protocol = Annotated[str, typer.Option(help="Protocol; see bench protocols.")]
_Out = Annotated[Path | None, typer.Option("--out", help="Folder of the run; default: runs/<run id>.")]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
_Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
_Controls = Annotated[
    bool, typer.Option("--controls/--no-controls", help="Add ground_truth and frozen for scale.")
]
_RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]


@app.command()
def run(
    method: _Method = None,
    methods: _Methods = None,
    dataset: _Dataset = None,
    protocol: _Protocol = "mini-v1",
    out_folder: _Out = None,
    device: _Device = "auto",
    seed: _Seed = 0,
    controls: _Controls = True,
) -> None:
    """Predict, score and aggregate; whatever is finished already is not done again."""
    from benchmark.runner import aggregate_run, plan_run, predict_run, score_run

    specs = _specs(method, methods, controls)
    options = _options(specs, dataset, protocol, out_folder, device, seed)
    with _progress() as progress:
        planned = plan_run(options, progress)
        predict_run(planned, {spec.id: spec for spec in specs}, progress)
        score_run(planned, progress)
    failed = aggregate_run(planned.folder)[1]
    _show_result(planned.folder)
    _finish(failed, planned.folder)


@app.command()
def predict(
    method: _Method = None,
    methods: _Methods = None,
    dataset: _Dataset = None,
    protocol: _Protocol = "mini-v1",
    out_folder: _Out = None,
    device: _Device = "auto",
    seed: _Seed = 0,
    controls: _Controls = True,
) -> None:
    """Only make the predictions of a run."""
    from benchmark.runner import plan_run, predict_run

    specs = _specs(method, methods, controls)
    options = _options(specs, dataset, protocol, out_folder, device, seed)
    with _progress() as progress:
        planned = plan_run(options, progress)
        failed = predict_run(planned, {spec.id: spec for spec in specs}, progress)
    out.print(f"Predictions stand in {planned.folder}. Score them with: bench score {planned.folder}")
    _finish(failed, planned.folder)


@app.command()
def score(folder: _RunFolder, dataset: _Dataset = None) -> None:
    """Only score the predictions of a run (give --dataset again if the run had one)."""
    from benchmark.runner import open_run, score_run

    with _progress() as progress:
        failed = score_run(open_run(folder, dataset, progress), progress)
    out.print(f"Scores stand in {folder}/samples.parquet. Aggregate them with: bench aggregate {folder}")
    _finish(failed, folder)


@app.command()
def aggregate(folder: _RunFolder) -> None:
    """Only aggregate the scores of a run, and show the table."""
    from benchmark.runner import aggregate_run

    failed = aggregate_run(folder)[1]
    _show_result(folder)
    _finish(failed, folder)


@app.command()
def methods() -> None:
    """List the methods that are installed."""
    from benchmark.registry import list_methods

    table = Table("method", "version", "what it is", "licence", header_style="bold")
    broken = False
    for listing in list_methods():
        if listing.spec is None:
            broken = True
            table.add_row(f"[red]{listing.name}[/red]", "", f"[red]does not load: {listing.error}[/red]", "")
        else:
            spec = listing.spec
            note = " (sees the truth, never ranked)" if spec.privileged else ""
            table.add_row(spec.id, spec.version, spec.title + note, spec.licence)
    out.print(table)
    if broken:
        raise typer.Exit(EXIT_BAD_INPUT)


@app.command()
def metrics() -> None:
    """List the metrics with their exact variants."""
    from benchmark.metrics.catalogue import METRICS

    table = Table("column", "id", "version", "unit", "better", "definition", header_style="bold")
    for metric in METRICS.values():
        table.add_row(metric.column, metric.id, metric.version, metric.unit, metric.direction, metric.variant)
    out.print(table)


@app.command()
def protocols() -> None:
    """List the protocols with their hashes."""
    from benchmark.protocol import list_protocols

    table = Table("protocol", "sha256", "title", "metrics", header_style="bold")
    for protocol in list_protocols():
        names = ", ".join(rule.id for rule in protocol.metrics)
        table.add_row(protocol.id, protocol.sha256[:12], protocol.title, names)
    out.print(table)


@app.command()
def doctor(clean: Annotated[bool, typer.Option(help="Empty the cache, too.")] = False) -> None:
    """Look at the installation and say what to do about what is missing."""
    from benchmark.cache import clean_cache
    from benchmark.doctor import examine

    if clean:
        out.print(f"Freed {clean_cache() / 1e6:.1f} MB of cache.")
    table = Table("", "what", "found", "what to do", header_style="bold")
    healthy = True
    for check in examine():
        healthy &= check.ok
        table.add_row(
            "[green]ok[/green]" if check.ok else "[red]no[/red]", check.name, check.found, check.fix
        )
    out.print(table)
    if not healthy:
        raise typer.Exit(EXIT_BAD_INPUT)


@app.command()
def show(code: Annotated[str, typer.Argument(help="An error code such as E402.")]) -> None:
    """Explain an error code."""
    known = CODES | NOTES
    meaning = known.get(code.upper())
    if meaning is None:
        raise AvatarBenchError(
            "E504", f"there is no error code '{code}'", expected=f"one of {', '.join(known)}"
        )
    out.print(f"{code.upper()}: {meaning}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code: 0 ok, 2 usage, 3 bad input or environment, 6 partial run."""
    try:
        for entry in entry_points(group=COMMAND_GROUP):
            app.command(entry.name)(entry.load())
        app(args=list(arguments) if arguments is not None else None, prog_name="bench")
    except AvatarBenchError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    return 0


def _specs(method: list[str] | None, methods: str | None, controls: bool) -> tuple[MethodSpec, ...]:
    from benchmark.registry import find_method

    names = [*(method or []), *(name.strip() for name in (methods or "").split(",") if name.strip())] or [
        "ours"
    ]
    names += CONTROLS if controls else ()
    return tuple(find_method(name) for name in dict.fromkeys(names))


def _options(
    specs: tuple[MethodSpec, ...],
    dataset: Path | None,
    protocol: str,
    folder: Path | None,
    device: str,
    seed: int,
) -> RunOptions:
    from benchmark.runner import RunOptions

    return RunOptions(specs, protocol, dataset, folder, device, seed)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on the terminal; messages that are no step stay above it."""
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task("start", total=None)

        def update(what: str, done: int, total: int) -> None:
            if total:
                bar.update(task, description=what, completed=done, total=total)
            else:
                err.print(what, style="yellow", markup=False)

        yield update


def _show_result(folder: Path) -> None:
    from benchmark.metrics.catalogue import METRICS
    from benchmark.results import RESULT, RunResult, read_model
    from benchmark.table import result_table

    result = read_model(folder / RESULT, RunResult)
    shown = [METRICS[summary.metric_id] for summary in result.methods[0].metrics]
    out.print(result_table(result, shown))
    out.print(f"  files: {folder}/result.json, samples.parquet, predictions/", style="dim")


def _finish(failed: int, folder: Path) -> None:
    if failed:
        err.print(
            f"{failed} predictions failed; their tracebacks: {folder}/predictions/*/*.error.txt",
            style="yellow",
        )
        raise typer.Exit(EXIT_PARTIAL)


if __name__ == "__main__":
    sys.exit(main())
