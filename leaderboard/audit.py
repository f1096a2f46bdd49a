"""An audit: a random share of an entry's samples, measured again from its predictions.

The draw is the order of SHA-256(entropy / digest / sample). The digest covers every row and the hash of every
prediction, and the entropy is drawn after it, so that nobody knows while packing which samples will be looked at.
"""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.cache import make_folder
from benchmark.checking import Rejected, check_video
from benchmark.extractors import Networks
from benchmark.features import TRUTH
from benchmark.hashing import sha256_file, sha256_text
from benchmark.inputs import make_inputs
from benchmark.manifest import Dataset
from benchmark.metrics.definition import SetMetric
from benchmark.plan import Progress
from benchmark.predictions import video_path
from benchmark.schema import PredictionRecord
from benchmark.scorer import SampleScore, ScoreTask, score_samples
from leaderboard.consistency import Checked
from leaderboard.folders import MAX_VIDEO_BYTES
from leaderboard.limits import Limits
from leaderboard.schema import Audit, AuditedSample, Difference
from media.errors import AvatarBenchError

__all__ = [
    "DEFAULT_SHARE",
    "AuditOptions",
    "audit_entry",
    "detection_probability",
    "draw",
    "n_drawn",
    "new_entropy",
]

DEFAULT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """How an audit is made."""

    predictions: Path
    """A run's folder, its `predictions` folder, or a folder of videos."""
    share: float = DEFAULT_SHARE
    entropy: str | None = None
    """None draws it now."""


def new_entropy() -> str:
    """128 bits from the system's source of randomness."""
    return secrets.token_hex(16)


def n_drawn(n_samples: int, share: float) -> int:
    """Samples that an audit looks at: the share rounded up, at least one."""
    return min(n_samples, max(1, math.ceil(share * n_samples - 1e-9)))


def draw(sample_ids: Sequence[str], digest: str, entropy: str, share: float) -> tuple[str, ...]:
    """The samples to audit, sorted.

    Args:
        sample_ids: Samples with a prediction.
        digest: Of the entry.
        entropy: Any text that was fixed after the digest was.
        share: Of the samples, rounded up.
    """
    order = sorted(sample_ids, key=lambda sample_id: sha256_text(f"{entropy}/{digest}/{sample_id}"))
    return tuple(sorted(order[: n_drawn(len(order), share)]))


def detection_probability(n_samples: int, n_audited: int, n_edited: int = 1) -> float:
    """Probability that at least one of `n_edited` edited samples is among the audited ones.

    1 - C(n - e, k) / C(n, k); for one edited sample k / n.
    """
    return 1 - math.comb(n_samples - n_edited, n_audited) / math.comb(n_samples, n_audited)


def audit_entry(
    checked: Checked, digest: str, dataset: Dataset, options: AuditOptions, limits: Limits, progress: Progress
) -> tuple[Audit, list[AvatarBenchError]]:
    """Compare the hashes of all predictions, and measure a random share of them again.

    Args:
        checked: An entry that is consistent.
        digest: Of the entry.
        dataset: Its data set, with its media.
        options: Where the predictions are and how many are measured.
        limits: How far a value may be off.
        progress: Told of each step.

    Returns:
        What was measured, and what is wrong: E811 for files, E812 for values.

    Raises:
        AvatarBenchError: E811 when there are no predictions at all; E402 when the data set lacks a clip; what
            would meet every sample (E502, E601, E602, E603).
    """
    entry = checked.entry
    hashes = {p.sample_id: p.sha256 for p in entry.predictions if p.sha256 is not None}
    if not hashes:
        raise AvatarBenchError("E811", "the entry has no predictions to audit", where=checked.folder)
    folder = _predictions_folder(options.predictions, entry.method)
    problems = []
    for done, (sample_id, expected) in enumerate(hashes.items()):
        progress(f"hash {sample_id}", done, len(hashes))
        problem = _wrong_file(folder / f"{sample_id}.mp4", expected)
        problems += [problem] if problem is not None else []
    entropy = options.entropy or new_entropy()
    if problems:
        return Audit(entropy=entropy, share=options.share, n_samples=len(hashes), samples=()), problems
    chosen = draw(list(hashes), digest, entropy, options.share)
    samples, problems = _measure(checked, dataset, folder, chosen, limits, progress)
    return Audit(entropy=entropy, share=options.share, n_samples=len(hashes), samples=samples), problems


def _predictions_folder(given: Path, method: str) -> Path:
    for folder in (given / "predictions" / method, given / method, given):
        if folder.is_dir() and not folder.is_symlink():
            return folder
    raise AvatarBenchError(
        "E811", "the folder of the predictions is missing", where=given, expected=f"{method}/<sample>.mp4"
    )


