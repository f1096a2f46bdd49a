"""Scoring: from checked predictions to one row a method, sample and metric, and to the features of set metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.features import TRUTH
from benchmark.inputs import SampleInputs
from benchmark.jobs import describe, raise_if_environment
from benchmark.metrics.definition import (
    Arrays,
    Measurement,
    Metric,
    Observations,
    Reason,
    SetMetric,
    set_measurement,
)
from benchmark.observations import ClipView, Failure, Observed, Request, SoundView
from benchmark.predictions import video_path
from benchmark.results import MethodInfo, PredictionRecord, RunPlan, SampleRow

__all__ = ["SampleScore", "ScoreTask", "observe_samples", "score_samples", "task_places"]

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """One sample to score."""

    inputs: SampleInputs
    records: Mapping[str, PredictionRecord]
    """The prediction's record of each of the plan's methods."""


@dataclass(frozen=True, slots=True)
class SampleScore:
    """What scoring has found about one sample."""

    sample_id: str
    rows: list[SampleRow]
    """One for each of the plan's methods and each metric, whatever happened to the prediction."""
    features: dict[tuple[str, str], np.ndarray]
    """[n, d] by set metric and method (where the row is `ok`), or `features.TRUTH` (where they are finite)."""


def score_samples(
    run: Path,
    plan: RunPlan,
    tasks: Sequence[ScoreTask],
    metrics: Sequence[Metric | SetMetric],
    networks: Networks,
    report: Callable[[str], None],
) -> Iterator[SampleScore]:
    """Measure all methods' predictions, decoding only what the observation store lacks.

    Args:
        run: Folder of the run.
        plan: The run's plan.
        tasks: The samples.
        metrics: What to measure.
        networks: Networks to share between samples; its counters count.
        report: Takes one line about each prediction, value or stored observation that is not as it should be.

    Yields:
        One score a task, in order. Scores come late where a network's batch spans several clips.

    Raises:
        AvatarBenchError: what would meet every sample: E502, E601, E602, E603.
    """
    requests = (_request(run, task, metrics) for task in tasks)
    for task, observed in zip(tasks, observe(requests, networks, report), strict=True):
        yield _Scoring(plan, task, observed, report).score(metrics)


def observe_samples(
    run: Path,
    plan: RunPlan,
    tasks: Sequence[ScoreTask],
    metrics: Sequence[Metric | SetMetric],
    networks: Networks,
    report: Callable[[str], None],
) -> None:
    """Fill the observation store, so that a later `score_samples` with the same arguments decodes nothing."""
    for _ in observe((_request(run, task, metrics) for task in tasks), networks, report):
        pass


def task_places(run: Path, task: ScoreTask, metrics: Sequence[Metric | SetMetric]) -> list[Path]:
    """Where the observations of one sample stand in the store, whether they are there or not."""
    return sorted({target.place() for target in _request(run, task, metrics).targets().values()})


def _request(run: Path, task: ScoreTask, metrics: Sequence[Metric | SetMetric]) -> Request:
    truth, sample_id = task.inputs.truth, task.inputs.sample.sample_id
    predictions = {
        method: ClipView(
            path=video_path(run, method, sample_id),
            sha256=record.sha256 or "",
            start_s=0.0,
            n_frames=truth.n_frames,
            fps=truth.fps,
            width=truth.width,
            height=truth.height,
        )
        for method, record in task.records.items()
        if record.status == "ok"
    }
    needs = {need for metric in metrics for need in metric.needs}
    truth_needs = {need for metric in metrics if isinstance(metric, SetMetric) for need in metric.needs}
    sound = SoundView(task.inputs.sample.audio, task.inputs.audio_sha256)
    return Request(sample_id, truth, predictions, sorted(needs), sorted(truth_needs), sound)


class _Scoring:
    """One sample on its way from observations to rows."""

    def __init__(
        self, plan: RunPlan, task: ScoreTask, observed: Observed, report: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._task = task
        self._observed = observed
        self._report = report
        self._sample_id = task.inputs.sample.sample_id
        self._features: dict[tuple[str, str], np.ndarray] = {}

    def score(self, metrics: Sequence[Metric | SetMetric]) -> SampleScore:
        """All rows and features."""
        true_features = {
            metric.id: self._set_features(metric, TRUTH, self._observed.truth(metric.needs))
            for metric in metrics
            if isinstance(metric, SetMetric)
        }
        for metric_id, features in true_features.items():
            if isinstance(features, np.ndarray):
                self._features[metric_id, TRUTH] = features
        rows = []
        for method in self._plan.methods:
            record = self._task.records[method.id]
            for metric in metrics:
                if record.status != "ok":
                    measured = self._failed(record.reason or "crash")
                elif isinstance(metric, SetMetric):
                    measured = self._measure_set(metric, method.id, true_features[metric.id])
                else:
                    measured = self._measure(metric, method.id)
                rows.append(_row(self._plan, method, self._task.inputs, metric, measured, record.sha256))
        return SampleScore(self._sample_id, rows, self._features)

    def _measure(self, metric: Metric, method: str) -> Measurement:
        observations = self._observed.of(method, metric.needs)
        if isinstance(observations, Failure):
            return self._failed(observations.reason)
        measured = self._guarded(metric, method, lambda: metric.map(observations))
        if isinstance(measured, Failure):
            return self._failed(measured.reason)
        if measured.value is not None and not math.isfinite(measured.value):
            self._say_not_finite(metric, method, measured.value)
            return Measurement(None, measured.n_valid, measured.n_total, "failed", "not_finite")
        return measured

    def _measure_set(self, metric: SetMetric, method: str, truth: np.ndarray | Failure) -> Measurement:
        observations = self._observed.of(method, metric.needs)
        arrays = observations.prediction if isinstance(observations, Observations) else observations
        features = self._set_features(metric, method, arrays)
        if isinstance(features, Failure):
            return self._failed(features.reason)
        if isinstance(truth, Failure):
            return self._failed(truth.reason)
        measured = set_measurement(features, truth)
        if measured.status == "ok":
            self._features[metric.id, method] = features
        return measured

    def _set_features(
        self, metric: SetMetric, whose: str, arrays: Mapping[str, Arrays] | Failure
    ) -> np.ndarray | Failure:
        """Features of one clip, [n, d]."""
        if isinstance(arrays, Failure):
            return arrays
        features = self._guarded(metric, whose, lambda: metric.features(arrays))
        if isinstance(features, Failure):
            return features
        if not np.isfinite(features).all():
            self._say_not_finite(metric, whose, features[~np.isfinite(features)][0])
            return Failure("not_finite")
        return features

    def _guarded(
        self, metric: Metric | SetMetric, whose: str, work: Callable[[], _Found]
    ) -> _Found | Failure:
        """A metric's own function; what goes wrong in it costs one row."""
        try:
            return work()
        except Exception as error:
            raise_if_environment(error)
            self._report(f"{whose} {self._sample_id} {metric.id}: {describe(error)}")
            return Failure("crash")

    def _failed(self, reason: Reason) -> Measurement:
        return Measurement(None, 0, self._task.inputs.truth.n_frames, "failed", reason)

    def _say_not_finite(self, metric: Metric | SetMetric, whose: str, value: float) -> None:
        self._report(f"{whose} {self._sample_id} {metric.id}: the value is {value}, not a finite number")


def _row(
    plan: RunPlan,
    method: MethodInfo,
    inputs: SampleInputs,
    metric: Metric | SetMetric,
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
