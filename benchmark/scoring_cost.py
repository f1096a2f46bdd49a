"""Time scoring against the number of clips: `python -m benchmark.scoring_cost [--picture FILE] [--largest N]`.

The clips are made for it: 64 x 64 px, 8 frames, one sound for all, a truth beside one prediction. They are scored by
all metrics of `mini-v1` with an empty store and once more from it. Networks are loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.cache import ENVIRONMENT_VARIABLE
from benchmark.contract import Sample
from benchmark.extractors import Networks
from benchmark.hashing import sha256_file
from benchmark.inputs import SampleInputs
from benchmark.metrics.catalogue import metrics_of
from benchmark.observations import ClipView
from benchmark.predictions import video_path
from benchmark.protocol import load_protocol
from benchmark.results import DatasetInfo, MethodInfo, PredictionRecord, RunPlan
from benchmark.scorer import ScoreTask, score_samples
from media.audio import SAMPLE_RATE, write_wav
from media.video import write_video

__all__ = ["Timing", "growth_exponent", "main", "make_tasks", "measure"]

COUNTS = (10, 30, 100, 300, 1000)
_FPS, _SIDE, _N_FRAMES, _METHOD = 25.0, 64, 8, "noise"


class Timing(NamedTuple):
    """What scoring some clips has cost."""

    n_clips: int
    decodes: int
    """Files decoded, of `2 * n_clips`."""
    seconds: float
    """Processor time of all threads with an empty store."""
    seconds_from_store: float
    """Processor time when all observations are there."""


def make_tasks(folder: Path, n_clips: int) -> list[ScoreTask]:
    """Truths and predictions of moving coarse noise below `folder`, all different."""
    tasks, sound = [], folder / "sound.wav"
    write_wav(sound, np.random.default_rng(0).uniform(-0.3, 0.3, round(_N_FRAMES / _FPS * SAMPLE_RATE)))
    sound_sha256 = sha256_file(sound)
    for index in track(range(n_clips), "making clips", transient=True):
        name = f"clip{index:05d}"
        truth, prediction = folder / "truth" / f"{name}.mp4", video_path(folder, _METHOD, name)
        for seed, path in enumerate((truth, prediction), start=2 * index):
            _write_noise(path, seed)
        sample = Sample(name, name, Path(), sound, None, _N_FRAMES, _FPS, _SIDE, _SIDE, 0)
        view = ClipView(truth, sha256_file(truth), 0.0, _N_FRAMES, _FPS, _SIDE, _SIDE)
        record = PredictionRecord(
            method_id=_METHOD, sample_id=name, key="", status="ok", sha256=sha256_file(prediction)
        )
        tasks.append(ScoreTask(SampleInputs(sample, view, "", sound_sha256, None, None), {_METHOD: record}))
    return tasks


def measure(folder: Path, tasks: Sequence[ScoreTask], networks: Networks) -> Timing:
    """Score the tasks of `folder` with an empty store and again, and count."""
    protocol = load_protocol("mini-v1")
    metrics = metrics_of(protocol)
    method = MethodInfo(
        id=_METHOD,
        version="1",
        title="Noise",
        licence="CC0-1.0",
        privileged=False,
        fingerprint="",
        preparation=None,
    )
    plan = RunPlan(
        run_id="cost",
        package_version="",
        protocol_id=protocol.id,
        protocol_sha256=protocol.sha256,
        dataset=DatasetInfo(id="noise", sha256="", n_clips=len(tasks)),
        split="all",
        sample_ids=tuple(task.inputs.sample.sample_id for task in tasks),
        methods=(method,),
        seed=0,
        device="cpu",
        notes=(),
    )
    before = networks.counters.decodes.total()
    seconds = []
    with _empty_cache():
        for _ in range(2):
            begin = time.process_time()
            for score in score_samples(folder, plan, tasks, metrics, networks, _refuse):
                assert len(score.rows) == len(metrics)
            seconds.append(time.process_time() - begin)
    return Timing(len(tasks), networks.counters.decodes.total() - before, *seconds)


def growth_exponent(counts: Sequence[float], seconds: Sequence[float]) -> float:
    """The p of `seconds ~ counts^p` by least squares of the logarithms; 1 is linear growth."""
    return float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and draw a picture where one is asked for."""
    parser = argparse.ArgumentParser(description="time scoring against the number of clips")
    parser.add_argument("--picture", type=Path, help="write a plot to this PNG")
    parser.add_argument("--largest", type=int, default=COUNTS[-1], help="largest number of clips")
    options = parser.parse_args(arguments)
    counts = [count for count in COUNTS if count <= options.largest]
    if len(counts) < 2:
        parser.error(f"--largest must be at least {COUNTS[1]}, because two points make a line")
    with tempfile.TemporaryDirectory() as scratch, Networks() as networks:
        folder = Path(scratch)
        tasks = make_tasks(folder, counts[-1])
        measure(folder, tasks[:1], networks)  # loads the networks
        timings = [
            measure(folder, tasks[:count], networks) for count in track(counts, "scoring", transient=True)
        ]
    Console().print(_table(timings))
    if options.picture is not None:
        _draw(timings, options.picture)


@contextmanager
def _empty_cache() -> Iterator[None]:
    """A cache of its own for the time of the block."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[ENVIRONMENT_VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(ENVIRONMENT_VARIABLE)
            if chosen is not None:
                os.environ[ENVIRONMENT_VARIABLE] = chosen


def _write_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    picture = np.kron(coarse, np.ones((_SIDE // 8, _SIDE // 8, 1), np.uint8))
    write_video(path, (np.roll(picture, frame, axis=1) for frame in range(_N_FRAMES)), _FPS)


def _refuse(line: str) -> None:
    raise RuntimeError(f"a made clip could not be scored: {line}")


def _exponents(timings: Sequence[Timing]) -> tuple[float, float]:
    counts = [timing.n_clips for timing in timings]
    first = growth_exponent(counts, [timing.seconds for timing in timings])
    return first, growth_exponent(counts, [timing.seconds_from_store for timing in timings])


def _table(timings: Sequence[Timing]) -> Table:
    first, again = _exponents(timings)
    table = Table(title=f"time grows as clips^{first:.3f}, from the store as clips^{again:.3f}")
    for heading in (
        "clips",
        "files decoded",
        "processor s",
        "ms a clip",
        "s from store",
        "ms a clip from store",
    ):
        table.add_column(heading, justify="right")
    for n, decodes, seconds, from_store in timings:
        per_clip = (f"{1000 * seconds / n:.1f}", f"{from_store:.2f}", f"{1000 * from_store / n:.2f}")
        table.add_row(str(n), str(decodes), f"{seconds:.2f}", *per_clip)
    return table


def _draw(timings: Sequence[Timing], path: Path) -> None:
    from matplotlib.figure import Figure  # of the development extra

    counts = np.array([timing.n_clips for timing in timings], float)
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    lines = ("first scoring", "from the store")
    columns = ([timing.seconds for timing in timings], [timing.seconds_from_store for timing in timings])
    for label, colour, seconds, exponent in zip(
        lines, ("C0", "C1"), columns, _exponents(timings), strict=True
    ):
        axes.loglog(counts, seconds, "o", color=colour, label=f"{label}: clips^{exponent:.2f}")
        axes.loglog(counts, counts * seconds[-1] / counts[-1], "-", color=colour, linewidth=0.8)
    axes.set_xlabel("clips of 8 frames, each a truth and a prediction")
    axes.set_ylabel("processor seconds")
    axes.set_title("Cost of scoring (lines: proportional to the clips)", fontsize=10)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
