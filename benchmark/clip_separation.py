"""How well a metric of clips separates each pair of a ladder's rungs: `python -m benchmark.clip_separation RUN`.

`bench ladder` judges the pairs that a metric declares; this prints all of them, so that what a metric cannot tell is
seen as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.extractors import Networks
from benchmark.ladder import RUNGS, separation
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Metric
from benchmark.plan import open_run
from benchmark.runner import score_tasks
from benchmark.scorer import score_samples

__all__ = ["main", "rung_table"]

Values = Mapping[str, Mapping[str, float]]
"""By rung and sample id, of the clips that have a value."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the predictions of a run of the rungs, and print one table a metric."""
    of_clips = sorted(name for name, metric in METRICS.items() if isinstance(metric, Metric))
    parser = argparse.ArgumentParser(description="separation of the ladder's rungs by metrics of clips")
    parser.add_argument("run", type=Path, help="folder of a run of all rungs (bench ladder or bench predict)")
    parser.add_argument("--dataset", type=Path, help="the run's data set; default: the mini data set")
    parser.add_argument("--metric", action="append", choices=of_clips, required=True)
    options = parser.parse_args(arguments)
    metrics = [metric for name in options.metric if isinstance(metric := METRICS[name], Metric)]
    run = open_run(options.run, options.dataset, lambda *_: None)
    values: dict[str, dict[str, dict[str, float]]] = {m.id: {rung: {} for rung in RUNGS} for m in metrics}
    console = Console()
    with Networks() as networks:
        scores = score_samples(run.folder, run.plan, score_tasks(run), metrics, networks, console.print)
        for score in track(scores, "measuring", total=len(run.samples), transient=True):
            for row in score.rows:
                if row.value is not None and row.method_id in RUNGS:
                    values[row.metric_id][row.method_id][row.sample_id] = row.value
    for metric in metrics:
        console.print(rung_table(metric, values[metric.id]))


def rung_table(metric: Metric, values: Values) -> Table:
    """Number of clips, mean and deviation of each rung, and what the row's rung has of each column's.

    A cell is the AUC of the row's rung being the better one over all pairs of clips, and the share of clips whose own
    value is better on it; both on the clips that have a value on both rungs.
    """
    sign = -1.0 if metric.direction == "lower" else 1.0
    table = Table("rung", "clips", "mean", "sd", *values, title=f"{metric.id}: AUC / share of clips")
    for better, found in values.items():
        numbers = np.array(list(found.values()))
        cells = ["-" if better == worse else _cell(sign, found, others) for worse, others in values.items()]
        mean, deviation = (f"{numbers.mean():.3f}", f"{numbers.std():.3f}") if numbers.size else ("none", "")
        table.add_row(better, str(numbers.size), mean, deviation, *cells)
    return table


def _cell(sign: float, better: Mapping[str, float], worse: Mapping[str, float]) -> str:
    names = sorted(better.keys() & worse.keys())
    if not names:
        return "none"
    high, low = ([sign * found[name] for name in names] for found in (better, worse))
    share = sum(one > other for one, other in zip(high, low, strict=True)) / len(names)
    return f"{separation(high, low):.2f} / {share:.2f}"


if __name__ == "__main__":
    main()
