"""FVD against StyleGAN-V's definition in a process of its own, on a script with the real one's signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_i3d import write_i3d

from benchmark.frechet import frechet_distance
from benchmark.metrics.paper_features import FVD
from benchmark.paper_networks import WINDOW, load_i3d
from benchmark.parity import ParityCase, check_parity
from media.video import read_frames

TOLERANCE = 1e-5  # of the largest logit
N_WINDOWS = 3
CANONICAL = "StyleGAN-V's definition, with scipy 1.17.1"


@dataclass(frozen=True)
class Parity:
    real: np.ndarray  # [T, H, W, 3]
    fake: np.ndarray
    network: Callable[[np.ndarray], np.ndarray]
    ours: dict[str, np.ndarray]
    canonical: dict[str, np.ndarray]


def windows(frames: np.ndarray) -> list[np.ndarray]:
    return [frames[start : start + WINDOW] for start in range(0, len(frames) - WINDOW + 1, WINDOW)]


@pytest.fixture(scope="module")
def parity(shared_data: Path, run_canonical, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    """Two seconds of two films, one as truth and one as prediction, and what the canonical code says of them."""
    folder = tmp_path_factory.mktemp("i3d")
    fake, real = (
        np.stack(list(read_frames(film, fps=25, size=(180, 320), duration_s=N_WINDOWS * WINDOW / 25)))
        for film in sorted((shared_data / "video").glob("*.mp4"))
    )
    script = write_i3d(folder, [*windows(real), *windows(fake)])
    np.savez(folder / "videos.npz", real=np.stack(windows(real)), fake=np.stack(windows(fake)))
    found = run_canonical("i3d_fvd.py", folder / "videos.npz", script)
    network = load_i3d(script)
    ours = {
        name: np.stack([network(window) for window in windows(clip)])
        for name, clip in (("real", real), ("fake", fake))
    }
    return Parity(real, fake, network, ours, found)


def test_logits_vary_with_the_window(parity: Parity):
    rows = np.concatenate([parity.canonical["real"], parity.canonical["fake"]])
    assert rows.shape == (2 * N_WINDOWS, 400)
    assert rows.std(axis=0).mean() > 0.1 * np.abs(rows).mean()


def centre_square(frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    return frames[:, (height - width) // 2 : (height + width) // 2]


def resized_by_area(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA) for frame in frames])


def test_logits_are_those_of_the_canonical_call(parity: Parity):
    window = parity.real[:WINDOW]
    wrong = {
        "BGR for RGB": np.ascontiguousarray(window[..., ::-1]),
        "off by one frame": parity.real[1 : WINDOW + 1],
        "range 0..1": (window / 255).astype(np.float32),
        "centre square": centre_square(window),
        "resized by area before": resized_by_area(window),
        "backwards": np.ascontiguousarray(window[::-1]),
    }
    check_parity(
        ParityCase(
            name="fvd, kvd: I3D logits",
            canonical_code=CANONICAL,
            ours=parity.ours["real"],
            canonical=parity.canonical["real"],
            tolerance=TOLERANCE,
        )
    )
    check_parity(
        ParityCase(
            name="fvd, kvd: I3D logits",
            canonical_code=CANONICAL,
            ours=parity.ours["real"][0],
            canonical=parity.canonical["real"][0],
            tolerance=TOLERANCE,
            mutants={name: parity.network(changed) for name, changed in wrong.items()},
        )
    )


def test_fvd_is_that_of_covariances_over_n(parity: Parity):
    fake, real = parity.ours["fake"], parity.ours["real"]
    late = np.stack([parity.network(window) for window in windows(parity.fake[1:])])
    check_parity(
        ParityCase(
            name="fvd: distance",
            canonical_code=CANONICAL,
            ours=np.array(FVD.distance(fake, real)),
            canonical=parity.canonical["fvd"],
            tolerance=TOLERANCE,
            mutants={
                "covariance over N - 1": np.array(frechet_distance(fake, real)),
                "off by one frame": np.array(FVD.distance(late, real)),
            },
        )
    )
    assert frechet_distance(fake, real) == pytest.approx(float(parity.canonical["fvd_sample"]), rel=TOLERANCE)


def test_repeated_calls_give_the_same_bits(parity: Parity):
    """TorchScript profiles its first calls and may then run other code."""
    window = windows(parity.real)[0]
    assert len({parity.network(window).tobytes() for _ in range(4)}) == 1
