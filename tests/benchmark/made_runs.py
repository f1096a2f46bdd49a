"""Runs with known numbers, written as the benchmark writes them, without any video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import benchmark.protocol
from benchmark.aggregate import aggregate
from benchmark.features import load_features, write_features
from benchmark.frechet import frechet_distance, frechet_groups, kernel_distance, kernel_groups
from benchmark.hashing import sha256_file, sha256_json
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric, SetMetric, set_measurement
from benchmark.protocol import load_protocol
from benchmark.results import PLAN, RESULT, SAMPLES, write_json, write_model, write_samples
from benchmark.schema import DatasetInfo, MethodInfo, RunPlan, SampleRow

_MINI = load_protocol("mini-v1")
_CHOSEN = ("psnr_rgb_full", "ssim_gauss11_rgb", "hkc_mp_handedness", "hkv_std", "hkv_var")
PROTOCOL = _MINI.model_copy(
    update={
        "metrics": tuple(rule for name in _CHOSEN for rule in _MINI.metrics if rule.id == name),
        "needs_weights": (),
    }
)
"""mini-v1 with five of its metrics: enough for what stands behind them."""
METRICS = metrics_of(PROTOCOL)


def use_made_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `PROTOCOL` be what programs find under its name."""
    read = benchmark.protocol._read
    monkeypatch.setattr(
        "benchmark.protocol._read", lambda path: PROTOCOL if path.stem == PROTOCOL.id else read(path)
    )


def set_metric(name: str, groups: bool = True) -> SetMetric:
    """A metric whose features stand in the store as they are."""
    frechet = name == "fd"
    distance, fast = (frechet_distance, frechet_groups) if frechet else (kernel_distance, kernel_groups)
    return SetMetric(
        id=f"{name}_test",
        version="1",
        column=name.upper(),
        variant="features as observed",
        unit="1",
        low=0.0 if frechet else -float("inf"),
        high=float("inf"),
        direction="lower",
        needs=("raw",),
        features=lambda arrays: arrays["raw"]["features"],
        distance=distance,
        groups=fast if groups else None,
        depends_on_n=frechet,
    )


FRECHET, KERNEL = set_metric("fd"), set_metric("kd")


def people_features(
    seed: int, shift: float = 0.0, n_people: int = 24, n_clips: int = 4, d: int = 48
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    level = 0.7 * rng.normal(size=(n_people, 1, d))
    features = shift + level + rng.normal(size=(n_people, n_clips, d))
    return {f"p{person:02}": rows for person, rows in enumerate(features)}


Values = Mapping[str, Mapping[str, np.ndarray]]
"""By method and metric: [people, clips], NaN where a prediction failed."""


def sample_names(n_people: int, n_clips: int) -> list[str]:
    return [f"p{person:02}_c{clip}" for person in range(n_people) for clip in range(n_clips)]


def method_info(name: str, *, fingerprint: str = "f", privileged: bool = False) -> MethodInfo:
    return MethodInfo(
        id=name, version="1", title="made", licence="Apache-2.0", privileged=privileged,
        fingerprint=fingerprint, preparation="made",
    )  # fmt: skip


def make_plan(sample_ids: Sequence[str], methods: Sequence[MethodInfo], **changes: object) -> RunPlan:
    content: dict[str, object] = {
        "package_version": "0.1.0",
        "protocol_id": PROTOCOL.id,
        "protocol_sha256": PROTOCOL.sha256,
        "dataset": DatasetInfo(id="made", sha256="d" * 64, n_clips=len(sample_ids)).model_dump(),
        "split": "identity-holdout-10",
        "sample_ids": list(sample_ids),
        "methods": [method.model_dump() for method in methods],
        "seed": 0,
        "device": "cpu",
        "notes": [],
    }
    content |= changes
    return RunPlan.model_validate({"run_id": sha256_json(content)[:16], **content})


def sample_row(
    plan: RunPlan, method: MethodInfo, sample_id: str, metric: Metric | SetMetric, **found
) -> SampleRow:
    return SampleRow(
        run_id=plan.run_id, protocol_id=plan.protocol_id, protocol_sha256=plan.protocol_sha256,
        dataset_id=plan.dataset.id, dataset_sha256=plan.dataset.sha256, split=plan.split,
        method_id=method.id, method_version=method.version, privileged=method.privileged,
        identity_id=sample_id.split("_")[0], sample_id=sample_id, seed=1, metric_id=metric.id,
        metric_version=metric.version, unit=metric.unit, direction=metric.direction,
        prediction_sha256="0" * 64, **found,
    )  # fmt: skip


def make_run(
    folder: Path,
    values: Values,
    *,
    features: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    set_metrics: Sequence[SetMetric] = (),
    methods: Sequence[MethodInfo] | None = None,
    **changes: object,
) -> Path:
    """Write a finished run; metrics of the protocol without values get those of the first one given, scaled.

    Args:
        folder: Where to.
        values: By method and metric, [people, clips]; NaN is a failed prediction.
        features: By method or "truth" and sample, [n, d], the same for all of `set_metrics`.
        set_metrics: Metrics beside the protocol's.
        methods: By default one a key of `values`.
        changes: Of the plan.
    """
    first = next(iter(next(iter(values.values())).values()))
    sample_ids = sample_names(*first.shape)
    infos = methods or [method_info(name) for name in values]
    plan = make_plan(sample_ids, infos, **changes)
    rows = []
    for info in infos:
        given = values[info.id]
        for metric in METRICS:
            scale = 1.0 if metric.high == float("inf") else 0.01  # SSIM and HKC end at 1
            numbers = given.get(metric.id, scale * next(iter(given.values()))).ravel()
            for sample_id, value in zip(sample_ids, numbers, strict=True):
                failed = {"value": None, "status": "failed", "reason": "crash", "n_valid": 0, "n_total": 10}
                fine = {"value": float(value), "status": "ok", "reason": None, "n_valid": 10, "n_total": 10}
                rows.append(
                    sample_row(plan, info, sample_id, metric, **(failed if np.isnan(value) else fine))
                )
        for metric in set_metrics:
            for sample_id in sample_ids:
                truth = features["truth"][sample_id]
                measured = set_measurement(features[info.id].get(sample_id, truth[:0]), truth)
                found = {
                    name: getattr(measured, name)
                    for name in ("value", "status", "reason", "n_valid", "n_total")
                }
                rows.append(sample_row(plan, info, sample_id, metric, **found))
    folder.mkdir(parents=True)
    write_model(folder / PLAN, plan)
    for metric in set_metrics:
        for owner, samples in features.items():
            write_features(folder, metric.id, owner, samples)
    write_samples(folder / SAMPLES, rows)
    metrics = [*METRICS, *set_metrics]
    loaded = load_features(folder, [info.id for info in infos], metrics)
    write_model(
        folder / RESULT, aggregate(plan, PROTOCOL, metrics, rows, sha256_file(folder / SAMPLES), loaded)
    )
    timings = {f"predict {i.id} {s}": {"prepare": 0.0, "generate": 2.0} for i in infos for s in sample_ids}
    write_json(folder / "timings.json", timings)
    return folder
