"""Predictions and observations by several processes of this machine; the results do not depend on their number.

What takes minutes is the work that methods do once a person (`Method.prepare`), and what is looked up in each frame;
most of both runs on one core. So whole people are shared out for the one, and whole samples for the other: nothing is
done twice, and each process does what one process would do.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from benchmark.contract import MethodSpec
from benchmark.extractors import weights_of
from benchmark.metrics.catalogue import metrics_of
from benchmark.networks import Networks
from benchmark.plan import Run
from benchmark.runner import Progress, find_predictions, predict_run, predict_samples, score_tasks
from benchmark.scorer import observe_samples, task_places
from media.errors import AvatarBenchError
from media.processes import end_with_parent

__all__ = ["available_workers", "observe_in_workers", "predict_in_workers"]

_SAMPLES_A_WORKER = 2
"""Unseen samples that a further process is worth: it takes seconds to start."""
_BYTES_A_WORKER = 2_000_000_000
"""Free memory that a further process needs; making an avatar takes 1.3 GB."""
_THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def available_workers(device: str) -> int:
    """How many processes this machine has room for: one a core, as memory allows; one on a GPU."""
    if device != "cpu":
        return 1
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), free // _BYTES_A_WORKER))


def predict_in_workers(
    run: Run, specs: Mapping[str, MethodSpec], progress: Progress, samples: Collection[str], n_workers: int
) -> int:
    """`predict_run`, with the people of the methods that prepare something shared out over processes.

    Args:
        run: The run; this process holds its lock.
        specs: The plan's methods by id.
        progress: Told of each person, and of each prediction made in this process.
        samples: Only these samples.
        n_workers: Number of processes, at least 1.

    Returns:
        The number of predictions that failed.

    Raises:
        AvatarBenchError: what `predict_run` raises; E605 when a process died.
    """
    parts = _people_to_prepare(run, specs, samples)
    n_workers = min(n_workers, len(parts))
    failed = 0
    if n_workers > 1:
        tasks = {identity: (part, dict(specs)) for identity, part in parts.items()}
        for n_failed in _share_out(_work, tasks, run, n_workers, "predict", progress):
            failed += n_failed
        rest = [info for info in run.plan.methods if specs[info.id].preparation is None]
        run = replace(run, plan=run.plan.model_copy(update={"methods": rest}))
    return failed + predict_run(run, specs, progress, samples=samples)


def observe_in_workers(run: Run, progress: Progress, n_workers: int) -> None:
    """Fill the observation store, so that `score_run` finds there what networks of fetched weights do not make.

    Those are left to the process that scores: they use all cores as it is, and each process would hold its own copy.

    Args:
        run: The run, with all predictions; this process holds its lock.
        progress: Told of each sample.
        n_workers: Number of processes; with one there is nothing to share, and nothing is done.

    Raises:
        AvatarBenchError: what `score_run` raises; E605 when a process died.
    """
    metrics = [metric for metric in metrics_of(run.protocol) if not weights_of(metric)]
    unseen = {
        task.inputs.sample.sample_id: (replace(run, samples=(task.inputs,)),)
        for task in score_tasks(run)
        if not all(place.is_file() for place in task_places(run.folder, task, metrics))
    }
    n_workers = min(n_workers, len(unseen) // _SAMPLES_A_WORKER)
    if n_workers > 1:
        for _ in _share_out(_observe, unseen, run, n_workers, "observe", progress):
            pass


def _share_out(
    work: Callable[..., tuple[int, list[str]]],
    tasks: Mapping[str, tuple[object, ...]],
    run: Run,
    n_workers: int,
    what: str,
    progress: Progress,
) -> Iterator[int]:
    """Call `work` with each task's arguments in processes; yields how much failed, and passes messages on."""
    threads = max(1, len(os.sched_getaffinity(0)) // n_workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _start_worker, (threads,)) as pool:
        futures = {pool.submit(work, *arguments): name for name, arguments in tasks.items()}
        try:
            progress(f"{what}, {n_workers} processes", 0, len(tasks))
            for done, future in enumerate(as_completed(futures), start=1):
                n_failed, messages = future.result()
                for message in messages:
                    progress(message, done, 0)
                progress(f"{what}, {n_workers} processes: {futures[future]}", done, len(tasks))
                yield n_failed
        except BrokenProcessPool as error:
            raise AvatarBenchError(
                "E605",
                f"a process died ({what})",
                where=run.folder,
                expected="a process that ends",
                got="killed, perhaps for want of memory",
                fix="start it again with --workers 1: what is finished is kept",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _people_to_prepare(run: Run, specs: Mapping[str, MethodSpec], samples: Collection[str]) -> dict[str, Run]:
    """By identity, the unfinished part of the run that prepares something."""
    found = find_predictions(run)
    methods = [info for info in run.plan.methods if specs[info.id].preparation is not None]
    by_identity = defaultdict(list)
    for inputs in run.samples:
        name = inputs.sample.sample_id
        records = [found[info.id, name] for info in methods]
        if name in samples and any(record is None or record.status != "ok" for record in records):
            by_identity[inputs.sample.identity_id].append(inputs)
    plan = run.plan.model_copy(update={"methods": methods})
    return {
        identity: replace(run, plan=plan, samples=tuple(inputs)) for identity, inputs in by_identity.items()
    }


def _start_worker(threads: int) -> None:
    """Share the cores, before anything reads these variables, and end with the process that started this one."""
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    end_with_parent()


def _work(part: Run, specs: dict[str, MethodSpec]) -> tuple[int, list[str]]:
    """Make a part's predictions; returns how many failed, and the messages."""
    messages: list[str] = []

    def listen(what: str, done: int, total: int) -> None:
        if total == 0:
            messages.append(what)

    return predict_samples(part, specs, listen), messages


_networks: Networks | None = None
"""Of this process of a pool: loaded once for all samples that it is given."""


def _observe(part: Run) -> tuple[int, list[str]]:
    """Fill the store with a part's observations; what fails is not stored, and is told by the process that scores."""
    global _networks
    if _networks is None:
        import cv2

        cv2.setNumThreads(int(os.environ[_THREAD_VARIABLES[0]]))
        _networks = Networks()
    metrics = [metric for metric in metrics_of(part.protocol) if not weights_of(metric)]
    observe_samples(part.folder, part.plan, score_tasks(part), metrics, _networks, lambda line: None)
    return 0, []
