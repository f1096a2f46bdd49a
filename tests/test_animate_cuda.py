"""Animation on a GPU: the pictures of the CPU, in batches and live."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.animate import BATCH_FRAMES, Animator, FrameView
from reference_model.networks.model import load_model
from reference_model.sound_stream import SAMPLES_PER_FRAME
from tests.template_avatar import template_avatar

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
pytest.importorskip("gsplat")

N_FRAMES = 3 * BATCH_FRAMES + 10  # the third stretch comes from a captured graph


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    time_s = np.arange(N_FRAMES * SAMPLES_PER_FRAME) / 16_000
    voice = np.sign(np.sin(2 * np.pi * 120 * time_s)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time_s))
    return (0.1 * voice + np.random.default_rng(0).normal(0, 0.003, len(time_s))).astype(np.float32)


@pytest.fixture(scope="module")
def animator() -> Animator:
    return Animator(template_avatar(), load_model(), device="cuda")


@pytest.fixture(scope="module")
def offline(animator, sound) -> np.ndarray:
    return np.stack([frame.rgb for frame in animator.frames(sound, seed=3)])


def test_pictures_are_those_of_the_cpu(offline, sound):
    expected = np.stack(
        [frame.rgb for frame in Animator(template_avatar(), load_model()).frames(sound, seed=3)]
    )
    assert offline.shape == expected.shape
    error = ((offline.astype(float) - expected) ** 2).mean((1, 2, 3))
    assert 10 * np.log10(255**2 / error.max()) > 50  # of the worst picture


def test_bfloat16_changes_less_than_an_eye_sees(animator, offline, sound):
    lower = Animator(template_avatar(), load_model(), device="cuda")
    lower.model.use_bfloat16 = True
    pictures = np.stack([frame.rgb for frame in lower.frames(sound, seed=3)])
    assert not np.array_equal(pictures, offline)
    error = ((pictures.astype(float) - offline) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 45


def test_live_pictures_are_the_offline_pictures(animator, offline, sound):
    animator.start(seed=3)
    live = [animator.step(block) for block in sound.reshape(-1, SAMPLES_PER_FRAME)]
    pictures = [frame.rgb for frame in live if frame is not None] + [f.rgb for f in animator.finish()]
    error = ((np.stack(pictures).astype(float) - offline) ** 2).mean((1, 2, 3))
    assert 10 * np.log10(255**2 / error.max()) > 50


def test_two_performances_at_once_do_not_disturb_each_other(animator, offline, sound):
    first, second = animator.frames(sound, seed=3), animator.frames(sound, seed=4)
    pairs = [(one.rgb, other.rgb) for one, other in zip(first, second, strict=True)]
    assert np.array_equal(np.stack([one for one, _ in pairs]), offline)
    assert not np.array_equal(np.stack([other for _, other in pairs]), offline)


def test_zero_states_leave_every_bit_of_the_avatar(animator):
    rig, own = animator.context.rig, animator.avatar.gaussians
    moved = rig.apply(torch.zeros(2, rig.n_particles, 6, device="cuda"))
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(moved, name)[1].cpu(), getattr(own, name)), name


def test_another_avatar_leaves_no_captured_graph_behind(offline, sound):
    changed = Animator(template_avatar(n=2000, seed=1), load_model(), device="cuda")
    list(changed.pictures(sound))
    changed.avatar = template_avatar()
    pictures = np.stack([frame.rgb for frame in changed.frames(sound, seed=3)])
    assert np.array_equal(pictures, offline)


@pytest.mark.parametrize("background", ["photo", (0, 255, 0), "transparent"])
def test_backgrounds_are_those_of_the_cpu(animator, background):
    avatar = animator.avatar
    expected = FrameView(avatar, None, background).draw(avatar.gaussians)
    found = animator.view(None, background).draw(avatar.gaussians.to("cuda").expand((1,)))
    alpha, rgb = found.alpha[0].cpu().numpy(), found.rgb[0].cpu().numpy()
    assert np.abs(alpha.astype(int) - expected.alpha).mean() < 0.1
    # Over nothing a faint pixel's own colour is the quotient of two roundings.
    seen = expected.alpha > 100 if background == "transparent" else np.ones_like(alpha, bool)
    assert np.abs(rgb.astype(int) - expected.rgb)[seen].mean() < 0.6
