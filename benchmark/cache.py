"""The user's cache: sample inputs, personalised avatars and observations, all keyed by content."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = [
    "build_folder",
    "cache_folder",
    "clean_cache",
    "load_arrays",
    "make_folder",
    "remove_leftovers",
    "save_arrays",
]

ENVIRONMENT_VARIABLE = "AVATARBENCH_CACHE"
_OWN_FOLDERS = ("inputs", "prepared", "observations", "external")
_LOCK, _SCRATCH = ".lock", ".part-"
_DIGEST_BYTES = 32


def cache_folder() -> Path:
    """The platform's user cache folder, or where `AVATARBENCH_CACHE` points."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("avatarbench"))


def clean_cache() -> int:
    """Remove everything that the benchmark has cached; returns the number of bytes freed."""
    freed = 0
    for name in _OWN_FOLDERS:
        folder = cache_folder() / name
        freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def remove_leftovers() -> int:
    """Remove unfinished files and folders that killed processes left in the cache.

    Whoever writes holds a shared lock for as long as its unfinished file stands, and the system frees the locks of
    a killed process. So what stands while nobody holds the lock belongs to nobody. While another process is
    writing, nothing is removed; it will be the next time.

    Returns:
        The number of removed files and folders.
    """
    with _lock(fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        if not alone:
            return 0
        removed = 0
        for name in _OWN_FOLDERS:
            for path in _unfinished(cache_folder() / name):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                removed += 1
        return removed


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents; E602 where that is not allowed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AvatarBenchError(
            "E602",
            "the folder cannot be created",
            where=folder,
            got=error.strerror,
            fix="choose another folder, or make this one writable.",
        ) from error
    return folder


@contextmanager
def build_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that becomes `target` on success and vanishes on failure."""
    make_folder(target.parent)
    with (
        _lock(fcntl.LOCK_SH),
        tempfile.TemporaryDirectory(
            dir=target.parent, prefix=_SCRATCH, ignore_cleanup_errors=True
        ) as scratch,
    ):
        building = Path(scratch) / target.name
        building.mkdir()
        yield building
        try:
            os.replace(building, target)
        except OSError:
            if not target.is_dir():  # else another process was quicker; equal keys mean equal content
                raise


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an `.npz` with the SHA-256 of its bytes behind it, whole or not at all.

    Raises:
        AvatarBenchError: E601 when the disk is full, E602 when the cache cannot be written.
    """
    if any(array.dtype.hasobject for array in arrays.values()):
        raise TypeError("arrays of Python objects cannot be kept")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    make_folder(path.parent)
    with _lock(fcntl.LOCK_SH), atomic_write(path) as temporary, open(temporary, "wb") as stream:
        stream.write(content)
        stream.write(hashlib.sha256(content).digest())


def load_arrays(path: Path, report: Callable[[str], None]) -> dict[str, np.ndarray] | None:
    """Read what `save_arrays` wrote.

    Args:
        path: The file.
        report: Takes one line about a file that is damaged.

    Returns:
        The arrays; None where nothing stands or a single bit has changed.

    Raises:
        AvatarBenchError: E602 when the file may not be read.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AvatarBenchError(
            "E602",
            "the cache cannot be read",
            where=path,
            got=error.strerror,
            fix=f"make it readable, or name another folder in {ENVIRONMENT_VARIABLE}",
        ) from error
    content = stored[:-_DIGEST_BYTES]
    if hashlib.sha256(content).digest() != stored[-_DIGEST_BYTES:]:
        report(f"the observation {path} is damaged and is made again")
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@contextmanager
def _lock(kind: int) -> Iterator[bool]:
    """Hold the cache's lock; False where it cannot be had, as in a folder that may not be written."""
    try:
        descriptor = os.open(cache_folder() / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, kind)
            held = True
        except OSError:  # held by others, or a file system without locks
            held = False
        yield held
    finally:
        os.close(descriptor)


def _unfinished(folder: Path) -> Iterator[Path]:
    """What `build_folder` and `atomic_write` call their unfinished work, up to three levels below `folder`."""
    for pattern in (f"{_SCRATCH}*", f"*/{_SCRATCH}*", "*/*/.*.npz"):
        yield from folder.glob(pattern)
