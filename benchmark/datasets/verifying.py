"""Everything that is wrong with a data set, at once: lines, files, hashes, pictures, sound, times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.datasets.headers import count_frames, missing_bytes
from benchmark.hashing import sha256_file
from benchmark.manifest import MANIFEST_NAME, Clip, load_dataset, media_folder, read_manifest
from media.audio import SAMPLE_RATE, load_audio
from media.errors import AvatarBenchError
from media.video import probe

__all__ = ["Verification", "verify_dataset"]

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`."""

_SILENT_PEAK = 1e-4  # as `load_audio` has it


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at and what is wrong."""

    n_clips: int
    n_files: int
    problems: tuple[AvatarBenchError, ...]


def verify_dataset(folder: Path, progress: Progress) -> Verification:
    """Read every file of a data set to its end and compare it with what the manifest says.

    Each file is hashed once, and decoded once: all frames and all sound, however many clips are cut from it. A
    clip has to lie within its video, and some sound has to be heard in it.

    Args:
        folder: A folder with a manifest, or a plain one.
        progress: Called before each file.

    Returns:
        All problems; none is raised, but for E401 where there is nothing to look at.
    """
    clips, root, problems = _clips(folder)
    by_video: dict[str, list[Clip]] = defaultdict(list)
    by_sound: dict[str, list[Clip]] = defaultdict(list)
    hashes: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        by_video[clip.media].append(clip)
        by_sound[clip.sound[0]].append(clip)
        for path, sha256 in clip.files.items():
            hashes[path][sha256].append(clip)
    for done, path in enumerate(sorted(hashes)):
        progress(f"verify {path}", done, len(hashes))
        file = root / path
        problems += _wrong_bytes(file, hashes[path])
        if file.is_file() and path in by_video:
            problems += _wrong_pictures(file, by_video[path])
        if file.is_file() and path in by_sound:
            problems += _wrong_sound(file, by_sound[path])
    progress("verify", len(hashes), len(hashes))
    return Verification(len(clips), len(hashes), tuple(problems))


def _clips(folder: Path) -> tuple[list[Clip], Path, list[AvatarBenchError]]:
    """The clips that can be looked at, where their files stand, and the lines that are not clips."""
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file():
        dataset = load_dataset(folder)
        return list(dataset.clips), dataset.root, []
    root = media_folder(folder)
    lines, problems = read_manifest(manifest, root)
    if not problems and not lines:
        load_dataset(folder)  # says that it is empty
    return [line.clip for line in lines], root, problems


def _wrong_bytes(file: Path, by_hash: dict[str, list[Clip]]) -> Iterator[AvatarBenchError]:
    if not file.is_file():
        everyone = [clip for clips in by_hash.values() for clip in clips]
        yield AvatarBenchError(
            "E402",
            f"the file of {_names(everyone)} is missing",
            where=file,
            fix="restore the file or remove its lines",
        )
        return
    try:
        found = sha256_file(file)
    except OSError as error:
        everyone = [clip for clips in by_hash.values() for clip in clips]
        yield AvatarBenchError(
            "E402", f"the file of {_names(everyone)} cannot be read", where=file, got=error.strerror
        )
        return
    for stated, clips in by_hash.items():
        if stated != found:
            yield AvatarBenchError(
                "E402",
                f"the file of {_names(clips)} is not the one that the manifest describes",
                where=file,
                expected=f"sha256 {stated}",
                got=f"sha256 {found}",
                fix="restore the original file",
            )


def _wrong_pictures(file: Path, clips: list[Clip]) -> Iterator[AvatarBenchError]:
    try:
        missing = missing_bytes(file)
        info = probe(file)
        n_decoded = count_frames(file)
    except AvatarBenchError as error:
        yield _about(clips, error)
        return
    if missing or n_decoded < info.n_frames:
        yield AvatarBenchError(
            "E402",
            f"the video of {_names(clips)} {'breaks off' if missing else 'is damaged'}",
            where=file,
            expected=f"{missing} more bytes" if missing else f"{info.n_frames} frames",
            got=f"{n_decoded} frames that decode",
            fix="fetch the file again",
        )
    for clip in clips:
        end_s = clip.start_s + (clip.duration_s or 1 / info.fps)
        if end_s - info.duration_s > 0.5 / info.fps:
            yield AvatarBenchError(
                "E402",
                f"the clip '{clip.id}' ends after its video",
                where=file,
                expected=f"an end up to {info.duration_s:.3f} s",
                got=f"{end_s:.3f} s",
                fix="correct start_s and duration_s in the manifest",
            )


def _wrong_sound(file: Path, clips: list[Clip]) -> Iterator[AvatarBenchError]:
    try:
        samples = load_audio(file)  # [S]
    except AvatarBenchError as error:
        if error.code != "E205":
            yield _about(clips, error)
            return
        yield from _wrong_parts(file, clips)
        return
    for clip in clips:
        begin = round(clip.start_s * SAMPLE_RATE)
        end = None if clip.duration_s is None else begin + round(clip.duration_s * SAMPLE_RATE)
        part = samples[begin:end]
        if not part.size or np.abs(part).max() < _SILENT_PEAK:
            yield AvatarBenchError(
                "E203",
                f"the sound of the clip '{clip.id}' is {'silent' if part.size else 'over before it begins'}",
                where=file,
            )


def _wrong_parts(file: Path, clips: list[Clip]) -> Iterator[AvatarBenchError]:
    """The same for a sound that is too long to be held as a whole."""
    for clip in clips:
        try:
            load_audio(file, start_s=clip.start_s, duration_s=clip.duration_s)
        except AvatarBenchError as error:
            yield _about([clip], error)


def _about(clips: list[Clip], error: AvatarBenchError) -> AvatarBenchError:
    code = "E402" if error.code == "E206" else error.code
    return AvatarBenchError(
        code,
        f"{error.what} ({_names(clips)})",
        where=error.where,
        expected=error.expected,
        got=error.got,
        fix=error.fix,
    )


def _names(clips: list[Clip]) -> str:
    names = sorted({clip.id for clip in clips})
    if len(names) == 1:
        return f"the clip '{names[0]}'"
    return f"{len(names)} clips, '{names[0]}' the first"
