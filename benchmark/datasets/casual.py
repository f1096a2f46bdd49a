"""Casual Conversations v1 (Hazirbas et al. 2021) and v2 (Porgali et al. 2023), both by agreement with Meta.

v1, `CasualConversations.json`: participant -> `files`, `dark_files` (a part of them) and `label` (age, gender,
skin-type on the Fitzpatrick scale). A file is a path such as `CasualConversationsA/1140/1140_02.MP4`.

v2, `CasualConversationsV2.json`: a list of videos, each with `video_name`, `subject_id` and its labels, some of them
nested: age, gender, native_language, geo_location, fitzpatrick_skin_tone, monk_skin_tone and more; or the same
keyed by the video's name.

All labels become attributes under their own names. Neither version tells when somebody speaks.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchmark.datasets.names import Attributes, attributes_of, read_json_file, safe_name
from benchmark.datasets.recordings import Found, Recording, Skip, wrong_layout
from benchmark.datasets.scan import is_video

__all__ = ["find_v1", "find_v2"]

LICENCE = "Casual Conversations dataset agreement (Meta)"
LABELS_V1, LABELS_V2 = "CasualConversations.json", "CasualConversationsV2.json"
_DEPTH = (
    2  # the annotations come as an archive of their own, which unpacks into a folder or beside the videos
)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A video of the label file."""

    path: str
    subject: str
    attributes: Attributes


def find_v1(root: Path) -> Found:
    """The labelled videos of version 1.

    Raises:
        AvatarBenchError: E405 when the label file is absent or has other keys; the keys that it has are told.
    """
    path = _label_file(root, LABELS_V1)
    return _match(root, list(_read_v1(path)))


def find_v2(root: Path) -> Found:
    """The labelled videos of version 2.

    Raises:
        AvatarBenchError: E405 when the label file is absent or has other keys; the keys that it has are told.
    """
    path = _label_file(root, LABELS_V2)
    return _match(root, list(_read_v2(path)))


def _label_file(root: Path, name: str) -> Path:
    found: list[Path] = []
    seen: list[str] = []
    for depth in range(_DEPTH + 1):
        for path in sorted(root.glob("*/" * depth + "*.json")):
            seen.append(path.relative_to(root).as_posix())
            found += [path] if path.name == name else []
    if len(found) != 1:
        raise wrong_layout(
            f"the label file {name} is missing" if not found else f"there are several label files {name}",
            where=root,
            expected=f"one {name} in the folder or at most {_DEPTH} folders below",
            got=", ".join(str(path) for path in found or seen[:10]) or "no JSON file",
        )
    return found[0]


def _read_v1(path: Path) -> Iterator[_Labelled]:
    content = _mapping(path, read_json_file(path, "E405", "the label file"), "participants by their ids")
    for subject, entry in content.items():
        entry = _mapping(path, entry, f"participant {subject} with files and label")
        _require(path, entry, ("files", "label"), f"participant {subject}")
        labels = attributes_of(_mapping(path, entry["label"], f"label of participant {subject}"))
        dark = entry.get("dark_files")
        for file in _texts(path, entry["files"], f"files of participant {subject}"):
            lighting: Attributes = {} if not isinstance(dark, list) else {"dark": file in dark}
            yield _Labelled(file, subject, labels | lighting)


def _read_v2(path: Path) -> Iterator[_Labelled]:
    content = read_json_file(path, "E405", "the label file")
    if isinstance(content, Mapping):
        entries = [
            {"video_name": name, **_mapping(path, entry, f"labels of '{name}'")}
            for name, entry in content.items()
        ]
    elif isinstance(content, list):
        entries = [_mapping(path, entry, f"video {number}") for number, entry in enumerate(content, start=1)]
    else:
        raise wrong_layout(
            "the label file is no list of videos", where=path, expected="a list", got=type(content).__name__
        )
    for number, entry in enumerate(entries, start=1):
        _require(path, entry, ("video_name", "subject_id"), f"video {number}")
        labels = {key: value for key, value in entry.items() if key not in ("video_name", "subject_id")}
        yield _Labelled(str(entry["video_name"]), str(entry["subject_id"]), attributes_of(labels))


def _mapping(path: Path, value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise wrong_layout(
            "the label file is not as published", where=path, expected=what, got=f"a {type(value).__name__}"
        )
    return value


def _texts(path: Path, value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong_layout(
            "the label file is not as published", where=path, expected=what, got=repr(value)[:80]
        )
    return value


def _require(path: Path, entry: Mapping[str, object], keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if key not in entry]
    if missing:
        raise wrong_layout(
            f"the label file has other keys: {', '.join(missing)} not in {what}",
            where=path,
            expected=f"the keys {', '.join(keys)}",
            got=f"the keys {', '.join(sorted(map(str, entry)))}",
        )


def _match(root: Path, labelled: list[_Labelled]) -> Found:
    """Labelled videos with the files that they name, wherever below `root` their archives were unpacked."""
    found = Found()
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in _videos(root):
        by_name[file.name.casefold()].append(file)
    used: set[Path] = set()
    for video in sorted(labelled, key=lambda item: item.path):
        parts = tuple(part.casefold() for part in PurePosixPath(video.path).parts)
        files = [
            file
            for file in by_name.get(parts[-1] if parts else "", [])
            if tuple(part.casefold() for part in file.relative_to(root).parts)[-len(parts) :] == parts
        ]
        if len(files) != 1:
            reason = "labelled, but not in the folder" if not files else "several files have its name"
            found.skipped.append(Skip(video.path, reason, ", ".join(str(f.relative_to(root)) for f in files)))
        elif files[0] in used:
            found.skipped.append(Skip(video.path, "labelled twice"))
        else:
            used.add(files[0])
            found.recordings.append(
                Recording(
                    name=safe_name(files[0].stem),
                    identity=safe_name(video.subject),
                    video=files[0],
                    licence=LICENCE,
                    attributes=video.attributes,
                )
            )
    rest = sorted(file for files in by_name.values() for file in files if file not in used)
    found.skipped += [
        Skip(file.relative_to(root).as_posix(), "in the folder, but not labelled") for file in rest
    ]
    return found


def _videos(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from filter(is_video, (Path(parent, name) for name in sorted(names)))
