"""The data that a run writes, as strict models. `benchmark.results` reads and writes them.

All of it is a function of what goes in. Clocks, hosts and driver versions stand in `timings.json` and
`environment.json` only, so that equal inputs give equal bytes in `samples.parquet` and `result.json`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from benchmark.metrics.definition import Direction, Reason, Status

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "SCHEMA_VERSION",
    "DatasetInfo",
    "Interval",
    "MethodInfo",
    "MethodResult",
    "MetricSummary",
    "PredictionRecord",
    "RunPlan",
    "RunResult",
    "SampleRow",
]

SCHEMA_VERSION = 1
"""Of `plan.json`, the records of predictions and `samples.parquet`."""
RESULT_SCHEMA_VERSION = 2
"""Of `result.json`. Version 2 added `kind` and `interval` of a metric, and `features_sha256`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class MethodInfo(_Strict):
    """A method as it took part in a run."""

    id: str
    version: str
    title: str
    licence: str
    privileged: bool
    """Saw the ground truth; never ranked."""
    fingerprint: str
    """Hash of the code and weights that decide its output."""
    preparation: str | None
    """Hash of the code and weights that decide its per-person work; null when there is none."""


class DatasetInfo(_Strict):
    """A data set as it took part in a run."""

    id: str
    """Name of its folder."""
    sha256: str
    """Hash of its clips' names, times and bytes."""
    n_clips: int


class RunPlan(_Strict):
    """All that goes into a run. `run_id` is its hash."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    package_version: str
    protocol_id: str
    protocol_sha256: str
    dataset: DatasetInfo
    split: str
    sample_ids: tuple[str, ...]
    """The test clips."""
    methods: tuple[MethodInfo, ...]
    seed: int
    device: str
    notes: tuple[str, ...]
    """What a reader of the results should know."""


class PredictionRecord(_Strict):
    """One prediction, beside its video; written last, so that a video without a record is unfinished."""

    schema_version: int = SCHEMA_VERSION
    method_id: str
    sample_id: str
    key: str
    """Hash of everything that decides the video."""
    status: Status
    reason: Reason | None = None
    message: str | None = None
    """What went wrong, in one line."""
    sha256: str | None = None
    """Of the video file."""
    seeds: dict[str, int] = {}
    """The seeds that the method reported."""
    notes: tuple[str, ...] = ()
    """What the method reported about this video, such as a tail that was cut or padded."""


class SampleRow(_Strict):
    """One row of `samples.parquet`."""

    run_id: str
    protocol_id: str
    protocol_sha256: str
    dataset_id: str
    dataset_sha256: str
    split: str
    method_id: str
    method_version: str
    privileged: bool
    identity_id: str
    sample_id: str
    seed: int
    """Seed that the method was given for this sample."""
    metric_id: str
    metric_version: str
    unit: str
    direction: Direction
    value: float | None
    """Null only with a reason."""
    status: Status
    reason: Reason | None
    n_valid: int
    """Frames or hands that the value rests on."""
    n_total: int
    """Frames or hands that were expected."""
    prediction_sha256: str | None

    @model_validator(mode="after")
    def _null_only_with_a_reason(self) -> Self:
        if self.value is None and self.reason is None:
            raise ValueError("a row without a value needs a reason")
        return self


class Interval(_Strict):
    """Where the value may lie if other persons of the same kind had been filmed."""

    low: float
    high: float
    level: float
    """Share of such intervals that hold the true value, if identities are independent and alike."""
    method: Literal["t_over_identities", "jackknife_over_identities"]
    """Student's t over the identities' means, or over a delete-one-identity jackknife."""
    n_identities: int
    """Persons that the interval rests on."""


class MetricSummary(_Strict):
    """One metric of one method over the data set."""

    metric_id: str
    metric_version: str
    kind: Literal["sample", "set"]
    """Mean of the samples' values, or one distance of the whole set."""
    unit: str
    direction: Direction
    value: float | None
    """Mean of frames, then of a person's clips, then of persons; or the distance of the set from the truth."""
    reason: Reason | None
    """Why there is no value."""
    interval: Interval | None
    """Null with fewer than two persons, and in results of schema version 1."""
    mean_over_clips: float | None
    """The plain mean over clips, as the paper takes it; null for a set."""
    n_samples: int
    """Samples that the metric applies to."""
    n_scored: int
    """Samples with a value (or equal to the truth in each pixel)."""
    coverage: float | None
    """`n_scored / n_samples`; null when the metric applies to no sample."""
    n_identities: int
    """Persons that the value rests on."""
    n_valid: int
    """Frames, hands or features that the value rests on."""
    n_total: int
    """Frames, hands or features that were expected."""


class MethodResult(MethodInfo):
    """One method's line of the table."""

    coverage: float
    """Share of the samples in which every metric that applies has a finding."""
    ranked: bool
    """Not privileged, and covered well enough by the protocol's rule."""
    metrics: tuple[MetricSummary, ...]


class RunResult(_Strict):
    """The aggregate of a run."""

    schema_version: int = RESULT_SCHEMA_VERSION
    run_id: str
    package_version: str
    protocol_id: str
    protocol_sha256: str
    dataset: DatasetInfo
    split: str
    n_samples: int
    n_identities: int
    seed: int
    device: str
    notes: tuple[str, ...]
    samples_sha256: str
    """Of `samples.parquet`, which this is a function of."""
    features_sha256: dict[str, str]
    """Of the files of features that it is a function of, by `<metric>/<method>`."""
    methods: tuple[MethodResult, ...]
    needs_weights: tuple[str, ...] = ()
    """Ids of metrics that the protocol shows without a value, because they need weights that it does without."""
