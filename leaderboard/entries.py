"""Reading a board: its entries, what was verified of them, and the badge that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.hashing import sha256_file
from benchmark.results import read_samples
from benchmark.schema import MethodResult, SampleRow
from leaderboard.schema import ENTRIES, ENTRY, SAMPLES, VERIFICATIONS, Badge, Entry, Verification
from media.errors import AvatarBenchError

__all__ = ["Board", "LoadedEntry", "digest_of", "load_entries", "read_entry", "read_verification"]

_Model = TypeVar("_Model", bound=BaseModel)

MAX_JSON_BYTES = 16 << 20
"""Of `entry.json` and of a verification."""


@dataclass(frozen=True, slots=True)
class LoadedEntry:
    """One entry of a board."""

    folder: Path
    entry: Entry
    digest: str
    verification: Verification | None
    """What was found about these very bytes; None where nothing was."""

    @property
    def badge(self) -> Badge:
        """What is known of the numbers: computed by verification, never declared."""
        if self.verification is None or self.verification.findings:
            return "self-reported"
        return self.verification.badge

    @property
    def method(self) -> MethodResult:
        """The method's line of the table."""
        return self.entry.result.methods[0]

    def rows(self) -> list[SampleRow]:
        """One row a sample and metric; of verified entries only, or after `leaderboard.folders.check_folder`."""
        return read_samples(self.folder / SAMPLES)


@dataclass(frozen=True, slots=True)
class Board:
    """All entries of a folder, and what could not be read."""

    entries: Sequence[LoadedEntry]
    problems: Sequence[AvatarBenchError]


def load_entries(board: Path) -> Board:
    """Read `<board>/entries/*` and `<board>/verifications/*.json`, by entry id.

    An entry that cannot be read is a problem and hides no other. Rows and features are not opened.

    Raises:
        AvatarBenchError: E801 when the folder is no board.
    """
    if not (board / ENTRIES).is_dir():
        raise AvatarBenchError(
            "E801",
            "the folder is not a board",
            where=board,
            expected=f"a folder {ENTRIES}/ with one folder an entry",
            fix="pack an entry with: bench submit RUN --board " + str(board),
        )
    entries: list[LoadedEntry] = []
    problems: list[AvatarBenchError] = []
    for folder in sorted(path for path in (board / ENTRIES).iterdir() if not path.name.startswith(".")):
        try:
            entry = read_entry(folder)
            digest = digest_of(folder)
            found = read_verification(board / VERIFICATIONS / f"{entry.entry_id}.json")
        except AvatarBenchError as error:
            problems.append(error)
            continue
        fits = found is not None and (found.entry_id, found.digest) == (entry.entry_id, digest)
        entries.append(LoadedEntry(folder, entry, digest, found if fits else None))
    return Board(entries, problems)


def digest_of(folder: Path) -> str:
    """SHA-256 of an entry: of `entry.json`, which holds the SHA-256 of every other file."""
    return sha256_file(folder / ENTRY)


def read_entry(folder: Path) -> Entry:
    """Content of an entry's `entry.json`.

    Raises:
        AvatarBenchError: E801 when there is none or it is a link, E802 when it is too large, E803 when it is not
            an entry of this release.
    """
    entry = _read_strict(folder / ENTRY, Entry)
    if entry.entry_id != folder.resolve().name:
        raise AvatarBenchError(
            "E803",
            "the entry has another id than its folder's name",
            where=folder,
            expected=folder.resolve().name,
            got=entry.entry_id,
        )
    return entry


def read_verification(path: Path) -> Verification | None:
    """What was verified of an entry; None where nothing was.

    Raises:
        AvatarBenchError: E801, E802, E803.
    """
    return _read_strict(path, Verification) if path.exists() else None


def _read_strict(path: Path, kind: type[_Model]) -> _Model:
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        raise AvatarBenchError(
            "E801",
            f"{path.name} is missing, or is not a regular file",
            where=path,
            expected="a regular file in a regular folder",
        )
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise AvatarBenchError(
            "E802",
            "the file is too large",
            where=path,
            expected=f"at most {MAX_JSON_BYTES} bytes",
            got=f"{size} bytes",
        )
    try:
        return kind.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError) as error:
        raise AvatarBenchError(
            "E803", f"{path.name} is not of this release's format", where=path, got=_first(error)
        ) from error


def _first(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0]
