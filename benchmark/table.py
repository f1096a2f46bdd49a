"""Tables on the console: the result of runs, two methods beside each other, and how fast methods are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.comparable import require_comparable
from benchmark.compare import Comparison, MetricComparison
from benchmark.console import TableInBlocks
from benchmark.efficiency import Efficiency
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.schema import MethodResult, MetricSummary, RunResult
from benchmark.statistics import ALPHA, LEVEL, identities_needed

__all__ = ["compare_table", "efficiency_table", "result_table"]

_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
_DECIMALS = {"dB": 2, "px": 1, "px^2": 0}
_NEEDS_WEIGHTS = Text("needs weights", style="dim")


def result_table(
    results: RunResult | Sequence[RunResult], metrics: Sequence[Metric | SetMetric]
) -> RenderableType:
    """Methods as rows, metrics as columns with intervals below the values, coverage at the end, then a legend.

    Args:
        results: One run, or several that may share a table.
        metrics: The protocol's metrics, in the order of the results.

    Raises:
        AvatarBenchError: E505 when the runs have another protocol, data set, split or number of clips.
    """
    runs = [results] if isinstance(results, RunResult) else list(results)
    require_comparable(runs)
    first = runs[0]
    title = f"{first.protocol_id} on {first.dataset.id}: clips {first.n_samples}, people {first.n_identities}"
    absent = [METRICS[name] for name in first.needs_weights if name in METRICS]
    everyone = [method for run in runs for method in run.methods]
    best = [_best(everyone, index, metric) for index, metric in enumerate(metrics)]
    columns = [*metrics, *absent]

    def build(chosen: range) -> Table:
        table = Table(title=title, title_justify="left", header_style="bold")
        table.add_column("method", overflow="fold")
        for index in chosen:
            name = columns[index].column + _ARROWS[columns[index].direction]
            table.add_column(name, justify="right", overflow="fold")
        ends = chosen.stop == len(columns)
        if ends:
            table.add_column("coverage", justify="right")
        for run in runs:
            for method in run.methods:
                cells = [
                    _cell(method.metrics[index], best[index]) if index < len(metrics) else _NEEDS_WEIGHTS
                    for index in chosen
                ]
                covered = [f"{method.coverage:.0%}"] if ends else []
                table.add_row(_name(method, run if len(runs) > 1 else None), *cells, *covered)
        return table

    return Group(TableInBlocks(len(columns), build), *_legend(runs, metrics, absent))


def compare_table(comparison: Comparison) -> RenderableType:
    """One row a metric: both values, the difference with its interval, p, wins, and what follows from them."""
    a, b = comparison.a, comparison.b
    table = Table(title=f"{a.label} and {b.label}", title_justify="left", header_style="bold")
    table.add_column("metric")
    for header in (a.label, b.label, "difference", f"{LEVEL:.0%} interval", "p (Holm)", "wins", "people"):
        table.add_column(header, justify="right")
    table.add_column("better")
    for entry in comparison.metrics:
        verdict = {"a": Text(a.label, style="bold green"), "b": Text(b.label, style="bold green")}.get(
            entry.verdict, Text(entry.verdict, style="dim")
        )
        table.add_row(entry.metric.column + _ARROWS[entry.metric.direction], *_compare_cells(entry), verdict)
    notes = [f"difference: {a.label} minus {b.label}, over people that both have; wins: share of people for whom "
             f"{a.label} is better",
             f"interval: of each metric alone; p: permutation test over people, corrected by Holm for all metrics; "
        f"above {ALPHA:g} is not distinguishable",
             *_side_notes(comparison)]  # fmt: skip
    return Group(table, *(Text(f"  {note}", style="dim") for note in notes))


def efficiency_table(figures: Sequence[Efficiency]) -> RenderableType:
    """How fast each method was; see `benchmark.efficiency` for the rule."""
    table = Table(title="speed of this run on its machine", title_justify="left", header_style="bold")
    table.add_column("method")
    for header in ("s a second of video", "first sample", "s a person", "samples"):
        table.add_column(header, justify="right")
    for figure in figures:
        seconds = (figure.real_time_factor, figure.first_real_time_factor, figure.prepare_s)
        cells = ["-" if value is None else f"{value:.3g}" for value in seconds]
        table.add_row(figure.method_id, *cells, str(figure.n_samples))
    note = "median over samples; the first sample pays for start-up; a person from the cache takes 0 s"
    return Group(table, Text(f"  {note}", style="dim"))


def _name(method: MethodResult, run: RunResult | None) -> Text:
    name = Text(method.id, style="" if method.ranked else "dim")
    if run is not None:
        name.append(f" ({run.run_id[:8]})", style="dim")
    if method.privileged:
        name.append(" (sees the truth)")
    elif not method.ranked:
        name.append(" (not ranked)")
    return name


def _best(methods: Sequence[MethodResult], index: int, metric: Metric | SetMetric) -> float | None:
    ranked = [method.metrics[index] for method in methods if method.ranked]
    known = [summary for summary in ranked if summary.value is not None]
    if isinstance(metric, SetMetric) and metric.depends_on_n and len({s.n_valid for s in known}) > 1:
        return None  # values of clouds of different size do not compare
    values = [summary.value for summary in known if summary.value is not None]
    if len(values) < 2 or metric.direction == "none":
        return None
    return max(values) if metric.direction == "higher" else min(values)


def _cell(summary: MetricSummary, best: float | None) -> Text:
    if summary.value is None:
        return Text("inf" if summary.reason == "identical" else f"- ({summary.reason})", style="dim")
    text = Text(_number(summary.value, summary.unit), style="bold green" if summary.value == best else "")
    if summary.interval is not None:
        low, high = (_number(end, summary.unit) for end in (summary.interval.low, summary.interval.high))
        text.append(f"\n[{low}, {high}]", style="not bold dim default")
    if summary.n_scored < summary.n_samples:
        text.append(f"\n{summary.n_scored} of {summary.n_samples} clips", style="not bold dim default")
    if summary.kind == "set" and summary.n_valid != summary.n_total:
        text.append(f"\nn {summary.n_valid} of {summary.n_total}", style="not bold dim default")
    return text


def _number(value: float, unit: str, more: int = 0) -> str:
    return f"{value:.{_DECIMALS.get(unit, 3) + more}f}"


def _compare_cells(entry: MetricComparison) -> list[str]:
    unit = entry.metric.unit
    values = [("-" if v is None else _number(v, unit)) for v in (entry.value_a, entry.value_b)]
    change = "-" if entry.difference is None else f"{entry.difference:+.{_DECIMALS.get(unit, 3) + 1}f}"
    bounds = "-"
    if entry.interval is not None:
        bounds = "[{}, {}]".format(*(_number(end, unit, 1) for end in entry.interval))
    p = "-" if entry.p_holm is None else f"{entry.p_holm:.2g}"
    return [
        *values,
        change,
        bounds,
        p,
        "-" if entry.wins is None else f"{entry.wins:.0%}",
        str(entry.n_identities),
    ]


def _side_notes(comparison: Comparison) -> Iterator[str]:
    sides = (comparison.a, comparison.b)
    for side in sides:
        if side.method.privileged:
            yield f"{side.label} sees the truth: shown, never ranked"
        elif not side.method.ranked:
            yield f"{side.label} is not ranked: coverage {side.method.coverage:.0%}"
    n_samples = sides[0].n_samples
    if sides[0].others:
        listed = ", ".join(map(str, sides[0].seeds))
        yield f"each side pools the clips of {len(sides[0].seeds)} runs, of seeds {listed}; a person counts once"
    short = [entry.metric.column for entry in comparison.metrics if 0 < entry.n_samples < n_samples]
    if short:
        yield f"not all {n_samples} clips have a value of both: {', '.join(short)}"
    for what in ("seed", "device", "package_version"):
        first, second = (getattr(side.result, what) for side in sides)
        if first != second:
            yield f"the runs differ in {what.replace('_', ' ')}: {first} and {second}"


def _legend(
    runs: Sequence[RunResult],
    metrics: Sequence[Metric | SetMetric],
    absent: Sequence[Metric | SetMetric],
) -> Iterator[RenderableType]:
    for metric in metrics:
        unit = "" if metric.unit == "1" else f" [{metric.unit}]"
        line = Text(f"  {metric.column}{unit}  ", style="bold")
        line.append(f"{metric.id} v{metric.version}: {metric.variant}", style="not bold dim")
        yield line
    for metric in absent:
        line = Text(f"  {metric.column}  ", style="bold")
        why = "needs weights (bench weights list), and nothing here may stand in for it"
        line.append(f"{metric.id}: {why}", style="not bold dim")
        yield line
    yield Text("  a value without a number of clips rests on all of them", style="dim")
    people = runs[0].n_identities
    if any(summary.interval for run in runs for method in run.methods for summary in method.metrics):
        yield Text(
            f"  [low, high]: {LEVEL:.0%} interval over people (clips of one person count once)", style="dim"
        )
    if people < identities_needed(1):
        say = f"with {people} people the intervals mean little, and no difference can be significant"
        yield Text(f"  note: {say} (that takes {identities_needed(1)} or more)", style="yellow")
    for note in dict.fromkeys(note for run in runs for note in run.notes):
        yield Text(f"  note: {note}", style="dim")
    for run in runs:
        where = f"run {run.run_id}, protocol {run.protocol_sha256[:12]}, seed {run.seed}"
        yield Text(f"  {where}", style="dim")
