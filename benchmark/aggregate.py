"""Aggregation: from rows and features to the numbers of the table; a pure function of them and the plan."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any, Literal

from benchmark.features import TRUTH, FeatureFile
from benchmark.metrics.definition import Metric, Reason, SetMetric
from benchmark.protocol import Protocol
from benchmark.schema import Interval, MethodInfo, MethodResult, MetricSummary, RunPlan, RunResult, SampleRow
from benchmark.set_metrics import by_identity, set_value
from benchmark.statistics import LEVEL, Bounds, mean_interval
from media.errors import AvatarBenchError

__all__ = ["aggregate"]

Features = Mapping[tuple[str, str], FeatureFile]
_NO_FEATURES: Features = {}


def aggregate(
    plan: RunPlan,
    protocol: Protocol,
    metrics: Sequence[Metric | SetMetric],
    rows: Sequence[SampleRow],
    samples_sha256: str,
    features: Features = _NO_FEATURES,
) -> RunResult:
    """Take the means (frames are averaged in the rows already; a person's clips; persons) and the distances.

    Args:
        plan: The run's plan.
        protocol: The plan's protocol.
        metrics: The protocol's metrics, in table order.
        rows: All rows of the run.
        samples_sha256: Hash of the file that the rows come from.
        features: Of the set metrics, by metric and method or `TRUTH`; see `benchmark.features.load_features`.

    Raises:
        AvatarBenchError: E504 when features and rows do not belong together.
    """
    by_method: dict[str, dict[str, list[SampleRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_method[row.method_id][row.metric_id].append(row)
    results = [
        _method_result(method, protocol, metrics, by_method[method.id], features) for method in plan.methods
    ]
    return RunResult(
        run_id=plan.run_id,
        package_version=plan.package_version,
        protocol_id=plan.protocol_id,
        protocol_sha256=plan.protocol_sha256,
        dataset=plan.dataset,
        split=plan.split,
        n_samples=len(plan.sample_ids),
        n_identities=len({row.identity_id for row in rows}),
        seed=plan.seed,
        device=plan.device,
        notes=plan.notes,
        samples_sha256=samples_sha256,
        features_sha256={"/".join(key): file.sha256 for key, file in sorted(features.items())},
        methods=tuple(results),
        needs_weights=protocol.needs_weights,
    )


def _method_result(
    method: MethodInfo,
    protocol: Protocol,
    metrics: Sequence[Metric | SetMetric],
    rows: Mapping[str, list[SampleRow]],
    features: Features,
) -> MethodResult:
    summaries = tuple(
        _set_summary(metric, method.id, rows[metric.id], features)
        if isinstance(metric, SetMetric)
        else _mean_summary(metric, rows[metric.id])
        for metric in metrics
    )
    by_sample: dict[str, list[SampleRow]] = defaultdict(list)
    for row in itertools.chain.from_iterable(rows.values()):
        by_sample[row.sample_id].append(row)
    covered = [all(row.status in ("ok", "not_applicable") for row in group) for group in by_sample.values()]
    coverage = sum(covered) / len(covered)
    return MethodResult(
        **method.model_dump(),
        coverage=coverage,
        ranked=not method.privileged and coverage >= protocol.min_coverage_ranked,
        metrics=summaries,
    )


def _mean_summary(metric: Metric, rows: Sequence[SampleRow]) -> MetricSummary:
    by_person: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.status == "ok" and row.value is not None:
            by_person[row.identity_id].append(row.value)
    values = [value for clips in by_person.values() for value in clips]
    without_value: Reason | None = next((row.reason for row in rows if row.value is None), None)
    bounds = mean_interval([fsum(clips) / len(clips) for _, clips in sorted(by_person.items())])
    return MetricSummary(
        **_common(metric, rows),
        value=metric.reduce(by_person) if values else None,
        reason=None if values else without_value,
        interval=_interval(metric, bounds, "t_over_identities", len(by_person)),
        mean_over_clips=fsum(values) / len(values) if values else None,
        n_identities=len(by_person),
        n_valid=sum(row.n_valid for row in rows),
        n_total=sum(row.n_total for row in rows),
    )


def _set_summary(
    metric: SetMetric, method_id: str, rows: Sequence[SampleRow], features: Features
) -> MetricSummary:
    own, true = features[metric.id, method_id].samples, features[metric.id, TRUTH].samples
    _check_features(metric, method_id, rows, own)
    identity_of = {row.sample_id: row.identity_id for row in rows}
    method, truth = by_identity(own, identity_of), by_identity(true, identity_of)
    found = set_value(metric, method, truth)
    reason: Reason | None = None
    if found is None:
        failures: list[Reason | None] = [row.reason for row in rows if row.status != "ok"]
        reason = failures[0] if failures else "too_few"
    elif not math.isfinite(found.value):
        found, reason = None, "not_finite"
    return MetricSummary(
        **_common(metric, rows),
        value=found.value if found else None,
        reason=reason,
        interval=_interval(
            metric, found.interval if found else None, "jackknife_over_identities", len(method)
        ),
        mean_over_clips=None,
        n_identities=len(method),
        n_valid=sum(len(rows) for rows in method.values()),
        n_total=sum(len(rows) for rows in truth.values()),
    )


def _common(metric: Metric | SetMetric, rows: Sequence[SampleRow]) -> dict[str, Any]:
    applicable = [row for row in rows if row.status != "not_applicable"]
    n_scored = sum(row.status == "ok" for row in applicable)
    return {
        "metric_id": metric.id,
        "metric_version": metric.version,
        "kind": metric.kind,
        "unit": metric.unit,
        "direction": metric.direction,
        "n_samples": len(applicable),
        "n_scored": n_scored,
        "coverage": n_scored / len(applicable) if applicable else None,
    }


def _interval(
    metric: Metric | SetMetric,
    bounds: Bounds | None,
    method: Literal["t_over_identities", "jackknife_over_identities"],
    n_identities: int,
) -> Interval | None:
    """The interval as it is written: cut to what the metric can be."""
    if bounds is None or not all(math.isfinite(end) for end in bounds):
        return None
    return Interval(
        low=min(max(bounds.low, metric.low), metric.high),
        high=max(min(bounds.high, metric.high), metric.low),
        level=LEVEL,
        method=method,
        n_identities=n_identities,
    )


def _check_features(
    metric: SetMetric, method_id: str, rows: Sequence[SampleRow], samples: Mapping[str, Any]
) -> None:
    """Features and rows of one scoring say the same of each sample; those of two scorings may not."""
    expected = {row.sample_id: row.n_valid for row in rows if row.n_valid}
    found = {sample_id: len(features) for sample_id, features in samples.items() if len(features)}
    if expected != found:
        raise AvatarBenchError(
            "E504",
            f"the features of {method_id} for {metric.id} do not belong to samples.parquet",
            expected=f"{sum(expected.values())} features of {len(expected)} samples",
            got=f"{sum(found.values())} features of {len(found)} samples",
            fix="bench score, then bench aggregate, of the same run folder",
        )
