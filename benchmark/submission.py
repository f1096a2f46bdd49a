"""Submitting jobs through submitit, and seeing what became of them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

__all__ = [
    "ClusterKind",
    "ClusterOptions",
    "Died",
    "as_finished",
    "last_lines",
    "make_executor",
    "result_of",
    "submit",
]

ClusterKind = Literal["slurm", "local", "debug"]
"""`local` is processes of this machine, `debug` this process; both serve a machine without a cluster."""

_LOG_LINES = 15
_DEFAULT_TIMEOUT_MIN = 24 * 60
_POLL_S = {"slurm": 2.0, "local": 0.2, "debug": 0.0}


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How a run is spread."""

    kind: ClusterKind
    n_shards: int
    parameters: Mapping[str, str | int]
    """Of submitit's `AutoExecutor`, such as `slurm_partition`, `timeout_min` or `gpus_per_node`."""
    poll_s: float | None = None
    """Seconds between two looks at the jobs; None is what suits the kind."""


def make_executor(folder: Path, options: ClusterOptions, device: str) -> AutoExecutor:
    """An executor that keeps its files in `folder`; one GPU a job where `device` is one.

    Raises:
        AvatarBenchError: E504 for an option that submitit does not know, E603 without submitit or Slurm.
    """
    try:
        from submitit import AutoExecutor
    except ImportError as error:
        raise AvatarBenchError(
            "E603",
            "running in shards needs the package 'submitit'",
            fix="install it, for example with: uv pip install 'avatarbench[cluster]'",
        ) from error
    if options.kind == "slurm" and shutil.which("srun") is None:
        raise AvatarBenchError(
            "E603",
            "this machine has no Slurm",
            where="--cluster slurm",
            expected="the programs sbatch, srun and squeue",
            fix="start it on a node of the cluster, or use --cluster local",
        )
    defaults: dict[str, Any] = {
        "name": "bench",
        "timeout_min": _DEFAULT_TIMEOUT_MIN,
        "gpus_per_node": int(device.startswith("cuda")),
    }
    if options.kind == "slurm" and not defaults["gpus_per_node"]:
        del defaults["gpus_per_node"]  # a request for no GPU is an error where none is configured
    executor = AutoExecutor(folder=folder, cluster=options.kind)
    try:
        executor.update_parameters(**defaults | dict(options.parameters))
    except (NameError, ValueError, AssertionError) as error:
        raise AvatarBenchError(
            "E504",
            "submitit does not take a cluster option",
            where="--cluster-option",
            got=str(error).splitlines()[0],
            fix="see submitit's AutoExecutor.update_parameters",
        ) from error
    return executor


def submit(executor: AutoExecutor, work: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Job[Any]]:
    """Submit one job an argument, as one array.

    Raises:
        AvatarBenchError: E605 when the cluster does not take them.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        return executor.map_array(work, arguments)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise AvatarBenchError(
            "E605",
            "the cluster did not take the jobs",
            where="--cluster-option",
            got=next((line for line in lines if "error" in line.lower()), lines[-1]),
            fix="put right what the cluster says, with --cluster-option NAME=VALUE",
        ) from error


def as_finished(jobs: list[Job[Any]], options: ClusterOptions) -> Iterator[Job[Any]]:
    """The jobs, each as soon as it has ended."""
    missed: dict[str, int] = {}
    while jobs:
        queued = _queued_jobs() if options.kind == "slurm" else None
        for job in list(jobs):
            if job.done() if options.kind != "slurm" else _has_left_slurm(job, queued, missed):
                jobs.remove(job)
                yield job
        if jobs:
            time.sleep(_POLL_S[options.kind] if options.poll_s is None else options.poll_s)


def _has_left_slurm(job: Job[Any], queued: frozenset[str] | None, missed: dict[str, int]) -> bool:
    """Whether a job has ended, killed or not.

    submitit would ask `sacct`, which answers only where Slurm keeps accounts. A job that neither waits nor runs and
    has left no result is dead; a second look gives a shared file system time to show the result.
    """
    has_result = job.paths.result_pickle.exists()
    if queued is None:  # Slurm does not answer
        return has_result
    missed[job.job_id] = 0 if job.job_id in queued else missed.get(job.job_id, 0) + 1
    return missed[job.job_id] >= (1 if has_result else 2)


def _queued_jobs() -> frozenset[str] | None:
    """Ids of the user's jobs that wait or run; None when Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--me", "--format=%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return frozenset(done.stdout.split())


class Died(Exception):
    """A job has ended without a result."""


def result_of(job: Job[Any], kind: ClusterKind) -> Any:
    """What a finished job has returned.

    Raises:
        Died: It was killed, or its code has crashed.
    """
    from submitit.core.utils import FailedJobError, UncompletedJobError

    if kind != "debug" and not job.paths.result_pickle.exists():
        raise Died("killed")
    try:
        return job.result()
    except (FailedJobError, UncompletedJobError) as error:
        trace = [line for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
        crash = next((line for line in reversed(trace[:-3]) if not line.startswith(" ")), "an error")
        raise Died(f"crashed: {crash}") from None


def last_lines(job: Job[Any]) -> str:
    """The end of a job's log."""
    lines = ((job.stderr() or "") + (job.stdout() or "")).splitlines()
    return "\n".join(lines[-_LOG_LINES:]) or "(the log is empty)"
