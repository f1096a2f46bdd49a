"""Frozen predictions: a few short clips, predictions of them, and what scoring them has given once."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.aggregate import aggregate
from benchmark.cache import ENVIRONMENT_VARIABLE
from benchmark.extractors import Networks
from benchmark.features import TRUTH, FeatureFile, read_features, write_features
from benchmark.hashing import sha256_file
from benchmark.inputs import make_inputs
from benchmark.manifest import Dataset, load_dataset
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import SetMetric
from benchmark.plan import Progress
from benchmark.predictions import video_path
from benchmark.protocol import Protocol, load_protocol
from benchmark.results import write_model
from benchmark.schema import DatasetInfo, MethodInfo, MethodResult, PredictionRecord, RunPlan, SampleRow
from benchmark.scorer import ScoreTask, score_samples
from benchmark.weights import FOLDERS_VARIABLE, search_folders
from media.errors import AvatarBenchError

__all__ = ["REFERENCE", "Expected", "Frozen", "Scored", "read_frozen", "score_frozen", "write_expected"]

REFERENCE = "reference.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class ExpectedValue(_Strict):
    """One value that scoring has given."""

    method: str
    sample: str | None
    """Null for the value of the whole set."""
    metric: str
    metric_version: str
    value: float | None
    status: str
    reason: str | None
    n_total: int


class Expected(_Strict):
    """Content of `reference.json`."""

    schema_version: Literal[1] = 1
    protocol_id: str
    protocol_sha256: str
    dataset_sha256: str
    """Of the manifest beside it."""
    predictions: dict[str, dict[str, str]]
    """SHA-256 of each video, by method and sample."""
    values: tuple[ExpectedValue, ...]
    package_version: str
    """Release that gave the values."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A reference as it stands on disk."""

    folder: Path
    expected: Expected
    protocol: Protocol
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Scored:
    """What scoring gives now."""

    values: tuple[ExpectedValue, ...]
    features: dict[tuple[str, str], dict[str, np.ndarray]]
    """[n, d] by set metric and method or truth, and by sample."""


