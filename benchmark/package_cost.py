"""What one scoring run costs beside the published packages one after another: `python -m benchmark.package_cost`.

Each package runs as its users run it: in a process of its own, for one metric, decoding truth and prediction of each
method again. Ours measures the same metrics of the same clips in one run, with an empty store. Both get the
same calibrated random weights (`benchmark.random_weights`), so the networks are equal, and CPU seconds of all threads
are compared, apart for loading (imports included), decoding, and the rest, which is the networks and arithmetic.
It needs a checkout with its development packages. Q-Align and SyncNet are not in it: the checkpoint of the one
and the ffmpeg pipeline of the other cannot run here.
"""

from __future__ import annotations

import argparse
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

__all__ = ["main"]

METRIC_IDS = ("psnr_rgb_full", "ssim_gauss11_rgb", "hkc_mp_handedness", "csim", "fid", "fvd_sgv16")
PACKAGES = {
    "psnr": "scikit-image",
    "ssim": "scikit-image",
    "hands": "mediapipe",
    "identity": "insightface",
    "fid": "torch-fidelity",
    "fvd": "StyleGAN-V's definition",
}
METHODS = ("ground_truth", "codec", "shift", "frozen")
_STAGES: tuple[str, ...] = ("load", "decode", "compute")
_FRAME_STEP, _WINDOW = 5, 16

Frames = list[np.ndarray]


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
    work = _LOADERS[name](weights)
    clock.lap("load")
    for pair in pairs:
        frames = [_decode(path, size) for path in pair]
        clock.lap("decode")
        work(*frames)
        clock.lap("compute")
    return clock.seconds


def _decode(path: str, size: Sequence[int]) -> Frames:
    """All frames with OpenCV, RGB."""
    import cv2

    capture, frames = cv2.VideoCapture(path), []
    while True:
        more, frame = capture.read()
        if not more:
            return frames
        frames.append(cv2.cvtColor(cv2.resize(frame, (size[0], size[1])), cv2.COLOR_BGR2RGB))


def _load_psnr(weights: Path) -> Callable[[Frames, Frames], None]:
    from skimage.metrics import peak_signal_noise_ratio

    def work(truth: Frames, prediction: Frames) -> None:
        for one, other in zip(truth, prediction, strict=True):
            peak_signal_noise_ratio(one, other, data_range=255)

    return work


def _load_ssim(weights: Path) -> Callable[[Frames, Frames], None]:
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

    def work(truth: Frames, prediction: Frames) -> None:
        for one, other in zip(truth, prediction, strict=True):
            structural_similarity(one, other, channel_axis=2, data_range=255, **options)

    return work


def _load_hands(weights: Path) -> Callable[[Frames, Frames], None]:
    from media.landmarks import HandDetector

    detector = HandDetector()

    def work(truth: Frames, prediction: Frames) -> None:
        for frame in (*truth, *prediction):
            detector.detect(frame)

    return work


def _load_identity(weights: Path) -> Callable[[Frames, Frames], None]:
    import onnxruntime
    from insightface.app.common import Face
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX
    from insightface.model_zoo.scrfd import SCRFD

    cpu = ["CPUExecutionProvider"]
    paths = [str(weights / "buffalo_l" / name) for name in ("det_10g.onnx", "w600k_r50.onnx")]
    sessions = [onnxruntime.InferenceSession(path, providers=cpu) for path in paths]
    detector, recogniser = SCRFD(paths[0], sessions[0]), ArcFaceONNX(paths[1], sessions[1])
    detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)

    def work(truth: Frames, prediction: Frames) -> None:
        for frame in (truth[0], *prediction):
            picture = np.ascontiguousarray(frame[..., ::-1])
            boxes, points = detector.detect(picture)
            fives = [] if points is None else list(points)
            for box, five in zip(boxes, fives, strict=True):  # FaceAnalysis describes every face
                recogniser.get(picture, Face(bbox=box[:4], kps=five, det_score=box[4]))

    return work


