"""Names, paths and facts as a manifest holds them, made from what other people's files say."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from benchmark.hashing import sha256_json
from media.errors import AvatarBenchError

__all__ = ["Attributes", "attributes_of", "outside", "read_json_file", "safe_name"]

Attributes = dict[str, str | int | float | bool]


def safe_name(text: str) -> str:
    """A file name as an id, `[A-Za-z0-9_-]+`. Ids become file names of other programs that dislike spaces and dots."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")
    return cleaned or f"clip_{sha256_json(text)[:8]}"


def attributes_of(labels: Mapping[str, object]) -> Attributes:
    """Labels of any depth as flat attributes, under their own names.

    `{"monk_skin_tone": {"scale": "scale 5"}}` becomes `{"monk_skin_tone.scale": "scale 5"}`, a list becomes one
    text with commas. Empty values (null, "", [], NaN) are no facts and are left out.
    """
    flat: Attributes = {}
    for name, value in labels.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{below}": fact for below, fact in attributes_of(value).items()}
        elif isinstance(value, list | tuple):
            joined = ", ".join(_text(item) for item in value)
            flat |= {name: joined} if joined else {}
        elif isinstance(value, str | bool | int) and value != "":
            flat[name] = value
        elif isinstance(value, float) and math.isfinite(value):
            flat[name] = value
    return flat


def read_json_file(path: Path, code: str, what: str) -> object:
    """The content of a JSON file.

    Args:
        path: The file.
        code: Code of the error where it cannot be read.
        what: What the file is, for the message.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) else str(error)
        raise AvatarBenchError(
            code, f"{what} cannot be read", where=path, expected="JSON", got=got
        ) from error


def outside(root: Path, file: str) -> str | None:
    """Why `root / file` is not a path inside `root`, as the end of a sentence; None where it is one.

    Absolute paths (of any system), `..` and symbolic links that lead out of the folder are refused, so that a
    manifest of somebody else reads nothing but its own folder.
    """
    if PurePosixPath(file).is_absolute() or PureWindowsPath(file).drive or PureWindowsPath(file).root:
        return "is an absolute path"
    if ".." in PureWindowsPath(file).parts:
        return "leads out of the folder with '..'"
    try:
        real = (root / file).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a null byte
        return f"cannot be a path ({error})"
    return (
        None if real.is_relative_to(root.resolve()) else f"is a link that leads out of the folder, to {real}"
    )


def _text(item: object) -> str:
    return item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False)
