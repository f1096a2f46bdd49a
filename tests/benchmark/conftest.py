"""A tiny data set of moving shapes and tones, and a cache of its own for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from media.audio import SAMPLE_RATE
from media.video import write_video

sys.path.insert(0, str(Path(__file__).parent))  # a spec's factory is a module:Class that must be importable

FPS, N_FRAMES, SIZE = 25, 12, (96, 128)  # width, height


def moving_shapes(seed: int, n_frames: int = N_FRAMES) -> Iterator[np.ndarray]:
    """A disc that swings over a smooth gradient, [128, 96, 3] uint8."""
    rng = np.random.default_rng(seed)
    width, height = SIZE
    ramp = np.linspace(40, 200, height)[:, None, None] * rng.uniform(0.5, 1.0, 3)
    ground = np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    colour = tuple(int(c) for c in rng.integers(60, 255, 3))
    for frame in range(n_frames):
        picture = ground.copy()
        centre = (48 + round(20 * np.sin(frame / 2)), 40 + frame * 3)
        yield cv2.circle(picture, centre, 14, colour, -1, cv2.LINE_AA)


def tone(seed: int, n_frames: int = N_FRAMES) -> np.ndarray:
    times = np.arange(n_frames * SAMPLE_RATE // FPS) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 40 * seed) * times)).astype(np.float32)


def write_clip(path: Path, seed: int, n_frames: int = N_FRAMES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, moving_shapes(seed, n_frames), FPS, audio=tone(seed, n_frames))
    return path


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two clips each, one folder a person."""
    folder = tmp_path_factory.mktemp("people")
    for seed, name in enumerate(("ada/one", "ada/two", "ben/one", "ben/two")):
        write_clip(folder / f"{name}.mp4", seed)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AVATARBENCH_CACHE", str(folder))
    return folder
