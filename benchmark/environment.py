"""Where a run happened: the facts that may differ while the results must not."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from media.errors import AvatarBenchError

__all__ = ["Checkout", "Environment", "Gpu", "Hardware", "describe_environment", "resolve_device"]

_CHECKOUT = Path(__file__).resolve().parents[1]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Gpu(BaseModel):
    """One CUDA device."""

    model_config = _STRICT

    name: str
    memory_bytes: int
    compute_capability: str
    """`major.minor`."""


class Hardware(BaseModel):
    """The machine."""

    model_config = _STRICT

    machine: str
    """Instruction set, such as `x86_64`."""
    cpu: str | None
    """Model name; null where the system does not tell."""
    cpu_count: int | None
    """Logical processors of the machine."""
    cpu_available: int
    """Logical processors that this process may use."""
    memory_bytes: int | None
    """Main memory of the machine; null where the system does not tell."""
    gpus: tuple[Gpu, ...]
    gpu_driver: str | None
    """Version of NVIDIA's kernel driver; null without one."""


class Checkout(BaseModel):
    """State of the source tree; null for an installed package or without git."""

    model_config = _STRICT

    commit: str | None
    dirty: bool | None
    """Whether files differ from the commit, untracked ones that git does not ignore included."""


class Environment(BaseModel):
    """Content of `environment.json`: what may differ while the results must not."""

    model_config = _STRICT

    package_version: str
    checkout: Checkout
    python: str
    platform: str
    cuda: str | None
    """CUDA version that torch was built for."""
    hardware: Hardware
    threads: dict[str, str]
    """Environment variables that decide numbers of threads."""
    packages: dict[str, str]
    """Version of every installed distribution, by name."""


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and the state of the checkout, as plain data of an `Environment`."""
    import torch

    packages = {dist.metadata["Name"]: dist.version for dist in distributions()}
    environment = Environment(
        package_version=version("avatarbench"),
        checkout=_checkout(),
        python=sys.version.split()[0],
        platform=platform.platform(),
        cuda=torch.version.cuda,
        hardware=_hardware(),
        threads={name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        packages=dict(sorted(packages.items())),
    )
    return environment.model_dump(mode="json")


def _hardware() -> Hardware:
    import torch

    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    driver = _search("/proc/driver/nvidia/version", r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)")
    kilobytes = _search("/proc/meminfo", r"MemTotal:\s+(\d+) kB")
    return Hardware(
        machine=platform.machine(),
        cpu=_search("/proc/cpuinfo", r"model name\s*:\s*(.+)") or platform.processor() or None,
        cpu_count=os.cpu_count(),
        cpu_available=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        memory_bytes=int(kilobytes) * 1024 if kilobytes else None,
        gpus=tuple(
            Gpu(name=p.name, memory_bytes=p.total_memory, compute_capability=f"{p.major}.{p.minor}")
            for p in properties
        ),
        gpu_driver=driver,
    )


def _search(path: str, pattern: str) -> str | None:
    """First group of `pattern` in a file of the kernel; None where there is no such file or line."""
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found.group(1).strip() if found else None


def _checkout() -> Checkout:
    if _git("rev-parse", "--show-toplevel") != str(_CHECKOUT):  # installed into some other project's tree
        return Checkout(commit=None, dirty=None)
    changes = _git("status", "--porcelain")
    return Checkout(commit=_git("rev-parse", "HEAD"), dirty=None if changes is None else bool(changes))


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
