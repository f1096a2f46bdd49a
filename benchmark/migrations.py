"""From older formats to today's, one step a version, so that a stored result stays readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmark.schema import RunResult
from media.errors import AvatarBenchError

__all__ = ["migrate", "result_from_1_to_2"]


def result_from_1_to_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 knows set metrics and intervals. Version 1 had neither, so nothing is made up for it."""
    methods = []
    for method in data["methods"]:
        metrics = [metric | {"kind": "sample", "interval": None} for metric in method["metrics"]]
        methods.append(method | {"metrics": metrics})
    return data | {"schema_version": 2, "methods": methods, "features_sha256": {}}


_STEPS: dict[tuple[type[BaseModel], int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    (RunResult, 1): result_from_1_to_2,
}


def migrate(data: object, kind: type[BaseModel], where: Path) -> dict[str, Any]:
    """Bring the data of a file to the version that this release writes.

    Args:
        data: What the file holds.
        kind: The model that it is of, with a field `schema_version`.
        where: The file, for the message.

    Raises:
        AvatarBenchError: E504 for a version that this release does not know.
    """
    current: int = kind.model_fields["schema_version"].default
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(version, int) or not 1 <= version <= current:
        raise AvatarBenchError(
            "E504",
            f"{where.name} is no file of a run, or was written by a newer release",
            where=where,
            expected=f"schema version 1 to {current}" if current > 1 else "schema version 1",
            got=f"schema version {version}",
            fix="use the release that wrote it, or a newer one",
        )
    for step in range(version, current):
        data = _STEPS[kind, step](data)
    return data
