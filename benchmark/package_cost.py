"""What one scoring run costs beside the published packages one after another: `python -m benchmark.package_cost`.

Each package runs as its users run it: in a process of its own, for one metric, decoding truth and prediction of each
method again. Ours measures the same metrics of the same clips in one run, with an empty store. Both get the same random
weights, so the networks are equal: of the published sizes, with about one face a picture, or the small ones of the
parity tests, whose detector takes dozens of places for faces. CPU seconds of all threads are compared, apart for
loading (imports included), decoding, and the rest, which is the networks and arithmetic; and the wall time of each
process. On a busy machine the packages' threads burn CPU while they wait for each other; on one core (`--cores 1`) they
have no others, and CPU seconds are those of the work.
It needs a checkout with its development packages. Q-Align and SyncNet are not in it: the checkpoint of the one
and the ffmpeg pipeline of the other cannot run here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmark.published_packages import LOADERS, PACKAGES, decode

__all__ = ["Clock", "main", "ratios"]

METRIC_IDS = ("psnr_rgb_full", "ssim_gauss11_rgb", "hkc_mp_handedness", "csim", "fid", "fvd_sgv16")
METHODS = ("ground_truth", "codec", "shift", "frozen")
_STAGES: tuple[str, ...] = ("load", "decode", "compute")


class Clock:
    """CPU seconds of this process, by what they were spent on."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(_STAGES, 0.0)
        self._last = 0.0  # since the process began, so that imports count as loading

    def lap(self, what: str) -> None:
        """What was spent since the last lap was spent on `what`."""
        now = time.process_time()
        self.seconds[what] += now - self._last
        self._last = now


def _package(
    name: str, pairs: Sequence[Sequence[str]], weights: Path, size: Sequence[int]
) -> dict[str, float]:
    """Run one package on pairs of truth and prediction as its users do; returns the clock."""
    clock = Clock()
    work = LOADERS[name](weights)
    clock.lap("load")
    for pair in pairs:
        frames = [decode(path, *size) for path in pair]
        clock.lap("decode")
        work(*frames)
        clock.lap("compute")
    return clock.seconds


def _ours(run_folder: Path, weights: Path) -> dict[str, float]:
    """Score a run in this process with an empty store; returns the clock."""
    from benchmark.extractors import Networks, weights_of
    from benchmark.metrics.catalogue import METRICS
    from benchmark.observations import ClipView
    from benchmark.plan import open_run
    from benchmark.random_weights import register_made
    from benchmark.runner import score_tasks
    from benchmark.scorer import score_samples

    for weight_id in dict.fromkeys(w for name in METRIC_IDS for w in weights_of(METRICS[name])):
        register_made(weight_id, weights)
    clock = Clock()
    run = open_run(run_folder, None, lambda *_: None)
    tasks, metrics = score_tasks(run), [METRICS[name] for name in METRIC_IDS]
    clock.lap("load")
    spent = {"decode": 0.0, "load": 0.0}
    ClipView.frames = _timed_frames(ClipView.frames, spent)  # type: ignore[method-assign]
    Networks.get = _timed_get(Networks.get, spent)  # type: ignore[method-assign]
    with Networks() as networks:
        for _ in score_samples(run.folder, run.plan, tasks, metrics, networks, lambda line: None):
            pass
    clock.lap("compute")
    for what, seconds in spent.items():
        clock.seconds[what] += seconds
        clock.seconds["compute"] -= seconds
    return clock.seconds


def _timed_frames(
    frames: Callable[..., Iterator[np.ndarray]], spent: dict[str, float]
) -> Callable[..., object]:
    def timed(view: object) -> Iterator[np.ndarray]:
        stream = frames(view)
        while True:
            begin = time.thread_time()
            frame = next(stream, None)
            spent["decode"] += time.thread_time() - begin
            if frame is None:
                return
            yield frame

    return timed


def _timed_get(get: Callable[..., object], spent: dict[str, float]) -> Callable[..., object]:
    def timed(networks: object, network: object) -> object:
        begin = time.process_time()
        loaded = get(networks, network)
        spent["load"] += time.process_time() - begin
        return loaded

    return timed


