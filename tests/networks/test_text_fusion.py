"""The gated fusion of sound and text, and the phonemes that it reads."""

from __future__ import annotations

import pytest
import torch

from reference_model.animate import Animator
from reference_model.networks.audio_encoder import AudioEncoder, FeatureEncoder
from reference_model.networks.model import MINI, AvatarModel, load_model
from reference_model.networks.phoneme_encoder import PhonemeEncoder, phoneme_ids
from reference_model.networks.text_fusion import TEXT_LOOKAHEAD_FRAMES, Clock, GatedFusion, TextTokens
from tests.template_avatar import template_avatar


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def fusion(**options) -> GatedFusion:
    return GatedFusion(24, 16, 24, **options).eval().requires_grad_(False)


def tokens(n: int, frames_apart: float = 3.0, batch: int = 1) -> TextTokens:
    start = (torch.arange(n) * frames_apart).expand(batch, n)
    return TextTokens(torch.randn(batch, n, 16), start)


@pytest.mark.parametrize("pool", ["attention", "mean"])
def test_without_text_the_gate_is_exactly_one(pool):
    layer, audio = fusion(project_audio=False, pool=pool), torch.randn(2, 30, 24)
    nothing = TextTokens(torch.randn(2, 5, 16), torch.full((2, 5), torch.inf))
    assert torch.equal(layer(audio), audio)
    assert torch.equal(layer(audio, nothing), audio)
    assert not torch.allclose(layer(audio, tokens(5, batch=2)), audio, atol=1e-3)


def test_the_driving_token_is_the_papers_equation():
    layer, audio, text = fusion(pool="mean"), torch.randn(1, 30, 24), tokens(7)
    placed = torch.cat([layer.clock(torch.arange(30)).expand(1, -1, -1), audio], -1)
    gamma = torch.sigmoid(placed @ layer.gate.weight.T + layer.gate.bias)
    pooled = (text.features @ layer.project_text.weight.T + layer.project_text.bias).mean(1, keepdim=True)
    expected = gamma * layer.project_audio(placed) + (1 - gamma) * pooled
    assert torch.allclose(layer(audio, text), expected, atol=1e-6)
    assert 0.5 < float(gamma.mean()) < 1.0  # the sound leads at the start of training


def test_attention_over_a_short_text_is_the_full_softmax_over_what_has_begun():
    layer, audio, text = fusion(project_audio=False), torch.randn(1, 12, 24), tokens(6, frames_apart=2.0)
    out = layer(audio, text)
    for t in (0, 3, 11):
        placed = torch.cat([layer.clock(torch.tensor(t)), audio[0, t]])
        begun = text.start[0] <= t + TEXT_LOOKAHEAD_FRAMES
        age = (t - text.start[0] + TEXT_LOOKAHEAD_FRAMES) / 8
        logits = layer.key(text.features[0]) @ layer.query(placed) / 8 - age
        weight = logits.masked_fill(~begun, -torch.inf).softmax(0)
        pooled = weight @ layer.project_text(text.features[0])
        gamma = torch.sigmoid(layer.gate(placed))
        assert torch.allclose(out[0, t], gamma * audio[0, t] + (1 - gamma) * pooled, atol=1e-5)


def test_a_frame_reads_80_ms_ahead_and_no_more():
    layer, audio, text = fusion(project_audio=False), torch.randn(1, 40, 24), tokens(10, frames_apart=4.0)
    changed = text._replace(features=text.features.clone())
    changed.features[:, 5:] += 1.0  # begins at frame 20
    difference = (layer(audio, text) - layer(audio, changed)).abs().amax(-1)[0]
    assert (difference[: 20 - TEXT_LOOKAHEAD_FRAMES] == 0).all()
    assert (difference[20 - TEXT_LOOKAHEAD_FRAMES :] > 0).all()


def test_half_of_the_items_lose_their_text_in_training():
    layer = fusion(project_audio=False).train()
    audio = torch.randn(400, 3, 24)
    changed = (layer(audio, tokens(4, batch=400)) != audio).flatten(1).any(1)
    assert 0.4 < float(changed.float().mean()) < 0.6


def test_the_clock_repeats_after_256_frames_and_never_before():
    clock = Clock(64)
    assert torch.allclose(clock(torch.tensor(300_005)), clock(torch.tensor(300_005 % 256)), atol=1e-5)
    distance = torch.cdist(clock(torch.arange(256)), clock(torch.arange(256))) + 9 * torch.eye(256)
    assert float(distance.min()) > 0.1


