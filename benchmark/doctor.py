"""`bench doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from benchmark.cache import cache_folder
from benchmark.manifest import load_dataset
from benchmark.registry import Listing, find_method, list_methods, missing_sources, outside_of
from media.errors import AvatarBenchError

__all__ = ["Check", "examine", "examine_one"]

_OWN_PACKAGES = ("media", "reference_model", "benchmark", "baselines", "leaderboard")
_MIN_FREE_GB = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def examine(*, cluster: bool = False) -> Iterator[Check]:
    """Look at packages, methods, the data set that ships, disks and the cache; imports nothing heavy.

    Args:
        cluster: Look at what running in shards needs, too.
    """
    yield _packages()
    yield _shadows()
    if cluster:
        yield _submitit()
        yield _slurm()
    for listing in list_methods():
        yield _method(listing)
    try:
        dataset = load_dataset()
        yield Check("data set mini", True, f"{len(dataset.clips)} clips")
    except AvatarBenchError as error:
        yield Check("data set mini", False, error.what, "restore benchmark/data/mini")
    yield _disk("cache", cache_folder(), "set AVATARBENCH_CACHE to another folder", "bench doctor --clean")
    yield _disk(
        "runs", Path("runs").resolve(), "start bench in another folder, or give --out", "remove old runs"
    )


def examine_one(name: str) -> Iterator[Check]:
    """Look at one method closely: its own parts, and what it needs outside of packages.

    Raises:
        AvatarBenchError: E501 for an unknown method, E603 when it needs a package that is not installed.
    """
    spec = find_method(name)
    yield _method(Listing(name, spec, None))
    if spec.state:
        yield from outside_of(spec.state).checks()


def _packages() -> Check:
    try:
        needed = [line for line in requires("avatarbench") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return Check("packages", False, "avatarbench itself is not installed", "uv sync")
    names = {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in needed}
    missing = sorted(name for name in names if not _is_installed(name))
    found = f"{len(names)} requirements" if not missing else f"missing: {', '.join(missing)}"
    return Check("packages", not missing, found, "uv sync" if missing else "")


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _method(listing: Listing) -> Check:
    """Whether a method loads, and its packages, code, weights and arrays are there."""
    name, spec = f"method {listing.name}", listing.spec
    if spec is None:
        return Check(name, False, listing.error or "", "repair the package that registers it")
    packages = [package for package in spec.needs if importlib.util.find_spec(package) is None]
    if packages:
        return Check(name, False, f"needs {', '.join(packages)}", f"uv pip install {' '.join(packages)}")
    missing = missing_sources(spec)
    if missing:
        return Check(name, False, f"missing: {', '.join(missing)}", "restore these files of its package")
    return Check(name, True, spec.title)


def _submitit() -> Check:
    good = _is_installed("submitit")
    found = f"submitit {version('submitit')}" if good else "submitit is not installed"
    return Check("cluster", good, found, "" if good else "uv pip install 'avatarbench[cluster]'")


def _slurm() -> Check:
    missing = [
        program for program in ("sbatch", "srun", "squeue", "scancel") if shutil.which(program) is None
    ]
    found = f"missing: {', '.join(missing)}" if missing else "sbatch, srun, squeue and scancel"
    return Check(
        "slurm", not missing, found, "use --cluster local, or a node of the cluster" if missing else ""
    )


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


def _disk(name: str, folder: Path, if_locked: str, if_full: str) -> Check:
    """Whether `folder`, which need not exist yet, can be written and has room."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Check(name, False, f"{folder} cannot be written", if_locked)
    free_gb = shutil.disk_usage(existing).free / 1e9
    ok = free_gb >= _MIN_FREE_GB
    fix = "" if ok else f"{if_full}, or free at least {_MIN_FREE_GB:g} GB"
    return Check(name, ok, f"{folder}, {free_gb:.1f} GB free", fix)
