"""Timing, streaming and size of the audio encoder."""

from __future__ import annotations

import pytest
import torch

from reference_model.networks.audio_encoder import LOOKAHEAD_FRAMES, AudioEncoder


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder().eval().requires_grad_(False)


def test_size_is_within_the_recipe(encoder):
    assert 1.0e6 < sum(p.numel() for p in encoder.parameters()) < 1.5e6


def test_four_mel_frames_give_one_token(encoder):
    tokens, _ = encoder(torch.randn(2, 48, 80), torch.zeros(2, 12, 8))
    assert tokens.shape == (2, 12, 256)


def test_a_token_hears_80_ms_ahead_and_no_more(encoder):
    mel, noise = torch.randn(1, 80, 80), torch.zeros(1, 20, 8)
    before, _ = encoder(mel, noise)
    changed = mel.clone()
    changed[:, 40:] += 1.0  # all sound from picture 10 on
    after, _ = encoder(changed, noise)
    difference = (after - before).abs().amax(-1)[0]
    first = 10 - LOOKAHEAD_FRAMES
    assert (difference[:first] == 0).all()
    assert (difference[first:] > 1e-6).all()


@pytest.mark.parametrize("sizes", [(4, 4, 72), (1, 3, 7, 29, 40), (78, 2), (80, 0), (13, 67)])
def test_any_split_of_the_sound_gives_the_tokens_of_the_whole(encoder, sizes):
    mel, noise = torch.randn(1, 80, 80), torch.randn(1, 20, 8)
    whole, _ = encoder(mel, noise)
    state, tokens, done = None, [], 0
    parts = mel.split(list(sizes), 1)
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        n = encoder.n_tokens(state, part.shape[1], last)
        out, state = encoder(part, noise[:, done : done + n], state, last)
        tokens.append(out)
        done += n
    assert done == 20
    assert torch.allclose(torch.cat(tokens, 1), whole, atol=1e-6)


def test_the_state_does_not_grow(encoder):
    state = None
    for _ in range(12):
        n = encoder.n_tokens(state, 10, False)
        _, state = encoder(torch.randn(1, 10, 80), torch.zeros(1, n, 8), state, False)
        assert state.heard.shape[1] <= 16


def test_innovations_of_a_wrong_length_are_refused(encoder):
    with pytest.raises(ValueError, match="innovations must hold 5 frames, got 4"):
        encoder(torch.zeros(1, 20, 80), torch.zeros(1, 4, 8))
