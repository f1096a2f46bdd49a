"""How well metrics separate each pair of a ladder's rungs: `python -m benchmark.rung_separation RUN [RUN...]`.

`bench ladder` judges the pairs that a metric declares; this prints all of them, as Markdown with one table a metric,
so that what a metric cannot tell is seen as well. Of several runs, such as made people and filmed ones, a cell has one
value each. A run is the folder of `bench ladder`: nothing is measured again.

For a metric of clips a cell is the AUC over all pairs of clips that have a value on both rungs. A set has one value,
which says nothing about chance. So each clip is cut into `PARTS` stretches, and half of all stretches are drawn without
replacement, many times, from the truth and from each rung alike; the AUC is over these draws. Drawing with replacement
would repeat rows, which moves Frechet distances up.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmark.features import TRUTH, read_features
from benchmark.ladder import RUNGS, separation
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.protocol import load_protocol
from benchmark.results import PLAN, RESULT, SAMPLES, RunPlan, RunResult, read_model, read_samples

__all__ = ["RungValues", "draw_values", "main", "markdown_table", "rung_values", "separate"]

PARTS = 3
DRAWS = 200

Features = Mapping[str, np.ndarray]
"""[n, d] by sample id."""


@dataclass(frozen=True, slots=True)
class RungValues:
    """What one metric says of the rungs of one run."""

    values: Mapping[str, float | None]
    """The value of each rung; None where there is none."""
    draws: Mapping[str, Mapping[str, float]]
    """By rung, of clips by sample id, or of random halves of the set by their number."""


def separate(direction: str, better: Mapping[str, float], worse: Mapping[str, float]) -> float | None:
    """AUC of the first rung being the better one, on the clips (or draws) that both have; None without any."""
    names = sorted(better.keys() & worse.keys())
    sign = -1.0 if direction == "lower" else 1.0
    if not names:
        return None
    return separation([sign * better[name] for name in names], [sign * worse[name] for name in names])


def draw_values(
    metric: SetMetric, truth: Features, rungs: Mapping[str, Features], draws: int = DRAWS, seed: int = 0
) -> dict[str, np.ndarray]:
    """Values of the metric on random halves, [draws] by rung.

    Args:
        metric: The metric.
        truth: Features of the true videos.
        rungs: By rung, of the same samples, each with as many features as the truth.
        draws: Number of halves of each rung; each rung has draws of its own.
        seed: Of the draws.
    """
    names = sorted(truth)
    cells = list(itertools.product(names, range(PARTS)))

    def rows(features: Features, chosen: Sequence[int]) -> np.ndarray:
        parts = {name: np.array_split(features[name], PARTS) for name in names}
        return np.concatenate([parts[cells[index][0]][cells[index][1]] for index in chosen])

    random = np.random.default_rng(seed)
    values = {}
    for rung, features in rungs.items():
        halves = [random.permutation(len(cells))[: (len(cells) + 1) // 2] for _ in range(draws)]
        pairs = ((rows(features, half.tolist()), rows(truth, half.tolist())) for half in halves)
        values[rung] = np.array([metric.distance(*pair) for pair in pairs])
    return values


def rung_values(run: Path, metric_ids: Sequence[str]) -> dict[str, RungValues]:
    """Values of a run of the rungs, by metric.

    Raises:
        AvatarBenchError: E504 where the folder is no scored run.
    """
    result = read_model(run / RESULT, RunResult)
    rows = read_samples(run / SAMPLES)
    found = {}
    for metric_id in metric_ids:
        values = {
            method.id: summary.value
            for method in result.methods
            for summary in method.metrics
            if summary.metric_id == metric_id and method.id in RUNGS
        }
        metric = METRICS[metric_id]
        if isinstance(metric, SetMetric):
            truth = read_features(run, metric_id, TRUTH)
            whole = {rung: read_features(run, metric_id, rung) for rung in values}
            whole = {rung: arrays for rung, arrays in whole.items() if arrays.keys() == truth.keys()}
            drawn = draw_values(metric, truth, whole)
            draws = {rung: {str(n): float(v) for n, v in enumerate(drawn[rung])} for rung in drawn}
        else:
            draws = {
                rung: {
                    row.sample_id: row.value
                    for row in rows
                    if (row.metric_id, row.method_id) == (metric_id, rung) and row.value is not None
                }
                for rung in values
            }
        found[metric_id] = RungValues(values, draws)
    return found


def markdown_table(metric: Metric | SetMetric, runs: Sequence[RungValues]) -> str:
    """Value of each rung, and the AUC of the row's rung being better than the column's; one entry a run."""
    header = [metric.column, "value", *(f"`{rung}`" for rung in RUNGS[1:])]
    lines = [header, ["---"] * len(header)]
    for place, better in enumerate(RUNGS[:-1]):
        value = " / ".join(_number(run.values.get(better), "{:.3g}") for run in runs)
        cells = [
            " / ".join(
                _number(
                    separate(metric.direction, run.draws.get(better, {}), run.draws.get(worse, {})), "{:.2f}"
                )
                for run in runs
            )
            for worse in RUNGS[place + 1 :]
        ]
        lines.append([f"`{better}`", value, *[""] * place, *cells])
    value = " / ".join(_number(run.values.get(RUNGS[-1]), "{:.3g}") for run in runs)
    lines.append([f"`{RUNGS[-1]}`", value, *[""] * (len(RUNGS) - 1)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read runs of the rungs, and print one table a metric."""
    parser = argparse.ArgumentParser(description="separation of each pair of the ladder's rungs")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of bench ladder")
    parser.add_argument("--metric", action="append", help="default: the stand-ins of the run's protocol")
    options = parser.parse_args(arguments)
    protocol = load_protocol(read_model(options.runs[0] / PLAN, RunPlan).protocol_id)
    chosen = options.metric or [rule.id for rule in protocol.metrics if rule.stands_in_for]
    found = [rung_values(run, chosen) for run in options.runs]
    console = Console(highlight=False, soft_wrap=True)
    for metric_id in chosen:
        console.print(markdown_table(METRICS[metric_id], [one[metric_id] for one in found]), markup=False)
        console.print()


def _number(value: float | None, form: str) -> str:
    return "none" if value is None else form.format(value)


if __name__ == "__main__":
    main()
