"""How well a metric of whole sets separates the rungs of a ladder: `python -m benchmark.set_separation RUN`.

A set has one value, which says nothing about chance. So each clip is cut into `PARTS` stretches, and half of all
stretches are drawn without replacement, many times, from the truth and from each rung alike. Two rungs are separated
when the values of their draws are: area under the ROC curve, as for metrics of clips. Drawing with replacement would
repeat rows, which moves Frechet distances up.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.extractors import Networks
from benchmark.features import TRUTH
from benchmark.ladder import RUNGS, separation
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import SetMetric
from benchmark.plan import open_run
from benchmark.runner import score_tasks
from benchmark.scorer import score_samples

__all__ = ["draw_values", "main"]

PARTS = 3
DRAWS = 200
METRIC_IDS = ("fd_random_frames", "kd_random_frames", "fd_random_windows_16f")

Features = Mapping[str, np.ndarray]
"""[n, d] by sample id."""


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the predictions of a run of the rungs, and print one table a metric."""
    parser = argparse.ArgumentParser(description="separation of the ladder's rungs by metrics of whole sets")
    parser.add_argument("run", type=Path, help="folder of a run of all rungs (bench ladder or bench predict)")
    parser.add_argument("--dataset", type=Path, help="the run's data set; default: the mini data set")
    parser.add_argument("--metric", action="append", choices=METRIC_IDS, help="default: all")
    options = parser.parse_args(arguments)
    chosen = [METRICS[metric_id] for metric_id in options.metric or METRIC_IDS]
    metrics = [metric for metric in chosen if isinstance(metric, SetMetric)]
    run = open_run(options.run, options.dataset, lambda *_: None)
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    console = Console()
    with Networks() as networks:
        scores = score_samples(run.folder, run.plan, score_tasks(run), metrics, networks, console.print)
        for score in track(scores, "observing", total=len(run.samples), transient=True):
            for key, features in score.features.items():
                found.setdefault(key, {})[score.sample_id] = features
    for metric in metrics:
        rungs = {rung: found[metric.id, rung] for rung in RUNGS}
        console.print(_table(metric, found[metric.id, TRUTH], rungs))


def _table(metric: SetMetric, truth: Features, rungs: Mapping[str, Features]) -> Table:
    """The value of each rung, and the separation of each pair: of the row's rung being the better one."""
    values = draw_values(metric, truth, rungs)
    sign = 1.0 if metric.direction == "higher" else -1.0
    joined = np.concatenate([truth[name] for name in sorted(truth)])
    title = f"{metric.id}: {len(joined)} features of {len(truth)} clips, AUC over {DRAWS} halves"
    table = Table("rung", "value", *rungs, title=title)
    for better, features in rungs.items():
        value = metric.distance(np.concatenate([features[name] for name in sorted(truth)]), joined)
        aucs = [
            "-" if better == worse else f"{separation(sign * values[better], sign * values[worse]):.2f}"
            for worse in rungs
        ]
        table.add_row(better, f"{value:.3g}", *aucs)
    return table


if __name__ == "__main__":
    main()
