"""Entries that may stand beside each other, as tables with ranks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from benchmark.metrics.catalogue import METRICS, metrics_of
from benchmark.metrics.definition import SetMetric
from benchmark.protocol import Protocol, list_protocols
from benchmark.schema import MetricSummary
from leaderboard.entries import LoadedEntry
from leaderboard.site.model import Cell, Column, Line, Standing, Table
from leaderboard.site.provenance import provenance
from leaderboard.site.ranking import MIN_PEOPLE, paired_p, rank_ranges, unpaired_p
from leaderboard.site.scores import Scores
from leaderboard.site.slugs import unique_slugs
from media.errors import AvatarBenchError

__all__ = ["columns_of", "line_of", "make_tables", "require_known_metrics"]

_DECIMALS = {"dB": 2, "px": 1, "px^2": 0}
_UNITS = {"1": "", "px^2": "px²"}
ScoresById = Mapping[str, Scores]


def make_tables(
    entries: Sequence[LoadedEntry], scores: ScoresById, method_slugs: Mapping[str, str]
) -> list[tuple[Table, list[LoadedEntry]]]:
    """One table for each group of comparable entries, the one with most ranked methods first.

    Args:
        entries: All entries.
        scores: Values of their clips by entry id.
        method_slugs: Name of each method's page.

    Returns:
        Each table with all its entries, superseded ones too.
    """
    groups: dict[tuple[object, ...], list[LoadedEntry]] = defaultdict(list)
    for loaded in entries:
        groups[*loaded.entry.group, _signature(loaded)].append(loaded)
    names = {group: _name(members[0]) for group, members in groups.items()}
    slugs = unique_slugs({repr(group): names[group] for group in groups})
    tables = [
        (_make_table(members, scores, method_slugs, slugs[repr(group)]), members)
        for group, members in groups.items()
    ]
    return sorted(tables, key=lambda made: (-len(made[0].ranked), -len(made[0].shown), made[0].slug))


def require_known_metrics(loaded: LoadedEntry) -> None:
    """Refuse an entry of a protocol of this release that has other metrics than the protocol.

    Raises:
        AvatarBenchError: E807.
    """
    protocol = _protocol_of(loaded)
    if protocol is None:
        return
    expected = tuple((m.id, m.version, m.kind, m.unit, m.direction) for m in metrics_of(protocol))
    if _signature(loaded) != expected:
        raise AvatarBenchError(
            "E807",
            "the entry has other metrics than its protocol",
            where=loaded.folder,
            expected=", ".join(rule.id for rule in protocol.metrics),
            got=", ".join(summary.metric_id for summary in loaded.method.metrics),
        )


def _newest(entries: Sequence[LoadedEntry]) -> list[LoadedEntry]:
    """The newest entry of each method of each submitter."""
    chosen: dict[tuple[str, str], LoadedEntry] = {}
    for loaded in sorted(entries, key=_age):
        chosen[loaded.method.id, loaded.entry.submission.submitter] = loaded
    return list(chosen.values())


def _standing_of(loaded: LoadedEntry) -> Standing:
    """Whether an entry is ranked, or why it is only shown."""
    if loaded.method.privileged:
        return "privileged"
    if loaded.verification is not None and loaded.verification.findings:
        return "findings"
    if loaded.entry.submission.test_data_seen:
        return "test data seen"
    return "ranked" if loaded.method.ranked else "coverage"


def columns_of(summaries: Sequence[MetricSummary]) -> tuple[Column, ...]:
    """The metrics of a table; of a metric that this release does not know, what the entry says."""
    columns = []
    for summary in summaries:
        metric = METRICS.get(summary.metric_id)
        known = metric is not None and metric.version == summary.metric_version
        columns.append(
            Column(
                id=summary.metric_id,
                version=summary.metric_version,
                title=metric.column if metric and known else summary.metric_id,
                variant=metric.variant if metric and known else "not a metric of this release",
                unit=_UNITS.get(summary.unit, summary.unit),
                decimals=_DECIMALS.get(summary.unit, 3),
                direction=summary.direction,
                kind=summary.kind,
            )
        )
    return tuple(columns)


def _cell_of(column: Column, summary: MetricSummary) -> Cell:
    """What a metric's value looks like, without rank and whisker."""
    if summary.value is None:
        return Cell(
            None, "inf" if summary.reason == "identical" else (summary.reason or "-").replace("_", " ")
        )
    missing = summary.n_samples - summary.n_scored
    note = f"{missing} of {summary.n_samples} clips without a value" if missing else ""
    interval = summary.interval
    return column.cell(summary.value, interval and (interval.low, interval.high), note)


def line_of(loaded: LoadedEntry, columns: Sequence[Column], slug: str) -> Line:
    """One entry without ranks."""
    submission, method = loaded.entry.submission, loaded.method
    return Line(
        slug=slug,
        method_id=method.id,
        entry_id=loaded.entry.entry_id,
        title=submission.display_name or method.id,
        about=method.title,
        version=method.version,
        licence=method.licence,
        submitter=submission.submitter,
        date=submission.date,
        badge=loaded.badge,
        standing=_standing_of(loaded),
        coverage=method.coverage,
        cells=tuple(map(_cell_of, columns, method.metrics)),
        provenance=provenance(loaded),
        paper=submission.paper,
        code=submission.code,
        note=submission.note,
        real_time_factor=loaded.entry.speed.real_time_factor,
    )