@pytest.mark.parametrize("sizes", [(4, 4, 72), (29, 51), (1, 79)])
def test_an_encoder_with_text_gives_the_same_tokens_in_stretches(sizes):
    encoder = AudioEncoder(dim=32, dim_text=16).eval().requires_grad_(False)
    mel, noise, text = torch.randn(1, 80, 80), torch.randn(1, 20, 8), tokens(9, frames_apart=2.0)
    whole, _ = encoder(mel, noise, text=text)
    state, parts, done = None, [], 0
    pieces = mel.split(list(sizes), 1)
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        n = encoder.n_tokens(state, piece.shape[1], last)
        out, state = encoder(piece, noise[:, done : done + n], state, last, text)
        parts.append(out)
        done += n
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
    without, _ = encoder(mel, noise)
    assert not torch.allclose(without, whole, atol=1e-3)


def test_an_encoder_of_embeddings_goes_on_where_it_stopped():
    encoder = FeatureEncoder(32, 24, 16).eval().requires_grad_(False)
    audio, noise, text = torch.randn(1, 20, 24), torch.randn(1, 20, 8), tokens(5)
    whole, _ = encoder(audio, noise, text=text)
    first, state = encoder(audio[:, :7], noise[:, :7], text=text)
    second, _ = encoder(audio[:, 7:], noise[:, 7:], state, text=text)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)


def test_phonemes_are_read_by_their_characters():
    assert phoneme_ids("") == [1]
    assert phoneme_ids("ˈaɪ")[1:] == phoneme_ids("aɪ")
    assert phoneme_ids("ɡ") == phoneme_ids("g")
    assert phoneme_ids("\U0001f600") == [2]
    assert len(set(map(tuple, map(phoneme_ids, "pbtdkmnszʃθŋɹlwjɑæɛɪiuʊɔə")))) == 25


def test_espeaks_phonemes_are_all_known():
    from reference_model.spoken_text import parse_voice, speak_text

    for voice, text in (
        ("en-us", "The quick brown fox jumps over a lazy dog, measure thirty churches."),
        ("de", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich."),
        ("fr", "Portez ce vieux whisky au juge blond qui fume un bon vin."),
    ):
        spoken = speak_text(text, parse_voice(voice))
        unknown = [ipa for _, ipa in spoken.phonemes if 2 in phoneme_ids(ipa)]
        assert not unknown, (voice, unknown)


def test_a_phonemes_token_depends_on_those_before_it_alone():
    encoder = PhonemeEncoder(16).eval().requires_grad_(False)
    said = [(0.0, ""), (0.2, "h"), (0.28, "ə"), (0.33, "l"), (0.4, "ˈoʊ")]
    whole, cut = encoder.encode(said, 25.0), encoder.encode(said[:3], 25.0)
    assert torch.allclose(whole.features[:, :3], cut.features, atol=1e-6)
    assert torch.allclose(whole.start[0], torch.tensor([0.0, 5.0, 7.0, 8.25, 10.0]))
    with pytest.raises(ValueError, match="ascending"):
        encoder.encode(said[::-1], 25.0)


def test_the_trained_model_is_unchanged_by_a_text_that_is_absent():
    """Weights of the model with text, in the model without: without text every bit is the same."""
    plain, fused = AvatarModel(MINI).eval().requires_grad_(False), load_model()
    more = plain.load_state_dict(fused.state_dict(), strict=False)
    assert not more.missing_keys
    assert {name.split(".")[0] for name in more.unexpected_keys} == {"audio", "text"}
    assert all(name.startswith(("audio.fusion.", "text.")) for name in more.unexpected_keys)
    avatar = template_avatar(400)
    sound = torch.randn(16_000, generator=torch.Generator().manual_seed(1)).numpy() * 0.05
    text = fused.text.encode([(0.0, ""), (0.2, "p"), (0.5, "a")], 25.0)
    states = {
        name: torch.stack([state for state, _ in Animator(avatar, model).motion(sound, text=given)])
        for name, model, given in (("plain", plain, None), ("absent", fused, None), ("given", fused, text))
    }
    assert torch.equal(states["plain"], states["absent"])
    assert not torch.allclose(states["plain"], states["given"], atol=1e-4)