def read_frozen(folder: Path) -> Frozen:
    """Open a reference, and compare the hashes of all that it holds.

    Raises:
        AvatarBenchError: E822 when it is none, is damaged, or was frozen with another protocol.
    """
    try:
        expected = Expected.model_validate_json((folder / REFERENCE).read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        raise AvatarBenchError(
            "E822",
            "the folder holds no frozen predictions",
            where=folder,
            expected=REFERENCE,
            got=str(error).splitlines()[0],
            fix=f"make them from a run: bench check RUN --freeze {folder}",
        ) from error
    dataset = load_dataset(folder)
    if dataset.sha256 != expected.dataset_sha256:
        raise AvatarBenchError("E822", "the clips are not those that were frozen", where=folder)
    for method, hashes in expected.predictions.items():
        for sample_id, digest in hashes.items():
            path = video_path(folder, method, sample_id)
            if not path.is_file() or sha256_file(path) != digest:
                raise AvatarBenchError(
                    "E822",
                    "a frozen prediction is missing or has changed",
                    where=path,
                    expected=f"sha256 {digest}",
                    fix="restore the file; values of other bytes say nothing",
                )
    return Frozen(folder, expected, load_protocol(expected.protocol_id), dataset)


def score_frozen(frozen: Frozen, progress: Progress) -> Scored:
    """Score the frozen predictions with this code, on the CPU, in an empty cache.

    A cache that knew the predictions would answer with yesterday's observations.

    Raises:
        AvatarBenchError: what would meet every sample: E502, E601, E602, E603.
    """
    expected, folder = frozen.expected, frozen.folder
    metrics = metrics_of(frozen.protocol)
    methods = tuple(_method(name) for name in expected.predictions)
    clips = {clip.id: clip for clip in frozen.dataset.clips}
    plan = RunPlan(
        run_id="frozen",
        package_version=version("avatarbench"),
        protocol_id=frozen.protocol.id,
        protocol_sha256=frozen.protocol.sha256,
        dataset=DatasetInfo(id=frozen.dataset.id, sha256=frozen.dataset.sha256, n_clips=len(clips)),
        split="frozen",
        sample_ids=tuple(sorted(clips)),
        methods=methods,
        seed=0,
        device="cpu",
        notes=(),
    )
    rows: list[SampleRow] = []
    features: dict[tuple[str, str], dict[str, np.ndarray]] = {
        (metric.id, owner): {}
        for metric in metrics
        if isinstance(metric, SetMetric)
        for owner in (TRUTH, *expected.predictions)
    }
    with _empty_cache(), Networks() as networks:
        tasks = [
            ScoreTask(
                make_inputs(frozen.dataset, clips[sample_id], frozen.protocol, 0, with_others=False),
                {
                    name: PredictionRecord(
                        method_id=name,
                        sample_id=sample_id,
                        key="frozen",
                        status="ok",
                        sha256=hashes[sample_id],
                    )
                    for name, hashes in expected.predictions.items()
                },
            )
            for sample_id in plan.sample_ids
        ]
        scores = score_samples(folder, plan, tasks, metrics, networks, lambda line: progress(line, 0, 0))
        for done, score in enumerate(scores, start=1):
            rows += score.rows
            for key, array in score.features.items():
                features[key][score.sample_id] = array
            progress(f"score {score.sample_id}", done, len(tasks))
    files = {key: FeatureFile("frozen", samples) for key, samples in features.items()}
    result = aggregate(plan, frozen.protocol, metrics, rows, "frozen", files)
    values = itertools.chain((_of_row(row) for row in rows), *(_of_set(method) for method in result.methods))
    order = sorted(values, key=lambda v: (v.method, v.sample or "", v.metric))
    return Scored(tuple(order), features)


def write_expected(frozen: Frozen, scored: Scored) -> None:
    """Let what scoring gives now be what is expected from now on.

    Raises:
        AvatarBenchError: E601, E602.
    """
    for (metric_id, owner), samples in scored.features.items():
        write_features(frozen.folder, metric_id, owner, samples)
    expected = frozen.expected.model_copy(
        update={
            "values": scored.values,
            "protocol_sha256": frozen.protocol.sha256,
            "package_version": version("avatarbench"),
        }
    )
    write_model(frozen.folder / REFERENCE, expected)


def expected_features(frozen: Frozen, metric_id: str, owner: str) -> dict[str, np.ndarray]:
    """Features as they were frozen; empty where there are none."""
    try:
        return read_features(frozen.folder, metric_id, owner)
    except AvatarBenchError:
        return {}


def _of_row(row: SampleRow) -> ExpectedValue:
    return ExpectedValue(
        method=row.method_id,
        sample=row.sample_id,
        metric=row.metric_id,
        metric_version=row.metric_version,
        value=row.value,
        status=row.status,
        reason=row.reason,
        n_total=row.n_total,
    )


def _of_set(method: MethodResult) -> Iterator[ExpectedValue]:
    for summary in method.metrics:
        yield ExpectedValue(
            method=method.id,
            sample=None,
            metric=summary.metric_id,
            metric_version=summary.metric_version,
            value=summary.value,
            status="ok" if summary.value is not None else "undetected",
            reason=summary.reason,
            n_total=summary.n_total,
        )


def _method(name: str) -> MethodInfo:
    return MethodInfo(
        id=name, version="frozen", title=name, licence="", privileged=False, fingerprint="", preparation=None
    )


@contextmanager
def _empty_cache() -> Iterator[None]:
    """A cache that nothing is in; weights are still found where they were."""
    changed = {FOLDERS_VARIABLE: os.pathsep.join(map(str, search_folders()))}
    with tempfile.TemporaryDirectory() as folder:
        changed[ENVIRONMENT_VARIABLE] = folder
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
