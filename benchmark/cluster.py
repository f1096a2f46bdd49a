"""A run in shards, as jobs of a cluster or as processes of this machine; the results do not depend on their number.

A shard is the samples whose names' hashes fall to it. Its job makes their predictions and fills the observation store;
the process that submitted the jobs then scores and aggregates from the store, in the order of the samples. The run's
folder and the cache (`AVATARBENCH_CACHE`) must stand on a file system that all nodes share.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from benchmark.cache import ENVIRONMENT_VARIABLE, cache_folder
from benchmark.contract import MethodSpec
from benchmark.extractors import Networks
from benchmark.hashing import shard_of
from benchmark.locking import run_lock, shard_lock, sweep
from benchmark.metrics.catalogue import metrics_of
from benchmark.plan import PlannedRun, Progress, RunOptions, open_run
from benchmark.runner import forget_observations, forget_predictions, predict_samples, score_tasks
from benchmark.scorer import observe_samples
from benchmark.submission import (
    ClusterKind,
    ClusterOptions,
    Died,
    as_finished,
    last_lines,
    make_executor,
    result_of,
    submit,
)
from benchmark.timings import keep_environment
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

__all__ = ["ClusterOptions", "Refusal", "Shard", "make_cluster_options", "run_shards", "work_shard"]

ATTEMPTS = 3
"""How often a shard is started before its run is given up."""
JOBS_FOLDER = "jobs"
"""Of submitit's files, in the run's folder; it stays where a run was given up, because the logs stand in it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What a job is told."""

    index: int
    count: int
    attempt: int
    folder: Path
    """The run's folder, absolute."""
    dataset: Path | None
    cache: Path
    specs: tuple[MethodSpec, ...]
    samples: tuple[str, ...]
    token: str
    """Of the run lock of the process that submitted the job."""
    force: bool
    """Make again what is finished; at each attempt, so that a job that died early does not lose it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that the user can put right, brought home from a job; running the job again would not help."""

    arguments: dict[str, str | None]

    def error(self) -> AvatarBenchError:
        """The error as it was raised."""
        rest = dict(self.arguments)
        return AvatarBenchError(rest.pop("code") or "", rest.pop("what") or "", **rest)


def make_cluster_options(
    kind: str | None, n_shards: int | None, assignments: Sequence[str]
) -> ClusterOptions:
    """Options of the command line, checked.

    Args:
        kind: `--cluster`.
        n_shards: `--shards`.
        assignments: `NAME=VALUE` for submitit; whole numbers become integers.

    Raises:
        AvatarBenchError: E504 when they do not go together or are not what is expected.
    """
    if kind not in get_args(ClusterKind):
        raise AvatarBenchError(
            "E504",
            "shards need a cluster" if kind is None else f"unknown cluster '{kind}'",
            where="--cluster",
            expected="slurm, or local for processes of this machine",
        )
    if n_shards is None or n_shards < 1:
        raise AvatarBenchError(
            "E504",
            "a run on a cluster needs a number of shards",
            where="--shards",
            expected="at least 1",
            got="nothing" if n_shards is None else str(n_shards),
        )
    parameters: dict[str, str | int] = {}
    for word in assignments:
        name, found, value = word.partition("=")
        if not (found and name):
            raise AvatarBenchError(
                "E504",
                "a cluster option is not an assignment",
                where="--cluster-option",
                expected="NAME=VALUE, such as slurm_partition=gpu or timeout_min=120",
                got=word,
            )
        parameters[name] = int(value) if re.fullmatch(r"-?\d+", value) else value
    return ClusterOptions(cast(ClusterKind, kind), n_shards, parameters)


