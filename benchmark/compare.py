"""Two methods beside each other: differences by identity, their intervals, and whether they can be told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Literal

import numpy as np

from benchmark.metrics.definition import Metric, SetMetric
from benchmark.run_files import Side
from benchmark.set_metrics import by_identity, compare_sets, require_same_n
from benchmark.statistics import (
    ALPHA,
    Bounds,
    holm,
    identities_needed,
    mean_interval,
    sign_flip_test,
    too_few_identities,
)
from media.errors import AvatarBenchError

__all__ = ["Comparison", "MetricComparison", "Verdict", "compare_sides"]

Verdict = Literal[
    "a", "b", "not distinguishable", "not ranked", "too few people", "not comparable", "no values"
]
"""`a` or `b` is better; the others say why none is."""


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of both methods, over the samples that have a value of both."""

    metric: Metric | SetMetric
    verdict: Verdict
    n_identities: int = 0
    n_samples: int = 0
    value_a: float | None = None
    value_b: float | None = None
    difference: float | None = None
    """A minus B."""
    interval: Bounds | None = None
    """Of the difference; None with fewer than two identities."""
    p: float | None = None
    """Two-sided, of the permutation test; None where none was made."""
    p_holm: float | None = None
    """Corrected for all metrics that were to be tested."""
    wins: float | None = None
    """Share of identities for whom A is better, ties counting half; None of a set, and without a direction."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two methods beside each other."""

    a: Side
    b: Side
    metrics: tuple[MetricComparison, ...]
    refusals: tuple[AvatarBenchError, ...]
    """Why some metrics were not compared, or not tested."""


_Prepared = tuple[MetricComparison, Callable[[], float] | None]
"""What the data say, and the test of it; None where there is nothing to test."""


def compare_sides(
    a: Side, b: Side, metrics: Sequence[Metric | SetMetric], report: Callable[[str], None]
) -> Comparison:
    """Compare two methods metric by metric.

    Metrics with a direction form the family that Holm's correction covers, also where one of them has too few
    identities to be tested.

    Args:
        a: One method of a run.
        b: Another method of a run that `benchmark.comparable.require_comparable` admits beside it.
        metrics: The protocol's metrics.
        report: Takes one line about what is done now; tests of sets take their time.
    """
    refusals: list[AvatarBenchError] = []
    prepared: list[_Prepared] = []
    for metric in metrics:
        report(f"compare {metric.column}")
        try:
            if isinstance(metric, SetMetric):
                prepared.append(_compare_sets(metric, a, b))
            else:
                prepared.append(_compare_means(metric, a, b))
        except AvatarBenchError as error:
            if error.code != "E505":
                raise
            refusals.append(error)
            prepared.append((MetricComparison(metric, "not comparable"), None))
    judged, too_few = _judge(prepared, report)
    return Comparison(a, b, tuple(judged), (*refusals, *too_few))


def _judge(
    prepared: Sequence[_Prepared], report: Callable[[str], None]
) -> tuple[list[MetricComparison], list[AvatarBenchError]]:
    """Make the tests that can tell anything, correct them together, and refuse the others in one message."""
    family = [entry for entry, test in prepared if test is not None]
    needed = identities_needed(max(1, len(family)))
    p_values: dict[str, float] = {}
    for entry, test in prepared:
        if test is not None and entry.n_identities >= needed:
            report(f"test {entry.metric.column}")
            p_values[entry.metric.id] = test()
    names = [entry.metric.id for entry in family]
    corrected = dict(zip(names, holm([p_values.get(name, 1.0) for name in names]), strict=True))
    judged = []
    for entry, test in prepared:
        name = entry.metric.id
        if name in p_values:
            tested = replace(entry, p=p_values[name], p_holm=corrected[name])
            judged.append(replace(tested, verdict=_verdict(tested)))
        else:
            judged.append(entry if test is None else replace(entry, verdict="too few people"))
    small = [entry for entry in judged if entry.verdict == "too few people"]
    if not small:
        return judged, []
    columns = ", ".join(entry.metric.column for entry in small)
    most = max(entry.n_identities for entry in small)
    return judged, [too_few_identities(most, len(family), columns)]


def _compare_means(metric: Metric, a: Side, b: Side) -> _Prepared:
    """What a metric of samples says, and its test, if there is anything to test."""
    values_a, values_b = a.values(metric.id), b.values(metric.id)
    common = sorted(set(values_a) & set(values_b))
    if not common:
        return MetricComparison(metric, "no values"), None
    means_a = _identity_means(values_a, common, a.identity_of)
    means_b = _identity_means(values_b, common, a.identity_of)
    differences = [means_a[person] - means_b[person] for person in means_a]
    entry = MetricComparison(
        metric,
        "not ranked",
        n_identities=len(means_a),
        n_samples=len(common),
        value_a=fsum(means_a.values()) / len(means_a),
        value_b=fsum(means_b.values()) / len(means_b),
        difference=fsum(differences) / len(differences),
        interval=mean_interval(differences),
    )
    if metric.direction == "none":
        return entry, None
    better = np.array(differences) * (1 if metric.direction == "higher" else -1)
    wins = float(np.mean((better > 0) + 0.5 * (better == 0)))
    return replace(entry, wins=wins), lambda: sign_flip_test(differences)


def _compare_sets(metric: SetMetric, a: Side, b: Side) -> _Prepared:
    """What a metric of sets says, and its test; E505 where the sets are of different size or of other truths."""
    samples_a, samples_b = a.features(metric.id), b.features(metric.id)
    truth = _same_truth(metric, a, b)
    sides = by_identity(samples_a, a.identity_of), by_identity(samples_b, a.identity_of)
    require_same_n(metric, *sides, (a.label, b.label))
    true = by_identity(truth, a.identity_of)
    if min(sum(len(rows) for rows in side.values()) for side in (*sides, true)) < 2:
        return MetricComparison(metric, "no values"), None
    found = compare_sets(metric, *sides, true)
    entry = MetricComparison(
        metric,
        "not ranked",
        n_identities=len(sides[0]),
        n_samples=len(samples_a),
        value_a=found.value_a,
        value_b=found.value_b,
        difference=found.value_a - found.value_b,
        interval=found.interval,
    )
    return entry, None if metric.direction == "none" else found.test


def _identity_means(
    values: Mapping[str, float], samples: Sequence[str], identity_of: Mapping[str, str]
) -> dict[str, float]:
    clips: dict[str, list[float]] = defaultdict(list)
    for sample_id in samples:
        clips[identity_of[sample_id]].append(values[sample_id])
    return {person: fsum(found) / len(found) for person, found in sorted(clips.items())}


def _same_truth(metric: SetMetric, a: Side, b: Side) -> Mapping[str, np.ndarray]:
    """Features of the true videos, which both runs must have found alike: they are the scale of the metric."""
    first, second = a.true_features(metric.id), b.true_features(metric.id)
    alike = first.keys() == second.keys() and all(
        first[name].shape == second[name].shape
        and np.allclose(first[name], second[name], rtol=1e-3, atol=1e-3)
        for name in first
    )
    if not alike:
        raise AvatarBenchError(
            "E505",
            f"the runs saw other features of the true videos for {metric.column}",
            expected=f"features of the truth as in run {a.result.run_id}",
            got=f"others in run {b.result.run_id}",
            fix="score both runs with one release, on one device: bench score",
        )
    return first


def _verdict(entry: MetricComparison) -> Verdict:
    if entry.p_holm is None or entry.difference is None or entry.p_holm > ALPHA:
        return "not distinguishable"
    return "a" if (entry.difference > 0) == (entry.metric.direction == "higher") else "b"
