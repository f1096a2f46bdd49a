"""A run: plan, predict, score, aggregate. Each stage reads the files of the one before; all resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark.aggregate import aggregate
from benchmark.contract import MethodSpec
from benchmark.extractors import Networks
from benchmark.features import TRUTH, load_features, write_features
from benchmark.hashing import sha256_file
from benchmark.inputs import SampleInputs
from benchmark.locking import run_lock
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import SetMetric
from benchmark.plan import Progress, Run, RunOptions, open_run, plan_run
from benchmark.predictions import (
    Predictor,
    finished_record,
    forget_prediction,
    keep_record,
    prediction_key,
)
from benchmark.protocol import load_same_protocol
from benchmark.registry import create_method, fingerprint
from benchmark.results import (
    PLAN,
    RESULT,
    SAMPLES,
    MethodInfo,
    PredictionRecord,
    RunPlan,
    RunResult,
    SampleRow,
    read_model,
    read_samples,
    write_model,
    write_samples,
)
from benchmark.scorer import ScoreTask, score_samples, task_places
from benchmark.timings import keep_environment, keep_timings
from media.errors import AvatarBenchError

__all__ = [
    "Progress",
    "Run",
    "RunOptions",
    "aggregate_run",
    "find_predictions",
    "forget_observations",
    "forget_predictions",
    "observation_places",
    "open_run",
    "plan_run",
    "predict_run",
    "predict_samples",
    "score_run",
    "score_tasks",
]


def find_predictions(run: Run) -> dict[tuple[str, str], PredictionRecord | None]:
    """The record of each method's prediction of each sample; None where none is finished."""
    return {
        (info.id, inputs.sample.sample_id): _finished(run, info, inputs)
        for info in run.plan.methods
        for inputs in run.samples
    }


def forget_predictions(run: Run, samples: Collection[str]) -> None:
    """Let the chosen samples' predictions count as unfinished, so that `predict_run` makes them again.

    A run that is killed afterwards goes on from there: what was made again since is not made a third time.
    """
    for info in run.plan.methods:
        for sample_id in sorted(samples):
            forget_prediction(run.folder, info.id, sample_id)


def observation_places(run: Run) -> list[Path]:
    """Where the observations stand that scoring needs, whether they are there or not.

    Raises:
        AvatarBenchError: E504 when predictions are missing.
    """
    metrics = metrics_of(run.protocol)
    return sorted({place for task in score_tasks(run) for place in task_places(run.folder, task, metrics)})


def forget_observations(run: Run, samples: Collection[str]) -> None:
    """Remove the chosen samples' observations from the store, of the truth too, so that they are made again.

    Raises:
        AvatarBenchError: E504 when predictions are missing.
    """
    chosen = tuple(inputs for inputs in run.samples if inputs.sample.sample_id in samples)
    for place in observation_places(replace(run, samples=chosen)):
        place.unlink(missing_ok=True)


def predict_run(
    run: Run,
    specs: Mapping[str, MethodSpec],
    progress: Progress,
    *,
    samples: Collection[str] | None = None,
) -> int:
    """Make the predictions that are not finished yet.

    Args:
        run: The run.
        specs: The plan's methods by id.
        progress: Told of each prediction.
        samples: Only these samples; None is all.

    Returns:
        The number of predictions that failed.

    Raises:
        AvatarBenchError: E604 when another process works on the run; one of `ENVIRONMENT_CODES`.
    """
    with run_lock(run.folder):
        keep_environment(run.folder)
        return predict_samples(run, specs, progress, samples)


def predict_samples(
    run: Run, specs: Mapping[str, MethodSpec], progress: Progress, samples: Collection[str] | None = None
) -> int:
    """`predict_run` for a process that needs no lock of its own, such as a job of a cluster."""
    chosen = [inputs for inputs in run.samples if samples is None or inputs.sample.sample_id in samples]
    total, done, failed = len(run.plan.methods) * len(chosen), 0, 0
    for info in run.plan.methods:
        predictor: Predictor | None = None
        for inputs in chosen:
            sample_id = inputs.sample.sample_id
            progress(f"predict {info.id} {sample_id}", done, total)
            record = _finished(run, info, inputs)
            if record is None or record.status != "ok":
                predictor = predictor or _make_predictor(run, info, specs[info.id])
                record, seconds = predictor.predict(inputs)
                keep_timings(run.folder, f"predict {info.id} {sample_id}", seconds)
                keep_record(run.folder, record)
            if record.status != "ok":
                failed += 1
                progress(f"{info.id} {sample_id} failed ({record.reason}): {record.message}", done, 0)
            done += 1
    progress("predict", total, total)
    return failed


