"""The `bench` program: verbs only; what they do stands in the modules that they call.

Nothing heavy is imported at the top, so that `bench --help` and the lists answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli_compare import compare
from benchmark.cli_dataset import dataset
from benchmark.cli_ladder import ladder
from benchmark.cli_lists import doctor, methods, metrics, protocols, show
from benchmark.cli_parity import parity
from benchmark.cli_weights import weights
from benchmark.console import err, out, progress_bar
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from benchmark.cluster import ClusterOptions
    from benchmark.contract import MethodSpec
    from benchmark.stages import Done, Outlook, Work

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

_Method = Annotated[list[str] | None, typer.Option("--method", "-m", help="Method to run; may be repeated.")]
_Methods = Annotated[str | None, typer.Option("--methods", help="The same as one comma-separated list.")]
_Dataset = Annotated[
    Path | None,
    typer.Option(
        help="Folder of videos, one folder a person (or each file a person); default: the mini data set."
    ),
]
_Protocol = Annotated[str, typer.Option(help="Protocol; see bench protocols.")]
_Split = Annotated[str | None, typer.Option(help="Split of the data set; default: the protocol's.")]
_Limit = Annotated[
    int | None,
    typer.Option(help="Only so many test clips, in the order of their names' hashes: a smaller run."),
]
_Sample = Annotated[
    list[str] | None,
    typer.Option(
        help="Work on this clip only; may be repeated. The run stays the same, the rest stays to do."
    ),
]
_Out = Annotated[Path | None, typer.Option("--out", help="Folder of the run; default: runs/<run id>.")]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
_Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
_Controls = Annotated[
    bool, typer.Option("--controls/--no-controls", help="Add ground_truth and frozen for scale.")
]
_Force = Annotated[bool, typer.Option("--force", help="Make again what is finished.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be made.")]
_Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that share people and clips; default: one a core. Not on a GPU."),
]
_Cluster = Annotated[
    str | None, typer.Option(help="slurm, or local for processes of this machine: run in shards.")
]
_Shards = Annotated[int | None, typer.Option(help="Number of shards; the results do not depend on it.")]
_ClusterOption = Annotated[
    list[str] | None,
    typer.Option(help="NAME=VALUE for submitit, such as slurm_partition=gpu; may be repeated."),
]
_RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]


@app.command()
def run(
    method: _Method = None,
    methods: _Methods = None,
    dataset: _Dataset = None,
    protocol: _Protocol = "mini-v1",
    split: _Split = None,
    limit: _Limit = None,
    sample: _Sample = None,
    out_folder: _Out = None,
    device: _Device = "auto",
    seed: _Seed = 0,
    controls: _Controls = True,
    force: _Force = False,
    dry_run: _DryRun = False,
    workers: _Workers = None,
    cluster: _Cluster = None,
    shards: _Shards = None,
    cluster_option: _ClusterOption = None,
) -> None:
    """Predict, score and aggregate; whatever is finished already is not done again."""
    from benchmark.plan import RunOptions
    from benchmark.stages import foresee_predictions, run_stages

    work = _work(sample, force, _cluster_options(cluster, shards, cluster_option), workers)
    specs = _specs(method, methods, controls)
    options = RunOptions(specs, protocol, dataset, out_folder, device, seed, split, limit)
    with progress_bar() as progress:
        if dry_run:
            folder, outlooks = foresee_predictions(options, work, progress)
        else:
            done = run_stages(options, work, progress)
    if dry_run:
        return _show_outlook(folder, outlooks, "predictions")
    if not done.unfinished:
        _show_result(done.folder)
    return _finish(done)


@app.command()
def predict(
    method: _Method = None,
    methods: _Methods = None,
    dataset: _Dataset = None,
    protocol: _Protocol = "mini-v1",
    split: _Split = None,
    limit: _Limit = None,
    sample: _Sample = None,
    out_folder: _Out = None,
    device: _Device = "auto",
    seed: _Seed = 0,
    controls: _Controls = True,
    force: _Force = False,
    dry_run: _DryRun = False,
    workers: _Workers = None,
) -> None:
    """Only make the predictions of a run."""
    from benchmark.plan import RunOptions
    from benchmark.stages import foresee_predictions, predict_stage

    work = _work(sample, force, None, workers)
    specs = _specs(method, methods, controls)
    options = RunOptions(specs, protocol, dataset, out_folder, device, seed, split, limit)
    with progress_bar() as progress:
        if dry_run:
            folder, outlooks = foresee_predictions(options, work, progress)
        else:
            done = predict_stage(options, work, progress)
    if dry_run:
        return _show_outlook(folder, outlooks, "predictions")
    out.print(f"Predictions stand in {done.folder}. Score them with: bench score {done.folder}")
    return _finish(done)


@app.command()
def score(
    folder: _RunFolder,
    dataset: _Dataset = None,
    sample: _Sample = None,
    force: _Force = False,
    dry_run: _DryRun = False,
    workers: _Workers = None,
) -> None:
    """Only score the predictions of a run (give --dataset again if the run had one)."""
    from benchmark.stages import foresee_scores, score_stage

    work = _work(sample, force, None, workers)
    with progress_bar() as progress:
        if dry_run:
            outlook = foresee_scores(folder, dataset, work, progress)
        else:
            done = score_stage(folder, dataset, work, progress)
    if dry_run:
        return _show_outlook(folder, [outlook], "observations")
    out.print(f"Scores stand in {folder}/samples.parquet. Aggregate them with: bench aggregate {folder}")
    return _finish(done)


@app.command()
def aggregate(folder: _RunFolder) -> None:
    """Only aggregate the scores of a run, and show the table."""
    from benchmark.runner import aggregate_run
    from benchmark.stages import Done

    failed = aggregate_run(folder)[1]
    _show_result(folder)
    _finish(Done(folder, failed, 0))


for verb in (compare, ladder, methods, metrics, protocols, doctor, show, parity):
    app.command()(verb)
app.add_typer(dataset, name="dataset")
app.add_typer(weights, name="weights")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code: 0 ok, 2 usage, 3 bad input or environment, 4 broken ladder, 6 partial."""
    try:
        for entry in entry_points(group=COMMAND_GROUP):
            verb = entry.load()
            if isinstance(verb, typer.Typer):  # a group of verbs
                app.add_typer(verb, name=entry.name)
            else:
                app.command(entry.name)(verb)
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


