"""What the benchmark writes: the plan, one record a prediction, one row a sample and metric, and the result.

All of it is a function of what goes in. Clocks, hosts and driver versions stand in `timings.json` and
`environment.json` only, so that equal inputs give equal bytes in `samples.parquet` and `result.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.metrics.definition import Direction, Reason, Status
from media.errors import AvatarBenchError
from media.files import atomic_write

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "SCHEMA_VERSION",
    "DatasetInfo",
    "MethodInfo",
    "MethodResult",
    "MetricSummary",
    "PredictionRecord",
    "RunPlan",
    "RunResult",
    "SampleRow",
    "read_json",
    "read_model",
    "read_samples",
    "write_json",
    "write_model",
    "write_samples",
]

SCHEMA_VERSION = 1
PLAN, SAMPLES, RESULT = "plan.json", "samples.parquet", "result.json"

_Model = TypeVar("_Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


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


class MetricSummary(_Strict):
    """One metric of one method over the data set."""

    metric_id: str
    metric_version: str
    unit: str
    direction: Direction
    value: float | None
    """Mean of frames, then of a person's clips, then of persons."""
    reason: Reason | None
    """Why there is no value."""
    mean_over_clips: float | None
    """The plain mean over clips, as the paper takes it."""
    n_samples: int
    """Samples that the metric applies to."""
    n_scored: int
    """Samples with a value (or equal to the truth in each pixel)."""
    coverage: float | None
    """`n_scored / n_samples`; null when the metric applies to no sample."""
    n_identities: int
    """Persons that the value rests on."""
    n_valid: int
    """Frames or hands that the value rests on."""
    n_total: int
    """Frames or hands that were expected."""


class MethodResult(MethodInfo):
    """One method's line of the table."""

    coverage: float
    """Share of the samples in which every metric that applies has a finding."""
    ranked: bool
    """Not privileged, and covered well enough by the protocol's rule."""
    metrics: tuple[MetricSummary, ...]


class RunResult(_Strict):
    """The aggregate of a run."""

    schema_version: int = SCHEMA_VERSION
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
    methods: tuple[MethodResult, ...]


def write_model(path: Path, model: BaseModel) -> None:
    """Write a model as JSON, whole or not at all."""
    write_json(path, model.model_dump(mode="json"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data as readable JSON, whole or not at all."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; empty where nothing stands."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_model(path: Path, kind: type[_Model]) -> _Model:
    """Read what `write_model` wrote.

    Raises:
        AvatarBenchError: E504 when the folder is not a run, or the file is of another format.
    """
    if not path.is_file():
        raise AvatarBenchError(
            "E504",
            "the folder is not a run, or the run has not come this far",
            where=path.parent,
            expected=path.name,
            fix=f"bench run --out {path.parent}",
        )
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise AvatarBenchError(
            "E504",
            f"{path.name} is not in this release's format",
            where=path,
            expected=f"schema version {SCHEMA_VERSION}",
            got=first,
        ) from error


def _schema() -> pa.Schema:
    import pyarrow as pa

    integers = {"seed": pa.int64(), "n_valid": pa.int32(), "n_total": pa.int32()}
    kinds = {"privileged": pa.bool_(), "value": pa.float64()} | integers
    fields = [
        pa.field(
            name, kinds.get(name, pa.string()), nullable=name in ("value", "reason", "prediction_sha256")
        )
        for name in SampleRow.model_fields
    ]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})


def write_samples(path: Path, rows: Sequence[SampleRow]) -> None:
    """Write `samples.parquet`: rows sorted by method, sample and metric, and fixed writer settings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = sorted(rows, key=lambda row: (row.method_id, row.sample_id, row.metric_id))
    table = pa.Table.from_pylist([row.model_dump() for row in ordered], schema=_schema())
    with atomic_write(path) as temporary:
        pq.write_table(
            table, temporary, version="2.6", compression="zstd", compression_level=3, row_group_size=65_536
        )


def read_samples(path: Path) -> list[SampleRow]:
    """Read `samples.parquet`; E504 where it is absent or of another format."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise AvatarBenchError(
            "E504",
            "the run has no scores yet",
            where=path.parent,
            expected=path.name,
            fix=f"bench score {path.parent}",
        )
    try:
        return [SampleRow.model_validate(row) for row in pq.read_table(path).to_pylist()]
    except (pa.ArrowInvalid, ValidationError) as error:
        raise AvatarBenchError(
            "E504",
            f"{path.name} is not in this release's format",
            where=path,
            expected=f"schema version {SCHEMA_VERSION}",
            got=str(error).splitlines()[0],
        ) from error
