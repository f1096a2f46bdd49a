"""Aggregation: from rows to the numbers of the table; a pure function of `samples.parquet` and the plan."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from math import fsum

from benchmark.metrics.definition import Metric, Reason
from benchmark.protocol import Protocol
from benchmark.results import MethodInfo, MethodResult, MetricSummary, RunPlan, RunResult, SampleRow

__all__ = ["aggregate"]


def aggregate(
    plan: RunPlan,
    protocol: Protocol,
    metrics: Sequence[Metric],
    rows: Sequence[SampleRow],
    samples_sha256: str,
) -> RunResult:
    """Take the means: frames (in the rows already), a person's clips, persons.

    Args:
        plan: The run's plan.
        protocol: The plan's protocol.
        metrics: The protocol's metrics, in table order.
        rows: All rows of the run.
        samples_sha256: Hash of the file that the rows come from.
    """
    by_method: dict[str, dict[str, list[SampleRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_method[row.method_id][row.metric_id].append(row)
    results = [_method_result(method, protocol, metrics, by_method[method.id]) for method in plan.methods]
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
        methods=tuple(results),
    )


def _method_result(
    method: MethodInfo, protocol: Protocol, metrics: Sequence[Metric], rows: dict[str, list[SampleRow]]
) -> MethodResult:
    summaries = tuple(_summary(metric, rows[metric.id]) for metric in metrics)
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


def _summary(metric: Metric, rows: Sequence[SampleRow]) -> MetricSummary:
    applicable = [row for row in rows if row.status != "not_applicable"]
    scored = [row for row in applicable if row.status == "ok"]
    by_identity: dict[str, list[float]] = defaultdict(list)
    for row in scored:
        if row.value is not None:
            by_identity[row.identity_id].append(row.value)
    values = [value for clips in by_identity.values() for value in clips]
    without_value: Reason | None = next((row.reason for row in rows if row.value is None), None)
    return MetricSummary(
        metric_id=metric.id,
        metric_version=metric.version,
        unit=metric.unit,
        direction=metric.direction,
        value=metric.reduce(by_identity) if values else None,
        reason=None if values else without_value,
        mean_over_clips=fsum(values) / len(values) if values else None,
        n_samples=len(applicable),
        n_scored=len(scored),
        coverage=len(scored) / len(applicable) if applicable else None,
        n_identities=len(by_identity),
        n_valid=sum(row.n_valid for row in rows),
        n_total=sum(row.n_total for row in rows),
    )
