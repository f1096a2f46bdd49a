"""Boards that nobody submitted: to time the site, to test it, and to look at it with more methods than there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from benchmark.aggregate import aggregate
from benchmark.environment import Environment, describe_environment
from benchmark.hashing import sha256_file, sha256_text
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.protocol import Protocol, load_protocol
from benchmark.results import write_model, write_samples
from benchmark.schema import DatasetInfo, Interval, MethodInfo, MetricSummary, RunPlan, SampleRow
from benchmark.statistics import LEVEL
from leaderboard.entries import digest_of
from leaderboard.schema import (
    ENTRIES,
    ENTRY,
    SAMPLES,
    VERIFICATIONS,
    Audit,
    Entry,
    PredictionHash,
    Speed,
    Submission,
    Verification,
    entry_id_of,
)

__all__ = ["make_board", "make_entry"]

_PEOPLE, _CLIPS = 12, 2
_HAIR = ("short", "long", "none")
Clips = Mapping[str, tuple[int, int]]
"""Person and clip of a sample id."""


def make_board(folder: Path, n_entries: int, protocol_id: str = "mini-v1") -> None:
    """Write a board of made-up entries: each method a little worse than the one before, with every badge in turn.

    Args:
        folder: Of the board; made if absent.
        n_entries: How many; each is another method.
        protocol_id: A protocol of this release.
    """
    rng = np.random.default_rng(0)
    people = rng.normal(size=_PEOPLE)
    for index in range(n_entries):
        merit = 2.0 * (1 - index / max(1, n_entries - 1)) + 0.15 * rng.normal()
        scores = merit + 0.5 * people[:, None] + 0.25 * rng.normal(size=(_PEOPLE, _CLIPS))
        submission = Submission(
            submitter=f"Lab {index % 17}",
            date=(date(2026, 1, 1) + timedelta(index % 300)).isoformat(),
            test_data_seen=False,
            display_name=f"Method {index:04d}",
        )
        entry = make_entry(folder, f"method-{index:04d}", scores, submission, protocol_id=protocol_id)
        _verify(folder, entry, index)


def make_entry(
    board: Path,
    name: str,
    scores: np.ndarray,
    submission: Submission,
    *,
    protocol_id: str = "mini-v1",
    version: str = "1.0",
    privileged: bool = False,
    missing: int = 0,
) -> Path:
    """Write one made-up entry. Metrics of a whole set have values, but no features that they follow from.

    Args:
        board: Folder of the board.
        name: Id of the method.
        scores: [people, clips] how good each clip is, about -3 to 3; every metric follows it.
        submission: Who submits.
        protocol_id: A protocol of this release.
        version: Of the method.
        privileged: Whether the method saw the truth.
        missing: Clips that failed.

    Returns:
        The entry's folder.
    """
    protocol = load_protocol(protocol_id)
    all_metrics = metrics_of(protocol)
    metrics = [metric for metric in all_metrics if isinstance(metric, Metric)]
    clips = {f"person{i:02d}-{j}": (i, j) for i in range(scores.shape[0]) for j in range(scores.shape[1])}
    method = MethodInfo(
        id=name,
        version=version,
        title=f"Made-up method {name}",
        licence="CC0-1.0",
        privileged=privileged,
        fingerprint=sha256_text(name),
        preparation=None,
    )
    plan = _plan(protocol, method, clips)
    rows = _rows(plan, metrics, clips, scores, missing)
    folder = board / ENTRIES / entry_id_of(name, version, plan.run_id)
    folder.mkdir(parents=True)
    write_samples(folder / SAMPLES, rows)
    samples_sha256 = sha256_file(folder / SAMPLES)
    result = aggregate(plan, protocol, metrics, rows, samples_sha256)
    of_samples = {summary.metric_id: summary for summary in result.methods[0].metrics}
    summaries = [of_samples.get(m.id) or _set_summary(m, scores) for m in all_metrics]
    complete = result.methods[0].model_copy(update={"metrics": tuple(summaries)})
    entry = Entry(
        entry_id=folder.name,
        submission=submission,
        plan=plan,
        result=result.model_copy(update={"methods": (complete,)}),
        predictions=tuple(
            PredictionHash(sample_id=row.sample_id, identity_id=row.identity_id, sha256=row.prediction_sha256)
            for row in rows
            if row.metric_id == metrics[0].id
        ),
        attributes={
            clip: {"age": 20 + 4 * i, "hair": _HAIR[i % 3], "language": "en"}
            for clip, (i, _) in clips.items()
        },
        environment=_here(),
        speed=Speed(real_time_factor=1.5, first_real_time_factor=2.0, prepare_s=30.0, n_samples=len(clips)),
        files={SAMPLES: samples_sha256},
    )
    write_model(folder / ENTRY, entry)
    return folder


def _plan(protocol: Protocol, method: MethodInfo, clips: Clips) -> RunPlan:
    return RunPlan(
        run_id=sha256_text(f"{method.id} {method.version} {protocol.id}")[:16],
        package_version="0.1.0",
        protocol_id=protocol.id,
        protocol_sha256=protocol.sha256,
        dataset=DatasetInfo(id="made", sha256=sha256_text("made"), n_clips=len(clips)),
        split=protocol.split,
        sample_ids=tuple(clips),
        methods=(method,),
        seed=0,
        device="cpu",
        notes=(),
    )


def _rows(
    plan: RunPlan, metrics: Sequence[Metric], clips: Clips, scores: np.ndarray, missing: int
) -> list[SampleRow]:
    failed = set(list(clips)[:missing])
    return [
        _row(plan, metric, clip, place[0], None if clip in failed else _value(metric, float(scores[place])))
        for clip, place in clips.items()
        for metric in metrics
    ]


def _row(plan: RunPlan, metric: Metric, clip: str, person: int, value: float | None) -> SampleRow:
    method = plan.methods[0]
    return SampleRow(
        run_id=plan.run_id,
        protocol_id=plan.protocol_id,
        protocol_sha256=plan.protocol_sha256,
        dataset_id=plan.dataset.id,
        dataset_sha256=plan.dataset.sha256,
        split=plan.split,
        method_id=method.id,
        method_version=method.version,
        privileged=method.privileged,
        identity_id=f"person{person:02d}",
        sample_id=clip,
        seed=plan.seed,
        metric_id=metric.id,
        metric_version=metric.version,
        unit=metric.unit,
        direction=metric.direction,
        value=value,
        status="failed" if value is None else "ok",
        reason="crash" if value is None else None,
        n_valid=0 if value is None else 100,
        n_total=100,
        prediction_sha256=None if value is None else sha256_text(f"{method.id} {clip}"),
    )


def _set_summary(metric: Metric | SetMetric, scores: np.ndarray) -> MetricSummary:
    n_people, n_samples = scores.shape[0], scores.size
    value = _value(metric, float(scores.mean()))
    half = abs(_value(metric, float(scores.mean() + scores.std() / np.sqrt(n_people))) - value)
    return MetricSummary(
        metric_id=metric.id,
        metric_version=metric.version,
        kind="set",
        unit=metric.unit,
        direction=metric.direction,
        value=value,
        reason=None,
        interval=Interval(
            low=value - half,
            high=value + half,
            level=LEVEL,
            method="jackknife_over_identities",
            n_identities=n_people,
        ),
        mean_over_clips=None,
        n_samples=n_samples,
        n_scored=n_samples,
        coverage=1.0,
        n_identities=n_people,
        n_valid=n_samples,
        n_total=n_samples,
    )


def _value(metric: Metric | SetMetric, score: float) -> float:
    """A possible value of a metric, better for a higher score."""
    sign = -1.0 if metric.direction == "lower" else 1.0
    share = 1 / (1 + np.exp(-sign * score))
    low = metric.low if np.isfinite(metric.low) else 0.0
    high = metric.high if np.isfinite(metric.high) else low + 40.0
    return float(low + share * (high - low))


def _verify(board: Path, folder: Path, index: int) -> None:
    """A verification that was never made, so that all badges are to be seen; every third entry has none."""
    badge = ("audited", "consistent", None)[index % 3]
    if badge is None:
        return
    audit = Audit(entropy="made up", share=0.25, n_samples=_PEOPLE * _CLIPS, samples=())
    found = Verification(
        entry_id=folder.name, date="2026-11-01", digest=digest_of(folder), badge=badge, findings=(), unchecked=(),
        audit=audit if badge == "audited" else None, package_version="0.1.0",
    )  # fmt: skip
    (board / VERIFICATIONS).mkdir(exist_ok=True)
    write_model(board / VERIFICATIONS / f"{folder.name}.json", found)


@cache
def _here() -> Environment:
    return Environment.model_validate(describe_environment())
