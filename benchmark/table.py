"""The final table on the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.metrics.definition import Metric
from benchmark.results import MethodResult, MetricSummary, RunResult

__all__ = ["result_table"]

_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
_DECIMALS = {"dB": 2, "px": 1, "px^2": 0}


def result_table(result: RunResult, metrics: Sequence[Metric]) -> RenderableType:
    """Methods as rows, metrics as columns, coverage at the end, and each column's definition below."""
    title = (
        f"{result.protocol_id} on {result.dataset.id}: clips {result.n_samples}, people {result.n_identities}"
    )
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("method")
    for metric in metrics:
        table.add_column(metric.column + _ARROWS[metric.direction], justify="right")
    table.add_column("coverage", justify="right")
    best = {metric.id: _best(result.methods, index, metric) for index, metric in enumerate(metrics)}
    for method in result.methods:
        cells = [_cell(summary, best[summary.metric_id]) for summary in method.metrics]
        name = Text(method.id, style="" if method.ranked else "dim")
        if method.privileged:
            name.append(" (sees the truth)")
        elif not method.ranked:
            name.append(" (not ranked)")
        table.add_row(name, *cells, f"{method.coverage:.0%}")
    return Group(table, *_legend(result, metrics))


def _best(methods: Sequence[MethodResult], index: int, metric: Metric) -> float | None:
    values = [method.metrics[index].value for method in methods if method.ranked]
    known = [value for value in values if value is not None]
    if len(known) < 2 or metric.direction == "none":
        return None
    return max(known) if metric.direction == "higher" else min(known)


def _cell(summary: MetricSummary, best: float | None) -> Text:
    if summary.value is None:
        return Text("inf" if summary.reason == "identical" else f"- ({summary.reason})", style="dim")
    text = Text(f"{summary.value:.{_DECIMALS.get(summary.unit, 3)}f}")
    if summary.value == best:
        text.stylize("bold green")
    return text


def _legend(result: RunResult, metrics: Sequence[Metric]) -> Iterator[RenderableType]:
    for metric in metrics:
        unit = "" if metric.unit == "1" else f" [{metric.unit}]"
        line = Text(f"  {metric.column}{unit}  ", style="bold")
        line.append(f"{metric.id} v{metric.version}: {metric.variant}", style="not bold dim")
        yield line
    for note in result.notes:
        yield Text(f"  note: {note}", style="dim")
    yield Text(
        f"  run {result.run_id}, protocol {result.protocol_sha256[:12]}, seed {result.seed}", style="dim"
    )
