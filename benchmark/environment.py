"""Where a run happened: the facts that may differ while the results must not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from media.errors import AvatarBenchError

__all__ = ["describe_environment", "resolve_device"]

_CHECKOUT = Path(__file__).resolve().parents[1]


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and the state of the checkout, as plain data for `environment.json`."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    packages = {dist.metadata["Name"]: dist.version for dist in distributions()}
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": {
            name: os.environ[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ
        },
        "gpus": gpus,
        "cuda": torch.version.cuda,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "packages": dict(sorted(packages.items())),
    }


def _git(*arguments: str) -> str | None:
    """Output of a git command in the checkout; None for an installed package or a machine without git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_CHECKOUT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def resolve_device(name: str) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device that is there.

    Raises:
        AvatarBenchError: E504 for another word, or for a GPU that is not there.
    """
    allowed = "auto, cpu, cuda or cuda:N"
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (":" in name and not (kind == "cuda" and index.isdecimal())):
        raise AvatarBenchError("E504", f"unknown device '{name}'", where="--device", expected=allowed)
    if kind == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda" if count else "cpu"
    if int(index or 0) >= count:
        raise AvatarBenchError(
            "E504",
            f"the device '{name}' is not there",
            where="--device",
            got=f"{count} CUDA devices",
            fix="use --device cpu, or auto",
        )
    return name
