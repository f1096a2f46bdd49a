"""What each module is worth, and that minutes of speech leave nothing behind."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from media.image import load_image
from reference_model.animate import Animator
from reference_model.avatar.personalize import ITERATIONS
from reference_model.body.particles import GROUPS, load_particles
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.evaluation.long_run import live_states, minutes
from reference_model.evaluation.modules import module_effects, switch_effects, text_effect, untrained_modules
from reference_model.networks.model import load_model
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def animator() -> Animator:
    return Animator(template_avatar(800), load_model())


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Four syllables a second of a buzzing voice."""
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    voice = np.sign(np.sin(2 * np.pi * 120 * time_s)) * np.maximum(0, np.sin(2 * np.pi * 4 * time_s))
    noise = np.random.default_rng(seed).normal(0, 0.003, len(time_s))
    return (0.1 * voice + noise).astype(np.float32)


def test_each_module_of_the_shipped_weights_changes_pictures_or_is_called_untrained(animator):
    effects = {e.name: e for e in module_effects(animator.avatar, animator.model, babble(1.0), (96, 128))}
    unchanged = {name for name, effect in effects.items() if math.isinf(effect.psnr_db)}
    out_of_sight = {"particles: hand left", "particles: hand right", "hand residuals"}  # below this picture
    assert unchanged <= out_of_sight
    assert effects["twists, all particles"].psnr_db < effects["particles: lips"].psnr_db < 60
    assert effects["audio encoder, D_t"].parameters == sum(
        p.numel() for p in animator.model.audio.parameters()
    )
    untrained = untrained_modules(animator.model)
    assert any("FeatureEncoder" in entry for entry in untrained)
    assert all("base" in entry for entry in untrained)
    assert not any("residual" in entry for entry in untrained)
    for name in (
        "Hand++ Body-Head transformer",
        "Gaussian decoder",
        "weight decoder",
        "fusion of DINOv2's layers",
    ):
        assert any(entry.startswith(name) and "parameters" in entry for entry in untrained), name


def test_the_phonemes_of_a_text_change_the_mouth(animator):
    spoken = Utterance(babble(1.0), [(0.0, ""), (0.2, "p"), (0.4, "a"), (0.8, "m")], [], "pam")
    effect = text_effect(animator.avatar, animator.model, spoken, (96, 128))
    assert 25 < effect.psnr_db < 70
    assert effect.parameters > 100_000


def test_after_speech_the_avatar_comes_to_rest_in_a_pose_that_the_speech_does_not_decide(animator):
    """Without innovations nothing but speech moves it: once the memory has faded, nothing moves at all."""
    lips = torch.from_numpy(load_particles().group == GROUPS.index("lips"))
    rests = []
    for length_s in (2.0, 3.3):
        sound = np.concatenate([babble(length_s), np.zeros(6 * 16_000, np.float32)])
        none = np.zeros((-(-len(sound) // 640), 8), np.float32)
        states = torch.stack([state for state, _ in animator.motion(sound, innovations=none)])
        speed = (states[1:] - states[:-1]).abs().amax((1, 2))
        assert float(speed[:40].max()) > 0.01
        assert float(speed[-25:].max()) < 1e-4
        opened = states[:, lips, 3:].norm(dim=-1).mean(1)
        assert float(opened[-1]) < 0.5 * float(opened[10:40].max())
        rests.append(states[-1])
    assert float((rests[0] - rests[1]).abs().max()) < 2e-3


def test_twists_neither_grow_nor_vanish_in_lasting_speech(animator):
    """`python -m reference_model.evaluation.long_run` shows ten minutes of real speech."""
    sound = babble(8.0).reshape(-1, 640)
    blocks = (sound[k % 200] for k in range(3 * 200 + 2))
    _, second, third = minutes(live_states(animator.model, animator.context, blocks), length=200)
    assert 0.6 < third.rotation_rad / second.rotation_rad < 1.6  # gestures differ, they are drawn at random
    assert 0.8 < third.shift_mm / second.shift_mm < 1.25
    assert third.largest_rad < 2.6
    assert third.megabytes - second.megabytes < 20


def test_each_switch_of_table_3_changes_the_pictures_of_a_real_photographs_avatar(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(ITERATIONS, "forward", 6)
    image = load_image(shared_data / "photos" / "half_body" / "woman_0035.jpg")
    small = cv2.resize(image[:, 128:896], (384, 512), interpolation=cv2.INTER_AREA)
    effects = {e.name: e for e in switch_effects(small, load_model(), babble(1.6), (192, 256))}
    assert list(effects) == [
        "w/o fine-tuned Gaussian decoder",
        "w/o hand enhancement",
        "w/o weight decoder",
        "w/o implicit motion tokens",
        "w/o hand gesture offsets",
        "w/o face expression offsets",
    ]
    assert all(25 < effect.psnr_db < 90 for effect in effects.values()), effects
    assert effects["w/o implicit motion tokens"].psnr_db < effects["w/o face expression offsets"].psnr_db
