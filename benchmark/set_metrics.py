"""Values, intervals and tests of set metrics: features gathered by identity, and identities left out or exchanged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmark.metrics.definition import GroupDistance, SetMetric
from benchmark.statistics import Bounds, jackknife_interval, swap_test
from media.errors import AvatarBenchError

__all__ = [
    "ByIdentity",
    "SetDifference",
    "SetValue",
    "by_identity",
    "compare_sets",
    "require_same_n",
    "set_value",
]

ByIdentity = Mapping[str, np.ndarray]
"""[n, d] features by identity; identities without any are left out."""

_MIN_FEATURES = 2
"""A covariance, or a mean over pairs, needs so many."""


class SetValue(NamedTuple):
    """A set metric of one method."""

    value: float
    interval: Bounds | None
    """None where there are too few identities to leave one out."""


class SetDifference(NamedTuple):
    """A set metric of two methods beside each other."""

    value_a: float
    value_b: float
    interval: Bounds | None
    """Of A minus B; None where there are too few identities to leave one out."""
    test: Callable[[], float]
    """Gives p by exchanging features within identities; two distances for each of up to 500 patterns."""


def by_identity(samples: Mapping[str, np.ndarray], identity_of: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Join the features of a person's clips, in the order of the clips' names.

    Args:
        samples: [n, d] by sample id.
        identity_of: Identity by sample id.
    """
    joined: dict[str, list[np.ndarray]] = defaultdict(list)
    for sample_id, features in sorted(samples.items()):
        joined[identity_of[sample_id]].append(features)
    merged = {identity: np.concatenate(parts) for identity, parts in sorted(joined.items())}
    return {identity: features for identity, features in merged.items() if len(features)}


def set_value(metric: SetMetric, method: ByIdentity, truth: ByIdentity) -> SetValue | None:
    """The metric of all features, and its interval by leaving out one identity at a time.

    An identity is left out of the generated and of the true features: a person who had not been filmed would be
    missing in both.

    Returns:
        None where method or truth have fewer than two features.
    """
    if _n(method) < _MIN_FEATURES or _n(truth) < _MIN_FEATURES:
        return None
    people = list(method)
    distance = _group_distance(metric, [*method.values(), *truth.values()])
    own = {person: index for index, person in enumerate(people)}
    true = {person: len(people) + index for index, person in enumerate(truth)}

    def without(person: str | None) -> float:
        return distance([own[p] for p in own if p != person], [true[p] for p in true if p != person])

    value = without(None)
    if not all(_can_leave_out(person, method, truth) for person in people):
        return SetValue(value, None)
    left_out = [without(person) for person in people]
    return SetValue(value, jackknife_interval(value, left_out, [len(method[p]) for p in people]))


def compare_sets(metric: SetMetric, a: ByIdentity, b: ByIdentity, truth: ByIdentity) -> SetDifference:
    """Two methods' values, the interval of their difference, and the test of it.

    Args:
        metric: The set metric.
        a: Features of method A.
        b: Features of method B, as many of each identity as A has (see `require_same_n`).
        truth: Features of the true videos.
    """
    people = list(a)
    n = len(people)
    distance = _group_distance(metric, [*a.values(), *(b[person] for person in people), *truth.values()])
    true = {person: 2 * n + index for index, person in enumerate(truth)}
    numbers = np.arange(n)

    def pair(swapped: np.ndarray, kept: np.ndarray, person: str | None = None) -> tuple[float, float]:
        reference = [true[p] for p in true if p != person]
        first = np.where(swapped, n + numbers, numbers)[kept]
        second = np.where(swapped, numbers, n + numbers)[kept]
        return distance(first.tolist(), reference), distance(second.tolist(), reference)

    nobody, everybody = np.zeros(n, bool), np.ones(n, bool)

    def difference(swapped: np.ndarray) -> float:
        value_a, value_b = pair(swapped, everybody)
        return value_a - value_b

    value_a, value_b = pair(nobody, everybody)
    interval = None
    if all(_can_leave_out(person, a, truth) for person in people):
        left_out = [np.subtract(*pair(nobody, numbers != i, person)) for i, person in enumerate(people)]
        interval = jackknife_interval(value_a - value_b, left_out, [len(a[person]) for person in people])
    return SetDifference(value_a, value_b, interval, lambda: swap_test(difference, n))


def require_same_n(metric: SetMetric, a: ByIdentity, b: ByIdentity, names: tuple[str, str]) -> None:
    """Refuse to compare distances of clouds of different size; the expected distance depends on the size.

    Features are exchanged within identities, so each identity must have as many of A as of B.

    Raises:
        AvatarBenchError: E505, with both numbers and the first identity in which they differ.
    """
    for person in sorted({*a, *b}):
        n_a, n_b = (len(side[person]) if person in side else 0 for side in (a, b))
        if n_a != n_b:
            raise AvatarBenchError(
                "E505",
                f"{metric.column} of different numbers of features cannot be compared"
                + (": its expected value falls as the number grows" if metric.depends_on_n else ""),
                expected=f"the same number of each identity; {names[0]} has {_n(a)} in all, {n_a} of {person}",
                got=f"{names[1]} has {_n(b)} in all, {n_b} of {person}",
                fix="make the predictions that are missing: bench run, with the same options as before",
            )


def _n(features: ByIdentity) -> int:
    return sum(len(rows) for rows in features.values())


def _can_leave_out(person: str, method: ByIdentity, truth: ByIdentity) -> bool:
    left = [_n(side) - (len(side[person]) if person in side else 0) for side in (method, truth)]
    return min(left) >= _MIN_FEATURES


def _group_distance(metric: SetMetric, groups: Sequence[np.ndarray]) -> GroupDistance:
    if metric.groups is not None:
        return metric.groups(groups)

    def union(chosen: Sequence[int]) -> np.ndarray:
        return np.concatenate([groups[index] for index in chosen])

    return lambda first, second: metric.distance(union(first), union(second))
