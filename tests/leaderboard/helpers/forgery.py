"""What a forger can do to an entry, and the small world in which tests do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import benchmark.protocol
from benchmark.aggregate import aggregate
from benchmark.features import load_features
from benchmark.hashing import sha256_file, sha256_json
from benchmark.metrics.catalogue import metrics_of
from benchmark.protocol import load_protocol
from benchmark.results import read_samples, write_samples
from benchmark.schema import RunPlan, SampleRow
from leaderboard.schema import ENTRY, SAMPLES, Submission
from media.audio import SAMPLE_RATE
from media.video import write_video

PEOPLE = tuple(f"p{number:02}" for number in range(20))
FPS, N_FRAMES, SIZE = 25, 8, (64, 96)  # width, height

SUBMISSION = Submission(submitter="a tester", date="2026-01-31", test_data_seen=False)

_PROTOCOL = """
id: small-v1
title: Two metrics of samples and one of the set
split: identity-holdout-10
video: {fps: 25, long_side: 96, max_duration_s: 10.0, min_duration_s: 0.2, codec: h264-yuv420p}
reference: first_frame
audio: wav-16k-mono
aggregation: frames-clip-identity-dataset
metrics:
  - {id: psnr_rgb_full, version: "1", on_miss: excluded}
  - {id: ssim_gauss11_rgb, version: "1", on_miss: excluded}
  - {id: kd_random_frames, version: "1", on_miss: excluded}
min_coverage_ranked: 0.95
"""


def silent(what: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


def small_protocol(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Add `small-v1` to the protocols that ship."""
    shutil.copytree(benchmark.protocol._FOLDER, folder, dirs_exist_ok=True)
    (folder / "small-v1.yaml").write_text(_PROTOCOL)
    patch.setattr(benchmark.protocol, "_FOLDER", folder)


def write_clip(path: Path, seed: int) -> None:
    """A disc that swings over a gradient, and a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(N_FRAMES * SAMPLE_RATE // FPS) / SAMPLE_RATE
    sound = (0.3 * np.sin(2 * np.pi * (200 + 40 * seed) * times)).astype(np.float32)
    write_video(path, _shapes(seed), FPS, audio=sound)


def _shapes(seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    width, height = SIZE
    ramp = np.linspace(40, 200, height)[:, None, None] * rng.uniform(0.5, 1.0, 3)
    ground = np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    colour = tuple(int(c) for c in rng.integers(60, 255, 3))
    for frame in range(N_FRAMES):
        centre = (32 + round(12 * np.sin(frame / 2)), 30 + frame * 3)
        yield cv2.circle(ground.copy(), centre, 10, colour, -1, cv2.LINE_AA)


def edit_json(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit `entry.json`."""
    data = json.loads((folder / ENTRY).read_text())
    change(data)
    (folder / ENTRY).write_text(json.dumps(data))


def relist(folder: Path) -> None:
    """Let the entry name the files that stand there."""
    files = {p.relative_to(folder).as_posix(): sha256_file(p) for p in folder.rglob("*") if p.is_file()}
    del files[ENTRY]
    edit_json(folder, lambda data: data.update(files=files))


def edit_rows(folder: Path, change: Callable[[SampleRow], SampleRow | None]) -> None:
    """Edit or drop rows, with the hashes made to fit."""
    rows = [change(row) for row in read_samples(folder / SAMPLES)]
    write_samples(folder / SAMPLES, [row for row in rows if row is not None])
    relist(folder)
    digest = sha256_file(folder / SAMPLES)
    edit_json(folder, lambda data: data["result"].update(samples_sha256=digest))


def forge_whole(folder: Path) -> None:
    """Make run id, hashes and aggregates fit the rows and the plan, as a careful forger would."""
    data = json.loads((folder / ENTRY).read_text())
    plan = RunPlan.model_validate(data["plan"])
    content = plan.model_dump(mode="json", exclude={"schema_version", "run_id"})
    plan = plan.model_copy(update={"run_id": sha256_json(content)[:16]})
    rows = [row.model_copy(update={"run_id": plan.run_id}) for row in read_samples(folder / SAMPLES)]
    write_samples(folder / SAMPLES, rows)
    protocol = load_protocol(plan.protocol_id)
    metrics = metrics_of(protocol)
    features = load_features(folder, [data["result"]["methods"][0]["id"]], metrics)
    result = aggregate(plan, protocol, metrics, rows, sha256_file(folder / SAMPLES), features)
    data |= {"plan": plan.model_dump(mode="json"), "result": result.model_dump(mode="json")}
    data["entry_id"] = f"frozen-1-{plan.run_id[:8]}"
    (folder / ENTRY).write_text(json.dumps(data))
    relist(folder)


def rename(folder: Path) -> Path:
    """Name the folder as its entry is called."""
    return folder.rename(folder.with_name(json.loads((folder / ENTRY).read_text())["entry_id"]))
