"""What one command does: which stages, of which samples, here or in shards, or only said and not done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.cache import ENVIRONMENT_VARIABLE, cache_folder, make_folder
from benchmark.cluster import ClusterOptions, run_shards
from benchmark.locking import run_lock
from benchmark.plan import (
    PlannedRun,
    Progress,
    Run,
    RunOptions,
    choose_samples,
    open_run,
    propose_run,
    read_samples_of,
    start_run,
)
from benchmark.runner import (
    aggregate_run,
    find_predictions,
    forget_observations,
    forget_predictions,
    observation_places,
    score_run,
)
from benchmark.workers import available_workers, observe_in_workers, predict_in_workers
from media.errors import AvatarBenchError

__all__ = [
    "Done",
    "Outlook",
    "Work",
    "foresee_predictions",
    "foresee_scores",
    "predict_stage",
    "run_stages",
    "score_stage",
]


@dataclass(frozen=True, slots=True)
class Work:
    """Which part of a run to work on, and how."""

    samples: tuple[str, ...] | None = None
    """Only these; None is all. They do not change the plan: the rest stays to be done."""
    force: bool = False
    """Make again what is finished."""
    cluster: ClusterOptions | None = None
    """None is this machine."""
    workers: int | None = 1
    """Processes that predict and observe on this machine; None is as many as it has room for."""

    @property
    def elsewhere(self) -> bool:
        """Whether the methods run on other machines."""
        return self.cluster is not None and self.cluster.kind == "slurm"


@dataclass(frozen=True, slots=True)
class Done:
    """Where a run stands after a command."""

    folder: Path
    failed: int
    """Predictions that failed."""
    unfinished: int
    """Predictions that have not been made; while there is one, the run is neither scored nor aggregated."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a command would do."""

    what: str
    """Id of a method, or `score`."""
    to_make: int
    """Predictions, or observations."""
    finished: int
    """Those that are there already."""


def run_stages(options: RunOptions, work: Work, progress: Progress) -> Done:
    """Predict, score and aggregate; each stage takes up where it was interrupted.

    Raises:
        AvatarBenchError: see `propose_run`, `read_samples_of`, `predict_run`, `run_shards` and `score_run`.
    """
    with ExitStack() as stack:
        run, failed = _predict(options, work, progress, stack)
        unfinished = sum(record is None for record in find_predictions(run).values()) if work.samples else 0
        if unfinished:
            return Done(run.folder, failed, unfinished)
        if work.force and work.cluster is None:  # in shards each job has seen to its own
            forget_observations(run, choose_samples(run.plan, work.samples))
        observe_in_workers(run, progress, _n_workers(run, work))
        score_run(run, progress)
        return Done(run.folder, aggregate_run(run.folder)[1], 0)


def predict_stage(options: RunOptions, work: Work, progress: Progress) -> Done:
    """Only make predictions.

    Raises:
        AvatarBenchError: see `propose_run`, `read_samples_of` and `predict_run`.
    """
    with ExitStack() as stack:
        run, failed = _predict(options, work, progress, stack)
        return Done(run.folder, failed, 0)


def score_stage(folder: Path, dataset: Path | None, work: Work, progress: Progress) -> Done:
    """Only score the predictions of a run; what the observation store has is not decoded again.

    Raises:
        AvatarBenchError: see `open_run` and `score_run`.
    """
    _refuse_part_of_scores(work)
    run = open_run(folder, dataset, progress)
    chosen = choose_samples(run.plan, work.samples)
    with run_lock(folder):
        if work.force:
            forget_observations(run, chosen)
        observe_in_workers(run, progress, _n_workers(run, work))
        return Done(folder, score_run(run, progress), 0)


def foresee_predictions(options: RunOptions, work: Work, progress: Progress) -> tuple[Path, list[Outlook]]:
    """What `predict` would make, and in which folder; nothing is written.

    Raises:
        AvatarBenchError: see `propose_run` and `read_samples_of`.
    """
    planned = propose_run(options, elsewhere=work.elsewhere)
    chosen = choose_samples(planned.plan, work.samples)
    with _borrowed_cache():
        found = find_predictions(_read(planned, chosen, progress))
    outlooks = []
    for info in planned.plan.methods:
        records = [record for (method, _), record in found.items() if method == info.id]
        finished = (
            0 if work.force else sum(record is not None and record.status == "ok" for record in records)
        )
        outlooks.append(Outlook(info.id, len(records) - finished, finished))
    return planned.folder, outlooks


def foresee_scores(folder: Path, dataset: Path | None, work: Work, progress: Progress) -> Outlook:
    """How many observations `score` would make, and how many the store has; nothing is written.

    Raises:
        AvatarBenchError: see `open_run`; E504 when predictions are missing.
    """
    _refuse_part_of_scores(work)
    with _borrowed_cache():
        run = open_run(folder, dataset, progress, work.samples)
    places = observation_places(run)
    stored = 0 if work.force else sum(place.is_file() for place in places)
    return Outlook("score", len(places) - stored, stored)


def _refuse_part_of_scores(work: Work) -> None:
    if work.samples and not work.force:
        raise AvatarBenchError(
            "E504",
            "a part of a run is not scored: --sample only chooses what --force observes again",
            where="--sample",
            fix="leave --sample out, or add --force",
        )


def _predict(options: RunOptions, work: Work, progress: Progress, stack: ExitStack) -> tuple[Run, int]:
    """The run with its predictions made, and how many of them failed here; locked until `stack` is closed."""
    planned = propose_run(options, elsewhere=work.elsewhere)
    chosen = choose_samples(planned.plan, work.samples)
    if work.cluster is None:
        run = _read(planned, planned.plan.sample_ids, progress)  # checks the clips before anything is written
        stack.enter_context(run_lock(make_folder(planned.folder)))
        start_run(planned, progress)
        if work.force:
            forget_predictions(run, chosen)
        specs = {spec.id: spec for spec in options.methods}
        return run, predict_in_workers(run, specs, progress, chosen, _n_workers(run, work))
    stack.enter_context(run_lock(make_folder(planned.folder)))
    start_run(planned, progress)
    run_shards(planned, options, work.cluster, progress, chosen, force=work.force)
    return _read(planned, planned.plan.sample_ids, progress), 0


def _n_workers(run: Run, work: Work) -> int:
    return work.workers or available_workers(run.plan.device)


def _read(planned: PlannedRun, sample_ids: Collection[str], progress: Progress) -> Run:
    samples = read_samples_of(planned, sorted(sample_ids), progress)
    return Run(planned.folder, planned.plan, planned.protocol, samples)


@contextmanager
def _borrowed_cache() -> Iterator[None]:
    """Read the cache's sample inputs, and let those that it lacks be made in a folder that vanishes."""
    lent, before = cache_folder(), os.environ.get(ENVIRONMENT_VARIABLE)
    with tempfile.TemporaryDirectory() as temporary:
        inputs = Path(temporary) / "inputs"
        inputs.mkdir()
        if (lent / "inputs").is_dir():
            for entry in (lent / "inputs").resolve().iterdir():
                (inputs / entry.name).symlink_to(entry)
        os.environ[ENVIRONMENT_VARIABLE] = temporary
        try:
            yield
        finally:
            if before is None:
                del os.environ[ENVIRONMENT_VARIABLE]
            else:
                os.environ[ENVIRONMENT_VARIABLE] = before