def run_shards(
    planned: PlannedRun,
    run_options: RunOptions,
    options: ClusterOptions,
    progress: Progress,
    samples: Collection[str],
    *,
    force: bool = False,
) -> None:
    """Predict and observe all samples in jobs, and wait for them; a job that dies is started again.

    Args:
        planned: The run, started (`start_run`).
        run_options: What it was planned from.
        options: Where, and in how many shards.
        progress: Told of finished shards and of each job that died.
        samples: The samples to work on.
        force: Make again what is finished.

    Raises:
        AvatarBenchError: E504 for a wrong option, E603 without submitit or Slurm, E604 when another process works
            on the run, E605 when a shard failed `ATTEMPTS` times, and what a job met that a user can put right.
    """
    folder = planned.folder.resolve()
    executor = make_executor(folder / JOBS_FOLDER, options, planned.plan.device)
    with run_lock(folder) as token:
        keep_environment(folder)
        prototype = Shard(
            index=0,
            count=options.n_shards,
            attempt=1,
            folder=folder,
            dataset=None if run_options.dataset is None else run_options.dataset.resolve(),
            cache=cache_folder().resolve(),
            specs=run_options.methods,
            samples=(),
            token=token,
            force=force,
        )
        shards = _split_up(prototype, samples)
        total = len(shards)
        while shards:
            progress(f"shards on {options.kind}", total - len(shards), total)
            batch = shards if options.kind == "slurm" else shards[: os.cpu_count() or 1]
            shards = _run_batch(executor, batch, options, progress) + shards[len(batch) :]
        progress(f"shards on {options.kind}", total, total)
        sweep(folder)  # what killed jobs left
        shutil.rmtree(folder / JOBS_FOLDER, ignore_errors=True)


def work_shard(shard: Shard) -> Refusal | None:
    """Do one shard's work; called in a job.

    Returns:
        None, or an error that would come again however often the job is run.
    """
    os.environ[ENVIRONMENT_VARIABLE] = str(shard.cache)
    try:
        with shard_lock(shard.folder, shard.index, shard.token):
            keep_environment(shard.folder, f"shard {shard.index} of {shard.count}, attempt {shard.attempt}")
            run = open_run(shard.folder, shard.dataset, _say, shard.samples)
            forced = shard.samples if shard.force else ()
            forget_predictions(run, forced)
            predict_samples(run, {spec.id: spec for spec in shard.specs}, _say)
            forget_observations(run, forced)
            with Networks() as networks:
                metrics = metrics_of(run.protocol)
                observe_samples(run.folder, run.plan, score_tasks(run), metrics, networks, _say)
    except AvatarBenchError as error:
        _say(str(error))
        names = ("code", "what", "where", "expected", "got", "fix")
        return Refusal({name: getattr(error, name) for name in names})
    return None


def _split_up(prototype: Shard, samples: Collection[str]) -> list[Shard]:
    """The shards to which a sample falls."""
    by_index: dict[int, list[str]] = defaultdict(list)
    for sample_id in sorted(samples):
        by_index[shard_of(sample_id, prototype.count)].append(sample_id)
    return [replace(prototype, index=index, samples=tuple(by_index[index])) for index in sorted(by_index)]


def _run_batch(
    executor: AutoExecutor, batch: list[Shard], options: ClusterOptions, progress: Progress
) -> list[Shard]:
    """Run shards as one job array; returns those to start again."""
    jobs = dict(zip(submit(executor, work_shard, batch), batch, strict=True))
    died: list[Shard] = []
    try:
        for job in as_finished(list(jobs), options):
            shard = jobs.pop(job)
            try:
                refusal: Refusal | None = result_of(job, options.kind)
            except Died as error:
                died.append(_once_more(shard, job, str(error), progress))
                continue
            if refusal is not None:
                raise refusal.error()
    finally:  # all jobs are done unless an error, or the user, ends this early
        for job in jobs:
            job.cancel(check=False)
    return died


def _once_more(shard: Shard, job: Job[Any], why: str, progress: Progress) -> Shard:
    """The shard's next attempt; E605 when it has had its last."""
    log = last_lines(job)
    if shard.attempt >= ATTEMPTS:
        raise AvatarBenchError(
            "E605",
            f"shard {shard.index} of {shard.count} died {ATTEMPTS} times; its log ends:\n{log}",
            where=job.paths.stderr,
            expected="a job that ends",
            got=why,
            fix="put right what the log says, and start the run again: what is finished is kept",
        )
    progress(f"shard {shard.index} of {shard.count} died ({why}) and is started again", 0, 0)
    return replace(shard, attempt=shard.attempt + 1)


def _say(what: str, done: int = 0, total: int = 0) -> None:
    """A line of the job's log."""
    sys.stderr.write(f"[{done}/{total}] {what}\n" if total else f"{what}\n")
    sys.stderr.flush()