def _work(sample: list[str] | None, force: bool, cluster: ClusterOptions | None, workers: int | None) -> Work:
    from benchmark.stages import Work

    return Work(tuple(sample) if sample else None, force, cluster, workers)


def _cluster_options(
    cluster: str | None, shards: int | None, assignments: list[str] | None
) -> ClusterOptions | None:
    if cluster is None and shards is None and not assignments:
        return None
    from benchmark.cluster import make_cluster_options

    return make_cluster_options(cluster, shards, assignments or [])


def _show_outlook(folder: Path, outlooks: Sequence[Outlook], what: str) -> None:
    table = Table("", f"{what} to make", "finished", header_style="bold")
    for outlook in outlooks:
        table.add_row(outlook.what, str(outlook.to_make), str(outlook.finished))
    out.print(table)
    out.print(f"  nothing was written to {folder}", style="dim", soft_wrap=True)


def _show_result(folder: Path) -> None:
    from benchmark.metrics.catalogue import METRICS
    from benchmark.results import RESULT, RunResult, read_model
    from benchmark.table import result_table

    result = read_model(folder / RESULT, RunResult)
    shown = [METRICS[summary.metric_id] for summary in result.methods[0].metrics]
    out.print(result_table(result, shown))
    out.print(f"  files: {folder}/result.json, samples.parquet, predictions/", style="dim")


def _finish(done: Done) -> None:
    if done.failed:
        err.print(
            f"{done.failed} predictions failed or could not be measured; "
            f"tracebacks: {done.folder}/predictions/*/*.error.txt",
            style="yellow",
        )
    if done.unfinished:
        err.print(
            f"{done.unfinished} predictions of the run are still to be made, and a part of a run is not scored. "
            "Start the same command without --sample; a smaller run is: --limit",
            style="yellow",
        )
    if done.failed or done.unfinished:
        raise typer.Exit(EXIT_PARTIAL)


if __name__ == "__main__":
    sys.exit(main())
