"""The data set: a manifest of clips, or any folder of videos with no configuration at all."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.hashing import sha256_file, sha256_json
from media.errors import AvatarBenchError

__all__ = ["MANIFEST_NAME", "MINI", "VIDEO_SUFFIXES", "Clip", "Dataset", "load_dataset"]

MANIFEST_NAME = "manifest.jsonl"
MINI = Path(__file__).parent / "data" / "mini"
"""The data set that ships with the project."""
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})

_NAME_PATTERN = r"^[A-Za-z0-9_-]+$"


class Clip(BaseModel):
    """One line of a manifest: a stretch of one video of one person."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: str = Field(pattern=_NAME_PATTERN)
    """Name of the clip, unique in the data set."""
    identity: str = Field(pattern=_NAME_PATTERN)
    """Name of the person."""
    media: str
    """Path of the video, relative to the manifest's folder."""
    start_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Where the clip begins in the video, seconds."""
    duration_s: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """How long it lasts, seconds; null means up to the end."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the video file."""
    transcript: str | None = None
    """What is said."""
    licence: str | None = None
    """SPDX expression or a sentence."""
    attributes: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Free facts about the clip, such as age or language."""


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
        return sha256_json([clip.model_dump(mode="json") for clip in self.clips])


def load_dataset(folder: Path | None = None) -> Dataset:
    """Load `mini` (no folder given), a folder with a manifest, or a plain folder of videos.

    A plain folder needs no configuration: each sub-folder is a person and its videos are that person's clips;
    a video at the top is a person of its own.

    Raises:
        AvatarBenchError: E401 when the folder is absent, empty, or its manifest is not right.
    """
    root = MINI if folder is None else folder
    if not root.is_dir():
        raise AvatarBenchError(
            "E401", "the data set is not a folder", where=root, fix="give a folder of videos with --dataset."
        )
    manifest = root / MANIFEST_NAME
    clips = _read_manifest(manifest) if manifest.is_file() else _scan(root)
    if not clips:
        raise AvatarBenchError(
            "E401",
            "the data set has no clips",
            where=root,
            expected=f"{MANIFEST_NAME}, or videos ({', '.join(sorted(VIDEO_SUFFIXES))}), one folder a person",
            fix="put videos into the folder, or name another one with --dataset.",
        )
    ordered = tuple(sorted(clips, key=lambda clip: clip.id))
    for before, after in itertools.pairwise(ordered):
        if before.id == after.id:
            raise AvatarBenchError(
                "E401", f"two clips are called '{after.id}'", where=root, expected="unique ids"
            )
    return Dataset(id=root.resolve().name, root=root, clips=ordered)


def _read_manifest(path: Path) -> list[Clip]:
    clips = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AvatarBenchError("E401", "the manifest cannot be read", where=path, got=str(error)) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            clips.append(Clip.model_validate(json.loads(line)))
        except (ValidationError, ValueError) as error:
            problem = error.errors()[0] if isinstance(error, ValidationError) else None
            got = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem else str(error)
            raise AvatarBenchError(
                "E401",
                f"line {number} of the manifest is not a clip",
                where=path,
                expected="one JSON object a line: id, identity, media, start_s, duration_s, sha256, ...",
                got=got,
            ) from error
    return clips


def _scan(root: Path) -> list[Clip]:
    clips = []
    for file in sorted(root.iterdir()):
        if _is_video(file):
            name = _safe(file.stem, file.name)
            clips.append(_scanned(root, file, clip_id=name, identity=name))
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        identity = _safe(folder.name, folder.name)
        for file in sorted(folder.iterdir()):
            if _is_video(file):
                clip_id = f"{identity}_{_safe(file.stem, file.name)}"
                clips.append(_scanned(root, file, clip_id=clip_id, identity=identity))
    return _distinct(clips)


def _is_video(file: Path) -> bool:
    return file.is_file() and file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".")


def _safe(stem: str, name: str) -> str:
    """A file name as an id. Ids become file names of other programs that dislike spaces and dots."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")
    return cleaned or f"clip_{sha256_json(name)[:8]}"


def _scanned(root: Path, file: Path, *, clip_id: str, identity: str) -> Clip:
    try:
        digest = sha256_file(file)
    except OSError as error:
        raise AvatarBenchError("E402", "the clip cannot be read", where=file, got=error.strerror) from error
    return Clip(id=clip_id, identity=identity, media=file.relative_to(root).as_posix(), sha256=digest)


def _distinct(clips: list[Clip]) -> list[Clip]:
    """Tell names apart that became equal when cleaned ("a b.mp4", "a_b.mp4") by their path's hash."""
    seen: dict[str, int] = {}
    for clip in clips:
        seen[clip.id] = seen.get(clip.id, 0) + 1
    result = []
    for clip in clips:
        if seen[clip.id] == 1:
            result.append(clip)
            continue
        unique = f"{clip.id}_{sha256_json(clip.media)[:6]}"
        alone = clip.identity == clip.id  # a file at the top is its own person
        result.append(clip.model_copy(update={"id": unique, "identity": unique if alone else clip.identity}))
    return result
