"""Packing a method of a finished run as an entry, and taking that back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from benchmark.aggregate import aggregate
from benchmark.cache import make_folder
from benchmark.cli import CONTROLS
from benchmark.efficiency import efficiency, sample_durations
from benchmark.environment import Environment
from benchmark.features import TRUTH, features_path, load_features
from benchmark.hashing import sha256_file, sha256_text
from benchmark.manifest import Dataset
from benchmark.metrics.definition import SetMetric
from benchmark.predictions import video_path
from benchmark.protocol import load_same_protocol
from benchmark.results import read_json, read_model, write_model, write_samples
from benchmark.run_files import RunFiles, metrics_of_run, open_run_files
from benchmark.schema import MethodResult, PredictionRecord
from benchmark.timings import ENVIRONMENT, TIMINGS
from leaderboard.consistency import check_entry
from leaderboard.entries import digest_of, read_entry
from leaderboard.folders import MAX_VIDEO_BYTES
from leaderboard.schema import (
    ENTRIES,
    ENTRY,
    SAMPLES,
    Entry,
    PredictionHash,
    Speed,
    Submission,
    entry_id_of,
    is_plain_name,
)
from media.errors import AvatarBenchError

__all__ = ["Packed", "pack", "remove_entry"]


@dataclass(frozen=True, slots=True)
class Packed:
    """An entry that was written."""

    folder: Path
    entry: Entry
    digest: str
    n_bytes: int
    unchecked: Sequence[str]
    """What could not be checked here, and why."""


def pack(
    run: Path,
    method: str | None,
    submission: Submission,
    board: Path,
    dataset: Dataset | None,
    n_videos: int = 0,
) -> Packed:
    """Write the entry of one method of a finished run into a board.

    What is written is checked as `bench verify` checks it, before it stands under its name.

    Args:
        run: Folder of the run.
        method: Id of the method; None where the run has a single one that is no control.
        submission: Who submits.
        board: Folder of the board.
        dataset: The run's data set, for the facts about its clips; None where it is not at hand.
        n_videos: Predictions to show beside the numbers, the first by hash of the clip's name.

    Raises:
        AvatarBenchError: E504 when the folder is no finished run, E813 when the run cannot be submitted, E814 when
            the entry stands already, and what `check_entry` says.
    """
    files = open_run_files(run)
    chosen = _choose(files, method)
    for name in (chosen.id, chosen.version, *files.plan.sample_ids):
        if not is_plain_name(name):
            raise _unfit(run, f"the name {name!r} cannot be a file's", "letters, digits, '_', '-' and '.'")
    entry_id = entry_id_of(chosen.id, chosen.version, files.plan.run_id)
    target = board / ENTRIES / entry_id
    if target.exists() or target.is_symlink():
        raise AvatarBenchError(
            "E814",
            "the entry stands already",
            where=target,
            fix=f"take it back first: bench submit --undo {target}",
        )
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as scratch:
        # In a folder of its own name, because an entry is named by its folder.
        folder = Path(scratch) / entry_id
        folder.mkdir()
        _write(folder, files, chosen, submission, dataset, n_videos)
        checked = check_entry(folder, dataset)
        if checked.problems:
            raise checked.problems[0]
        os.replace(folder, target)
    sizes = [path.stat().st_size for path in target.rglob("*") if path.is_file()]
    return Packed(target, checked.entry, digest_of(target), sum(sizes), checked.unchecked)


def remove_entry(folder: Path) -> Entry:
    """Take a packed entry back: its files and nothing else.

    Raises:
        AvatarBenchError: E801, E803 when the folder is no entry, E814 when it holds other files than were packed.
    """
    entry = read_entry(folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    changed = found ^ {*entry.files, ENTRY} or {
        name for name, digest in entry.files.items() if sha256_file(folder / name) != digest
    }
    if changed:
        raise AvatarBenchError(
            "E814",
            "the folder does not hold the files that were packed; nothing was removed",
            where=folder,
            got=sorted(changed)[0],
            fix="remove the folder by hand if nothing in it is needed",
        )
    shutil.rmtree(folder)
    return entry


def _choose(files: RunFiles, name: str | None) -> MethodResult:
    methods = files.result.methods
    unprivileged = [m for m in methods if not m.privileged]
    asked = [m for m in unprivileged if m.id not in CONTROLS] or unprivileged  # `bench run` adds the controls
    candidates = asked if name is None else [m for m in methods if m.id == name]
    if len(candidates) == 1:
        return candidates[0]
    raise AvatarBenchError(
        "E813",
        "it is not plain which method to submit" if name is None else f"the run has no method '{name}'",
        where=files.folder,
        expected=f"one of {', '.join(m.id for m in methods)}",
        fix="name it: --method NAME",
    )


def _write(
    folder: Path,
    files: RunFiles,
    chosen: MethodResult,
    submission: Submission,
    dataset: Dataset | None,
    n_videos: int,
) -> None:
    plan = files.plan
    protocol = load_same_protocol(plan.protocol_id, plan.protocol_sha256, files.folder)
    metrics = metrics_of_run(files)
    rows = [row for row in files.rows if row.method_id == chosen.id]
    predictions = _predictions(files, chosen)
    write_samples(folder / SAMPLES, rows)
    for metric in metrics:
        if isinstance(metric, SetMetric):
            for owner in (chosen.id, TRUTH):
                make_folder(features_path(folder, metric.id, owner).parent)
                shutil.copyfile(
                    features_path(files.folder, metric.id, owner), features_path(folder, metric.id, owner)
                )
    _copy_videos(folder, files, predictions, chosen.id, n_videos)
    info = tuple(info for info in plan.methods if info.id == chosen.id)
    features = load_features(folder, [chosen.id], metrics)
    result = aggregate(
        plan.model_copy(update={"methods": info}),
        protocol,
        metrics,
        rows,
        sha256_file(folder / SAMPLES),
        features,
    )
    clips = {clip.id: clip for clip in dataset.clips} if dataset is not None else {}
    try:
        entry = Entry(
            entry_id=folder.name,
            submission=submission,
            plan=plan,
            result=result,
            predictions=predictions,
            attributes={
                sample_id: clips[sample_id].attributes for sample_id in plan.sample_ids if sample_id in clips
            },
            environment=_environment(files.folder),
            speed=_speed(files, chosen.id),
            files={
                path.relative_to(folder).as_posix(): sha256_file(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        )
    except ValidationError as error:
        raise _unfit(files.folder, error.errors()[0]["msg"], "what an entry may hold") from error
    write_model(folder / ENTRY, entry)


def _predictions(files: RunFiles, chosen: MethodResult) -> tuple[PredictionHash, ...]:
    """Hashes of the videos that stand in the run, which must be those that were scored."""
    identity_of = {row.sample_id: row.identity_id for row in files.rows}
    scored = {row.sample_id: row.prediction_sha256 for row in files.rows if row.method_id == chosen.id}
    hashes = []
    for sample_id in sorted(files.plan.sample_ids):
        video = video_path(files.folder, chosen.id, sample_id)
        if scored[sample_id] is None:
            record = read_model(video.with_suffix(".json"), PredictionRecord)
            if record.status == "ok":
                raise _unfit(
                    video, "the prediction was made after the run was scored", "the scored prediction"
                )
        elif not video.is_file() or sha256_file(video) != scored[sample_id]:
            raise _unfit(
                video, "the prediction is missing, or is not the one that was scored", "the scored file"
            )
        hashes.append(
            PredictionHash(sample_id=sample_id, identity_id=identity_of[sample_id], sha256=scored[sample_id])
        )
    return tuple(hashes)


def _copy_videos(
    folder: Path, files: RunFiles, predictions: Sequence[PredictionHash], method: str, n_videos: int
) -> None:
    made = [prediction.sample_id for prediction in predictions if prediction.sha256 is not None]
    for sample_id in sorted(made, key=sha256_text)[:n_videos]:
        video = video_path(files.folder, method, sample_id)
        if video.stat().st_size > MAX_VIDEO_BYTES:
            raise _unfit(video, "the video is too large to be shown", f"at most {MAX_VIDEO_BYTES} bytes")
        shutil.copyfile(video, make_folder(folder / "videos") / f"{sample_id}.mp4")


def _environment(run: Path) -> Environment:
    """Where the run was started, as it was written then."""
    facts = read_json(run / ENVIRONMENT)
    if not facts:
        raise _unfit(run, "the run does not say where it was made", ENVIRONMENT)
    try:
        return Environment.model_validate(facts)
    except ValueError as error:
        raise _unfit(
            run / ENVIRONMENT, "the run's environment is not in this release's format", ""
        ) from error


def _speed(files: RunFiles, method: str) -> Speed:
    identity_of = {row.sample_id: row.identity_id for row in files.rows}
    figures = efficiency(
        read_json(files.folder / TIMINGS), files.plan, sample_durations(files.folder, files.plan), identity_of
    )
    found = next(figure for figure in figures if figure.method_id == method)
    return Speed(
        real_time_factor=found.real_time_factor,
        first_real_time_factor=found.first_real_time_factor,
        prepare_s=found.prepare_s,
        n_samples=found.n_samples,
    )


def _unfit(where: Path, what: str, expected: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E813",
        what,
        where=where,
        expected=expected or None,
        fix="make the run again, whole: bench run, with the same options as before",
    )
