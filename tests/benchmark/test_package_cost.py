"""The script that measures our cost beside the published packages', without the minutes of the measurement."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.identity import align_face, detect_faces, embed_face, open_session
from benchmark.package_cost import Clock, ratios
from benchmark.weights import WEIGHTS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))  # the makers of weights stand there


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (32, 8, 6, 3), np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


@pytest.fixture(scope="module")
def weights(frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from made_published import write_published_sizes

    folder = tmp_path_factory.mktemp("weights")
    (folder / "buffalo_l").mkdir()
    write_published_sizes(folder, frames)
    return folder


@pytest.mark.parametrize("weight", ["buffalo_l_detection", "buffalo_l_recognition", "i3d_kinetics400"])
def test_the_random_networks_have_as_many_weights_as_the_published_ones(weights: Path, weight: str):
    published = WEIGHTS[weight]
    assert (weights / published.file).stat().st_size == pytest.approx(published.bytes, rel=0.005)


def test_the_random_detector_finds_a_few_faces_whose_embeddings_vary(weights: Path, frames: np.ndarray):
    detector = open_session(weights / "buffalo_l" / "det_10g.onnx")
    recogniser = open_session(weights / "buffalo_l" / "w600k_r50.onnx")
    embeddings = []
    for frame in frames[::8]:
        faces = detect_faces(detector, frame)
        assert 1 <= len(faces.boxes) <= 10
        embeddings.append(embed_face(recogniser, align_face(frame, faces.points[0])))
    assert np.isfinite(embeddings).all()
    assert np.abs(np.diff(embeddings, axis=0)).max() > 1e-3


def test_a_clock_gives_each_stage_what_was_spent_since_the_last_lap():
    clock = Clock()
    clock.lap("load")
    sum(range(1_000_000))
    clock.lap("compute")
    assert clock.seconds["load"] > clock.seconds["decode"] == 0
    assert clock.seconds["compute"] > 0


def test_ratios_are_of_the_sums_over_the_packages():
    one = {"load": 1.0, "decode": 0.5, "compute": 4.0, "wall": 5.0}
    ours = {"load": 1.0, "decode": 0.5, "compute": 2.0, "wall": 2.0}
    assert ratios([one, one], ours) == pytest.approx([2.0, 2.0, 4.0, 11 / 3.5, 5.0])
