"""Which outputs of a corpus are up to date: keys of inputs and source, written after the outputs.

A record is written only when all files of an item stand, and every file is moved into place whole, so a process may
be killed at any moment: what has no record is made again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from media.files import atomic_write

__all__ = ["ContentCache", "content_key", "source_version", "write_json"]

_OWN_PACKAGES = ("reference_model", "media")


def content_key(**parts: Any) -> str:
    """A key of JSON values: equal values give equal keys on every machine, [32] hex digits."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@functools.cache
def source_version(*modules: str) -> str:
    """A hash of the source of modules and of all modules of this project that they import, directly or not.

    Args:
        modules: Full names, such as "reference_model.corpus.motion.animator".

    Returns:
        [16] hex digits. Data files that the modules read are not in it.
    """
    paths: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _source_of(name)
        if path is not None and name not in paths:
            paths[name] = path
            waiting += _imports(path)
    digest = hashlib.sha256()
    for name in sorted(paths):
        digest.update(name.encode() + b"\0" + paths[name].read_bytes())
    return digest.hexdigest()[:16]


def _source_of(name: str) -> Path | None:
    if name.split(".")[0] not in _OWN_PACKAGES:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a name inside a module, not a module
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _imports(path: Path) -> Iterable[str]:
    """Names that may be modules: `from a import b` gives both "a" and "a.b"."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, "utf-8")


class ContentCache:
    """Records of finished items under `folder`, one small file an item.

    Args:
        folder: Where the records stand.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_done(self, stage: str, item: str, key: str, outputs: Iterable[Path]) -> bool:
        """Whether the item was finished with this key and all its files still stand."""
        return self.key_of(stage, item) == key and all(path.is_file() for path in outputs)

    def key_of(self, stage: str, item: str) -> str | None:
        """The key that the item was finished with, if it was."""
        return self.record(stage, item).get("key")

    def record(self, stage: str, item: str) -> dict[str, str]:
        """Key and facts of a finished item; empty where there is none."""
        try:
            return json.loads(self._record(stage, item).read_text("utf-8"))
        except FileNotFoundError:
            return {}

    def finish(self, stage: str, item: str, key: str, **facts: str) -> None:
        """Record that all files of the item stand, and how they were made."""
        write_json(self._record(stage, item), {"key": key, **facts})

    def _record(self, stage: str, item: str) -> Path:
        return self._folder / stage / f"{item}.json"
