"""wav2vec 2.0 and Whisper: real loading code on tiny random models in the published format, against transformers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.animate import Animator
from reference_model.networks.model import BASE, AvatarModel
from reference_model.networks.pretrained import WAV2VEC2, WHISPER, PinnedModel, find_model
from reference_model.networks.wav2vec2 import (
    HOP_FRAMES,
    LEFT_FRAMES,
    Wav2Vec2Listener,
    load_wav2vec2,
    picture_embeddings,
)
from reference_model.networks.whisper import WhisperText, token_starts
from tests.template_avatar import template_avatar

transformers = pytest.importorskip("transformers")


def pinned_as_saved(pinned: PinnedModel, folder: Path) -> PinnedModel:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return replace(pinned, weights_sha256=digest)


@pytest.fixture(scope="module")
def wav2vec2_folder(tmp_path_factory) -> Path:
    """As published: a model with a head for speech recognition, whose tensors carry the prefix "wav2vec2."."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=[16] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, vocab_size=12,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("weights") / WAV2VEC2.folder_name
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory) -> Path:
    """As published: generation model, feature extractor and a byte-level tokenizer, with a vocabulary of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(1)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|de|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    tokenizer.add_special_tokens(special)
    config = transformers.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=16, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_target_positions=64, pad_token_id=0, bos_token_id=1, eos_token_id=256, decoder_start_token_id=257,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("weights") / WHISPER.folder_name
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wav2vec2(wav2vec2_folder):
    return load_wav2vec2(wav2vec2_folder, pinned_as_saved(WAV2VEC2, wav2vec2_folder))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=23 * 640)).astype(np.float32)


def test_the_loaded_model_is_transformers_own(wav2vec2, wav2vec2_folder, sound):
    reference = transformers.Wav2Vec2ForCTC.from_pretrained(wav2vec2_folder).wav2vec2.eval()
    given = torch.from_numpy(sound)[None]
    with torch.no_grad():
        expected = reference(given).last_hidden_state
    assert torch.equal(wav2vec2(given).last_hidden_state, expected)
    assert not any(p.requires_grad for p in wav2vec2.parameters())


def test_picture_embeddings_are_transformers_layers_around_an_interpolation(wav2vec2, wav2vec2_folder, sound):
    reference = transformers.Wav2Vec2ForCTC.from_pretrained(wav2vec2_folder).wav2vec2.eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    normal = extractor(sound, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        features = reference.feature_extractor(normal)[0].T.numpy()  # [n, 16] at 50 Hz
        centres = np.arange(len(features)) * 320 + 199.5
        at = np.stack([np.interp(np.arange(23) * 640, centres, column) for column in features.T], 1)
        hidden, _ = reference.feature_projection(torch.tensor(at, dtype=torch.float32)[None])
        expected = reference.encoder(hidden).last_hidden_state[0]
        got = picture_embeddings(wav2vec2, torch.from_numpy(sound), (0, len(sound)))
    assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("block", [640, 1280, 16_000])
def test_live_embeddings_are_those_of_the_chunked_offline_run(wav2vec2, block):
    sound = torch.randn(68 * 640, generator=torch.Generator().manual_seed(2)) * 0.1
    offline = Wav2Vec2Listener(wav2vec2).push(sound, last=True)
    listener, live = Wav2Vec2Listener(wav2vec2), []
    for piece in sound.split(block):
        live.append(listener.push(piece))
        assert len(listener._kept) <= (LEFT_FRAMES + HOP_FRAMES + 2) * 640 + block
    live.append(listener.push(torch.zeros(0), last=True))
    assert offline.shape == (68, 24)
    assert torch.allclose(torch.cat(live), offline, atol=1e-5)


def test_base_shows_live_what_it_shows_offline(wav2vec2, sound):
    torch.manual_seed(3)
    small = replace(
        BASE, dim_driving=32, dim_particle=32, n_heads=2, dim_feedforward=32, n_tokens=16, dim_point=16,
        n_point_heads=2, dim_audio=24,
    )  # fmt: skip
    model = AvatarModel(small)
    for layer in (model.particles.twist, model.head.output):
        torch.nn.init.normal_(layer.weight, std=0.05)
    animator = Animator(template_avatar(600), model, lambda: Wav2Vec2Listener(wav2vec2))
    assert animator.latency_frames == 7
    offline = [frame.rgb for frame in animator.frames(sound)]
    live = [animator.step(block) for block in sound.reshape(-1, 640)]
    assert [frame is None for frame in live] == [True] * 6 + [False] * 17
    pictures = [frame.rgb for frame in live if frame is not None] + [f.rgb for f in animator.finish()]
    assert len(pictures) == len(offline) == 23
    assert not np.array_equal(offline[0], offline[12])
    for one, other in zip(pictures, offline, strict=True):
        assert (np.abs(one.astype(int) - other) > 1).mean() < 1e-3


def test_z_is_the_decoders_last_state_on_the_forced_transcript(whisper_folder, sound):
    text = "Hello, world!"
    encoder = WhisperText(whisper_folder, pinned_as_saved(WHISPER, whisper_folder))
    got = encoder.encode(text, sound, [(0.1, "Hello"), (0.5, "world")], fps=25.0)
    reference = transformers.WhisperForConditionalGeneration.from_pretrained(whisper_folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(whisper_folder)
    prompt = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    ids = tokenizer.convert_tokens_to_ids(prompt) + tokenizer(text, add_special_tokens=False).input_ids
    with torch.no_grad():
        expected = reference(
            input_features=encoder.log_mel(sound),
            decoder_input_ids=torch.tensor([ids]),
            output_hidden_states=True,
        ).decoder_hidden_states[-1]
    assert torch.allclose(got.features, expected[:, 4:], atol=1e-5)
    starts_s = got.start[0] / 25
    assert len(starts_s) == len(text)  # one token a byte
    assert torch.allclose(starts_s[[0, 7]], torch.tensor([0.1, 0.5]))
    assert (starts_s.diff() > 0).all() and float(starts_s[-1]) < len(sound) / 16_000


def test_tokens_without_timed_words_are_spread_over_the_sound():
    assert token_starts("abcd", [0, 1, 2, 3], [], 1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert token_starts("a b", [0, 2], [(0.3, "a"), (0.4, "b"), (0.5, "c")], 1.0) == pytest.approx([0.3, 0.4])


def test_a_transcript_that_does_not_fit_is_refused(whisper_folder, sound):
    encoder = WhisperText(whisper_folder, pinned_as_saved(WHISPER, whisper_folder))
    with pytest.raises(AvatarBenchError, match="E323: a transcript is too long"):
        encoder.encode("long " * 20, sound, [], 25.0)
    with pytest.raises(AvatarBenchError, match="E323: the sound of a transcript is too long"):
        encoder.encode("Hi.", np.zeros(31 * 16_000, np.float32), [], 25.0)
    with pytest.raises(AvatarBenchError, match="E323: Whisper does not know the language"):
        encoder.encode("Hi.", sound, [], 25.0, language="xx")


def test_a_model_that_is_not_here_is_named_with_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(AvatarBenchError, match="E321") as caught:
        find_model(WAV2VEC2)
    fix = f"hf download {WAV2VEC2.repository} --revision {WAV2VEC2.revision}"
    assert fix in str(caught.value)


def test_models_are_found_among_the_users_weights(wav2vec2_folder, monkeypatch):
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(wav2vec2_folder.parent))
    assert find_model(pinned_as_saved(WAV2VEC2, wav2vec2_folder)) == wav2vec2_folder


def test_other_bytes_another_model_and_missing_tensors_are_refused(wav2vec2_folder, whisper_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(AvatarBenchError, match="E322"):
        find_model(WAV2VEC2, wav2vec2_folder)  # the published hash, other bytes
    with pytest.raises(AvatarBenchError, match="model_type wav2vec2"):
        find_model(WAV2VEC2, whisper_folder)
    tensors = load_file(wav2vec2_folder / "model.safetensors")
    tensors.pop("wav2vec2.encoder.layers.1.attention.k_proj.weight")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text((wav2vec2_folder / "config.json").read_text())
    with pytest.raises(AvatarBenchError, match=r"missing .*layers\.1\.attention\.k_proj\.weight"):
        load_wav2vec2(tmp_path, pinned_as_saved(WAV2VEC2, tmp_path))
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(AvatarBenchError, match="a JSON object"):
        load_wav2vec2(tmp_path, pinned_as_saved(WAV2VEC2, tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(AvatarBenchError, match=r"no config\.json"):
        load_wav2vec2(tmp_path, pinned_as_saved(WAV2VEC2, tmp_path))
