"""Observations: one pass over the frames of a true clip and of all its predictions, cached by content."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.cache import cache_folder, load_arrays, save_arrays
from benchmark.extractors import CLIP_EXTRACTORS, PAIR_EXTRACTORS, ClipExtractor, Networks, PairExtractor
from benchmark.hashing import sha256_json
from benchmark.metrics.definition import Arrays, Observations
from media.errors import AvatarBenchError
from media.video import read_frames

__all__ = ["ClipView", "observe"]


@dataclass(frozen=True, slots=True)
class ClipView:
    """A stretch of a video file on a grid of frames."""

    path: Path
    sha256: str
    """Of the file's bytes."""
    start_s: float
    n_frames: int
    fps: float
    width: int
    height: int

    def content(self) -> list[object]:
        """What decides the frames; where the file stands does not."""
        return [self.sha256, self.start_s, self.n_frames, self.fps, self.width, self.height]

    def frames(self) -> Generator[np.ndarray, None, None]:
        """Exactly `n_frames` frames [H, W, 3] uint8; E402 where the file ends before."""
        stream = read_frames(
            self.path,
            fps=self.fps,
            size=(self.width, self.height),
            start_s=self.start_s,
            duration_s=self.n_frames / self.fps,
        )
        count = 0
        for frame in stream:
            count += 1
            yield frame
        if count < self.n_frames:
            raise AvatarBenchError(
                "E402",
                "the video ends too early",
                where=self.path,
                expected=f"{self.n_frames} frames at {self.fps:g} fps",
                got=f"{count} frames",
            )


@dataclass(slots=True)
class _Job:
    """One extractor at work on one view, or on a view beside the truth."""

    path: Path
    view: ClipView
    extractor: ClipExtractor | PairExtractor
    paired: bool


def observe(
    truth: ClipView, predictions: Mapping[str, ClipView], needs: Iterable[str], networks: Networks
) -> dict[str, Observations]:
    """Everything that metrics need of one sample's predictions.

    What the cache has is read; for the rest each file is decoded once, all of them in step, so that the truth
    is decoded and observed once for all methods and memory holds one frame a file.

    Args:
        truth: The true clip.
        predictions: The predicted videos by method, on the grid of `truth`.
        needs: Ids of extractors.
        networks: Networks to share.

    Returns:
        Observations by method.
    """
    wanted = sorted(set(needs))
    on_clips = [name for name in wanted if name in CLIP_EXTRACTORS]
    on_pairs = [name for name in wanted if name in PAIR_EXTRACTORS]
    views = [truth, *predictions.values()] if predictions else []
    places = {(name, view): _place(name, view) for name in on_clips for view in views}
    places |= {(name, view): _place(name, view, truth) for name in on_pairs for view in predictions.values()}
    found = {key: load_arrays(path) for key, path in places.items()}

    jobs = {}
    for (name, view), arrays in found.items():
        if arrays is None:
            paired = name in PAIR_EXTRACTORS
            _, extractor = (PAIR_EXTRACTORS if paired else CLIP_EXTRACTORS)[name]
            jobs[name, view] = _Job(places[name, view], view, extractor(networks), paired)
    _run(truth, list(jobs.values()))
    for key, job in jobs.items():
        found[key] = dict(job.extractor.arrays())
        save_arrays(job.path, found[key] or {})

    def gather(names: list[str], view: ClipView) -> dict[str, Arrays]:
        return {name: found[name, view] or {} for name in names}

    return {
        method: Observations(
            prediction=gather(on_clips, view),
            truth=gather(on_clips, truth),
            pair=gather(on_pairs, view),
            width=truth.width,
            height=truth.height,
        )
        for method, view in predictions.items()
    }


def _place(name: str, view: ClipView, truth: ClipView | None = None) -> Path:
    version, _ = (CLIP_EXTRACTORS if truth is None else PAIR_EXTRACTORS)[name]
    key = sha256_json([name, version, view.content(), truth.content() if truth else None])
    return cache_folder() / "observations" / name / f"{key}.npz"


def _run(truth: ClipView, jobs: list[_Job]) -> None:
    """Feed all jobs in one pass over the files they need."""
    views = {job.view for job in jobs} | ({truth} if any(job.paired for job in jobs) else set())
    if not views:
        return
    streams = {view: view.frames() for view in views}
    with ExitStack() as stack:
        for stream in streams.values():
            stack.callback(stream.close)
        for _ in range(truth.n_frames):
            frames = {view: next(stream) for view, stream in streams.items()}
            for job in jobs:
                if job.paired:
                    job.extractor.add(frames[job.view], frames[truth])  # pyright: ignore[reportCallIssue]
                else:
                    job.extractor.add(frames[job.view])  # pyright: ignore[reportCallIssue]