def _wrong_file(path: Path, expected: str) -> AvatarBenchError | None:
    """Why a prediction cannot be the one that was submitted."""
    if path.is_symlink() or not path.is_file():
        return AvatarBenchError("E811", "a prediction is missing, or is no regular file", where=path)
    if path.stat().st_size > MAX_VIDEO_BYTES:
        return AvatarBenchError(
            "E811", "a prediction is too large", where=path, expected=f"at most {MAX_VIDEO_BYTES} bytes"
        )
    got = sha256_file(path)
    if got != expected:
        return AvatarBenchError(
            "E811",
            "a prediction is not the one that was submitted",
            where=path,
            expected=f"sha256 {expected}",
            got=f"sha256 {got}",
        )
    with open(path, "rb") as stream:
        head = stream.read(12)
    if head[4:8] != b"ftyp":  # playlists and the like would make a decoder open other files
        return AvatarBenchError("E811", "a prediction is no MP4 file", where=path, got=repr(head))
    return None


def _measure(
    checked: Checked,
    dataset: Dataset,
    folder: Path,
    chosen: Sequence[str],
    limits: Limits,
    progress: Progress,
) -> tuple[tuple[AuditedSample, ...], list[AvatarBenchError]]:
    entry, method = checked.entry, checked.entry.method
    hashes = {p.sample_id: p.sha256 for p in entry.predictions}
    clips = {clip.id: clip for clip in dataset.clips}
    audited: list[AuditedSample] = []
    problems: list[AvatarBenchError] = []
    with tempfile.TemporaryDirectory() as scratch, Networks() as networks:
        tasks = []
        for sample_id in chosen:
            copy = video_path(Path(scratch), method, sample_id)
            make_folder(copy.parent)
            shutil.copyfile(folder / f"{sample_id}.mp4", copy)
            problem = _wrong_file(copy, hashes[sample_id] or "")  # what is measured is what was hashed
            inputs = make_inputs(
                dataset, clips[sample_id], checked.protocol, entry.plan.seed, with_others=False
            )
            try:
                check_video(copy, inputs.sample)
            except Rejected as rejected:
                problem = AvatarBenchError(
                    "E811", "a prediction is not a video of its sample", where=copy.name, got=str(rejected)
                )
            if problem is not None:
                problems.append(problem)
                continue
            record = PredictionRecord(
                method_id=method, sample_id=sample_id, key="audit", status="ok", sha256=hashes[sample_id]
            )
            tasks.append(ScoreTask(inputs, {method: record}))
        plan = entry.plan.model_copy(
            update={"methods": tuple(info for info in entry.plan.methods if info.id == method)}
        )

        def say(line: str) -> None:
            progress(line, 0, 0)

        scores = score_samples(Path(scratch), plan, tasks, checked.metrics, networks, say)
        for done, score in enumerate(scores, start=1):
            progress(f"measure {score.sample_id}", done, len(tasks))
            sample, wrong = _compare(checked, score, limits)
            audited.append(sample)
            problems += wrong
    return tuple(audited), problems


def _compare(
    checked: Checked, score: SampleScore, limits: Limits
) -> tuple[AuditedSample, list[AvatarBenchError]]:
    """One sample as submitted beside what was measured."""
    metrics = {metric.id: metric for metric in checked.metrics}
    submitted = {row.metric_id: row for row in checked.rows if row.sample_id == score.sample_id}
    differences: list[Difference] = []
    problems: list[AvatarBenchError] = []
    for row in score.rows:
        told, metric = submitted[row.metric_id], metrics[row.metric_id]
        if isinstance(metric, SetMetric):
            found = [
                _compare_features(checked, score, metric.id, owner, limits)
                for owner in (checked.entry.method, TRUTH)
            ]
        else:
            tolerance = 0.0 if row.value is None else limits.of(metric).audit.around(row.value)
            same = (told.status, told.reason) == (row.status, row.reason)
            if told.value is None or row.value is None:
                agrees = same and told.value is row.value
            else:
                agrees = told.status == row.status and abs(told.value - row.value) <= tolerance
            found = [
                Difference(
                    metric_id=row.metric_id,
                    submitted=told.value,
                    measured=row.value,
                    tolerance=tolerance,
                    agrees=agrees,
                )
            ]
        differences += found
        problems += [
            AvatarBenchError(
                "E812",
                f"{difference.metric_id} of {score.sample_id} was measured again and is another one",
                where=checked.folder,
                expected=f"{row.status} {difference.measured}, within {difference.tolerance:.3g}",
                got=f"{told.status} {difference.submitted}",
            )
            for difference in found
            if not difference.agrees
        ]
    return AuditedSample(sample_id=score.sample_id, differences=tuple(differences)), problems


def _compare_features(
    checked: Checked, score: SampleScore, metric_id: str, owner: str, limits: Limits
) -> Difference:
    """Features as submitted beside those measured; `measured` is their relative distance, and 0 is submitted."""
    told = checked.features[metric_id, owner].samples.get(score.sample_id)
    found = score.features.get((metric_id, owner))
    name = f"{metric_id}/{owner}"
    if told is None or found is None or told.shape != found.shape:
        agrees = (told is None or not len(told)) and (found is None or not len(found))
        return Difference(metric_id=name, submitted=None, measured=None, tolerance=0.0, agrees=agrees)
    size = float(np.linalg.norm(found.astype(np.float64)))
    distance = float(np.linalg.norm(told.astype(np.float64) - found.astype(np.float64))) / (size or 1.0)
    return Difference(
        metric_id=name,
        submitted=0.0,
        measured=distance,
        tolerance=limits.features_audit,
        agrees=distance <= limits.features_audit,
    )
