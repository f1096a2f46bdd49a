"""Reading and writing what a run leaves: JSON of strict models, and the rows of `samples.parquet`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.migrations import migrate
from benchmark.schema import (
    SCHEMA_VERSION,
    DatasetInfo,
    Interval,
    MethodInfo,
    MethodResult,
    MetricSummary,
    PredictionRecord,
    RunPlan,
    RunResult,
    SampleRow,
)
from media.errors import AvatarBenchError
from media.files import atomic_write

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "PLAN",
    "RESULT",
    "SAMPLES",
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
    "read_json",
    "read_model",
    "read_samples",
    "write_json",
    "write_model",
    "write_samples",
]

PLAN, SAMPLES, RESULT = "plan.json", "samples.parquet", "result.json"

_Model = TypeVar("_Model", bound=BaseModel)


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
    """Read what `write_model` wrote, by this release or an older one (see `benchmark.migrations`).

    Raises:
        AvatarBenchError: E504 when the folder is not a run, or the file is of another or a newer format.
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
        data = json.loads(path.read_text(encoding="utf-8"))
        return kind.model_validate(migrate(data, kind, path))
    except (ValueError, KeyError, TypeError) as error:  # no JSON, no UTF-8, or other fields than the model's
        raise AvatarBenchError(
            "E504",
            f"{path.name} is not in this release's format",
            where=path,
            expected=f"schema version {kind.model_fields['schema_version'].default}",
            got=_first_line(error),
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
        table = pq.read_table(path)
        version = (table.schema.metadata or {}).get(b"schema_version", b"none").decode()
        if version != str(SCHEMA_VERSION):
            raise ValueError(f"schema version {version}")
        return [SampleRow.model_validate(row) for row in table.to_pylist()]
    except (pa.ArrowInvalid, ValueError) as error:
        raise AvatarBenchError(
            "E504",
            f"{path.name} is not in this release's format",
            where=path,
            expected=f"schema version {SCHEMA_VERSION}",
            got=_first_line(error),
            fix=f"bench score {path.parent}",
        ) from error


def _first_line(error: Exception) -> str:
    """What went wrong; of a model's many complaints the first, with the field that it is about."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0]
