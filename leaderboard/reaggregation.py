"""Aggregates of an entry computed again from its rows and features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.aggregate import aggregate
from benchmark.features import FeatureFile
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.protocol import Protocol
from benchmark.schema import RunResult, SampleRow
from leaderboard.schema import SAMPLES, Entry
from media.errors import AvatarBenchError

__all__ = ["check_aggregate"]

EQUAL = 1e-9
"""Aggregates computed again may differ by this, absolutely or relatively."""


def check_aggregate(
    entry: Entry,
    protocol: Protocol,
    metrics: Sequence[Metric | SetMetric],
    rows: Sequence[SampleRow],
    features: dict[tuple[str, str], FeatureFile],
    folder: Path,
) -> None:
    """Compute the entry's result again, and compare each number of it.

    Args:
        entry: The entry.
        protocol: Its protocol.
        metrics: The protocol's metrics.
        rows: Its rows, one a clip and metric.
        features: Its features, by set metric and method or truth.
        folder: Its folder, for the message.

    Raises:
        AvatarBenchError: E806 for the first number that does not follow, E810 where the features give none.
    """
    plan = entry.plan.model_copy(
        update={"methods": tuple(info for info in entry.plan.methods if info.id == entry.method)}
    )
    try:
        again = aggregate(plan, protocol, metrics, rows, entry.files[SAMPLES], features)
    except AvatarBenchError as error:
        raise AvatarBenchError(
            "E810", error.what, where=folder, expected=error.expected, got=error.got
        ) from error
    except (ValueError, LookupError, ArithmeticError, MemoryError, np.linalg.LinAlgError) as error:
        raise AvatarBenchError(
            "E810",
            "the features have no distance",
            where=folder,
            got=f"{type(error).__name__}: {error}".splitlines()[0],
        ) from error
    different = _first_difference(entry.result, again)
    if different is not None:
        name, submitted, computed = different
        raise AvatarBenchError(
            "E806",
            f"{name} does not follow from rows and features",
            where=folder,
            expected=str(computed),
            got=str(submitted),
        )


def _first_difference(submitted: RunResult, again: RunResult) -> tuple[str, object, object] | None:
    """Path and both values of the first field that is not the same, floats to `EQUAL`."""
    metrics = [summary.metric_id for summary in again.methods[0].metrics]

    def compare(path: tuple[str | int, ...], one: object, two: object) -> tuple[str, object, object] | None:
        if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
            children = [(key, one[key], two[key]) for key in one]
        elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
            children = [(index, *both) for index, both in enumerate(zip(one, two, strict=True))]
        else:
            if isinstance(one, float) and isinstance(two, float):
                same = math.isclose(one, two, rel_tol=EQUAL, abs_tol=EQUAL)
            else:
                same = one == two
            return None if same else (_spell(path, metrics), one, two)
        return next(
            (
                found
                for key, first, second in children
                if (found := compare((*path, key), first, second)) is not None
            ),
            None,
        )

    return compare((), submitted.model_dump(mode="json"), again.model_dump(mode="json"))


def _spell(path: tuple[str | int, ...], metrics: Sequence[str]) -> str:
    """`methods.0.metrics.2.value` as `value of hkc_mp_handedness`."""
    if len(path) > 4 and path[2] == "metrics" and isinstance(path[3], int):
        return f"{'.'.join(map(str, path[4:]))} of {metrics[path[3]]}"
    return ".".join(map(str, path))
