"""The values of an entry's clips, for ranks and breakdowns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from benchmark.hashing import sha256_file
from leaderboard.entries import LoadedEntry
from leaderboard.folders import read_rows
from leaderboard.schema import SAMPLES
from media.errors import AvatarBenchError

__all__ = ["Scores", "read_scores"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Values of the clips of one entry."""

    values: Mapping[str, Mapping[str, list[float]]]
    """By metric and person, one a clip; clips without a value are absent."""

    def person_means(self, metric_id: str) -> dict[str, float]:
        """Mean over each person's clips."""
        people = self.values.get(metric_id, {})
        return {person: fsum(clips) / len(clips) for person, clips in people.items()}


def read_scores(loaded: LoadedEntry) -> Scores:
    """Read `samples.parquet` of an entry.

    Raises:
        AvatarBenchError: E801 when it is a link or absent, E804 when it is not the file that `entry.json` names,
            and what `leaderboard.folders.read_rows` says.
    """
    path = loaded.folder / SAMPLES
    if path.is_symlink() or not path.is_file():
        raise AvatarBenchError("E801", "the entry has no rows, or they are no regular file", where=path)
    if sha256_file(path) != loaded.entry.files.get(SAMPLES):
        raise AvatarBenchError(
            "E804",
            "the rows are not those that were packed",
            where=path,
            expected="the SHA-256 in entry.json",
        )
    n_expected = len(loaded.entry.plan.sample_ids) * len(loaded.method.metrics)
    values: dict[str, dict[str, list[float]]] = {}
    for row in read_rows(loaded.folder, n_expected):
        if row.status == "ok" and row.value is not None:
            values.setdefault(row.metric_id, {}).setdefault(row.identity_id, []).append(row.value)
    return Scores(values)
