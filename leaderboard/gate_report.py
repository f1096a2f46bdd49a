"""What a gate has found, as Markdown for a pull request and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmark.statistics import ALPHA, LEVEL
from leaderboard.drift import DriftReport
from leaderboard.quality import FAILURES, MethodVerdict, MetricVerdict, QualityReport

__all__ = ["drift_markdown", "quality_markdown"]

_SHOWN = 20
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}


def drift_markdown(report: DriftReport) -> str:
    """The drift gate's report."""
    expected = report.frozen.expected
    n_videos = sum(len(hashes) for hashes in expected.predictions.values())
    verdict = "passed" if report.passed else "FAILED"
    lines = [
        f"## Drift gate: {verdict}",
        "",
        f"{report.n_compared} values of {n_videos} frozen predictions under {_plain(expected.protocol_id)}, scored "
        f"again on the CPU; frozen with release {_plain(expected.package_version)}.",
        "",
    ]
    if report.problem is not None:
        lines += [f"**{_plain(report.problem)}**", ""]
    lines += _table(
        ("metric", "values", "largest change", "allowed"),
        (
            (
                d.metric.column,
                str(d.n_compared),
                f"{d.largest:.2g}",
                f"{d.allowed:.2g}" if d.n_compared else "-",
            )
            for d in report.metrics
        ),
    )
    if report.unguarded:
        names = ", ".join(map(_plain, report.unguarded))
        lines += ["", f"Not guarded, because the frozen clips give no value: {names}."]
    if report.moved:
        lines += [
            "",
            f"{len(report.moved)} moved" + (f", the first {_SHOWN}:" if len(report.moved) > _SHOWN else ":"),
        ]
        lines += ["", *_table(
            ("metric", "of", "frozen", "now", "allowed"),
            ((m.metric, m.what, m.expected, m.got, m.allowed) for m in report.moved[:_SHOWN]),
        )]  # fmt: skip
    if not report.passed:
        lines += [
            "",
            "If the change is meant: raise the metric's version, then `bench check --against REF --accept`, and commit "
            "the reference.",
        ]
    return "\n".join(lines) + "\n"


def quality_markdown(report: QualityReport) -> str:
    """The quality gate's report."""
    reference, candidate = report.reference.plan, report.candidate.plan
    lines = [
        f"## Quality gate: {'passed' if report.passed else 'FAILED'}",
        "",
        f"Run {candidate.run_id} against the accepted run {reference.run_id}: protocol "
        f"{_plain(reference.protocol_id)} ({reference.protocol_sha256[:12]}), data set {_plain(reference.dataset.id)} "
        f"({reference.dataset.sha256[:12]}), {report.reference.result.n_samples} clips of "
        f"{report.reference.result.n_identities} people.",
    ]
    lines += [
        f"\n**The run has no method {_plain(name)}, which the accepted run has.**" for name in report.missing
    ]
    for method in report.methods:
        lines += ["", *_method(method)]
    return "\n".join(lines) + "\n"


def _method(method: MethodVerdict) -> Iterator[str]:
    yield f"### {_plain(method.method)}: {'passed' if method.passed else 'failed'}"
    yield ""
    yield from _table(
        ("metric", "accepted", "now", "change", f"{LEVEL:.0%} interval", "p (Holm)", "may lose", "verdict"),
        (_cells(metric) for metric in method.metrics),
    )
    yield ""
    before, after = method.coverage
    yield f"Coverage {before:.1%} before, {after:.1%} now" + (
        ": **it fell**." if method.coverage_fell else "."
    )
    if not method.judged:
        yield "**Nothing was judged: no metric could be tested, and none has a critical limit.**"
    untested = [m.comparison.metric.column for m in method.metrics if m.verdict == "not tested"]
    if untested:
        yield (
            f"Not tested, because of too few people: {', '.join(map(_plain, untested))}; "
            "only critical limits hold there."
        )
    yield (
        f"A loss fails when it is above what the metric may lose and p is at most {ALPHA:g}, "
        "or above a critical limit."
    )


def _cells(metric: MetricVerdict) -> Sequence[str]:
    entry = metric.comparison
    change = None if entry.difference is None else 0.0 - entry.difference  # candidate minus reference; never -0
    interval = "-"
    if entry.interval is not None:
        interval = f"{0.0 - entry.interval.high:+.4g} to {0.0 - entry.interval.low:+.4g}"
    critical = "" if metric.limit.critical is None else f", never {metric.limit.critical:g}"
    shown = f"**{metric.verdict}**" if metric.verdict in FAILURES else metric.verdict
    return (
        entry.metric.column + _ARROWS[entry.metric.direction],
        *("-" if v is None else f"{v:.4g}" for v in (entry.value_a, entry.value_b)),
        "-" if change is None else f"{change:+.3g}",
        interval,
        "-" if entry.p_holm is None else f"{entry.p_holm:.2g}",
        "-" if entry.metric.direction == "none" else f"{metric.limit.quality:g}{critical}",
        shown,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell if cell.startswith('**') else _plain(cell) for cell in row)} |"


def _plain(text: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    text = "".join(f"\\{sign}" if sign in "\\`*_[]|#~" else sign for sign in " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