def _make_table(
    members: Sequence[LoadedEntry], scores: ScoresById, method_slugs: Mapping[str, str], slug: str
) -> Table:
    current = _newest(members)
    first = current[0].entry.result
    columns = columns_of(current[0].method.metrics)
    lines = [line_of(loaded, columns, method_slugs[loaded.method.id]) for loaded in current]
    for index, column in enumerate(columns):
        if column.direction != "none":
            _rank(lines, current, scores, index, column)
        _scale(lines, current, index)
    protocol = _protocol_of(current[0])
    table = Table(
        slug=slug,
        protocol_id=first.protocol_id,
        protocol_title=protocol.title if protocol else "a protocol of another release",
        protocol_sha256=first.protocol_sha256,
        dataset_id=first.dataset.id,
        dataset_sha256=first.dataset.sha256,
        split=first.split,
        n_samples=first.n_samples,
        n_identities=first.n_identities,
        min_coverage=protocol.min_coverage_ranked if protocol else 0.95,
        columns=columns,
        ranked=(),
        shown=(),
        can_tell=first.n_identities >= MIN_PEOPLE,
    )
    ordered = sorted(lines, key=lambda line: _order(line, table))
    ranked = tuple(line for line in ordered if line.standing == "ranked")
    return replace(table, ranked=ranked, shown=tuple(line for line in ordered if line.standing != "ranked"))


def _rank(
    lines: list[Line], entries: Sequence[LoadedEntry], scores: ScoresById, index: int, column: Column
) -> None:
    """Give the ranked lines their ranks on one column."""
    places = [
        place
        for place, line in enumerate(lines)
        if line.standing == "ranked" and line.cells[index].value is not None
    ]
    summaries = [entries[place].method.metrics[index] for place in places]
    values = [summary.value for summary in summaries if summary.value is not None]
    if column.kind == "set":
        p = _p_of_sets(column, summaries)
    else:
        p = _p_of_means(column, [scores[entries[place].entry.entry_id] for place in places])
    for place, rank in zip(places, rank_ranges(values, p, column.direction), strict=True):
        cells = list(lines[place].cells)
        cells[index] = replace(cells[index], rank=rank)
        lines[place] = replace(lines[place], cells=tuple(cells))


def _p_of_means(column: Column, scores: Sequence[Scores]) -> np.ndarray:
    means = [score.person_means(column.id) for score in scores]
    people = sorted({person for found in means for person in found})
    if not people:
        return np.ones((len(means), len(means)))
    return paired_p(np.array([[found.get(person, np.nan) for found in means] for person in people]))


def _p_of_sets(column: Column, summaries: Sequence[MetricSummary]) -> np.ndarray:
    metric = METRICS.get(column.id)
    depends_on_n = not isinstance(metric, SetMetric) or metric.depends_on_n
    values = [summary.value for summary in summaries if summary.value is not None]
    intervals = [summary.interval for summary in summaries if summary.value is not None]
    halves = [
        None if interval is None else max(interval.high - value, value - interval.low)
        for value, interval in zip(values, intervals, strict=True)
    ]
    people = [0 if interval is None else interval.n_identities for interval in intervals]
    return unpaired_p(
        values, halves, people, [summary.n_valid if depends_on_n else 0 for summary in summaries]
    )


def _scale(lines: list[Line], entries: Sequence[LoadedEntry], index: int) -> None:
    """Place the whiskers: the scale spans all values, and the intervals of what is ranked."""
    summaries = [loaded.method.metrics[index] for loaded in entries]
    ends = [s.value for s in summaries if s.value is not None]
    for line, summary in zip(lines, summaries, strict=True):
        if line.standing == "ranked" and summary.interval is not None:
            ends += [summary.interval.low, summary.interval.high]
    if not ends:
        return
    low, span = min(ends), (max(ends) - min(ends)) or 1.0
    for place, summary in enumerate(summaries):
        if summary.value is None:
            continue
        interval = summary.interval
        points = (interval.low, interval.high, summary.value) if interval else (summary.value,) * 3
        a, b, v = (round(100 * min(1.0, max(0.0, (point - low) / span)), 1) for point in points)
        cells = list(lines[place].cells)
        cells[index] = replace(cells[index], bar=(a, b, v))
        lines[place] = replace(lines[place], cells=tuple(cells))


def _order(line: Line, table: Table) -> tuple[bool, float, str]:
    value = line.cells[table.sort_column].value if table.sort_column >= 0 else None
    if value is None:
        return True, 0.0, line.entry_id
    sign = -1 if table.columns[table.sort_column].direction == "higher" else 1
    return False, sign * value, line.entry_id


def _signature(loaded: LoadedEntry) -> tuple[tuple[str, ...], ...]:
    """What the columns of an entry are; entries of a protocol that this release does not know may differ in it."""
    return tuple((m.metric_id, m.metric_version, m.kind, m.unit, m.direction) for m in loaded.method.metrics)


def _protocol_of(loaded: LoadedEntry) -> Protocol | None:
    return _protocols().get(loaded.entry.result.protocol_sha256)


@cache
def _protocols() -> dict[str, Protocol]:
    return {protocol.sha256: protocol for protocol in list_protocols()}


def _name(loaded: LoadedEntry) -> str:
    result = loaded.entry.result
    return f"{result.protocol_id}-{result.dataset.id}"


def _age(loaded: LoadedEntry) -> tuple[str, str]:
    return loaded.entry.submission.date, loaded.entry.entry_id
