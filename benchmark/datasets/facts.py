"""What was learnt of a file, kept beside the manifest: an import that was interrupted reads no file twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["FACTS_NAME", "FactStore"]

FACTS_NAME = ".import-facts.jsonl"

_T = TypeVar("_T")
_Key = tuple[str, str]  # file relative to the root, name of the fact
_Entry = tuple[int, int, Any]  # size, time of change in ns, value


class FactStore:
    """Facts of files, each valid while the file keeps its size and its time of change.

    One line a fact is appended and flushed as soon as it is learnt; a line that a crash tore is ignored and
    learnt again. (Writing the whole file anew for each fact would be quadratic in a data set of 26,000 videos.)
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.reused, self.learnt = 0, 0
        self._path, self._root = path, root
        self._facts: dict[_Key, _Entry] = {}
        self._stream: IO[str] | None = None

    def __enter__(self) -> FactStore:
        """Read what is known; E601, E602 where nothing can be written, before any work is done."""
        self._facts = _read(self._path)
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(_line(*item) for item in self._facts.items()), encoding="utf-8")
        self._stream = open(self._path, "a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def get(self, file: Path, what: str, learn: Callable[[Path], _T]) -> _T:
        """The fact called `what` of a file; `learn(file)` finds it out where it is not known.

        Args:
            file: A file below the root.
            what: Name of the fact, with the version of what finds it out.
            learn: Gives a value that JSON gives back unchanged.

        Raises:
            AvatarBenchError: Whatever `learn` raises (it is not kept); E402 where the file cannot be read, E601
                when the disk is full.
        """
        try:
            state = file.stat()
            key = (file.relative_to(self._root).as_posix(), what)
            stamp = (state.st_size, state.st_mtime_ns)
            known = self._facts.get(key)
            if known is not None and known[:2] == stamp:
                self.reused += 1
                return known[2]
            value = learn(file)
        except OSError as error:
            raise AvatarBenchError(
                "E402", "the file cannot be read", where=file, got=error.strerror
            ) from error
        self.learnt += 1
        self._facts[key] = (*stamp, value)
        self._append(_line(key, self._facts[key]))
        return value

    def _append(self, line: str) -> None:
        assert self._stream is not None, "a store is used inside its with block"
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise AvatarBenchError(
                "E601", "the facts of the import cannot be kept", where=self._path, got=error.strerror,
                fix="free some space; the import goes on where it stopped",
            ) from error  # fmt: skip


def _line(key: _Key, entry: _Entry) -> str:
    names = ("file", "what", "size", "mtime_ns", "value")
    return json.dumps(dict(zip(names, (*key, *entry), strict=True)), ensure_ascii=False) + "\n"


def _read(path: Path) -> dict[_Key, _Entry]:
    facts: dict[_Key, _Entry] = {}
    if not path.is_file():
        return facts
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            entry = json.loads(line)
            facts[entry["file"], entry["what"]] = (entry["size"], entry["mtime_ns"], entry["value"])
        except (ValueError, KeyError, TypeError):  # torn by a crash; what it said is learnt again
            continue
    return facts