def _load_fid(weights: Path) -> Callable[[Frames, Frames], None]:
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = next(weights.glob("weights-inception*.pth"))
    network = FeatureExtractorInceptionV3("made", ["2048"], feature_extractor_weights_path=str(path))

    def work(truth: Frames, prediction: Frames) -> None:
        for frames in (truth, prediction):
            batch = torch.from_numpy(np.stack(frames[::_FRAME_STEP])).permute(0, 3, 1, 2)
            with torch.inference_mode():
                network(batch)

    return work


def _load_fvd(weights: Path) -> Callable[[Frames, Frames], None]:
    import torch

    detector = torch.jit.load(str(weights / "i3d_torchscript.pt")).eval()

    def work(truth: Frames, prediction: Frames) -> None:
        for frames in (truth, prediction):
            for start in range(0, len(frames) - _WINDOW + 1, _WINDOW):
                window = torch.from_numpy(np.stack(frames[start : start + _WINDOW]))
                with torch.inference_mode():
                    detector(
                        window.permute(3, 0, 1, 2)[None].contiguous(),
                        rescale=True,
                        resize=True,
                        return_features=True,
                    )

    return work


_LOADERS = {
    "psnr": _load_psnr,
    "ssim": _load_ssim,
    "hands": _load_hands,
    "identity": _load_identity,
    "fid": _load_fid,
    "fvd": _load_fvd,
}


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


def _compare(n_clips: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The clocks of the packages, and ours."""
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
        with random_weights(ids, *calibration(run)) as weights:
            pairs = [
                [str(inputs.truth.path), str(video_path(folder, name, inputs.sample.sample_id))]
                for name in METHODS
                for inputs in run.samples
            ]
            job = {"weights": str(weights), "size": [view.width, view.height]}
            published = {name: _child(job | {"package": name, "pairs": pairs}) for name in _LOADERS}
            ours = _child(job | {"run": str(folder)}, {ENVIRONMENT_VARIABLE: str(empty)})
    return published, ours


def _child(job: Mapping[str, object], environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """One job in a process of its own."""
    command = [sys.executable, "-m", "benchmark.package_cost", "--job", json.dumps(job)]
    variables = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise RuntimeError(f"a measured process failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _sum(clocks: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total = dict.fromkeys(_STAGES, 0.0)
    for clock in clocks:
        total = {stage: total[stage] + clock[stage] for stage in _STAGES}
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="cost of one run beside the packages one after another")
    parser.add_argument("--clips", type=int, default=1, help="clips of the mini data set")
    parser.add_argument(
        "--job", type=json.loads, help=argparse.SUPPRESS
    )  # of the processes that are measured
    options = parser.parse_args(arguments)
    if options.job is not None:
        job = options.job
        weights = Path(job["weights"])
        run = job.get("run")
        clock = (
            _ours(Path(run), weights) if run else _package(job["package"], job["pairs"], weights, job["size"])
        )
        sys.stdout.write(json.dumps(clock) + "\n")
        return
    published, ours = _compare(options.clips)
    Console(width=110).print(_table(published, ours, options.clips))


def _table(published: Mapping[str, Mapping[str, float]], ours: Mapping[str, float], n_clips: int) -> Table:
    title = f"CPU seconds of {len(METHODS)} methods on {n_clips} clips"
    table = Table("what", "package", title=title)
    for heading in (*_STAGES, "all"):
        table.add_column(heading, justify="right")
    whole = _sum(published.values())
    rows = [(name, PACKAGES[name], clock) for name, clock in published.items()]
    rows += [("all of them", "one after another", whole), ("ours", "one run", ours)]
    for name, package, clock in rows:
        table.add_row(name, package, *(f"{clock[s]:.1f}" for s in _STAGES), f"{sum(clock.values()):.1f}")
    ratios = [whole[stage] / max(ours[stage], 1e-9) for stage in _STAGES]
    ratios.append(sum(whole.values()) / sum(ours.values()))
    table.add_row("packages / ours", "", *(f"{ratio:.1f}x" for ratio in ratios))
    return table


if __name__ == "__main__":
    main()