def _compare(n_clips: int, networks: str) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The clocks of the packages, and ours, with "wall" for the seconds that the process took."""
    from benchmark.cache import ENVIRONMENT_VARIABLE, cache_folder
    from benchmark.extractors import weights_of
    from benchmark.metrics.catalogue import METRICS
    from benchmark.plan import RunOptions, open_run
    from benchmark.predictions import video_path
    from benchmark.random_ladder import calibration
    from benchmark.random_weights import random_weights
    from benchmark.registry import find_method
    from benchmark.stages import Work, predict_stage

    with tempfile.TemporaryDirectory() as place:
        specs = tuple(find_method(name) for name in METHODS)
        options = RunOptions(specs, out=Path(place) / "run", device="cpu", limit=n_clips)
        folder = predict_stage(options, Work(), lambda *_: None).folder
        run = open_run(folder, None, lambda *_: None)
        view = run.samples[0].truth
        ids = tuple(dict.fromkeys(w for name in METRIC_IDS for w in weights_of(METRICS[name])))
        empty = Path(place) / "cache"
        empty.mkdir()
        (empty / "inputs").symlink_to((cache_folder() / "inputs").resolve())
        frames, samples = calibration(run)
        with random_weights(ids, frames, samples) as weights:
            if networks == "published":
                importlib.import_module("made_published").write_published_sizes(weights, frames)
            pairs = [
                [str(inputs.truth.path), str(video_path(folder, name, inputs.sample.sample_id))]
                for name in METHODS
                for inputs in run.samples
            ]
            job = {"weights": str(weights), "size": [view.width, view.height]}
            published = {name: _child(job | {"package": name, "pairs": pairs}) for name in LOADERS}
            ours = _child(job | {"run": str(folder)}, {ENVIRONMENT_VARIABLE: str(empty)})
    return published, ours


def _child(job: Mapping[str, object], environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """One job in a process of its own; its clock and wall time."""
    command = [sys.executable, "-m", "benchmark.package_cost", "--job", json.dumps(job)]
    variables = os.environ | (environment or {})
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    wall = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"a measured process failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1]) | {"wall": wall}


def _totals(clock: Mapping[str, float]) -> list[float]:
    """Seconds of each stage, of all stages, and of wall time."""
    stages = [clock[stage] for stage in _STAGES]
    return [*stages, sum(stages), clock["wall"]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="cost of one run beside the packages one after another")
    parser.add_argument("--clips", type=int, default=1, help="clips of the mini data set")
    parser.add_argument(
        "--networks",
        choices=("published", "small"),
        default="published",
        help="sizes of the random networks",
    )
    cores = sorted(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=int, default=len(cores), help="cores for each process to run on")
    parser.add_argument(
        "--job", type=json.loads, help=argparse.SUPPRESS
    )  # of the processes that are measured
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    if options.job is not None:
        job = options.job
        weights = Path(job["weights"])
        run = job.get("run")
        clock = (
            _ours(Path(run), weights) if run else _package(job["package"], job["pairs"], weights, job["size"])
        )
        sys.stdout.write(json.dumps(clock) + "\n")
        return
    os.sched_setaffinity(0, cores[: options.cores])
    published, ours = _compare(options.clips, options.networks)
    title = (
        f"Seconds for {len(METHODS)} methods on {options.clips} clips, {options.networks} networks, "
        f"{options.cores} cores (load average {before:.1f} to {os.getloadavg()[0]:.1f})"
    )
    Console(width=110).print(_table(title, published, ours))


def _table(title: str, published: Mapping[str, Mapping[str, float]], ours: Mapping[str, float]) -> Table:
    table = Table("what", "package", title=title)
    for heading in (*_STAGES, "CPU in all", "wall"):
        table.add_column(heading, justify="right")
    rows = [(name, PACKAGES[name], _totals(clock)) for name, clock in published.items()]
    rows += [
        ("all of them", "one after another", _sum(published.values())),
        ("ours", "one run", _totals(ours)),
    ]
    for name, package, totals in rows:
        table.add_row(name, package, *(f"{seconds:.1f}" for seconds in totals))
    table.add_row("packages / ours", "", *(f"{ratio:.1f}x" for ratio in ratios(published.values(), ours)))
    return table


def ratios(published: Iterable[Mapping[str, float]], ours: Mapping[str, float]) -> list[float]:
    """The packages' seconds together over ours: of each stage, of all stages, and of wall time."""
    return [theirs / max(mine, 1e-9) for theirs, mine in zip(_sum(published), _totals(ours), strict=True)]


def _sum(clocks: Iterable[Mapping[str, float]]) -> list[float]:
    return [sum(column) for column in zip(*map(_totals, clocks), strict=True)]


if __name__ == "__main__":
    main()
