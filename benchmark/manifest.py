"""The data set: a manifest of clips, or any folder of videos with no configuration at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from benchmark.datasets.names import outside, read_json_file
from benchmark.hashing import sha256_json
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = [
    "MANIFEST_NAME",
    "MEDIA_ROOT_NAME",
    "MINI",
    "VIDEO_SUFFIXES",
    "Clip",
    "Dataset",
    "ManifestLine",
    "load_dataset",
    "media_folder",
    "read_manifest",
    "write_manifest",
]

MANIFEST_NAME = "manifest.jsonl"
MEDIA_ROOT_NAME = "media_root.json"
"""`{"media_root": "<folder>"}` beside a manifest whose videos stand in another folder than the manifest."""
MINI = Path(__file__).parent / "data" / "mini"
"""The data set that ships with the project."""
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})

_NAME_PATTERN = r"^[A-Za-z0-9_-]+$"
_SHA256_PATTERN = r"^[0-9a-f]{64}$"
_LATER_FIELDS = frozenset({"recording", "audio", "audio_sha256"})
_EXPECTED_LINE = "one JSON object a line: id, identity, media, start_s, duration_s, sha256, ..."


class Clip(BaseModel):
    """One line of a manifest: a stretch of one video of one person."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: str = Field(pattern=_NAME_PATTERN)
    """Name of the clip, unique in the data set."""
    identity: str = Field(pattern=_NAME_PATTERN)
    """Name of the person."""
    media: str = Field(min_length=1)
    """Path of the video, relative to the manifest's folder."""
    start_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Where the clip begins in the video, seconds."""
    duration_s: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """How long it lasts, seconds; null means up to the end."""
    sha256: str = Field(pattern=_SHA256_PATTERN)
    """SHA-256 of the video file."""
    transcript: str | None = None
    """What is said."""
    licence: str | None = None
    """SPDX expression or a sentence."""
    attributes: dict[str, str | int | FiniteFloat | bool] = Field(default_factory=dict)
    """Free facts about the clip, such as age or language."""
    recording: str | None = Field(default=None, pattern=_NAME_PATTERN)
    """Name of the recording that the clip is cut from; null where the clip is all that is used of its file.

    Clips of one recording always stand on the same side of a split.
    """
    audio: str | None = Field(default=None, min_length=1)
    """Path of the sound where it stands in a file of its own, as `media`; its time 0 is the video's first frame."""
    audio_sha256: str | None = Field(default=None, pattern=_SHA256_PATTERN)
    """SHA-256 of `audio`."""

    @model_validator(mode="after")
    def _audio_has_a_hash(self) -> Clip:
        if (self.audio is None) != (self.audio_sha256 is None):
            raise ValueError("audio and audio_sha256 belong together")
        return self

    @property
    def sound(self) -> tuple[str, str]:
        """Path and SHA-256 of the file that holds the sound."""
        if self.audio is None or self.audio_sha256 is None:
            return self.media, self.sha256
        return self.audio, self.audio_sha256

    @property
    def source(self) -> str:
        """Name of the recording, or of the clip where it is its own."""
        return self.recording or self.id

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of each file of the clip by its path."""
        return {self.media: self.sha256} | dict([self.sound])

    def content(self) -> dict[str, object]:
        """What the clip is, for hashes.

        Fields that were added to the format later count only where they are set: a manifest without them keeps
        its hash.
        """
        values = self.model_dump(mode="json")
        return {
            name: value for name, value in values.items() if value is not None or name not in _LATER_FIELDS
        }

    def line(self) -> str:
        """The clip as a line of a manifest, without its end."""
        return json.dumps(
            self.model_dump(mode="json", exclude_none=True), ensure_ascii=False, allow_nan=False
        )


class Dataset(BaseModel):
    """A loaded data set."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """Name of its folder."""
    root: Path
    """Folder that the clips' `media` paths are relative to."""
    clips: tuple[Clip, ...]
    """All clips, by id."""

    @property
    def sha256(self) -> str:
        """Hash of the clips; it does not depend on where the folder stands."""
        return sha256_json([clip.content() for clip in self.clips])


class ManifestLine(BaseModel):
    """A clip and the number of the line that it stands in, from 1."""

    model_config = ConfigDict(frozen=True)

    number: int
    clip: Clip


