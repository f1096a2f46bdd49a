"""`bench doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from benchmark.cache import cache_folder
from benchmark.manifest import load_dataset
from benchmark.registry import list_methods
from media.errors import AvatarBenchError

__all__ = ["Check", "examine"]

_OWN_PACKAGES = ("media", "reference_model", "benchmark", "baselines", "leaderboard")
_MIN_FREE_GB = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def examine() -> Iterator[Check]:
    """Look at packages, methods, the data set that ships, and the cache; imports nothing heavy."""
    yield _packages()
    yield _shadows()
    for listing in list_methods():
        good = listing.spec is not None
        found = listing.spec.title if listing.spec else listing.error or ""
        yield Check(
            f"method {listing.name}", good, found, "" if good else "repair the package that registers it"
        )
    try:
        dataset = load_dataset()
        yield Check("data set mini", True, f"{len(dataset.clips)} clips")
    except AvatarBenchError as error:
        yield Check("data set mini", False, error.what, "restore benchmark/data/mini")
    yield _cache()


def _packages() -> Check:
    try:
        needed = [line for line in requires("avatarbench") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return Check("packages", False, "avatarbench itself is not installed", "uv sync")
    missing = [name for name in ("av", "cv2", "mediapipe", "numba", "scipy", "torch", "torchmetrics")
               if importlib.util.find_spec(name) is None]  # fmt: skip
    found = f"{len(needed)} requirements" if not missing else f"missing: {', '.join(missing)}"
    return Check("packages", not missing, found, "uv sync" if missing else "")


def _shadows() -> Check:
    """Our package names are common words: another `baselines` may be imported in our place."""
    home = Path(__file__).resolve().parents[1]
    for name in _OWN_PACKAGES:
        found = importlib.util.find_spec(name)
        origin = Path(found.origin).resolve() if found and found.origin else None
        if origin is None or not origin.is_relative_to(home):
            return Check(
                "own packages", False, f"'{name}' is imported from {origin}", "uninstall the other package"
            )
    return Check("own packages", True, str(home))


def _cache() -> Check:
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if not os.access(existing, os.W_OK):
        return Check("cache", False, f"{folder} cannot be written", "set AVATARBENCH_CACHE to another folder")
    ok = free_gb >= _MIN_FREE_GB
    return Check(
        "cache", ok, f"{folder}, {free_gb:.1f} GB free", "" if ok else "bench doctor --clean, or free space"
    )
