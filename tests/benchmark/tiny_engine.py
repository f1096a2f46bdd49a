"""Tiny clips, a small CNN and a plan, for tests of the engine that need no method and no runner."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.contract import Sample
from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Extractor, Networks
from benchmark.hashing import sha256_file
from benchmark.inputs import SampleInputs
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities
from benchmark.observations import ClipView, Observed, Request
from benchmark.predictions import video_path
from benchmark.results import DatasetInfo, MethodInfo, PredictionRecord, RunPlan
from benchmark.scorer import ScoreTask
from media.video import write_video

FPS, SIDE, N_FRAMES = 25.0, 64, 8

RECONSTRUCTION = [METRICS["psnr_rgb_full"], METRICS["ssim_gauss11_rgb"]]


def write_blobs(path: Path, seed: int, n_frames: int = N_FRAMES) -> Path:
    """A video of coarse coloured noise that moves, [64, 64] px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    picture = np.kron(coarse, np.ones((SIDE // 8, SIDE // 8, 1), np.uint8))
    write_video(path, (np.roll(picture, index, axis=1) for index in range(n_frames)), FPS)
    return path


def view(path: Path, n_frames: int = N_FRAMES) -> ClipView:
    return ClipView(path, sha256_file(path), 0.0, n_frames, FPS, SIDE, SIDE)


def clip_requests(views: Sequence[ClipView], *needs: str) -> list[Request]:
    """One request a clip for observations of the true clip alone."""
    return [Request(f"clip{index}", clip, {}, (), needs) for index, clip in enumerate(views)]


def arrays_of(observed: Observed, extractor: str) -> dict[str, np.ndarray]:
    found = observed.truth([extractor])
    assert isinstance(found, Mapping), found
    return dict(found[extractor])


class TinyCnn:
    """Convolutions, normalisation, pooling and a linear head: `feature` [T, 37] float32."""

    batch_size = 8
    batches: ClassVar[list[tuple[int, ...]]] = []  # shapes that `run` was given

    def __init__(self, networks: Networks) -> None:
        import torch  # seconds that a process of its own need not wait for

        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, stride=2),
            torch.nn.BatchNorm2d(16),
            torch.nn.GELU(),
            torch.nn.Conv2d(16, 24, 3, stride=2),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(24, 37),
        ).eval()
        for parameter in self.net.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(frame.transpose(2, 0, 1)).astype(np.float32) / 255

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        TinyCnn.batches.append(batch.shape)
        with torch.inference_mode():
            return {"feature": self.net(torch.from_numpy(batch)).numpy()}


TINY_CNN = Extractor("tiny_cnn", "1", "batch", TinyCnn, "RGB / 255", "float32", batch_size=TinyCnn.batch_size)


class Thumbnails:
    """A batch extractor without torch: `thumbnail` [T, 4, 4, 3] float32, means of 16 x 16 px."""

    def __init__(self, networks: Networks) -> None:
        """Needs nothing."""

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        tiles = batch.reshape(len(batch), 4, 16, 4, 16, 3)
        return {"thumbnail": tiles.mean(axis=(2, 4), dtype=np.float32)}


THUMBNAILS = Extractor("thumbnails", "1", "batch", Thumbnails, "none", "float32", batch_size=32)


class MeanColour:
    """Mean of each frame: `mean` [T] float64."""

    def __init__(self, networks: Networks) -> None:
        self.means: list[float] = []

    def add(self, frame: np.ndarray) -> None:
        self.means.append(float(frame.mean()))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mean": np.array(self.means)}


MEAN_COLOUR = Extractor("mean_colour", "1", "clip", MeanColour, "none", "float64")


class LargestError:
    """Largest difference of each frame: `error` [T] int64."""

    def __init__(self, networks: Networks) -> None:
        self.errors: list[int] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        self.errors.append(int(np.abs(prediction.astype(int) - truth).max()))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"error": np.array(self.errors)}


LARGEST_ERROR = Extractor("largest_error", "1", "pair", LargestError, "none", "int64")


def tiny_metric(name: str, *needs: str, value: Callable[[Observations], float]) -> Metric:
    return Metric(
        id=name, version="1", column=name, variant="for tests", unit="1", low=0.0, high=float("inf"),
        direction="higher", kind="sample", needs=needs, on_miss="excluded",
        map=lambda observations: Measurement(value(observations), 1, 1), reduce=mean_over_identities,
    )  # fmt: skip


@dataclass(frozen=True)
class TinyRun:
    """A run whose predictions stand: what `score_samples` is given."""

    folder: Path
    plan: RunPlan
    tasks: list[ScoreTask]

    def files(self) -> set[Path]:
        """All truths and predictions."""
        truths = {task.inputs.truth.path for task in self.tasks}
        return truths | set((self.folder / "predictions").rglob("*.mp4"))


def tiny_run(folder: Path, n_clips: int, methods: Sequence[str] = ("left",)) -> TinyRun:
    """Random clips as truths and other random clips as predictions."""
    infos = [
        MethodInfo(
            id=name, version="1", title=name, licence="CC0-1.0", privileged=False, fingerprint="0" * 64,
            preparation=None,
        )
        for name in methods
    ]  # fmt: skip
    plan = RunPlan(
        run_id="0" * 16, package_version="0", protocol_id="tiny", protocol_sha256="0" * 64,
        dataset=DatasetInfo(id="tiny", sha256="0" * 64, n_clips=n_clips), split="all",
        sample_ids=tuple(f"clip{index:04d}" for index in range(n_clips)), methods=tuple(infos),
        seed=0, device="cpu", notes=(),
    )  # fmt: skip
    tasks = []
    for index, name in enumerate(plan.sample_ids):
        truth = view(write_blobs(folder / "truth" / f"{name}.mp4", 1000 * index))
        records = {}
        for number, method in enumerate(methods, start=1):
            path = write_blobs(video_path(folder, method, name), 1000 * index + number)
            records[method] = PredictionRecord(
                method_id=method, sample_id=name, key="0" * 64, status="ok", sha256=sha256_file(path)
            )
        sample = Sample(name, f"person{index}", Path(), Path(), None, N_FRAMES, FPS, SIDE, SIDE, 0)
        inputs = SampleInputs(sample, truth, "0" * 64, "0" * 64, None, None)
        tasks.append(ScoreTask(inputs, records))
    return TinyRun(folder, plan, tasks)


def register(monkeypatch, *extractors: Extractor) -> None:
    for extractor in extractors:
        monkeypatch.setitem(EXTRACTORS, extractor.id, extractor)


def observe_in_process(cache: Path, clips: list[ClipView], barrier: Any, answers: Any) -> None:
    """Body of a process that observes at the same moment as others; it must be importable by name."""
    os.environ["AVATARBENCH_CACHE"] = str(cache)
    EXTRACTORS["mean_colour"] = MEAN_COLOUR
    said: list[str] = []
    barrier.wait(timeout=60)
    found = observe(clip_requests(clips, "mean_colour"), Networks(), said.append)
    answers.put(([arrays_of(observed, "mean_colour")["mean"].tolist() for observed in found], said))