def score_tasks(run: Run) -> list[ScoreTask]:
    """What there is to score: each sample with the records of its predictions.

    Raises:
        AvatarBenchError: E504 when predictions are missing, because a part of a run is not scored.
    """
    return [ScoreTask(inputs, _records(run, inputs)) for inputs in run.samples]


def score_run(run: Run, progress: Progress) -> int:
    """Measure all predictions and write `features/` and `samples.parquet`.

    Returns:
        The number of samples of a method that have no measurement.

    Raises:
        AvatarBenchError: E504 when predictions are missing, because a part of a run is not scored; E604 when
            another process works on the run.
    """
    metrics = metrics_of(run.protocol)
    rows: list[SampleRow] = []
    features: dict[tuple[str, str], dict[str, np.ndarray]] = {
        (metric.id, owner): {}
        for metric in metrics
        if isinstance(metric, SetMetric)
        for owner in (TRUTH, *(info.id for info in run.plan.methods))
    }
    with run_lock(run.folder), Networks() as networks:
        tasks = score_tasks(run)
        begin = time.perf_counter()
        scores = score_samples(run.folder, run.plan, tasks, metrics, networks, _reporter(progress))
        progress("score", 0, len(tasks))
        for done, score in enumerate(scores, start=1):
            now = time.perf_counter()
            keep_timings(run.folder, f"score {score.sample_id}", {"observe": now - begin})
            begin = now
            rows += score.rows
            for key, array in score.features.items():
                features[key][score.sample_id] = array
            progress(f"score {score.sample_id}", done, len(tasks))
        for (metric_id, owner), arrays in features.items():
            write_features(run.folder, metric_id, owner, arrays)
        write_samples(run.folder / SAMPLES, rows)
    return len({(row.method_id, row.sample_id) for row in rows if row.status == "failed"})


def aggregate_run(folder: Path) -> tuple[RunResult, int]:
    """Write `result.json` from `samples.parquet` and the plan.

    Returns:
        The result, and the number of samples of a method that have no measurement.

    Raises:
        AvatarBenchError: E504 when the folder is no run or has no scores, E503 when the protocol has changed, E604
            when another process works on it.
    """
    plan = read_model(folder / PLAN, RunPlan)
    with run_lock(folder):
        rows = read_samples(folder / SAMPLES)
        if {row.run_id for row in rows} != {plan.run_id}:
            raise AvatarBenchError(
                "E504",
                "the scores belong to an older plan of this folder",
                where=folder,
                expected=f"run {plan.run_id}",
                got=f"run {', '.join(sorted({row.run_id for row in rows}))}",
                fix=f"bench score {folder}",
            )
        protocol = load_same_protocol(plan.protocol_id, plan.protocol_sha256, folder)
        metrics = metrics_of(protocol)
        features = load_features(folder, [info.id for info in plan.methods], metrics)
        result = aggregate(plan, protocol, metrics, rows, sha256_file(folder / SAMPLES), features)
        write_model(folder / RESULT, result)
    return result, len({(row.method_id, row.sample_id) for row in rows if row.status == "failed"})


def _make_predictor(run: Run, info: MethodInfo, spec: MethodSpec) -> Predictor:
    if fingerprint(spec) != info.fingerprint:
        raise AvatarBenchError(
            "E504",
            f"the method '{info.id}' is not the one of the plan: its code or weights have changed",
            where=run.folder,
            expected=f"fingerprint {info.fingerprint}",
            got=f"fingerprint {fingerprint(spec)}",
            fix="start again with: bench run",
        )
    method = create_method(spec, run.plan.device)
    codec = run.protocol.video.codec
    return Predictor(info, method, spec.preparation, run.folder, run.plan.device, run.plan.seed, codec)


def _finished(run: Run, info: MethodInfo, inputs: SampleInputs) -> PredictionRecord | None:
    key = prediction_key(info, inputs, run.plan.device, run.plan.seed)
    return finished_record(run.folder, info.id, inputs.sample.sample_id, key)


def _records(run: Run, inputs: SampleInputs) -> dict[str, PredictionRecord]:
    found = {info.id: _finished(run, info, inputs) for info in run.plan.methods}
    missing = [method for method, record in found.items() if record is None]
    if missing:
        raise AvatarBenchError(
            "E504",
            f"'{inputs.sample.sample_id}' has no finished prediction of {', '.join(missing)}",
            where=run.folder,
            expected="a prediction of each method and sample",
            fix=f"bench run --out {run.folder}, with the same options as before",
        )
    return {method: record for method, record in found.items() if record is not None}


def _reporter(progress: Progress) -> Callable[[str], None]:
    """Messages that are no step."""
    return lambda line: progress(line, 0, 0)
