"""How large a loss must be for the quality gate to stop it: planted losses in simulated runs, through the gate itself.

`python -m leaderboard.gate_power` prints the table of docs/leaderboard.md.
"""

from __future__ import annotations

import bisect
from pathlib import Path

import numpy as np

from benchmark.aggregate import aggregate
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Metric
from benchmark.protocol import Protocol, load_protocol
from benchmark.run_files import RunFiles, Side
from benchmark.schema import DatasetInfo, MethodInfo, RunPlan, SampleRow
from leaderboard.limits import Limits, load_limits
from leaderboard.quality import MethodVerdict, compare_quality

__all__ = ["count_fires", "simulate", "simulated_metrics"]

_METHOD = MethodInfo(
    id="method", version="1", title="", licence="", privileged=False, fingerprint="", preparation=None
)


def simulated_metrics(n_metrics: int) -> list[Metric]:
    """Metrics of samples that have a direction, from the catalogue."""
    usable = [m for m in METRICS.values() if isinstance(m, Metric) and m.direction != "none"]
    if n_metrics > len(usable):
        raise ValueError(f"the catalogue has {len(usable)} such metrics, not {n_metrics}")
    return usable[:n_metrics]


def simulate(
    n_people: int, n_metrics: int, loss: float, seed: int, limits: Limits, noise: float | None = None
) -> MethodVerdict:
    """Judge a method whose first metric has become worse.

    Args:
        n_people: Persons, of one clip each.
        n_metrics: Metrics in the family.
        loss: Planted in the first metric, in standard deviations of the persons' differences.
        seed: Of the noise.
        limits: What a loss may be.
        noise: Standard deviation of the persons' differences, in the metrics' units; None is five times what a
            metric may lose, so that the test decides and not the limit.
    """
    rng = np.random.default_rng(seed)
    metrics = simulated_metrics(n_metrics)
    before = {}
    after = {}
    for index, metric in enumerate(metrics):
        sd = 5 * limits.of(metric).quality if noise is None else noise
        middle = 0.5 if metric.high == 1 else 20 * sd
        level = middle + sd * rng.normal(size=n_people)
        worse = (1 if metric.direction == "lower" else -1) * loss * sd * (index == 0)
        before[metric.id] = level
        after[metric.id] = level + sd * rng.normal(size=n_people) + worse
    return compare_quality(_side(before, metrics), _side(after, metrics), metrics, limits, lambda line: None)


def count_fires(
    n_people: int, n_metrics: int, loss: float, n_seeds: int, limits: Limits | None = None
) -> int:
    """Of so many simulated runs, how many the gate stops; arguments as `simulate`, no critical limits by default."""
    found = limits or _without_critical(load_limits())
    return sum(not simulate(n_people, n_metrics, loss, seed, found).passed for seed in range(n_seeds))


def _without_critical(limits: Limits) -> Limits:
    """Only significance decides; a critical limit would stop large losses, too."""
    rules = {
        name: type(rule).model_validate(rule.model_dump(exclude={"critical"}, exclude_none=True))
        for name, rule in limits.file.metrics.items()
    }
    return Limits(limits.file.model_copy(update={"metrics": rules}), limits.where)


def _side(values: dict[str, np.ndarray], metrics: list[Metric]) -> Side:
    """One method of a run in memory."""
    names = [f"p{person:03}" for person in range(len(next(iter(values.values()))))]
    protocol: Protocol = load_protocol("mini-v1")
    plan = RunPlan(
        run_id="simulated", package_version="", protocol_id="simulated", protocol_sha256="",
        dataset=DatasetInfo(id="simulated", sha256="", n_clips=len(names)), split="simulated",
        sample_ids=tuple(names), methods=(_METHOD,), seed=0, device="cpu", notes=(),
    )  # fmt: skip
    rows = [
        SampleRow(
            run_id=plan.run_id, protocol_id="simulated", protocol_sha256="", dataset_id="simulated",
            dataset_sha256="", split="simulated", method_id="method", method_version="1", privileged=False,
            identity_id=name, sample_id=name, seed=0, metric_id=metric.id, metric_version=metric.version,
            unit=metric.unit, direction=metric.direction, value=float(value), status="ok", reason=None,
            n_valid=1, n_total=1, prediction_sha256=None,
        )
        for metric in metrics
        for name, value in zip(names, values[metric.id], strict=True)
    ]  # fmt: skip
    result = aggregate(plan, protocol, metrics, rows, "")
    return Side(RunFiles(Path("simulated"), plan, result, rows), result.methods[0], "simulated")


def smallest_loss(n_people: int, n_metrics: int) -> float:
    """The smallest loss, in steps of 0.1 standard deviations, that fires in 95 of 100 seeds."""
    return bisect.bisect_left(range(41), 95, key=lambda t: count_fires(n_people, n_metrics, t / 10, 100)) / 10


def main() -> None:
    """Print, for each number of people and metrics, how often the gate fires without a loss, and from which on."""
    from rich.table import Table

    from benchmark.console import out

    table = Table("people", "metrics", "fires without a loss", "smallest loss that fires in 95 of 100")
    for n_people, n_metrics in ((12, 3), (12, 8), (16, 3), (16, 8)):
        quiet = count_fires(n_people, n_metrics, 0.0, 100)
        loss = smallest_loss(n_people, n_metrics)
        table.add_row(str(n_people), str(n_metrics), f"{quiet} of 100", f"{loss:.1f} sd")
    out.print(table)
    out.print("  sd: standard deviation of the persons' differences between both runs", style="dim")


if __name__ == "__main__":
    main()
