"""Tiny clips of moving shapes and tones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from media.audio import SAMPLE_RATE
from media.video import write_video

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