def load_dataset(folder: Path | None = None) -> Dataset:
    """Load `mini` (no folder given), a folder with a manifest, or a plain folder of videos.

    A plain folder needs no configuration: each sub-folder is a person and the videos in it are that person's
    clips; a video at the top is a person of its own. `<clip>.txt` beside a video is its transcript,
    `<identity>.json` in the person's folder or beside it the person's attributes.

    Raises:
        AvatarBenchError: E401 when the folder is absent or has no clips, E404 when a line of its manifest is not
            right: the first such line is told, and how many there are.
    """
    root = MINI if folder is None else folder
    if not root.is_dir():
        raise AvatarBenchError(
            "E401", "the data set is not a folder", where=root, fix="give a folder of videos with --dataset."
        )
    manifest = root / MANIFEST_NAME
    media_root = root
    if manifest.is_file():
        media_root = media_folder(root)
        lines, problems = read_manifest(manifest, media_root)
        if problems:
            raise _first_of(problems, root)
        clips = [line.clip for line in lines]
    else:
        from benchmark.datasets.scan import scan_folder  # it builds clips, so it imports this module

        clips = scan_folder(root)
    if not clips:
        raise AvatarBenchError(
            "E401",
            "the manifest has no clips" if manifest.is_file() else "the data set has no clips",
            where=manifest if manifest.is_file() else root,
            expected=f"{MANIFEST_NAME}, or videos ({', '.join(sorted(VIDEO_SUFFIXES))}), one folder a person",
            fix="put videos into the folder, or name another one with --dataset.",
        )
    return Dataset(
        id=root.resolve().name, root=media_root, clips=tuple(sorted(clips, key=lambda clip: clip.id))
    )


def media_folder(folder: Path) -> Path:
    """Folder that the paths of the manifest in `folder` are relative to: itself, unless `media_root.json` says."""
    path = folder / MEDIA_ROOT_NAME
    if not path.is_file():
        return folder
    content = read_json_file(path, "E401", "the file that says where the videos stand")
    told = content.get("media_root") if isinstance(content, dict) else None
    if not isinstance(told, str) or not (folder / told).is_dir():
        raise AvatarBenchError(
            "E401",
            "the folder of the videos does not exist",
            where=path,
            expected='{"media_root": "<an existing folder>"}',
            got=json.dumps(content, ensure_ascii=False),
            fix="correct the path, or import the data set again",
        )
    return folder / told


def read_manifest(path: Path, media_root: Path) -> tuple[list[ManifestLine], list[AvatarBenchError]]:
    """All clips of a manifest, and all that is wrong with it.

    Args:
        path: The manifest.
        media_root: Folder that its paths are relative to.

    Returns:
        The lines that are right, and an E404 for each that is not; together they are all lines but empty ones.

    Raises:
        AvatarBenchError: E401 when the file cannot be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else str(error)
        raise AvatarBenchError("E401", "the manifest cannot be read", where=path, got=got) from error
    lines: list[ManifestLine] = []
    problems: list[AvatarBenchError] = []
    first_with: dict[str, int] = {}
    known: dict[str, str | None] = {}  # file -> why it is refused; clips of one file ask once
    # Not splitlines(): JSON may hold other line separators of Unicode inside its texts.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            clip = Clip.model_validate(json.loads(line, object_pairs_hook=_without_repeats))
        except (ValidationError, ValueError, RecursionError) as error:
            problems.append(_bad_line(path, number, _reason(error)))
            continue
        before = first_with.setdefault(clip.id, number)
        reasons = [] if before == number else [f"the id '{clip.id}' stands in line {before}, too"]
        for file in clip.files:
            if file not in known:
                known[file] = outside(media_root, file)
            if known[file] is not None:
                reasons.append(f"'{file}' {known[file]}")
        problems += [_bad_line(path, number, reason) for reason in reasons]
        if not reasons:
            lines.append(ManifestLine(number=number, clip=clip))
    return lines, problems


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write a manifest, its lines in the order of the ids, whole or not at all.

    Raises:
        AvatarBenchError: E601, E602.
    """
    text = "".join(f"{clip.line()}\n" for clip in sorted(clips, key=lambda clip: clip.id))
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _first_of(problems: list[AvatarBenchError], folder: Path) -> AvatarBenchError:
    first, more = problems[0], len(problems) - 1
    others = "one more line is" if more == 1 else f"{more} more lines are"
    return AvatarBenchError(
        first.code,
        first.what + (f"; {others} not right either" if more else ""),
        where=first.where,
        expected=first.expected,
        got=first.got,
        fix=f"correct the line; all problems: bench dataset verify {folder}",
    )


def _bad_line(path: Path, number: int, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E404",
        f"line {number} of the manifest is not right",
        where=path,
        expected=_EXPECTED_LINE,
        got=got,
        fix="correct the line",
    )


def _reason(error: ValueError | RecursionError) -> str:
    if not isinstance(error, ValidationError):
        return str(error) if isinstance(error, ValueError) else "nested too deeply"
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}".lstrip(": ") for item in error.errors()
    )


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; Python's own reader would keep the last of two equal keys and drop the other."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(n for n in names if names.count(n) > 1)}' stands in it twice")
    return result
