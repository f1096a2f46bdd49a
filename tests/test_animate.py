"""Animation of an avatar by sound, without trained weights."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reference_model import animate
from reference_model.animate import Animator, FrameView
from reference_model.avatar.gaussians import front_facing
from reference_model.networks.model import AvatarModel
from reference_model.render import render
from reference_model.steady_state import SteadyState
from tests.template_avatar import template_avatar

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """2.3 s of noise bursts at 16 kHz."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.05, 36_800) * (np.sin(np.arange(36_800) / 1500) > 0)
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def untrained() -> Animator:
    """The last layers of a new model are zero: no twist, no residual."""
    return Animator(template_avatar(), AvatarModel())


@pytest.fixture(scope="module")
def moving() -> Animator:
    """A model with random last layers: everything moves."""
    torch.manual_seed(0)
    model = AvatarModel()
    for layer in (model.particles.twist, model.head.output):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return Animator(template_avatar(), model)


def test_zero_twists_and_residuals_give_a_still_picture_equal_to_the_avatars_render(untrained, sound):
    avatar = untrained.avatar
    frames = list(untrained.frames(sound, background=(0, 0, 0)))
    visible = front_facing(avatar.gaussians, avatar.camera) | avatar.two_sided
    own = render(avatar.gaussians, avatar.camera, background=torch.zeros(3), visible=visible)
    expected = (own.rgb * 255).round().byte().numpy().astype(int)
    assert len(frames) == 58  # 2.3 s at 25 frames a second, rounded up
    for frame in frames:
        assert np.array_equal(frame.rgb, frames[0].rgb)
        assert np.abs(frame.rgb.astype(int) - expected).max() <= 1
    assert frames[0].alpha.max() > 200


def test_the_rest_pose_draws_the_fitted_photo_exactly(untrained, sound):
    avatar = untrained.avatar
    photo = FrameView(avatar).draw(avatar.gaussians)
    frame = next(untrained.frames(sound))
    assert np.array_equal(frame.rgb, photo.rgb) and np.array_equal(frame.alpha, photo.alpha)


def test_batches_of_pictures_are_the_frames(moving, sound):
    batches = list(moving.pictures(sound, n_frames=5))
    rgb, alpha = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    frames = list(moving.frames(sound, n_frames=5))
    assert rgb.shape == (5, 128, 96, 3) and alpha.shape == (5, 128, 96)
    assert all(np.array_equal(rgb[t], frame.rgb) for t, frame in enumerate(frames))
    assert all(np.array_equal(alpha[t], frame.alpha) for t, frame in enumerate(frames))


def test_another_avatar_takes_everything_that_was_kept_of_the_one_before(sound):
    torch.manual_seed(0)
    model = AvatarModel()
    torch.nn.init.normal_(model.head.output.weight, std=0.05)
    one, other = template_avatar(), template_avatar(n=2000, seed=1, actions=torch.full((52,), 0.1))
    animator = Animator(one, model)
    animator.start()
    animator.avatar = other
    assert animator.finish() == []  # the performance of the one before is over
    expected = [frame.rgb for frame in Animator(other, model).frames(sound, n_frames=3)]
    found = [frame.rgb for frame in animator.frames(sound, n_frames=3)]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_graphs_are_captured_on_cuda_devices_only(untrained):
    assert untrained._steady is None
    assert not untrained.model.use_bfloat16
    with pytest.raises(ValueError, match="CUDA graphs need a model on a CUDA device, got cpu"):
        SteadyState(untrained.model, untrained.context)


def test_speech_moves_the_picture_and_the_seed_decides_the_rest(moving, sound):
    def play(seed: int) -> list[np.ndarray]:
        return [frame.rgb for frame in moving.frames(sound, seed=seed, n_frames=8)]

    first, again, other = play(1), play(1), play(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first[1:], first, strict=False))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_stretches_of_a_second_give_the_motion_of_the_whole_utterance(moving, sound, monkeypatch):
    def states() -> torch.Tensor:
        return torch.stack([state for state, _ in moving.motion(sound)])

    in_stretches = states()
    monkeypatch.setattr(animate, "STRETCH_FRAMES", 10_000)
    whole = states()
    assert torch.allclose(in_stretches, whole, atol=1e-5)


@pytest.mark.parametrize("n_frames", [1, 2, 24, 25, 26, 27, 60])
def test_any_number_of_frames_can_be_asked_for(untrained, sound, n_frames):
    assert sum(1 for _ in untrained.motion(sound, n_frames=n_frames)) == n_frames


def test_backgrounds(untrained, sound):
    avatar = untrained.avatar
    camera = untrained.camera((48, 64))

    def first(background):
        return next(untrained.frames(sound, camera=camera, background=background, n_frames=3))

    photo, green, cut = first("photo"), first((0, 255, 0)), first("transparent")
    empty = photo.alpha == 0
    assert 0.2 < empty.mean() < 0.95
    assert photo.rgb.shape == (64, 48, 3)
    # The background of the fixture is 64 x 48 already, so it stands unscaled behind the person.
    assert np.array_equal(photo.rgb[empty], avatar.background[empty])
    assert (green.rgb[empty] == (0, 255, 0)).all()
    assert (cut.rgb[empty] == 0).all()
    # Over nothing the colours are the person's own: composing them over green gives the green picture again.
    share = cut.alpha[..., None] / 255
    composed = cut.rgb * share + np.array([0, 255, 0]) * (1 - share)
    assert np.abs(composed - green.rgb).max() <= 2.5


def test_yaw_turns_the_camera_around_the_person(untrained):
    middle = untrained.avatar.gaussians.means.median(0).values
    ahead, aside = untrained.camera((96, 128)), untrained.camera((96, 128), 20.0)
    for camera in (ahead, aside):
        assert torch.allclose(camera.project(middle)[1], ahead.project(middle)[1], atol=1e-4)
    assert float((ahead.center - aside.center).norm()) > 0.3


def test_innovations_of_a_wrong_length_are_refused(untrained, sound):
    with pytest.raises(ValueError, match="innovations must have shape"):
        next(untrained.motion(sound, innovations=np.zeros((3, 8), np.float32)))


def test_inference_imports_nothing_of_the_training_corpus():
    tree = ast.parse((REPOSITORY / "reference_model" / "animate.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if "corpus" in name or "training" in name]
    code = (
        "import sys, reference_model.animate; "
        "bad = [m for m in sys.modules if m.startswith(('reference_model.corpus', 'reference_model.training'))]; "
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
