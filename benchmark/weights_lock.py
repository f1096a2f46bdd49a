"""`lock.json`: revision, sizes and hashes of weights for which none were published, as the first fetch found them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from benchmark.locking import file_lock
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["FileFacts", "LockedWeight", "read_lock", "record_file"]

LOCK_FILE = "lock.json"


class FileFacts(BaseModel):
    """What is known of one file; None where nothing is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int | None = None
    sha256: str | None = None


class LockedWeight(BaseModel):
    """What the first fetch of a weight found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: str | None = None
    """The registry's at that time: what was recorded for another one says nothing about this one."""
    files: dict[str, FileFacts] = {}
    """By path below the folder of weights."""


class _Lock(RootModel[dict[str, LockedWeight]]):
    """`lock.json`: by id of the weight."""


def read_lock(folder: Path) -> dict[str, LockedWeight]:
    """What has been recorded in `folder`; empty where nothing was.

    Raises:
        AvatarBenchError: E502 when the file cannot be read: what it held must not be forgotten silently.
    """
    path = folder / LOCK_FILE
    try:
        return _Lock.model_validate_json(path.read_bytes()).root
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        raise AvatarBenchError(
            "E502",
            "the record of fetched weights cannot be read",
            where=path,
            got=str(error).splitlines()[0],
            fix="restore it, or remove it and fetch again to trust what is published now",
        ) from error


def record_file(folder: Path, weight_id: str, name: str, facts: FileFacts, revision: str | None) -> None:
    """Add what the first fetch of one file found; what other processes record meanwhile is kept.

    Raises:
        AvatarBenchError: E601, E602 when the file cannot be written.
    """
    with file_lock(folder / f".{LOCK_FILE}.lock", wait=True):
        lock = read_lock(folder)
        former = lock.get(weight_id)
        files = former.files if former is not None and former.revision == revision else {}
        lock[weight_id] = LockedWeight(revision=revision, files={**files, name: facts})
        with atomic_write(folder / LOCK_FILE) as temporary:
            temporary.write_text(_Lock(lock).model_dump_json(indent=1) + "\n", encoding="utf-8")
