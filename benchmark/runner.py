"""A run: plan, predict, score, aggregate. Each stage reads the files of the one before; all resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmark.aggregate import aggregate
from benchmark.cache import make_folder
from benchmark.contract import MethodSpec
from benchmark.environment import describe_environment, resolve_device
from benchmark.extractors import Networks
from benchmark.hashing import sha256_file, sha256_json
from benchmark.inputs import SampleInputs, make_inputs
from benchmark.manifest import Dataset, load_dataset
from benchmark.metrics.catalogue import metrics_of
from benchmark.predictions import Predictor, finished_record, prediction_key
from benchmark.protocol import Protocol, load_protocol
from benchmark.registry import create_method, fingerprint, preparation_fingerprint
from benchmark.results import (
    PLAN,
    RESULT,
    SAMPLES,
    DatasetInfo,
    MethodInfo,
    PredictionRecord,
    RunPlan,
    RunResult,
    read_json,
    read_model,
    read_samples,
    write_json,
    write_model,
    write_samples,
)
from benchmark.scorer import score_sample
from benchmark.splits import SPLITS
from media.errors import AvatarBenchError

__all__ = [
    "Progress",
    "Run",
    "RunOptions",
    "aggregate_run",
    "open_run",
    "plan_run",
    "predict_run",
    "score_run",
]

ENVIRONMENT, TIMINGS = "environment.json", "timings.json"

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`; `total` is 0 for a message that is no step."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a user asks for."""

    methods: tuple[MethodSpec, ...]
    protocol: str = "mini-v1"
    dataset: Path | None = None
    """None is the data set that ships."""
    out: Path | None = None
    """None is `runs/<run id>`."""
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """A planned run: everything that was asked for stands and can be read."""

    folder: Path
    plan: RunPlan
    protocol: Protocol
    samples: tuple[SampleInputs, ...]


def plan_run(options: RunOptions, progress: Progress) -> Run:
    """Check all that a user can get wrong, before anything is written into the run's folder.

    Raises:
        AvatarBenchError: E4xx, E5xx, E602 and, for the clips' sound, E2xx.
    """
    device = resolve_device(options.device)
    if not 0 <= options.seed < 2**31:
        raise AvatarBenchError(
            "E504",
            "the seed is out of range",
            where="--seed",
            expected="0 to 2147483647",
            got=str(options.seed),
        )
    protocol = load_protocol(options.protocol)
    metrics_of(protocol)
    dataset = load_dataset(options.dataset)
    split = SPLITS[protocol.split](dataset)
    samples = _make_samples(dataset, [clip.id for clip in split.test], protocol, options.seed, progress)
    content = {
        "package_version": version("avatarbench"),
        "protocol_id": protocol.id,
        "protocol_sha256": protocol.sha256,
        "dataset": DatasetInfo(id=dataset.id, sha256=dataset.sha256, n_clips=len(dataset.clips)).model_dump(),
        "split": split.id,
        "sample_ids": sorted(inputs.sample.sample_id for inputs in samples),
        "methods": [_method_info(spec).model_dump() for spec in options.methods],
        "seed": options.seed,
        "device": device,
        "notes": list(split.notes),
    }
    plan = RunPlan.model_validate({"run_id": sha256_json(content)[:16], **content})
    folder = make_folder(options.out or Path("runs") / plan.run_id)
    write_model(folder / PLAN, plan)
    return Run(folder, plan, protocol, samples)


def open_run(folder: Path, dataset: Path | None, progress: Progress) -> Run:
    """A run that was planned before, with its data set checked to be the same.

    Raises:
        AvatarBenchError: E504 when the folder is not a run, E503 or E401 when protocol or data have changed.
    """
    plan = read_model(folder / PLAN, RunPlan)
    protocol = load_protocol(plan.protocol_id)
    if protocol.sha256 != plan.protocol_sha256:
        raise AvatarBenchError(
            "E503",
            f"the protocol '{plan.protocol_id}' is not the one that the run was made with",
            where=folder,
            expected=plan.protocol_sha256,
            got=protocol.sha256,
            fix="make the run again: bench run",
        )
    found = load_dataset(dataset)
    if found.sha256 != plan.dataset.sha256:
        raise AvatarBenchError(
            "E401",
            "the data set is not the one that the run was made with",
            where=found.root,
            expected=f"'{plan.dataset.id}', sha256 {plan.dataset.sha256}",
            got=f"'{found.id}', sha256 {found.sha256}",
            fix="name the run's data set with --dataset",
        )
    return Run(folder, plan, protocol, _make_samples(found, plan.sample_ids, protocol, plan.seed, progress))


