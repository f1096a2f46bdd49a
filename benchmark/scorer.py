"""Scoring: from checked predictions to one row a method, sample and metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmark.extractors import Networks
from benchmark.inputs import SampleInputs
from benchmark.metrics.definition import Measurement, Metric, Observations, Reason
from benchmark.observations import ClipView, observe
from benchmark.predictions import ENVIRONMENT_CODES, video_path
from benchmark.results import MethodInfo, PredictionRecord, RunPlan, SampleRow
from media.errors import AvatarBenchError

__all__ = ["score_sample"]


def score_sample(
    run: Path,
    plan: RunPlan,
    inputs: SampleInputs,
    records: Mapping[str, PredictionRecord],
    metrics: Sequence[Metric],
    networks: Networks,
    report: Callable[[str], None],
) -> list[SampleRow]:
    """Measure all methods' predictions of one sample.

    Args:
        run: Folder of the run.
        plan: The run's plan.
        inputs: The sample.
        records: The prediction's record of each of the plan's methods.
        metrics: What to measure.
        networks: Networks to share between samples.
        report: Takes one line about a prediction that could not be measured.

    Returns:
        One row for each method and metric, whatever happened to the prediction.
    """
    truth = inputs.truth
    views = {
        method.id: ClipView(
            path=video_path(run, method.id, inputs.sample.sample_id),
            sha256=records[method.id].sha256 or "",
            start_s=0.0,
            n_frames=truth.n_frames,
            fps=truth.fps,
            width=truth.width,
            height=truth.height,
        )
        for method in plan.methods
        if records[method.id].status == "ok"
    }
    failures: dict[str, Reason] = {
        method: record.reason or "crash" for method, record in records.items() if record.status != "ok"
    }
    observed = _observe_all(truth, views, metrics, networks, failures, report)
    rows = []
    for method in plan.methods:
        observations = observed.get(method.id)
        for metric in metrics:
            if observations is None:
                measured = Measurement(None, 0, truth.n_frames, "failed", failures[method.id])
            else:
                measured = metric.map(observations)
            rows.append(_row(plan, method, inputs, metric, measured, records[method.id].sha256))
    return rows


def _observe_all(
    truth: ClipView,
    views: Mapping[str, ClipView],
    metrics: Sequence[Metric],
    networks: Networks,
    failures: dict[str, Reason],
    report: Callable[[str], None],
) -> dict[str, Observations]:
    """Observe all predictions in one pass; when that breaks, one by one: a bad file costs only itself."""
    needs = sorted({need for metric in metrics for need in metric.needs})
    try:
        return observe(truth, views, needs, networks)
    except Exception as error:
        if isinstance(error, AvatarBenchError) and error.code in ENVIRONMENT_CODES:
            raise
    observed: dict[str, Observations] = {}
    for method, view in views.items():
        try:
            observed |= observe(truth, {method: view}, needs, networks)
        except Exception as error:  # the reason is kept in the row and told to the user
            failures[method] = "decode" if isinstance(error, AvatarBenchError) else "crash"
            report(f"{method} {view.path.stem}: {type(error).__name__}: {error}".splitlines()[0])
    return observed


def _row(
    plan: RunPlan,
    method: MethodInfo,
    inputs: SampleInputs,
    metric: Metric,
    measured: Measurement,
    prediction_sha256: str | None,
) -> SampleRow:
    return SampleRow(
        run_id=plan.run_id,
        protocol_id=plan.protocol_id,
        protocol_sha256=plan.protocol_sha256,
        dataset_id=plan.dataset.id,
        dataset_sha256=plan.dataset.sha256,
        split=plan.split,
        method_id=method.id,
        method_version=method.version,
        privileged=method.privileged,
        identity_id=inputs.sample.identity_id,
        sample_id=inputs.sample.sample_id,
        seed=inputs.sample.seed,
        metric_id=metric.id,
        metric_version=metric.version,
        unit=metric.unit,
        direction=metric.direction,
        value=measured.value,
        status=measured.status,
        reason=measured.reason,
        n_valid=measured.n_valid,
        n_total=measured.n_total,
        prediction_sha256=prediction_sha256,
    )
