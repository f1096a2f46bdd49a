"""The user's cache: sample inputs, personalised avatars and observations, all keyed by content."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["build_folder", "cache_folder", "clean_cache", "load_arrays", "make_folder", "save_arrays"]

ENVIRONMENT_VARIABLE = "AVATARBENCH_CACHE"
_OWN_FOLDERS = ("inputs", "prepared", "observations")


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
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=".part-", ignore_cleanup_errors=True
    ) as scratch:
        building = Path(scratch) / target.name
        building.mkdir()
        yield building
        if target.exists():  # another process was quicker; equal keys mean equal content
            return
        os.replace(building, target)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an `.npz`, whole or not at all."""
    make_folder(path.parent)
    with atomic_write(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Read what `save_arrays` wrote; None where nothing stands or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError):
        return None