def predict_run(run: Run, specs: Mapping[str, MethodSpec], progress: Progress) -> int:
    """Make the predictions that are not finished yet.

    Returns:
        The number of predictions that failed.
    """
    write_json(run.folder / ENVIRONMENT, describe_environment())
    timings = read_json(run.folder / TIMINGS)
    total, done, failed = len(run.plan.methods) * len(run.samples), 0, 0
    for info in run.plan.methods:
        predictor: Predictor | None = None
        for inputs in run.samples:
            sample_id = inputs.sample.sample_id
            progress(f"predict {info.id} {sample_id}", done, total)
            record = _finished(run, info, inputs)
            if record is None or record.status != "ok":
                if predictor is None:
                    spec, device = specs[info.id], run.plan.device
                    method = create_method(spec, device)
                    predictor = Predictor(info, method, spec.preparation, run.folder, device, run.plan.seed)
                record, seconds = predictor.predict(inputs)
                _keep_timings(run, timings, f"predict {info.id} {sample_id}", seconds)
            if record.status != "ok":
                failed += 1
                progress(f"{info.id} {sample_id} failed ({record.reason}): {record.message}", done, 0)
            done += 1
    progress("predict", total, total)
    return failed


def score_run(run: Run, progress: Progress) -> int:
    """Measure all predictions and write `samples.parquet`.

    Returns:
        The number of samples of a method that have no measurement.

    Raises:
        AvatarBenchError: E504 when predictions are missing; a part of a run is not scored.
    """
    metrics = metrics_of(run.protocol)
    records = {inputs.sample.sample_id: _records(run, inputs) for inputs in run.samples}
    timings = read_json(run.folder / TIMINGS)
    rows = []
    with Networks() as networks:
        for done, inputs in enumerate(run.samples):
            sample_id = inputs.sample.sample_id
            progress(f"score {sample_id}", done, len(run.samples))
            begin = time.perf_counter()
            rows += score_sample(
                run.folder,
                run.plan,
                inputs,
                records[sample_id],
                metrics,
                networks,
                report=lambda line, done=done: progress(line, done, 0),
            )
            _keep_timings(run, timings, f"score {sample_id}", {"observe": time.perf_counter() - begin})
    write_samples(run.folder / SAMPLES, rows)
    progress("score", len(run.samples), len(run.samples))
    return len({(row.method_id, row.sample_id) for row in rows if row.status == "failed"})


def aggregate_run(folder: Path) -> tuple[RunResult, int]:
    """Write `result.json` from `samples.parquet` and the plan.

    Returns:
        The result, and the number of samples of a method that have no measurement.
    """
    plan = read_model(folder / PLAN, RunPlan)
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
    protocol = load_protocol(plan.protocol_id)
    result = aggregate(plan, protocol, metrics_of(protocol), rows, sha256_file(folder / SAMPLES))
    write_model(folder / RESULT, result)
    return result, len({(row.method_id, row.sample_id) for row in rows if row.status == "failed"})


def _make_samples(
    dataset: Dataset, sample_ids: Sequence[str], protocol: Protocol, seed: int, progress: Progress
) -> tuple[SampleInputs, ...]:
    clips = {clip.id: clip for clip in dataset.clips}
    samples = []
    for done, sample_id in enumerate(sorted(sample_ids)):
        progress(f"read {sample_id}", done, len(sample_ids))
        samples.append(make_inputs(dataset, clips[sample_id], protocol, seed))
    progress("read", len(sample_ids), len(sample_ids))
    return tuple(samples)


def _method_info(spec: MethodSpec) -> MethodInfo:
    return MethodInfo(
        id=spec.id,
        version=spec.version,
        title=spec.title,
        licence=spec.licence,
        privileged=spec.privileged,
        fingerprint=fingerprint(spec),
        preparation=None if spec.preparation is None else preparation_fingerprint(spec.preparation),
    )


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


def _keep_timings(run: Run, timings: dict[str, Any], what: str, seconds: Mapping[str, float]) -> None:
    timings[what] = {stage: round(value, 3) for stage, value in seconds.items()}
    write_json(run.folder / TIMINGS, timings)
