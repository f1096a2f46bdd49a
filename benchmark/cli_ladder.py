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
    protocol: Annotated[str, typer.Option(help="Protocol; see bench protocols.")] = "mini-v1",
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
) -> None:
    """Measure controls whose order is known: the truth, and the truth spoilt in stated ways.

    Exit codes: 0 every order that could be judged is seen, 3 none could be judged, 4 an order is violated,
    6 some samples could not be measured.
    """
    from benchmark.ladder import run_ladder
    from benchmark.plan import RunOptions

    options = RunOptions((), protocol, dataset, out_folder, device, seed, split, limit)
    with progress_bar() as progress:
        climbed = run_ladder(options, metric or [], progress)
    out.print(_value_table(climbed))
    if climbed.judgements:
        out.print(_order_table(climbed))
    out.print(f"  files: {climbed.folder}/result.json, samples.parquet, predictions/", style="dim")
    _finish(climbed)


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
            table.add_column(metric.column + arrow, justify="right")
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
        pair = (columns[judgement.metric_id], judgement.better, judgement.worse)
        table.add_row(*pair, auc, people, clips, _verdict(judgement))
    return table


def _verdict(judgement: Judgement) -> str:
    if judgement.holds is None:
        return f"[yellow]not judged ({judgement.reason})[/yellow]"
    return "[green]seen[/green]" if judgement.holds else "[red]violated[/red]"


def _finish(climbed: Ladder) -> None:
    """End with the exit code that the ladder has earned."""
    for judgement in climbed.violated:
        pair = f"{judgement.better} above {judgement.worse}"
        err.print(f"{judgement.metric_id} does not see {pair}", style="red", markup=False)
    if climbed.violated:
        raise typer.Exit(EXIT_GATE)
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
        raise typer.Exit(EXIT_PARTIAL)
