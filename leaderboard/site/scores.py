"""The values of an entry's clips, read for ranks and breakdowns: columns of a file that nobody need trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from benchmark.hashing import sha256_file
from leaderboard.entries import LoadedEntry
from leaderboard.schema import SAMPLES
from media.errors import AvatarBenchError

__all__ = ["Scores", "read_scores"]

_MAX_BYTES = 256 << 20
"""Of the needed columns when unpacked."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Values of the clips of one entry."""

    values: Mapping[str, Mapping[str, Mapping[str, float]]]
    """By metric, person and clip; clips without a value are absent."""

    def person_means(self, metric_id: str) -> dict[str, float]:
        """Mean over each person's clips."""
        people = self.values.get(metric_id, {})
        return {person: fsum(clips.values()) / len(clips) for person, clips in people.items()}


def read_scores(loaded: LoadedEntry) -> Scores:
    """Read `samples.parquet` of an entry.

    Raises:
        AvatarBenchError: E804 when the file is not the one that `entry.json` names, E802 when it holds more than
            the entry's plan allows, E803 when it is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = loaded.folder / SAMPLES
    if path.is_symlink() or not path.is_file() or sha256_file(path) != loaded.entry.files.get(SAMPLES):
        raise AvatarBenchError(
            "E804", "the rows are not those that were packed", where=path, expected="the SHA-256 in entry.json"
        )
    most = len(loaded.entry.plan.sample_ids) * len(loaded.method.metrics)
    names = ["metric_id", "identity_id", "sample_id", "status", "value"]
    try:
        with pq.ParquetFile(path) as file:
            facts = file.metadata
            size = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
            if facts.num_rows > most or size > _MAX_BYTES:
                raise AvatarBenchError(
                    "E802", "the file is too large", where=path, expected=f"at most {most} rows",
                    got=f"{facts.num_rows} rows, {size} bytes",
                )  # fmt: skip
            columns = [file.read(columns=names).column(name).to_pylist() for name in names]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise AvatarBenchError("E803", "the rows cannot be read", where=path, got=str(error)) from error
    values: dict[str, dict[str, dict[str, float]]] = {}
    for metric, person, clip, status, value in zip(*columns, strict=True):
        if status == "ok" and value is not None:
            values.setdefault(metric, {}).setdefault(person, {})[clip] = value
    return Scores(values)
