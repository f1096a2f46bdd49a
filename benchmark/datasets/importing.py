"""An import: from a published data set, as it was downloaded, to a manifest of clips."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.cache import make_folder
from benchmark.datasets import casual, folder, seamless
from benchmark.datasets.cutting import LONGEST_S, SHORTEST_S, Cut, Span, cut_to_speech, words_within
from benchmark.datasets.facts import FACTS_NAME, FactStore
from benchmark.datasets.headers import whole_duration_s
from benchmark.datasets.names import outside
from benchmark.datasets.recordings import Found, Recording, Skip, Told
from benchmark.datasets.speech import VERSION, find_speech
from benchmark.hashing import sha256_file, sha256_json
from benchmark.manifest import MANIFEST_NAME, MEDIA_ROOT_NAME, Clip, write_manifest
from media.audio import load_audio
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["LAYOUTS", "SKIPPED_NAME", "ImportReport", "import_dataset"]

SKIPPED_NAME = "skipped.jsonl"

LAYOUTS: dict[str, Callable[[Path], Found]] = {
    "seamless-interaction": seamless.find,
    "casual-conversations-v1": casual.find_v1,
    "casual-conversations-v2": casual.find_v2,
    "folder": folder.find,
}
"""What finds the recordings of a published layout."""

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import made, and what it could not use."""

    manifest: Path
    clips: tuple[Clip, ...]
    skipped: tuple[Skip, ...]
    """Files that gave no clip; the same as `skipped.jsonl` beside the manifest."""
    unused_speech_s: float
    """Seconds of speech in utterances too short for a clip."""
    n_learnt: int
    """Facts of files that were found out now: hashes, durations, speech."""
    n_reused: int
    """Facts that an earlier import had left."""


def import_dataset(layout: str, root: Path, out: Path | None, progress: Progress) -> ImportReport:
    """Write the manifest of a data set; its videos stay where they are.

    A clip is a stretch of 2 to 10 s in which its person speaks (`cut_to_speech`), by the voice activity that the
    data set publishes or by the level of the sound. The same files give the same manifest, byte for byte.
    An import that was interrupted goes on: hashes, durations and speech of files that did not change since (size
    and time of change) are not read again.

    Args:
        layout: A key of `LAYOUTS`.
        root: Folder of the data set as it was downloaded and unpacked.
        out: Folder of the manifest; None for `root`.
        progress: Called before each recording.

    Raises:
        AvatarBenchError: E504 for an unknown layout or where a manifest stands that no import has written; E405
            where the folder has another layout; E401 where nothing can be used; E601, E602.
    """
    if layout not in LAYOUTS:
        near = difflib.get_close_matches(layout, LAYOUTS, n=1, cutoff=0.3)
        raise AvatarBenchError(
            "E504",
            f"unknown layout '{layout}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            expected=f"one of {', '.join(LAYOUTS)}",
        )
    if not root.is_dir():
        raise AvatarBenchError("E401", "the data set is not a folder", where=root, fix="check the path")
    target = root if out is None else make_folder(out)
    _refuse_foreign_manifest(target)
    try:
        found = LAYOUTS[layout](root)
    except OSError as error:
        raise AvatarBenchError(
            "E401", "the data set cannot be read", where=error.filename or root, got=error.strerror
        ) from error
    skipped = list(found.skipped)
    clips: list[Clip] = []
    unused_s = 0.0
    with FactStore(target / FACTS_NAME, root) as facts:
        recordings = _distinct(found.recordings, root)
        for done, recording in enumerate(recordings):
            progress(f"import {recording.name}", done, len(recordings))
            try:
                made, left_s = _clips_of(recording, root, facts)
            except AvatarBenchError as error:
                if error.code in ("E601", "E602"):
                    raise
                skipped.append(_skip(recording, root, error))
                continue
            clips += made
            unused_s += left_s
            if not made:
                reason = f"no {SHORTEST_S:g} s of speech without a longer pause"
                skipped.append(
                    Skip(_relative(recording.video, root), reason, f"{left_s:.1f} s in shorter ones")
                )
        progress("import", len(recordings), len(recordings))
        learnt, reused = facts.learnt, facts.reused
    if not clips:
        raise _nothing_usable(root, skipped)
    _write_lines(target / SKIPPED_NAME, skipped)
    if target.resolve() != root.resolve():
        with atomic_write(target / MEDIA_ROOT_NAME) as temporary:
            temporary.write_text(json.dumps({"media_root": str(root.resolve())}) + "\n", encoding="utf-8")
    write_manifest(target / MANIFEST_NAME, clips)
    clips.sort(key=lambda clip: clip.id)
    return ImportReport(target / MANIFEST_NAME, tuple(clips), tuple(skipped), unused_s, learnt, reused)


