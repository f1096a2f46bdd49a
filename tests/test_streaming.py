"""Live animation: one picture for each 40 ms of sound, the same pictures as offline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.animate import Animator
from reference_model.networks.features import power_mel
from reference_model.networks.model import load_model
from reference_model.sound_stream import SAMPLES_PER_FRAME, MelStream, SoundStream, sound_frames
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def animator() -> Animator:
    """The shipped networks on an avatar that needs no photograph."""
    return Animator(template_avatar(), load_model())


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """1.2 s of syllable-like bursts at 16 kHz."""
    time_s = np.arange(30 * SAMPLES_PER_FRAME) / 16_000
    voice = np.sign(np.sin(2 * np.pi * 120 * time_s)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time_s))
    return (0.1 * voice + np.random.default_rng(0).normal(0, 0.003, len(time_s))).astype(np.float32)


def blocks(sound: np.ndarray) -> np.ndarray:
    return sound.reshape(-1, SAMPLES_PER_FRAME)


@pytest.mark.parametrize("sizes", [(640,), (1,), (7, 160, 333), (5000, 11)])
def test_mel_frames_of_pieces_are_those_of_the_whole(sizes):
    samples = torch.randn(6_003, generator=torch.Generator().manual_seed(0))
    stream, parts, at, turn = MelStream(), [], 0, 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        parts.append(stream.push(samples[at : at + size], last=at + size >= len(samples)))
        at, turn = at + size, turn + 1
    assert torch.allclose(torch.cat(parts), power_mel(samples), rtol=1e-5, atol=1e-7)


def test_live_pictures_are_the_offline_pictures(animator, sound):
    offline = [frame.rgb for frame in animator.frames(sound, seed=3)]
    animator.start(seed=3)
    live = [animator.step(block) for block in blocks(sound)]
    assert [frame is None for frame in live] == [True] * 2 + [False] * 28
    pictures = [frame.rgb for frame in live if frame is not None] + [f.rgb for f in animator.finish()]
    assert len(pictures) == len(offline) == 30
    assert not np.array_equal(offline[0], offline[20])
    for one, other in zip(pictures, offline, strict=True):
        difference = np.abs(one.astype(int) - other)
        assert (difference > 1).mean() < 1e-3  # rounding may swap two Gaussians of equal depth


def test_a_picture_waits_for_120_ms_of_sound_and_for_no_more(animator, sound):
    changed = sound.copy()
    changed[10 * SAMPLES_PER_FRAME :] *= -0.2  # from the eleventh block on
    shown = [torch.stack([state for state, _ in animator.motion(samples)]) for samples in (sound, changed)]
    same = [torch.equal(one, other) for one, other in zip(*shown, strict=True)]
    # Ten blocks complete the pictures 0 .. 7; the eighth is the first that hears the change.
    n_complete = 10 - (animator.latency_frames - 1)
    assert same == [True] * n_complete + [False] * (30 - n_complete)


def test_what_a_stream_carries_does_not_grow(sound):
    stream, sizes = SoundStream(), []
    for _ in range(4):
        for block in blocks(sound):
            stream.push(block)
        sizes.append(len(stream.listener._mel._kept))
    assert max(sizes) == sizes[0] < 3 * SAMPLES_PER_FRAME


def test_a_stream_starts_by_itself_and_can_be_ended_at_any_time(animator, sound):
    assert animator.finish() == []
    animator.start()
    assert animator.finish() == []
    assert animator.step(sound[:SAMPLES_PER_FRAME]) is None
    assert len(animator.finish()) == 1
    for block in blocks(sound)[:3]:
        last = animator.step(block)
    assert last is not None
    assert len(animator.finish()) == 2


def test_a_block_of_another_length_is_refused(animator, sound):
    with pytest.raises(ValueError, match=r"samples must have shape \(640,\), got \(320,\)"):
        animator.step(sound[:320])


def test_given_innovations_take_the_place_of_the_seed(sound):
    noise = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    heard = torch.cat([stretch.innovations for stretch in sound_frames(sound, innovations=noise)])
    assert np.array_equal(heard.numpy(), noise)
