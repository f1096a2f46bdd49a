"""Clocks and hosts of a run: the only files whose bytes may differ between equal runs."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.environment import describe_environment
from benchmark.locking import file_lock
from benchmark.results import read_json, write_json

__all__ = ["ENVIRONMENT", "JOBS", "TIMINGS", "keep_environment", "keep_timings"]

ENVIRONMENT, JOBS, TIMINGS = "environment.json", "environment_jobs.json", "timings.json"
_LOCK = ".lock-timings"


def keep_timings(folder: Path, what: str, seconds: Mapping[str, float]) -> None:
    """Enter seconds by stage into `timings.json`; jobs of a cluster may do so at the same time.

    Args:
        folder: The run's folder.
        what: `predict <method> <sample>` or `score <sample>`; an older entry of that name is replaced.
        seconds: By stage; a stage of a method's own is called `generate.<stage>`.
    """
    _merge(folder, TIMINGS, {what: {stage: round(value, 3) for stage, value in seconds.items()}})


def keep_environment(folder: Path, job: str | None = None) -> None:
    """Write where the run happens.

    Args:
        folder: The run's folder.
        job: Name of a job of a cluster: what is different there is entered into `environment_jobs.json` below
            this name. None is the process that started the run; its facts are `environment.json`.
    """
    facts = describe_environment()
    if job is None:
        write_json(folder / ENVIRONMENT, facts)
        return
    kept = read_json(folder / ENVIRONMENT)
    different = {name: fact for name, fact in facts.items() if kept.get(name) != fact}
    _merge(folder, JOBS, {job: {"host": socket.gethostname()} | different})


def _merge(folder: Path, name: str, entries: Mapping[str, Any]) -> None:
    with file_lock(folder / _LOCK, wait=True):
        write_json(folder / name, read_json(folder / name) | dict(entries))
