"""The quality gate: a change may not make a method worse than its accepted run.

A method fails where a metric that has a direction has become worse
- by more than its `quality` limit, and significantly (paired over people, Holm over all metrics), or
- by more than its `critical` limit, significantly or not, or
where its coverage fell at all, or where a metric can no longer be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.compare import MetricComparison, compare_sides
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.run_files import RunFiles, Side, metrics_of_run, open_run_files, require_same_samples
from benchmark.schema import MethodResult, MetricSummary
from benchmark.statistics import ALPHA
from leaderboard.consistency import check_entry
from leaderboard.limits import Limit, Limits
from leaderboard.schema import ENTRY
from media.errors import AvatarBenchError

__all__ = [
    "MetricVerdict",
    "QualityReport",
    "Verdict",
    "compare_quality",
    "judge_quality",
    "open_reference_run",
]

Verdict = Literal[
    "no loss",
    "not distinguishable",
    "within the limit",
    "better",
    "not tested",
    "not ranked",
    "worse",
    "far worse",
    "coverage fell",
    "not comparable",
    "no values",
]
FAILURES: frozenset[Verdict] = frozenset({"worse", "far worse", "coverage fell", "not comparable"})


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """One metric of one method, before and after."""

    comparison: MetricComparison
    """`a` is the reference, `b` the candidate."""
    limit: Limit
    verdict: Verdict
    loss: float | None
    """How much worse in the metric's direction; negative is better; None without values or direction."""
    coverage: tuple[float | None, float | None]
    """Before and after."""

    @property
    def judged(self) -> bool:
        """Whether a loss could have made the gate fail."""
        tested = self.comparison.p_holm is not None
        limited = self.limit.critical is not None and self.loss is not None
        return tested or limited


@dataclass(frozen=True, slots=True)
class MethodVerdict:
    """One method, before and after."""

    method: str
    metrics: tuple[MetricVerdict, ...]
    coverage: tuple[float, float]
    refusals: tuple[AvatarBenchError, ...]

    @property
    def coverage_fell(self) -> bool:
        """Whether fewer samples have a finding than before."""
        return self.coverage[1] < self.coverage[0]

    @property
    def passed(self) -> bool:
        """Whether nothing of it fails, and something was judged."""
        failed = any(metric.verdict in FAILURES for metric in self.metrics)
        return not failed and not self.coverage_fell and self.judged

    @property
    def judged(self) -> bool:
        """Whether any metric could have failed."""
        return any(metric.judged for metric in self.metrics)


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What the gate has found."""

    reference: RunFiles
    candidate: RunFiles
    methods: tuple[MethodVerdict, ...]
    missing: tuple[str, ...]
    """Methods of the reference that the candidate lacks."""

    @property
    def passed(self) -> bool:
        """Whether every method of the reference passes; comparing nothing does not."""
        return bool(self.methods) and not self.missing and all(method.passed for method in self.methods)


def open_reference_run(path: Path) -> RunFiles:
    """A finished run, or an entry of a board, to compare with.

    Raises:
        AvatarBenchError: E504 when it is no finished run, E822 when it is an entry that is not consistent.
    """
    if not (path / ENTRY).exists():
        return open_run_files(path)
    checked = check_entry(path, None)
    if checked.problems:
        raise AvatarBenchError(
            "E822",
            "the reference is an entry whose numbers do not follow",
            where=path,
            got=checked.problems[0].what,
        )
    return RunFiles(path, checked.entry.plan, checked.entry.result, checked.rows)


def judge_quality(
    candidate: RunFiles,
    reference: RunFiles,
    methods: Sequence[str],
    limits: Limits,
    report: Callable[[str], None],
) -> QualityReport:
    """Compare a run with the accepted one.

    Args:
        candidate: The run with the change.
        reference: The accepted run.
        methods: Which methods; empty is all of the reference that did not see the truth.
        limits: What a loss may be.
        report: Takes one line about what is done now.

    Raises:
        AvatarBenchError: E505 when the runs cannot stand beside each other, E821 when there is no method to compare.
    """
    require_same_samples(reference, candidate)
    before = {method.id: method for method in reference.result.methods}
    after = {method.id: method for method in candidate.result.methods}
    names = list(methods) or [name for name, method in before.items() if not method.privileged]
    unknown = [name for name in names if name not in before]
    if unknown or not names:
        raise AvatarBenchError(
            "E821",
            "the gate has no method to compare",
            where=reference.folder,
            expected=f"one of {', '.join(before)}",
            got=", ".join(unknown) or "only methods that saw the truth",
        )
    metrics = metrics_of_run(reference)
    found = [
        compare_quality(
            Side(reference, before[name], "reference"), Side(candidate, after[name], "candidate"), metrics,
            limits, report,
        )
        for name in names if name in after
    ]  # fmt: skip
    return QualityReport(
        reference, candidate, tuple(found), tuple(name for name in names if name not in after)
    )


def compare_quality(
    reference: Side,
    candidate: Side,
    metrics: Sequence[Metric | SetMetric],
    limits: Limits,
    report: Callable[[str], None],
) -> MethodVerdict:
    """Judge one method by its accepted run; arguments as `judge_quality`."""
    comparison = compare_sides(reference, candidate, metrics, report)
    verdicts = [
        _judge(entry, limits.of(entry.metric), *_summaries(entry.metric, reference.method, candidate.method))
        for entry in comparison.metrics
    ]
    return MethodVerdict(
        reference.method.id,
        tuple(verdicts),
        (reference.method.coverage, candidate.method.coverage),
        comparison.refusals,
    )


def _summaries(
    metric: Metric | SetMetric, before: MethodResult, after: MethodResult
) -> tuple[MetricSummary, MetricSummary]:
    found = [next(s for s in method.metrics if s.metric_id == metric.id) for method in (before, after)]
    return found[0], found[1]


def _judge(
    entry: MetricComparison, limit: Limit, before: MetricSummary, after: MetricSummary
) -> MetricVerdict:
    coverage = (before.coverage, after.coverage)
    fell = (after.coverage or 0.0) < (before.coverage or 0.0) or (
        before.value is not None and after.value is None and after.reason != "identical"
    )
    loss = None
    if entry.difference is not None and entry.metric.direction != "none":
        loss = entry.difference if entry.metric.direction == "higher" else -entry.difference
    return MetricVerdict(entry, limit, _verdict(entry, limit, loss, fell), loss, coverage)


def _verdict(entry: MetricComparison, limit: Limit, loss: float | None, coverage_fell: bool) -> Verdict:
    if coverage_fell:
        return "coverage fell"
    if entry.verdict in ("not comparable", "no values", "not ranked"):
        return entry.verdict
    if loss is None:
        return "no values"
    if limit.critical is not None and loss > limit.critical:
        return "far worse"
    if loss == 0:
        return "no loss"
    if entry.p_holm is None:
        return "not tested"
    if entry.p_holm > ALPHA:
        return "not distinguishable"
    if loss < 0:
        return "better"
    return "worse" if loss > limit.quality else "within the limit"
