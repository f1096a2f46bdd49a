"""Locks: one process at a time works on a run, and what killed processes left behind is swept away.

All locks are `flock` locks of the kernel: when a process ends, however it ends, its locks are free at once. The text
in a lock file only tells people who holds it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.cache import remove_leftovers
from media.errors import AvatarBenchError

__all__ = ["file_lock", "run_lock", "shard_lock", "sweep"]

RUN_LOCK, SHARD_LOCK = ".lock", ".lock-shard-"
_OWN_FOLDERS = ("predictions", "features")

# Scratch folders, and what `atomic_write` calls its unfinished files.
_TEMPORARY = re.compile(r"\.part-.*|\..+\.[0-9a-f]{8}(\.[A-Za-z0-9]+)?")
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
_held: dict[Path, str] = {}  # the runs that this process works on, with the token of their lock


@contextmanager
def run_lock(folder: Path) -> Iterator[str]:
    """Work on the run in `folder` alone; what killed processes left there and in the cache is removed first.

    The lock may be taken again by the process that has it. Jobs of a cluster that were started for the run and
    outlived the process that started them count as somebody at work, too.

    Args:
        folder: The run's folder; it exists.

    Yields:
        A token that is the lock's own: a job that finds another one in the file belongs to an older start.

    Raises:
        AvatarBenchError: E604 when another process works on the run, E601 or E602 when no lock can be made.
    """
    key = folder.resolve()
    if key in _held:
        yield _held[key]
        return
    with file_lock(folder / RUN_LOCK) as token:
        sweep(folder)
        remove_leftovers()
        _held[key] = token
        try:
            yield token
        finally:
            del _held[key]


@contextmanager
def shard_lock(folder: Path, shard: int, token: str) -> Iterator[None]:
    """Work on one shard of a run on behalf of the process whose run lock has this `token`.

    An older job of the same shard that was taken for dead is waited for; what it finishes need not be done again.

    Raises:
        AvatarBenchError: E604 when the run was given up or has been started anew since the job was submitted.
    """
    with file_lock(folder / f"{SHARD_LOCK}{shard}", wait=True):
        holder = _read_holder(folder / RUN_LOCK)
        if holder.get("token") != token:
            raise AvatarBenchError(
                "E604",
                "the run that this job belongs to was given up",
                where=folder,
                expected=f"start {token}",
                got=_describe(holder),
            )
        yield


def sweep(folder: Path) -> int:
    """Remove scratch folders and half-written files of killed processes from a run; returns how many there were.

    Only for the holder of the run's lock. Folders that are not a run's own are not looked into: a run may be written
    into a folder that holds other things, too.

    Raises:
        AvatarBenchError: E604 when a job of a shard is still at work; nothing is removed then.
    """
    for path in sorted(folder.glob(f"{SHARD_LOCK}*")):
        with file_lock(path):
            pass
    found = 0
    for place, folders, files in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name in _OWN_FOLDERS or _TEMPORARY.fullmatch(name)]
        for name in [name for name in folders if _TEMPORARY.fullmatch(name)]:
            shutil.rmtree(Path(place) / name, ignore_errors=True)
            folders.remove(name)
            found += 1
        for name in files:
            if _TEMPORARY.fullmatch(name):
                (Path(place) / name).unlink(missing_ok=True)
                found += 1
    return found


@contextmanager
def file_lock(path: Path, *, wait: bool = False) -> Iterator[str]:
    """Hold `path` as a lock file, which is removed at the end.

    Args:
        path: The lock file; its folder exists.
        wait: Wait for the holder, however long, instead of refusing.

    Yields:
        A token that stands in the file as long as the lock is held.

    Raises:
        AvatarBenchError: E604 when another process holds it; E601, E602 when the file cannot be made.
    """
    stream = _acquire(path, wait)
    token = secrets.token_hex(8)
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "token": token})
    try:
        try:
            os.ftruncate(stream, 0)
            os.pwrite(stream, text.encode(), 0)
        except OSError as error:
            raise _lock_error(path, error) from error
        yield token
    finally:
        path.unlink(missing_ok=True)
        os.close(stream)


def _acquire(path: Path, wait: bool) -> int:
    while True:
        try:
            stream = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _lock_error(path, error) from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(stream, path):  # else its last holder removed the file between our two calls
                return stream
        except BlockingIOError:
            holder = _read_holder(path)
            os.close(stream)
            raise AvatarBenchError(
                "E604",
                "another process works on this run",
                where=path.parent,
                got=_describe(holder),
                fix="wait until it has finished, or stop that process",
            ) from None
        except OSError as error:
            os.close(stream)
            raise _lock_error(path, error) from error
        os.close(stream)


def _is_at(stream: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(path: Path) -> dict[str, object]:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _describe(holder: dict[str, object]) -> str:
    if not holder:
        return "a process that has not written its name yet"
    return f"process {holder.get('pid')} on {holder.get('host')}"


def _lock_error(path: Path, error: OSError) -> AvatarBenchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AvatarBenchError(
            "E601", "the disk is full", where=path.parent, fix="free some space or write to another disk"
        )
    return AvatarBenchError(
        "E602",
        "the file system has no locks" if error.errno in _UNSUPPORTED else "the folder cannot be written",
        where=path.parent,
        got=error.strerror,
        fix="choose another folder, or make this one writable",
    )
