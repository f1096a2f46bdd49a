"""A plain folder of videos as clips: no manifest, no configuration."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.names import Attributes, attributes_of, read_json_file, safe_name
from benchmark.hashing import sha256_file, sha256_json
from benchmark.manifest import VIDEO_SUFFIXES, Clip
from media.errors import AvatarBenchError

__all__ = ["FolderVideo", "find_videos", "is_video", "scan_folder"]


@dataclass(frozen=True, slots=True)
class FolderVideo:
    """A video of a plain folder with what stands beside it."""

    file: Path
    clip_id: str
    identity: str
    transcript: str | None
    """Text of `<clip>.txt`."""
    attributes: Attributes
    """Content of `<identity>.json`."""


def scan_folder(root: Path) -> list[Clip]:
    """All videos of `root` as clips, whole files each.

    Raises:
        AvatarBenchError: E401, E402 when the folder or a file cannot be read; E404 for broken attributes.
    """
    clips = []
    for video in find_videos(root):
        try:
            digest = sha256_file(video.file)
        except OSError as error:
            raise AvatarBenchError(
                "E402", "the clip cannot be read", where=video.file, got=error.strerror
            ) from error
        clips.append(
            Clip(
                id=video.clip_id,
                identity=video.identity,
                media=video.file.relative_to(root).as_posix(),
                sha256=digest,
                transcript=video.transcript,
                attributes=video.attributes,
            )
        )
    return clips


def find_videos(root: Path) -> list[FolderVideo]:
    """The videos of `root` by path, with unique ids.

    `<root>/<identity>/**/<clip>.mp4` is a clip of `<identity>`, `<root>/<clip>.mp4` a person of its own. Hidden
    files and folders are left out.
    """
    found = [*_at_the_top(root), *_in_folders(root)]
    times = Counter(video.clip_id for video in found)
    return [video if times[video.clip_id] == 1 else _distinct(root, video) for video in found]


def is_video(file: Path) -> bool:
    """Whether the name is that of a video, and not a hidden one."""
    return file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".") and file.is_file()


def _at_the_top(root: Path) -> Iterator[FolderVideo]:
    for file in filter(is_video, _entries(root)):
        name = safe_name(file.stem)
        yield FolderVideo(file, name, name, _transcript(file), _attributes([file.with_suffix(".json")]))


def _in_folders(root: Path) -> Iterator[FolderVideo]:
    folders = [path for path in _entries(root) if path.is_dir() and not path.name.startswith(".")]
    times = Counter(safe_name(folder.name) for folder in folders)
    for folder in folders:
        identity = safe_name(folder.name)
        if times[identity] > 1:  # "a b" and "a_b" are two people
            identity = f"{identity}_{sha256_json(folder.name)[:6]}"
        facts = _attributes([root / f"{folder.name}.json", folder / f"{folder.name}.json"])
        for file in _below(folder):
            clip_id = f"{identity}_{safe_name('_'.join(file.relative_to(folder).with_suffix('').parts))}"
            yield FolderVideo(file, clip_id, identity, _transcript(file), facts)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise AvatarBenchError(
            "E401", "the folder cannot be read", where=folder, got=error.strerror
        ) from error


def _below(folder: Path) -> Iterator[Path]:
    _entries(folder)  # os.walk passes over a folder that it may not read
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from filter(is_video, (Path(parent, name) for name in sorted(names)))


def _transcript(video: Path) -> str | None:
    path = video.with_suffix(".txt")
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8-sig").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise AvatarBenchError(
            "E402", "the transcript cannot be read", where=path, expected="text in UTF-8", got=str(error)
        ) from error


def _attributes(candidates: list[Path]) -> Attributes:
    paths = [path for path in candidates if path.is_file()]
    if len(paths) > 1:
        raise AvatarBenchError(
            "E404",
            "a person has two files of attributes",
            where=paths[0],
            got=f"{paths[1]}, too",
            fix="keep one of them",
        )
    if not paths:
        return {}
    content = read_json_file(paths[0], "E404", "the file of attributes")
    if not isinstance(content, dict):
        raise AvatarBenchError(
            "E404",
            "the file of attributes is not a JSON object",
            where=paths[0],
            expected='{"age": 30, "gender": "female"}',
            got=type(content).__name__,
        )
    return attributes_of(content)


def _distinct(root: Path, video: FolderVideo) -> FolderVideo:
    """Tell names apart that became equal when cleaned ("a b.mp4", "a_b.mp4") by their path's hash."""
    unique = f"{video.clip_id}_{sha256_json(video.file.relative_to(root).as_posix())[:6]}"
    alone = video.identity == video.clip_id  # a file at the top is its own person
    return FolderVideo(
        video.file, unique, unique if alone else video.identity, video.transcript, video.attributes
    )
