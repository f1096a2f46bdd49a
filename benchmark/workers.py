"""Predictions by several processes of this machine; the results do not depend on their number.

What takes minutes is the work that methods do once a person (`Method.prepare`), and most of it runs on one core. So
whole people are shared out: nothing is prepared twice, and each process does what one process would do.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from benchmark.contract import MethodSpec
from benchmark.plan import Run
from benchmark.runner import Progress, find_predictions, predict_run, predict_samples
from media.errors import AvatarBenchError
from media.processes import end_with_parent

__all__ = ["available_workers", "predict_in_workers"]

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
        threads = max(1, len(os.sched_getaffinity(0)) // n_workers)
        with ProcessPoolExecutor(
            n_workers, multiprocessing.get_context("spawn"), _start_worker, (threads,)
        ) as pool:
            futures = {pool.submit(_work, part, dict(specs)): identity for identity, part in parts.items()}
            try:
                progress(f"predict, {n_workers} processes", 0, len(parts))
                for done, future in enumerate(as_completed(futures), start=1):
                    n_failed, messages = future.result()
                    failed += n_failed
                    for message in messages:
                        progress(message, done, 0)
                    progress(f"predict, {n_workers} processes: {futures[future]}", done, len(parts))
            except BrokenProcessPool as error:
                raise AvatarBenchError(
                    "E605",
                    "a process that made predictions died",
                    where=run.folder,
                    expected="a process that ends",
                    got="killed, perhaps for want of memory",
                    fix="start the run again with --workers 1: what is finished is kept",
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        rest = [info for info in run.plan.methods if specs[info.id].preparation is None]
        run = replace(run, plan=run.plan.model_copy(update={"methods": rest}))
    return failed + predict_run(run, specs, progress, samples=samples)


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
