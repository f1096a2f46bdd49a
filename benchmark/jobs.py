"""Jobs: entries of the store in the making, and the batches that they share."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from benchmark.cache import save_arrays
from benchmark.extractors import (
    BatchExtractor,
    ClipExtractor,
    Extractor,
    Gatherer,
    GatheringExtractor,
    Networks,
    PairExtractor,
)
from benchmark.metrics.definition import Arrays
from benchmark.observations import ClipView, Failure, SoundView, Target
from benchmark.predictions import ENVIRONMENT_CODES
from media.errors import AvatarBenchError

__all__ = ["BatchJob", "Batcher", "GatherJob", "Job", "StreamJob", "describe", "raise_if_environment"]

Frames = Mapping[ClipView | SoundView, np.ndarray]
"""The frame of one instant, [H, W, 3] uint8, by view; or the samples of a sound, [S] int16."""


def raise_if_environment(error: Exception) -> None:
    """Raise what would meet every clip again: a full disk, missing weights."""
    if isinstance(error, AvatarBenchError) and error.code in ENVIRONMENT_CODES:
        raise error


def describe(error: Exception) -> str:
    """An error in one line; a bug with its place."""
    first = next(iter(str(error).splitlines()), "")
    if isinstance(error, AvatarBenchError):
        return first if error.got is None else f"{first} (got {error.got})"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {first} ({Path(last.filename).name}:{last.lineno})"


class Job(ABC):
    """An extractor at work on one target; whatever goes wrong in it costs this target alone."""

    def __init__(self, target: Target, label: str, report: Callable[[str], None]) -> None:
        self.target = target
        self.outcome: Arrays | Failure | None = None
        self._name = f"{label} {target.extractor.id}"
        self._report = report

    @abstractmethod
    def add(self, index: int, frames: Frames) -> None:
        """Take the frames of instant `index`."""

    @abstractmethod
    def end(self) -> None:
        """All frames have been taken."""

    def crash(self, error: Exception) -> None:
        """Give up because of a bug, and say so."""
        raise_if_environment(error)
        self._report(f"{self._name}: {describe(error)}")
        self.give_up(Failure("crash"))

    def give_up(self, failure: Failure) -> None:
        """End without arrays."""
        self.outcome = failure

    def finish(self, arrays: Arrays) -> None:
        """Keep the arrays in the store and at hand."""
        save_arrays(self.target.place(), arrays)
        self.outcome = arrays


class StreamJob(Job):
    """An extractor of the form `clip` or `pair`."""

    def __init__(self, target: Target, label: str, report: Callable[[str], None], networks: Networks) -> None:
        super().__init__(target, label, report)
        self._worker = target.extractor.build(networks)

    def add(self, index: int, frames: Frames) -> None:
        """Show the extractor its frames."""
        target = self.target
        try:
            if target.truth is None:
                cast(ClipExtractor, self._worker).add(frames[target.view])
            else:
                cast(PairExtractor, self._worker).add(frames[target.view], frames[target.truth])
        except Exception as error:
            self.crash(error)

    def end(self) -> None:
        """Collect what was found."""
        try:
            arrays = dict(cast(ClipExtractor | PairExtractor, self._worker).arrays())
        except Exception as error:
            self.crash(error)
        else:
            self.finish(arrays)


class _ItemJob(Job):
    """A job whose items are sent through batches and come back as rows."""

    def __init__(self, target: Target, label: str, report: Callable[[str], None], batcher: Batcher) -> None:
        super().__init__(target, label, report)
        self._batcher = batcher

    @abstractmethod
    def receive(self, index: int, rows: Mapping[str, np.ndarray]) -> None:
        """Take the values of item `index`."""


class BatchJob(_ItemJob):
    """An extractor of the form `batch`: done when the last of its items has come back from a batch."""

    def __init__(self, target: Target, label: str, report: Callable[[str], None], batcher: Batcher) -> None:
        super().__init__(target, label, report, batcher)
        self._arrays: dict[str, np.ndarray] = {}  # name -> [T, ...]
        self._n_frames = self._missing = cast(ClipView, target.view).n_frames

    def add(self, index: int, frames: Frames) -> None:
        """Prepare one item and put it into the next batch."""
        try:
            item = self._batcher.prepare(frames[self.target.view])
        except Exception as error:
            self.crash(error)
        else:
            self._batcher.put(_Item(self, index, item))

    def end(self) -> None:
        """Nothing is left to do: the last items may still wait for their batch to fill."""

    def receive(self, index: int, rows: Mapping[str, np.ndarray]) -> None:
        """Take the values of item `index`."""
        try:
            if not self._arrays:
                self._arrays = {
                    name: np.empty((self._n_frames, *row.shape), row.dtype) for name, row in rows.items()
                }
            for name, array in self._arrays.items():
                array[index] = rows[name]
        except Exception as error:
            self.crash(error)
            return
        self._missing -= 1
        if not self._missing:
            self.finish(self._arrays)


class GatherJob(_ItemJob):
    """An extractor of the form `gather` or `sound`; how many items there are is known when the clip has ended."""

    def __init__(self, target: Target, label: str, report: Callable[[str], None], batcher: Batcher) -> None:
        super().__init__(target, label, report, batcher)
        self._gatherer: Gatherer | None = batcher.begin()
        self._beside: Arrays | None = None  # known at the end
        self._rows: dict[int, Mapping[str, np.ndarray]] = {}
        self._n_items = 0

    def add(self, index: int, frames: Frames) -> None:
        """Show the frame, or the sound, and put the items that are ready into the next batches."""
        gatherer, view = self._gatherer, self.target.view
        assert gatherer is not None, "nothing is added after the end"
        self._put(lambda: gatherer.add(frames[view]))

    def end(self) -> None:
        """Put the items that are left."""
        gatherer = self._gatherer
        assert gatherer is not None, "a clip ends once"
        self._put(gatherer.end)
        if self.outcome is not None:
            return
        try:
            self._beside = dict(gatherer.arrays())
        except Exception as error:
            self.crash(error)
            return
        self._gatherer = None  # it may hold pictures, and the last items may wait for other clips
        self._finish_if_complete()

    def receive(self, index: int, rows: Mapping[str, np.ndarray]) -> None:
        """Keep the values of item `index`."""
        self._rows[index] = {name: row.copy() for name, row in rows.items()}  # not the whole batch
        self._finish_if_complete()

    def give_up(self, failure: Failure) -> None:
        """End without arrays, and let go of what was gathered."""
        super().give_up(failure)
        self._gatherer = None
        self._rows.clear()

    def _put(self, work: Callable[[], Iterable[np.ndarray]]) -> None:
        try:
            for item in work():
                self._batcher.put(_Item(self, self._n_items, self._batcher.checked(item)))
                self._n_items += 1
                if self.outcome is not None:  # an item has crashed its batch
                    return
        except Exception as error:
            self.crash(error)

    def _finish_if_complete(self) -> None:
        if self._beside is None or len(self._rows) < self._n_items:
            return
        try:
            if self._rows:
                names = list(self._rows[0])
                rows = {name: np.stack([self._rows[i][name] for i in range(self._n_items)]) for name in names}
            else:
                rows = dict(self._batcher.nothing())
            if both := rows.keys() & self._beside.keys():
                raise ValueError(f"arrays of the clip and of its items have the same names: {sorted(both)}")
        except Exception as error:
            self.crash(error)
            return
        self.finish(rows | dict(self._beside))


@dataclass(frozen=True, slots=True)
class _Item:
    job: _ItemJob
    index: int
    array: np.ndarray


class Batcher:
    """Fills a network's batches with the items of any clips; holds fewer than one batch of items."""

    def __init__(self, extractor: Extractor, networks: Networks) -> None:
        self._worker = cast(BatchExtractor | GatheringExtractor, extractor.build(networks))
        self._size = extractor.batch_size
        self._name = extractor.id if extractor.network is None else extractor.network.id
        self._forwards = networks.counters.forwards
        self._waiting: list[_Item] = []
        self._kind: tuple[tuple[int, ...], np.dtype] | None = None  # shape and dtype of all items

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        """An item from a frame."""
        return self.checked(cast(BatchExtractor, self._worker).prepare(frame))

    def begin(self) -> Gatherer:
        """What makes items from one clip."""
        return cast(GatheringExtractor, self._worker).begin()

    def nothing(self) -> Arrays:
        """The arrays of a clip without items."""
        return cast(GatheringExtractor, self._worker).nothing()

    def checked(self, item: np.ndarray) -> np.ndarray:
        """The item; ValueError where it is unlike the items before."""
        item = np.asarray(item)
        kind = (item.shape, item.dtype)
        self._kind = self._kind or kind
        if kind != self._kind:
            raise ValueError(f"all items must have shape and dtype {self._kind}, got {kind}")
        return item

    def put(self, item: _Item) -> None:
        """Add an item, and run the network when the batch is full."""
        self._waiting.append(item)
        if len(self._waiting) == self._size:
            self.flush()

    def flush(self) -> None:
        """Run the network on what waits; when it crashes, on each item alone, so that the guilty clip shows."""
        items, self._waiting = self._waiting, []
        items = [
            item for item in items if item.job.outcome is None
        ]  # of clips that have not failed meanwhile
        if not items:
            return
        try:
            arrays = self._forward(items)
        except Exception as error:
            raise_if_environment(error)
            if len(items) == 1:
                items[0].job.crash(error)
                return
            for item in items:
                self._waiting = [item]
                self.flush()
            return
        for row, item in enumerate(items):
            if item.job.outcome is None:
                item.job.receive(item.index, {name: array[row] for name, array in arrays.items()})

    def _forward(self, items: list[_Item]) -> dict[str, np.ndarray]:
        padding = [items[-1].array] * (self._size - len(items))
        batch = np.stack([*(item.array for item in items), *padding])
        self._forwards[self._name] += 1
        arrays = {name: np.asarray(array) for name, array in self._worker.run(batch).items()}
        shapes = {name: array.shape for name, array in arrays.items()}
        if not shapes or any(shape[:1] != (self._size,) for shape in shapes.values()):
            raise ValueError(f"expected arrays with {self._size} rows, got {shapes}")
        return arrays
