"""`bench ladder`: do the metrics see what they claim to see?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.console import TableInBlocks, err, out, progress_bar
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from benchmark.ladder import Judgement, Ladder

__all__ = ["ladder"]

EXIT_GATE, EXIT_PARTIAL = 4, 6


def ladder(
    dataset: Annotated[
        Path | None, typer.Option(help="Folder of videos or of a manifest; default: the mini data set.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Protocol, see bench protocols; may be repeated; default: mini-v1."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split; default: the protocol's.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Metric to judge; may be repeated; default: all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many of the test clips.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; default: runs/<run id>.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights",
            help="Where weights are missing, try the path with random ones; writes no result, proves no order.",
        ),
    ] = False,
) -> None:
    """Measure controls whose order is known: the truth, and the truth spoilt in stated ways.

    Exit codes: 0 every order that could be judged is seen, 3 none could be judged, 4 an order is violated,
    6 some samples could not be measured; of several protocols the first that is not 0.
    """
    from benchmark.ladder import run_ladder
    from benchmark.plan import RunOptions
    from benchmark.random_ladder import run_random_ladder

    protocols = list(dict.fromkeys(protocol or ["mini-v1"]))
    climb = run_random_ladder if random_weights else run_ladder
    codes = []
    for name in protocols:
        folder = out_folder / name if out_folder and len(protocols) > 1 else out_folder
        options = RunOptions((), name, dataset, folder, device, seed, split, limit)
        with progress_bar() as progress:
            climbed = climb(options, metric or [], progress)
        out.print(_value_table(climbed))
        if climbed.judgements:
            out.print(_order_table(climbed))
        _say_unproved(climbed)
        files = "predictions/ alone" if random_weights else "result.json, samples.parquet, predictions/"
        out.print(f"  files: {climbed.folder}: {files}", style="dim")
        codes.append(_exit_code(climbed))
    if any(codes):
        raise typer.Exit(next(code for code in codes if code))


def _value_table(climbed: Ladder) -> TableInBlocks:
    """The value of each metric at each rung."""
    result = climbed.result
    title = (
        f"sanity ladder, {result.protocol_id} on {result.dataset.id}: "
        f"clips {result.n_samples}, people {result.n_identities}"
    )

    def build(chosen: range) -> Table:
        table = Table("rung", title=title, title_justify="left", header_style="bold")
        metrics = [climbed.metrics[index] for index in chosen]
        for metric in metrics:
            arrow = {"higher": " ↑", "lower": " ↓", "none": ""}[metric.direction]
            table.add_column(_label(climbed, metric.id, metric.column) + arrow, justify="right")
        for method in result.methods:
            found = {summary.metric_id: summary for summary in method.metrics}
            shown = [found[metric.id] for metric in metrics]
            cells = [f"- ({s.reason})" if s.value is None else f"{s.value:.4g}" for s in shown]
            table.add_row(method.id, *cells)
        return table

    return TableInBlocks(len(climbed.metrics), build)


def _order_table(climbed: Ladder) -> Table:
    """What each metric claims to order, and whether it does."""
    columns = {metric.id: metric.column for metric in climbed.metrics}
    table = Table("metric", "better", "worse", header_style="bold")
    for name in ("AUC", "people", "clips"):
        table.add_column(name, justify="right")
    table.add_column("order")
    for judgement in climbed.judgements:
        people = f"{judgement.n_ordered}/{judgement.n_identities}" if judgement.n_identities else "-"
        auc = "-" if judgement.auc is None else f"{judgement.auc:.3f}"
        clips = f"{judgement.n_clips}/{climbed.result.n_samples}"
        name = _label(climbed, judgement.metric_id, columns[judgement.metric_id])
        verdict = _verdict(judgement, random=judgement.metric_id in climbed.random)
        table.add_row(name, judgement.better, judgement.worse, auc, people, clips, verdict)
    return table


def _label(climbed: Ladder, metric_id: str, column: str) -> str:
    """What a value is called: one of random weights never by the name of the metric."""
    return f"untrained ({metric_id})" if metric_id in climbed.random else column


def _say_unproved(climbed: Ladder) -> None:
    """Name the orders that random weights cannot prove."""
    if not climbed.random:
        return
    pairs: dict[str, list[str]] = {name: [] for name in sorted(climbed.random)}
    for judgement in climbed.unproved:
        pairs[judgement.metric_id].append(f"{judgement.better} > {judgement.worse}")
    out.print("Random weights stand for missing ones: these numbers are no values of the metrics, were not")
    out.print("kept, and prove none of these orders; bench weights fetch gets the weights that would:")
    for name, found in pairs.items():
        out.print(f"  {name}: {', '.join(found) or 'declares none'}", markup=False, soft_wrap=True)


def _verdict(judgement: Judgement, *, random: bool) -> str:
    if random:
        return "[yellow]not proved (random weights)[/yellow]"
    if judgement.holds is None:
        return f"[yellow]not judged ({judgement.reason})[/yellow]"
    return "[green]seen[/green]" if judgement.holds else "[red]violated[/red]"


def _exit_code(climbed: Ladder) -> int:
    """The exit code that the ladder has earned; E506 where nothing could be judged."""
    for judgement in climbed.violated:
        pair = f"{judgement.better} above {judgement.worse}"
        err.print(f"{judgement.metric_id} does not see {pair}", style="red", markup=False)
    if climbed.violated:
        return EXIT_GATE
    if not climbed.judged:
        names = ", ".join(metric.id for metric in climbed.metrics)
        raise AvatarBenchError(
            "E506",
            "the ladder judged nothing: no metric that was asked for declares an order that this data set can show",
            where=climbed.folder,
            expected="at least one pair of rungs with values on both",
            got=f"{names}: {len(climbed.judgements)} declared pairs, none judged",
            fix="choose other metrics with --metric, or a data set with more clips and people",
        )
    if climbed.n_failed:
        err.print(
            f"{climbed.n_failed} samples of a rung have no measurement; see {climbed.folder}/predictions/*/*.error.txt",
            style="yellow",
            markup=False,
        )
        return EXIT_PARTIAL
    return 0
