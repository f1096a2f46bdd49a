"""FID's network and distance against torch-fidelity and torchmetrics, with made weights and real frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_inception import write_inception

from benchmark.inception import InceptionV3, load_inception, resize_like_tf1
from benchmark.metrics.paper_features import FID, KID, frechet_distance_by_n
from benchmark.paper_networks import FRAME_STEP
from benchmark.parity import ParityCase, check_parity
from media.video import read_frames

TOLERANCE = 1e-4  # of the largest feature
SIZES = ((432, 768), (288, 512))  # width, height: shrunk by 1.4 and 2.6; blown up and shrunk in one picture
N_FRAMES = 11


@dataclass(frozen=True)
class Parity:
    clips: list[np.ndarray]
    network: InceptionV3
    ours: np.ndarray  # [6, 2048]
    canonical: dict[str, np.ndarray]


def every_fifth(frames: np.ndarray) -> np.ndarray:
    return frames[::FRAME_STEP]


@pytest.fixture(scope="module")
def parity(shared_data: Path, run_canonical, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    """Three frames each of two films, and what the canonical packages say of every fifth frame."""
    folder = tmp_path_factory.mktemp("inception")
    films = sorted((shared_data / "video").glob("*.mp4"))
    clips = [
        np.stack(list(read_frames(film, fps=25, size=size, duration_s=N_FRAMES / 25)))
        for film, size in zip(films, SIZES, strict=True)
    ]
    kept = [every_fifth(clip) for clip in clips]
    weights = write_inception(folder, [frame for clip in kept for frame in clip])
    arrays = {f"clip_{place}": clip for place, clip in enumerate(kept)}
    np.savez(folder / "clips.npz", **arrays)
    found = run_canonical("inception_features.py", folder / "clips.npz", weights)
    network = load_inception(weights)
    ours = features(network, [resize_like_tf1(frame) for clip in kept for frame in clip])
    return Parity(clips, network, ours, found)


def features(network: InceptionV3, pictures: list[np.ndarray]) -> np.ndarray:
    """Features [N, 2048] of pictures [299, 299, 3] float32."""
    with torch.inference_mode():
        return network(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)).numpy()


def test_features_vary_with_the_picture(parity: Parity):
    rows = parity.canonical["torch_fidelity"]
    assert rows.shape == (6, 2048)
    assert (rows.std(axis=0) / rows.mean(axis=0)).mean() > 0.1


@pytest.mark.parametrize(
    ("package", "name"),
    [("torch_fidelity", "torch-fidelity 0.4.0"), ("torchmetrics", "torchmetrics 1.9.0, antialias=False")],
)
def test_features_are_those_of_the_canonical_network(parity: Parity, package: str, name: str):
    check_parity(
        ParityCase(
            name=f"fid, kid: Inception features ({package})",
            canonical_code=name,
            ours=parity.ours,
            canonical=parity.canonical[package],
            tolerance=TOLERANCE,
        )
    )


def with_antialias(frame: np.ndarray) -> np.ndarray:
    maps = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(
        maps, (299, 299), mode="bilinear", antialias=True, align_corners=False
    )
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def at_pixel_centres(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame.astype(np.float32), (299, 299), interpolation=cv2.INTER_LINEAR)


def centre_square(frame: np.ndarray) -> np.ndarray:
    top = (frame.shape[0] - frame.shape[1]) // 2
    return resize_like_tf1(frame[top : top + frame.shape[1]])


def padded_averages(maps: torch.Tensor, *arguments: int, **options: int) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(maps, *arguments, **{**options, "count_include_pad": True})


def test_wrong_frames_resizing_colours_and_pools_are_seen(parity: Parity, monkeypatch: pytest.MonkeyPatch):
    frames = [clip[FRAME_STEP] for clip in parity.clips]
    pictures = [resize_like_tf1(frame) for frame in frames]
    wrong = {
        "BGR for RGB": [resize_like_tf1(frame[..., ::-1]) for frame in frames],
        "resized with antialias": [with_antialias(frame) for frame in frames],
        "resized about pixel centres": [at_pixel_centres(frame) for frame in frames],
        "range 0..1": [picture / 255 for picture in pictures],
        "centre square": [centre_square(frame) for frame in frames],
        "off by one frame": [resize_like_tf1(clip[FRAME_STEP + 1]) for clip in parity.clips],
    }
    mutants = {name: features(parity.network, changed) for name, changed in wrong.items()}
    monkeypatch.setattr("benchmark.inception.avg_pool2d", padded_averages)
    mutants["averages over the padding"] = features(parity.network, pictures)
    check_parity(
        ParityCase(
            name="fid, kid: Inception features (torch_fidelity)",
            canonical_code="torch-fidelity 0.4.0",
            ours=parity.ours[[1, 4]],
            canonical=parity.canonical["torch_fidelity"][[1, 4]],
            tolerance=TOLERANCE,
            mutants=mutants,
        )
    )


def test_fid_and_kid_are_those_of_the_canonical_features(parity: Parity):
    fake, real = parity.ours[:3], parity.ours[3:]
    means = np.square(fake.mean(axis=0) - real.mean(axis=0)).sum(dtype=np.float64)
    check_parity(
        ParityCase(
            name="fid: distance",
            canonical_code="scipy 1.17.1 sqrtm on torch-fidelity's features",
            ours=np.array(FID.distance(fake, real)),
            canonical=parity.canonical["fid"],
            tolerance=TOLERANCE,
            mutants={"covariance over N": np.array(frechet_distance_by_n(fake, real)), "means alone": means},
        )
    )
    check_parity(
        ParityCase(
            name="kid: distance",
            canonical_code="torchmetrics 1.9.0 poly_mmd",
            ours=np.array(KID.distance(fake, real)),
            canonical=parity.canonical["kid"],
            tolerance=TOLERANCE,
            mutants={"biased": np.array(biased_kernel_distance(fake, real))},
        )
    )


def biased_kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """With each feature's kernel with itself."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return sum(sign * ((a @ b.T / 2048 + 1) ** 3).mean() for a, b, sign in ((x, x, 1), (y, y, 1), (x, y, -2)))
