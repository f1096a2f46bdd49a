"""Efficiency of methods by one rule, from `timings.json`; never part of `result.json`.

The rule: the real-time factor is seconds of generation over seconds of video, both of one sample, and a method's
figure is the median over its samples. The first sample of the plan stands apart, because it pays for loading and
compiling. Preparation is counted by person: the longest of the person's samples, because a cached folder takes no
time on the next one; the figure is the median over persons. Loading data, checking and scoring are not counted.
Figures compare only between runs on the same idle hardware (`environment.json` names it), made without `--shards`:
jobs that share a machine slow each other down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmark.schema import RunPlan
from media.errors import AvatarBenchError
from media.video import probe

__all__ = ["Efficiency", "efficiency", "sample_durations"]


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How fast one method was in one run. None is "not measured"."""

    method_id: str
    real_time_factor: float | None
    """Median seconds of generation a second of video over all samples but the first; below 1 is real time."""
    first_real_time_factor: float | None
    """The same of the first sample."""
    prepare_s: float | None
    """Median over persons of the seconds of per-person work; near 0 where it came from the cache."""
    n_samples: int
    """Samples in the median."""


def efficiency(
    timings: Mapping[str, Mapping[str, float]],
    plan: RunPlan,
    durations_s: Mapping[str, float],
    identity_of: Mapping[str, str],
) -> list[Efficiency]:
    """The figures of each method of a run, in the plan's order.

    Args:
        timings: Content of `timings.json`: seconds by stage, by `predict <method> <sample>`.
        plan: The run's plan.
        durations_s: Seconds of video by sample id.
        identity_of: Identity by sample id.
    """
    figures = []
    for method in plan.methods:
        factors: dict[str, float] = {}
        prepare: dict[str, list[float]] = defaultdict(list)
        for sample_id in plan.sample_ids:
            stages = timings.get(f"predict {method.id} {sample_id}", {})
            if "generate" in stages and sample_id in durations_s:
                factors[sample_id] = stages["generate"] / durations_s[sample_id]
            if "prepare" in stages and method.preparation is not None:
                prepare[identity_of[sample_id]].append(stages["prepare"])
        first = factors.pop(plan.sample_ids[0], None)
        figures.append(
            Efficiency(
                method_id=method.id,
                real_time_factor=median(factors.values()) if factors else None,
                first_real_time_factor=first,
                prepare_s=median(max(seconds) for seconds in prepare.values()) if prepare else None,
                n_samples=len(factors),
            )
        )
    return figures


def sample_durations(run: Path, plan: RunPlan) -> dict[str, float]:
    """Seconds of video by sample, read from the predictions: all of a sample have the asked length.

    A sample of which no method has a prediction is left out.
    """
    durations = {}
    for sample_id in plan.sample_ids:
        for method in plan.methods:
            path = run / "predictions" / method.id / f"{sample_id}.mp4"
            try:
                info = probe(path)
            except AvatarBenchError:  # this method failed on the sample
                continue
            durations[sample_id] = info.n_frames / info.fps
            break
    return durations
