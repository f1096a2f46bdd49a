"""The sanity ladder of a protocol whose weights are missing: what can be judged, and what random weights cannot prove.

Metrics whose weights stand here are measured with them. The others are computed with random weights in memory, named
as such, and forgotten: no result is written, and no order of theirs counts as seen or violated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from benchmark.aggregate import aggregate
from benchmark.extractors import Networks, weights_of
from benchmark.features import FeatureFile
from benchmark.ladder import RUNGS, Ladder, choose_metrics, judge
from benchmark.metrics.catalogue import metrics_of
from benchmark.plan import Progress, Run, RunOptions, open_run
from benchmark.protocol import load_protocol
from benchmark.random_weights import missing_weights, random_weights
from benchmark.registry import find_method
from benchmark.runner import score_tasks
from benchmark.schema import SampleRow
from benchmark.scorer import score_samples
from benchmark.stages import Work, predict_stage

__all__ = ["calibration", "run_random_ladder"]

_CALIBRATION_FRAMES = 64


def run_random_ladder(options: RunOptions, metric_ids: Sequence[str], progress: Progress) -> Ladder:
    """Make the rungs' predictions, and judge the metrics with random weights where the published ones are missing.

    Args:
        options: The run; its methods are replaced by the rungs. Only predictions stay in its folder.
        metric_ids: Metrics to judge; none means all of the protocol. Only these are measured.
        progress: Told of each step.

    Raises:
        AvatarBenchError: see `run_ladder`; E603 without a checkout.
    """
    metrics = choose_metrics(metrics_of(load_protocol(options.protocol)), metric_ids)
    specs = tuple(find_method(name) for name in RUNGS)
    folder = predict_stage(replace(options, methods=specs), Work(workers=None), progress).folder
    run = open_run(folder, options.dataset, progress)
    needed = {weight: None for metric in metrics for weight in weights_of(metric)}
    missing = missing_weights(tuple(needed))
    frames, samples = calibration(run)
    rows: list[SampleRow] = []
    features: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    with random_weights(missing, frames, samples), Networks() as networks:
        tasks = score_tasks(run)
        scores = score_samples(folder, run.plan, tasks, metrics, networks, lambda line: progress(line, 0, 0))
        for done, score in enumerate(scores, start=1):
            rows += score.rows
            for key, array in score.features.items():
                features.setdefault(key, {})[score.sample_id] = array
            progress(f"score {score.sample_id}", done, len(tasks))
    files = {key: FeatureFile("", arrays) for key, arrays in features.items()}
    result = aggregate(run.plan, run.protocol, metrics, rows, "", files)
    lost = {(r.method_id, r.sample_id) for r in rows if r.status == "failed" and r.reason != "no_other_clip"}
    random = frozenset(metric.id for metric in metrics if set(weights_of(metric)) & set(missing))
    return Ladder(folder, result, metrics, tuple(judge(metrics, rows, result)), len(lost), random)


def calibration(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, H, W, 3] and sound [S] of the first sample, as `random_weights` wants them."""
    from benchmark.observations import SoundView

    first = run.samples[0]
    frames = np.stack(list(islice(first.truth.frames(), _CALIBRATION_FRAMES)))
    return frames, SoundView(first.sample.audio, first.audio_sha256).samples()
