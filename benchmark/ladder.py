"""The sanity ladder: controls whose order is known, and whether each metric sees the order that it claims to see.

The rungs are methods like any other and go through the ordinary stages. What is judged is `samples.parquet` (and, for
metrics of whole sets, `result.json`) of that run.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path

import numpy as np

from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric, Reason, SetMetric
from benchmark.plan import Progress, RunOptions
from benchmark.protocol import load_protocol
from benchmark.registry import find_method
from benchmark.results import RESULT, SAMPLES, RunResult, SampleRow, read_model, read_samples
from benchmark.stages import Work, run_stages
from media.errors import AvatarBenchError

__all__ = ["RUNGS", "Judgement", "Ladder", "choose_metrics", "judge", "run_ladder", "separation"]

RUNGS = (
    "ground_truth",
    "codec",
    "blur",
    "noise",
    "shift",
    "frozen",
    "other_speech",
    "wrong_identity",
)
"""Ids of the controls, from the truth downwards; between rungs of different kinds only a metric's `orders` speak."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one metric makes of two rungs that it claims to tell apart, on the clips that both have values for."""

    metric_id: str
    better: str
    worse: str
    n_clips: int
    """Clips with a value on both rungs."""
    auc: float | None
    """Probability that a clip of the better rung scores better than one of the worse; None for metrics of sets."""
    n_identities: int
    """People that these clips show; 0 for metrics of sets."""
    n_ordered: int
    """People whose mean over clips is better on the better rung."""
    holds: bool | None
    """Whether the order is seen; None when nothing could be compared."""
    reason: str | None = None
    """Why nothing could be compared."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """A run of all rungs and what it says about the metrics."""

    folder: Path
    result: RunResult
    metrics: tuple[Metric | SetMetric, ...]
    """The metrics that were asked for."""
    judgements: tuple[Judgement, ...]
    """One for each pair that one of `metrics` declares."""
    n_failed: int
    """Samples of a rung without a measurement, those not counted that the data set has no other clip for."""
    random: frozenset[str] = frozenset()
    """Ids of metrics that were computed with random weights: their orders are neither seen nor violated."""

    @property
    def violated(self) -> list[Judgement]:
        """The declared orders that the metrics do not see."""
        return [j for j in self.judgements if j.holds is False and j.metric_id not in self.random]

    @property
    def judged(self) -> list[Judgement]:
        """The declared orders that could be compared at all."""
        return [j for j in self.judgements if j.holds is not None and j.metric_id not in self.random]

    @property
    def unproved(self) -> list[Judgement]:
        """The declared orders of metrics that had random weights."""
        return [judgement for judgement in self.judgements if judgement.metric_id in self.random]


def run_ladder(options: RunOptions, metric_ids: Sequence[str], progress: Progress) -> Ladder:
    """Run all rungs through the ordinary stages, and judge the metrics.

    Args:
        options: The run; its methods are replaced by the rungs.
        metric_ids: Metrics to judge; none means all of the protocol. All are measured.
        progress: Told of each step.

    Raises:
        AvatarBenchError: E504 for a metric that the protocol does not have, and whatever a run raises.
    """
    metrics = choose_metrics(metrics_of(load_protocol(options.protocol)), metric_ids)
    specs = tuple(find_method(name) for name in RUNGS)
    folder = run_stages(replace(options, methods=specs), Work(), progress).folder
    result = read_model(folder / RESULT, RunResult)
    rows = read_samples(folder / SAMPLES)
    lost = {(r.method_id, r.sample_id) for r in rows if r.status == "failed" and r.reason != "no_other_clip"}
    return Ladder(folder, result, metrics, tuple(judge(metrics, rows, result)), len(lost))


def judge(
    metrics: Iterable[Metric | SetMetric], rows: Iterable[SampleRow], result: RunResult
) -> list[Judgement]:
    """Compare each pair of rungs that a metric declares.

    An order is seen when the mean (over a person's clips, then over people, as the metric reduces) is better on the
    better rung and the separation is above one half. Metrics of whole sets have no value of a clip: for them the
    value of the set decides alone.

    Args:
        metrics: What to judge.
        rows: All rows of a run with the rungs.
        result: The result of the same run.
    """
    by_rung: dict[tuple[str, str], list[SampleRow]] = defaultdict(list)
    for row in rows:
        by_rung[row.metric_id, row.method_id].append(row)
    judgements = []
    for metric in metrics:
        if metric.orders and metric.direction == "none":
            raise ValueError(f"{metric.id} has no better and worse, so it cannot order rungs")
        for better, worse in metric.orders:
            if isinstance(metric, SetMetric):
                judgements.append(_judge_sets(metric, better, worse, result))
            else:
                pair = by_rung[metric.id, better], by_rung[metric.id, worse]
                judgements.append(_judge_clips(metric, better, worse, *pair))
    return judgements


def separation(better: Sequence[float], worse: Sequence[float]) -> float:
    """Area under the ROC curve: P(b > w) + P(b = w) / 2 for independent draws b and w of the two lists.

    Mann and Whitney's U of the first list divided by the number of pairs; where lower values are better, the caller
    negates both.

    Args:
        better: [n] values; infinite ones are allowed.
        worse: [m] values.
    """
    ordered = np.sort(np.asarray(worse, np.float64))
    below = np.searchsorted(ordered, better, side="left")  # [n] worse values under each better one
    not_above = np.searchsorted(ordered, better, side="right")
    return float((below + not_above).sum() / (2 * len(better) * len(worse)))


def _judge_clips(
    metric: Metric, better: str, worse: str, above: Sequence[SampleRow], below: Sequence[SampleRow]
) -> Judgement:
    upper, lower = _values(metric, above), _values(metric, below)
    shared = sorted(upper.keys() & lower.keys())
    if not shared:
        return _not_judged(metric, better, worse, (row.reason for row in (*below, *above)))
    sign = 1.0 if metric.direction == "higher" else -1.0
    auc = separation([sign * upper[key] for key in shared], [sign * lower[key] for key in shared])
    identities = sorted({identity for identity, _ in shared})
    by_identity = [
        {who: [values[key] for key in shared if key[0] == who] for who in identities}
        for values in (upper, lower)
    ]
    high, low = (metric.reduce(values) for values in by_identity)
    means = [{who: fsum(clips) / len(clips) for who, clips in values.items()} for values in by_identity]
    n_ordered = sum(sign * means[0][who] > sign * means[1][who] for who in identities)
    holds = sign * high > sign * low and auc > 0.5
    return Judgement(metric.id, better, worse, len(shared), auc, len(identities), n_ordered, holds)


def _judge_sets(metric: SetMetric, better: str, worse: str, result: RunResult) -> Judgement:
    found = {
        method.id: summary
        for method in result.methods
        for summary in method.metrics
        if summary.metric_id == metric.id
    }
    upper, lower = found[better], found[worse]
    if upper.value is None or lower.value is None:
        return _not_judged(metric, better, worse, (lower.reason, upper.reason))
    if metric.depends_on_n and upper.n_valid != lower.n_valid:
        reason = f"sets of {upper.n_valid} and {lower.n_valid} features"
        return Judgement(metric.id, better, worse, 0, None, 0, 0, None, reason)
    holds = upper.value > lower.value if metric.direction == "higher" else upper.value < lower.value
    n_clips = min(upper.n_scored, lower.n_scored)
    return Judgement(metric.id, better, worse, n_clips, None, 0, 0, holds)


def _not_judged(
    metric: Metric | SetMetric, better: str, worse: str, reasons: Iterable[Reason | None]
) -> Judgement:
    known = Counter(reason for reason in reasons if reason is not None)
    reason = known.most_common(1)[0][0] if known else "no clip has a value on both"
    return Judgement(metric.id, better, worse, 0, None, 0, 0, None, reason)


def _values(metric: Metric, rows: Iterable[SampleRow]) -> Mapping[tuple[str, str], float]:
    """Values by identity and sample; frames equal to the truth count as the best that there is."""
    best = metric.high if metric.direction == "higher" else metric.low
    return {
        (row.identity_id, row.sample_id): best if row.value is None else row.value
        for row in rows
        if row.status == "ok" and (row.value is not None or row.reason == "identical")
    }


def choose_metrics(
    metrics: Sequence[Metric | SetMetric], wanted: Sequence[str]
) -> tuple[Metric | SetMetric, ...]:
    """The metrics of these ids, all for none; E504 for an id that is not among them."""
    known = {metric.id: metric for metric in metrics}
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise AvatarBenchError(
                "E504",
                f"the protocol has no metric '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                where="--metric",
                expected=f"one of {', '.join(known)}",
            )
    return tuple(known[name] for name in dict.fromkeys(wanted)) if wanted else tuple(metrics)
