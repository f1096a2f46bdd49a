"""Drawing of clips: the CUDA path's posing, tone curve and kernels (on numba's simulator) against the CPU's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.corpus.drawing.batched_posing import BatchedFigure
from reference_model.corpus.drawing.draw import draw_frames, draw_frames_cpu, light_frames, light_share
from reference_model.corpus.drawing.scene import develop
from tests.corpus import tiny_figure
from tests.corpus.tiny_figure import N_FRAMES, tiny_shot


def test_light_is_measured_every_fifth_frame_and_at_the_last() -> None:
    assert light_frames(12).tolist() == [0, 5, 10, 11]
    before, share = light_share(12)
    measured = light_frames(12)
    after = np.minimum(before + 1, len(measured) - 1)
    # interpolating the frame numbers themselves gives back every frame
    np.testing.assert_allclose(
        measured[before] * (1 - share) + measured[after] * share, np.arange(12), atol=1e-6
    )
    assert light_frames(1).tolist() == [0]


def test_frames_posed_together_equal_frames_posed_alone() -> None:
    figure, shot = tiny_figure.tiny_figure(), tiny_shot()
    batch = BatchedFigure(figure, "cpu").pose(shot.actions, shot.rotations, shot.view.centre)
    for frame in range(N_FRAMES):
        alone = figure.pose(shot.actions[frame], shot.rotations[frame], shot.view.centre)
        np.testing.assert_allclose(batch.positions[frame].numpy(), alone.vertices.position, atol=2e-6)
        np.testing.assert_allclose(batch.normals[frame].numpy(), alone.vertices.normal, atol=2e-4)
        np.testing.assert_allclose(batch.joints[frame].numpy(), alone.joints, atol=2e-6)


def test_light_measured_at_queries_spreads_alike_alone_and_together() -> None:
    figure, shot = tiny_figure.tiny_figure(), tiny_shot()
    batched = BatchedFigure(figure, "cpu")
    posed = figure.pose(shot.actions[2], shot.rotations[2], shot.view.centre)
    queries = figure.light_queries(posed)
    batch = batched.light_queries(batched.pose(shot.actions[2:3], shot.rotations[2:3], shot.view.centre))
    for alone, together in zip(queries, (batch[0][0], batch[1][0], batch[2]), strict=True):
        np.testing.assert_allclose(together.numpy(), alone, atol=2e-4)
    measured = np.random.default_rng(0).random((len(queries[0]), 4)).astype(np.float32)
    spread = batched.spread_light(torch.from_numpy(measured)[None])[0]
    np.testing.assert_allclose(spread.numpy(), figure.spread_light(measured), atol=1e-6)


def test_the_cpu_draws_the_same_bytes_twice_and_a_person_in_front_of_the_background() -> None:
    figure, shot = tiny_figure.tiny_figure(), tiny_shot(48)
    first, second = (list(draw_frames_cpu(figure, shot)) for _ in range(2))
    for (picture, alpha), (again, alpha_again) in zip(first, second, strict=True):
        assert np.array_equal(picture, again)
        assert np.array_equal(alpha, alpha_again)
    picture, alpha = first[0]
    assert alpha[0, 0] == 0
    assert alpha[20:24, 22:26].min() == 255
    empty = develop(np.zeros((48, 48, 4), np.float32), shot.background, shot.exposure)
    assert np.abs(picture[0, 0].astype(int) - empty[0, 0]).max() == 0


def test_a_machine_without_a_gpu_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AvatarBenchError, match="E607"):
        draw_frames(tiny_figure.tiny_figure(), tiny_shot(), "cuda")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The tiny shot drawn by the CUDA code on numba's simulator."""
    out = tmp_path_factory.mktemp("simulator") / "frames.npz"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, tiny_figure.__file__, out], check=True, env=environment, cwd=root)
    with np.load(out) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_the_cuda_kernels_draw_the_pictures_of_the_cpu(simulated: dict[str, np.ndarray]) -> None:
    frames = list(draw_frames_cpu(tiny_figure.tiny_figure(), tiny_shot()))
    pictures, alphas = (np.stack(parts) for parts in zip(*frames, strict=True))
    difference = np.abs(simulated["pictures"].astype(int) - pictures)
    assert len(np.unique(pictures.reshape(-1, 3), axis=0)) > 200  # there is something to compare
    assert (difference <= 2).mean() > 0.9995
    assert difference.mean() < 0.01
    assert (simulated["alphas"] != alphas).mean() < 0.002
