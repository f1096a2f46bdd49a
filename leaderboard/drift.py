"""The drift gate: the same bytes must give the same scores, whatever was changed in the code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric, SetMetric
from leaderboard.frozen import ExpectedValue, Frozen, Scored, expected_features
from leaderboard.limits import Limits

__all__ = ["DriftReport", "Moved", "compare_frozen"]

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Moved:
    """One thing that is not as it was frozen."""

    metric: str
    what: str
    """Method and sample."""
    expected: str
    got: str
    allowed: str


@dataclass(frozen=True, slots=True)
class MetricDrift:
    """One metric over all that was frozen."""

    metric: Metric | SetMetric
    n_compared: int
    """Values, and arrays of features, on both sides."""
    largest: float
    """Largest distance of a value, in the metric's unit."""
    allowed: float
    """Smallest allowance of any of its values."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What the gate has found."""

    frozen: Frozen
    metrics: tuple[MetricDrift, ...]
    moved: tuple[Moved, ...]
    problem: str | None
    """Why the comparison says nothing; None where it does."""

    @property
    def n_compared(self) -> int:
        """Values and arrays on both sides."""
        return sum(metric.n_compared for metric in self.metrics)

    @property
    def passed(self) -> bool:
        """Whether nothing has moved, and something was compared."""
        return not self.moved and self.problem is None

    @property
    def unguarded(self) -> tuple[str, ...]:
        """Metrics without a single value on the frozen clips."""
        return tuple(metric.metric.column for metric in self.metrics if not metric.n_compared)


def compare_frozen(frozen: Frozen, scored: Scored, limits: Limits) -> DriftReport:
    """Compare what was frozen with what scoring gives now; both must hold the same values, none more, none less."""
    metrics = metrics_of(frozen.protocol)
    expected = {_key(value): value for value in frozen.expected.values}
    found = {_key(value): value for value in scored.values}
    moved = [
        Moved(key[2], _place(key), "a value", "none", "-") for key in sorted(expected.keys() - found.keys())
    ]
    moved += [
        Moved(key[2], _place(key), "none", "a value", "-") for key in sorted(found.keys() - expected.keys())
    ]
    drifts = []
    for metric in metrics:
        n_compared, largest, allowed = 0, 0.0, np.inf
        for key in sorted(key for key in expected.keys() & found.keys() if key[2] == metric.id):
            before, now = expected[key], found[key]
            allowance = _allowance(metric, before, limits)
            moved += _compare(metric, key, before, now, allowance)
            if before.value is not None and now.value is not None:
                n_compared += 1
                largest, allowed = max(largest, abs(now.value - before.value)), min(allowed, allowance)
        if isinstance(metric, SetMetric):
            count, wrong = _compare_features(metric, frozen, scored, limits)
            n_compared += count
            moved += wrong
        drifts.append(MetricDrift(metric, n_compared, largest, float(allowed)))
    return DriftReport(frozen, tuple(drifts), tuple(moved), _problem(frozen, drifts))


def _problem(frozen: Frozen, drifts: list[MetricDrift]) -> str | None:
    if frozen.protocol.sha256 != frozen.expected.protocol_sha256:
        return (
            f"the protocol {frozen.protocol.id} has changed since the values were frozen "
            f"({frozen.expected.protocol_sha256[:12]}, now {frozen.protocol.sha256[:12]})"
        )
    if not any(drift.n_compared for drift in drifts):
        return "nothing was compared: no value stands on both sides"
    return None


def _compare(
    metric: Metric | SetMetric, key: _Key, before: ExpectedValue, now: ExpectedValue, allowed: float
) -> Iterator[Moved]:
    facts = [(v.metric_version, v.status, v.reason, v.n_total) for v in (before, now)]
    if facts[0] != facts[1] or (before.value is None) != (now.value is None):
        yield Moved(metric.id, _place(key), _facts(before), _facts(now), "the same")
    elif before.value is not None and now.value is not None and not abs(now.value - before.value) <= allowed:
        yield Moved(metric.id, _place(key), f"{before.value:.6g}", f"{now.value:.6g}", f"{allowed:.2g}")


def _compare_features(
    metric: SetMetric, frozen: Frozen, scored: Scored, limits: Limits
) -> tuple[int, list[Moved]]:
    moved: list[Moved] = []
    counts: Counter[str] = Counter()
    for (metric_id, owner), now in scored.features.items():
        if metric_id != metric.id:
            continue
        before = expected_features(frozen, metric_id, owner)
        for sample_id in sorted(before.keys() | now.keys()):
            one, two = before.get(sample_id), now.get(sample_id)
            place = f"features of {owner}, {sample_id}"
            if one is None or two is None or one.shape != two.shape:
                before_shape, shape = (str(None if a is None else a.shape) for a in (one, two))
                moved.append(Moved(metric.id, place, before_shape, shape, "the same"))
                continue
            counts[owner] += 1
            size = float(np.linalg.norm(one)) or 1.0
            distance = float(np.linalg.norm(two.astype(np.float64) - one)) / size
            if not distance <= limits.features_drift:
                moved.append(
                    Moved(metric.id, place, "distance 0", f"{distance:.2g}", f"{limits.features_drift:.2g}")
                )
    return counts.total(), moved


def _allowance(metric: Metric | SetMetric, before: ExpectedValue, limits: Limits) -> float:
    return 0.0 if before.value is None else limits.of(metric).drift.around(before.value)


def _key(value: ExpectedValue) -> _Key:
    return value.method, value.sample or "", value.metric


def _place(key: _Key) -> str:
    return f"{key[0]}, {key[1] or 'all clips'}"


def _facts(value: ExpectedValue) -> str:
    shown = "no value" if value.value is None else f"{value.value:.6g}"
    reason = f" ({value.reason})" if value.reason else ""
    return f"{shown}, {value.status}{reason}, of {value.n_total}, version {value.metric_version}"
