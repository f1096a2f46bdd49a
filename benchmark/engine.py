"""The one-pass engine: a file is decoded once, a network sees a frame once, batches fill across clips.

For each sample the store is asked first. For what it lacks the files that matter, and no others, are decoded side by
side, so that memory holds one frame a file whatever the length. A batch that is not full waits for the next clips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.cache import load_arrays, remove_leftovers
from benchmark.extractors import Networks
from benchmark.jobs import Batcher, BatchJob, GatherJob, Job, StreamJob, describe, raise_if_environment
from benchmark.metrics.definition import Arrays
from benchmark.observations import ClipView, Failure, Observed, Request, SoundView, Target
from media.errors import AvatarBenchError

__all__ = ["observe"]

_MAX_WAITING = 64  # samples that may wait for a batch to fill; then it runs padded, which changes no value


def observe(
    requests: Iterable[Request], networks: Networks, report: Callable[[str], None]
) -> Iterator[Observed]:
    """Everything that is asked about each sample, from the store or computed and stored.

    A file that cannot be decoded, or an extractor that crashes on it, costs the observations of this file and says
    so in `report`; other files, in the same pass or batch, are unharmed.

    Args:
        requests: What to observe; taken one by one, as late as possible.
        networks: Networks to share; its counters count.
        report: Takes one line about each file that could not be observed or was damaged in the store.

    Yields:
        What is known, in the order of `requests`.

    Raises:
        AvatarBenchError: what would meet every sample: E502, E601, E602, E603.
    """
    remove_leftovers()
    engine = _Engine(networks, report)
    waiting: deque[_Sample] = deque()
    for request in requests:
        waiting.append(engine.start(request))
        if len(waiting) > _MAX_WAITING:
            engine.flush()
        while waiting and waiting[0].is_complete():
            yield waiting.popleft().observed()
    engine.flush()
    while waiting:
        yield waiting.popleft().observed()


@dataclass(frozen=True, slots=True)
class _Sample:
    """A sample that is decoded, whose last values may still wait for a batch."""

    request: Request
    places: Mapping[tuple[str, str | None], Path]
    stored: Mapping[Path, Arrays]
    jobs: Mapping[Path, Job]

    def is_complete(self) -> bool:
        return all(job.outcome is not None for job in self.jobs.values())

    def observed(self) -> Observed:
        return Observed(self.request, {slot: self._outcome(place) for slot, place in self.places.items()})

    def _outcome(self, place: Path) -> Arrays | Failure:
        outcome = self.jobs[place].outcome if place in self.jobs else self.stored[place]
        assert outcome is not None, "a sample is asked when all its jobs are done"
        return outcome


class _Engine:
    """Networks, and the batches that are being filled."""

    def __init__(self, networks: Networks, report: Callable[[str], None]) -> None:
        self._networks = networks
        self._report = report
        self._batchers: dict[str, Batcher] = {}

    def start(self, request: Request) -> _Sample:
        """Look into the store, and decode what is needed for the rest."""
        targets = request.targets()
        places = {slot: target.place() for slot, target in targets.items()}
        stored: dict[Path, Arrays] = {}
        jobs: dict[Path, Job] = {}
        for slot, place in places.items():
            if place in stored or place in jobs:  # two methods may have made the same bytes
                continue
            arrays = load_arrays(place, self._report)
            if arrays is not None:
                stored[place] = arrays
            else:
                heard = isinstance(targets[slot].view, SoundView)
                whose = slot[1] or ("sound" if heard else "truth")
                jobs[place] = self._job(targets[slot], f"{whose} {request.sample_id}")
        for job in jobs.values():
            if isinstance(job.target.view, SoundView):
                self._hear(job, job.target.view, request.sample_id)
        seeing = [job for job in jobs.values() if job.outcome is None and job.target.views()]
        if seeing:
            self._decode(request, seeing)
        return _Sample(request, places, stored, jobs)

    def flush(self) -> None:
        """Run all batches that are not full."""
        for batcher in self._batchers.values():
            batcher.flush()

    def _job(self, target: Target, label: str) -> Job:
        extractor = target.extractor
        if isinstance(target.view, ClipView) and extractor.fps not in (None, target.view.fps):
            raise AvatarBenchError(
                "E503",
                f"'{extractor.id}' is not defined at the protocol's frame rate",
                expected=f"{extractor.fps:g} fps",
                got=f"{target.view.fps:g} fps",
                fix="choose a protocol of that rate (bench protocols), or one without the metrics that need it",
            )
        if extractor.form in ("clip", "pair"):
            return StreamJob(target, label, self._report, self._networks)
        if extractor.id not in self._batchers:
            self._batchers[extractor.id] = Batcher(extractor, self._networks)
        kind = BatchJob if extractor.form == "batch" else GatherJob
        return kind(target, label, self._report, self._batchers[extractor.id])

    def _hear(self, job: Job, sound: SoundView, sample_id: str) -> None:
        """Feed a job that listens."""
        try:
            samples = sound.samples()
        except AvatarBenchError as error:
            raise_if_environment(error)
            self._report(f"sound {sample_id}: {describe(error)}")
            job.give_up(Failure("decode"))
            return
        job.add(0, {sound: samples})
        if job.outcome is None:
            job.end()

    def _decode(self, request: Request, jobs: Sequence[Job]) -> None:
        """Feed all jobs in one pass over the files they need."""
        names = {view: f"{method} {request.sample_id}" for method, view in request.predictions.items()}
        names[request.truth] = f"truth {request.sample_id}"
        with ExitStack() as stack:
            streams: dict[ClipView, Generator[np.ndarray, None, None]] = {}
            # Jobs of one file stand together: what they share about its frame is still at hand.
            live = sorted(jobs, key=lambda job: str(job.target.views()[0].path))
            for index in range(request.truth.n_frames):
                needed = dict.fromkeys(view for job in live for view in job.target.views())
                frames: dict[ClipView | SoundView, np.ndarray] = {}
                for view in needed:
                    if view not in streams:
                        self._networks.counters.decodes[view.path] += 1
                        streams[view] = stack.enter_context(closing(view.frames()))
                    try:
                        frames[view] = next(streams[view])
                    except Exception as error:
                        self._lose(view, names[view], live, error)
                for job in live:
                    if job.outcome is None:
                        job.add(index, frames)
                live = [job for job in live if job.outcome is None]
            for job in live:
                job.end()

    def _lose(self, view: ClipView, name: str, jobs: Iterable[Job], error: Exception) -> None:
        """Give up all jobs that need a file that cannot be decoded."""
        raise_if_environment(error)
        self._report(f"{name}: {describe(error)}")
        failure = Failure("decode" if isinstance(error, AvatarBenchError) else "crash")
        for job in jobs:
            if view in job.target.views():
                job.give_up(failure)