def _clips_of(recording: Recording, root: Path, facts: FactStore) -> tuple[list[Clip], float]:
    """The clips of one recording, and the seconds of its speech that are in none."""
    for file in filter(None, (recording.video, recording.audio)):
        reason = outside(root, _relative(file, root))
        if reason is not None:
            raise AvatarBenchError("E404", f"it {reason.split(', to ')[0]}", where=file, got=reason)
    duration_s = facts.get(recording.video, "duration_s", whole_duration_s)
    told = recording.told() if recording.told is not None else None
    cut, whole = _cut(recording, duration_s, told, facts)
    if not cut.clips:
        return [], cut.unused_s
    files = {
        "media": _relative(recording.video, root),
        "sha256": facts.get(recording.video, "sha256", sha256_file),
    }
    if recording.audio is not None:
        files["audio"] = _relative(recording.audio, root)
        files["audio_sha256"] = facts.get(recording.audio, "sha256", sha256_file)
    clips = []
    for span in cut.clips:
        start_s, end_s = span
        clips.append(
            Clip(
                id=recording.name if whole else f"{recording.name}_{round(1000 * start_s):07d}",
                identity=recording.identity,
                start_s=start_s,
                duration_s=round(end_s - start_s, 3),
                transcript=_transcript(recording, span, told, cut),
                licence=recording.licence,
                attributes=recording.attributes,
                recording=None if whole else recording.name,
                **files,
            )
        )
    return clips, cut.unused_s


def _cut(recording: Recording, duration_s: float, told: Told | None, facts: FactStore) -> tuple[Cut, bool]:
    """How a recording is cut, and whether it is left whole."""
    if told is not None:
        return cut_to_speech(told.speech, duration_s), False
    sound = recording.audio or recording.video
    speech = [
        (float(start), float(end))
        for start, end in facts.get(sound, f"speech:{VERSION}", lambda path: find_speech(load_audio(path)))
    ]
    if recording.keep_whole and SHORTEST_S <= duration_s <= LONGEST_S:
        return Cut(((0.0, duration_s),) if speech else (), 0.0), True
    return cut_to_speech(speech, duration_s), False


def _transcript(recording: Recording, span: Span, told: Told | None, cut: Cut) -> str | None:
    """What is said in a clip. A text without times is that of a clip only if the clip has all of the speech."""
    if told is not None:
        return words_within(told.words, span)
    return recording.transcript if len(cut.clips) == 1 and cut.unused_s == 0 else None


def _distinct(recordings: Iterable[Recording], root: Path) -> list[Recording]:
    """Recordings of equal names told apart by the hash of their paths."""
    listed = list(recordings)
    times = Counter(recording.name for recording in listed)
    return [
        recording
        if times[recording.name] == 1
        else replace(recording, name=f"{recording.name}_{sha256_json(_relative(recording.video, root))[:6]}")
        for recording in listed
    ]


def _relative(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()


def _skip(recording: Recording, root: Path, error: AvatarBenchError) -> Skip:
    detail = "; ".join(text for text in (error.where, error.got) if text)
    return Skip(_relative(recording.video, root), f"{error.code} {error.what}", detail)


def _refuse_foreign_manifest(target: Path) -> None:
    if (target / MANIFEST_NAME).exists() and not (target / FACTS_NAME).exists():
        raise AvatarBenchError(
            "E504",
            "a manifest stands there that no import has written",
            where=target / MANIFEST_NAME,
            fix="write to another folder with --out, or move the manifest away",
        )


def _nothing_usable(root: Path, skipped: list[Skip]) -> AvatarBenchError:
    reasons = Counter(skip.reason for skip in skipped).most_common(3)
    return AvatarBenchError(
        "E401",
        "no file of the data set gives a clip",
        where=root,
        expected=f"videos of one person with {SHORTEST_S:g} s of speech or more",
        got="; ".join(f"{count} x {reason}" for reason, count in reasons) or "no videos",
    )


def _write_lines(path: Path, skipped: list[Skip]) -> None:
    lines = (
        json.dumps({"file": skip.file, "reason": skip.reason, "detail": skip.detail}, ensure_ascii=False)
        for skip in skipped
    )
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
