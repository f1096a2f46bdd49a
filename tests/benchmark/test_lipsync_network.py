"""The small sync network: what it hears, its weights, and that training makes it hear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn.functional import conv1d, normalize, relu

from benchmark import lipsync_network
from benchmark.extractors import Networks
from benchmark.hashing import sha256_file
from benchmark.lipsync_extractor import LipSyncSound
from benchmark.lipsync_features import MEL_CHANNELS, loudness_features, mel_features, mel_power
from benchmark.lipsync_network import (
    LOUDNESS_WEIGHTS,
    WEIGHTS,
    WINDOW,
    load_network,
    save_network,
    shipped_network,
)
from benchmark.lipsync_validation import network_scorer
from benchmark.metrics.lipsync import lipsync_score
from benchmark.training_lipsync import Corpus, TrainedNetwork, load_corpus, train
from media.errors import AvatarBenchError
from reference_model.networks.features import power_mel


def noisy_voice(n_samples: int, seed: int = 0) -> np.ndarray:
    """Noise in syllables: [S] int16."""
    random = np.random.default_rng(seed)
    syllables = np.repeat(random.uniform(0, 1, n_samples // 1600 + 1), 1600)[:n_samples]
    return np.round(6000 * syllables * random.standard_normal(n_samples).clip(-4, 4)).astype(np.int16)


def test_mel_power_is_that_of_the_corpus_the_network_learned_from():
    samples = noisy_voice(32_000)
    expected = power_mel(torch.from_numpy(samples.astype(np.float32) / 32768.0)).numpy()
    ours = mel_power(samples)
    assert ours.shape == (200, 80)
    assert ours == pytest.approx(expected[:200], rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("features", [mel_features, loudness_features])
def test_the_level_of_a_recording_does_not_matter(features):
    power = mel_power(noisy_voice(32_000))
    assert features(0.01 * power) == pytest.approx(features(power), abs=0.02)


def test_the_colour_of_a_microphone_hardly_matters():
    power = mel_power(noisy_voice(32_000))
    coloured = power * np.exp(np.linspace(1.0, -1.0, 80))
    change = np.abs(mel_features(coloured) - mel_features(power)).mean()
    assert change < 0.25 * np.abs(mel_features(power)).mean()


def test_features_have_the_shape_that_the_network_hears():
    assert mel_features(mel_power(noisy_voice(16_000))).shape == (25, MEL_CHANNELS)


def test_numpy_computes_what_torch_computes():
    network = shipped_network()
    features = np.random.default_rng(0).standard_normal((40, MEL_CHANNELS))
    maps = torch.from_numpy(features.T)
    for number, (kernel, bias) in enumerate(network.sound):
        maps = conv1d(maps[None], torch.from_numpy(kernel).double(), torch.from_numpy(bias).double())[0]
        maps = relu(maps) if number < 3 else maps
    expected = normalize(maps, dim=0).T.numpy()
    assert network.hear(features) == pytest.approx(expected, abs=1e-9)


def test_folding_the_batch_statistics_changes_no_output(tmp_path: Path):
    torch.manual_seed(0)
    trained = TrainedNetwork(MEL_CHANNELS)
    features = torch.randn(4, 40, MEL_CHANNELS)
    trained.embed("sound", 3 * features + 1)  # moves the running statistics
    trained.eval()
    save_network(tmp_path / "net.safetensors", trained.folded(), {"sound": "mel"})
    heard = load_network(tmp_path / "net.safetensors").hear(features[0].numpy())
    with torch.inference_mode():
        expected = trained.embed("sound", features)[0].numpy()
    assert heard.shape == (40 - WINDOW + 1, 32)
    assert heard == pytest.approx(expected, abs=1e-5)


def test_what_ships_is_small_and_says_how_it_was_made():
    assert sha256_file(WEIGHTS) == lipsync_network.LIPSYNC_SHA256
    for path, sound in ((WEIGHTS, "mel"), (LOUDNESS_WEIGHTS, "loudness")):
        assert path.stat().st_size < 1_000_000
        header = load_network(path).header
        assert header["sound"] == sound
        assert header["command"].startswith("python -m benchmark.training_lipsync")
        assert len(header["corpus_sha256"]) == 64


def test_other_weights_than_the_shipped_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = tmp_path / "other.safetensors"
    other.write_bytes(LOUDNESS_WEIGHTS.read_bytes())
    monkeypatch.setattr(lipsync_network, "WEIGHTS", other)
    with pytest.raises(AvatarBenchError, match="E502"):
        shipped_network.__wrapped__()
    other.unlink()
    with pytest.raises(AvatarBenchError, match="E502"):
        shipped_network.__wrapped__()


def test_a_damaged_file_is_an_error_with_a_code(tmp_path: Path):
    damaged = tmp_path / "net.safetensors"
    damaged.write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(AvatarBenchError, match="E502"):
        load_network(damaged)


def test_the_extractor_hears_windows_as_the_whole_sound_gives_them():
    samples = noisy_voice(32_000)
    with Networks() as networks:
        extractor = LipSyncSound(networks)
        gatherer = extractor.begin()
        items = [*gatherer.add(samples), *gatherer.end()]
        heard = extractor.run(np.stack(items))["sound"]
    expected = shipped_network().hear(mel_features(mel_power(samples)))
    assert heard == pytest.approx(expected, abs=1e-6)
    frames = samples.reshape(50, 640).astype(np.float64)
    assert gatherer.arrays()["energy"] == pytest.approx((frames**2).mean(axis=1))


def test_a_sound_shorter_than_a_window_gives_nothing():
    with Networks() as networks:
        extractor = LipSyncSound(networks)
        assert list(extractor.begin().add(noisy_voice(640 * (WINDOW - 1)))) == []
        assert extractor.nothing()["sound"].shape == (0, 32)


def made_corpus(n_takes: int = 12, n_frames: int = 130) -> Corpus:
    """Lips that open as a band of the sound has power against another, at a constant loudness."""
    random = np.random.default_rng(0)
    n = n_takes * n_frames
    opening = np.clip(
        np.interp(np.arange(n), np.arange(0, n, 3), random.uniform(-0.3, 1, len(range(0, n, 3)))), 0, 1
    )
    share = np.repeat(opening, 4)[:, None]
    power = np.where(np.arange(80) < 40, share, 1 - share) + 0.01
    codes = np.round((np.log(power) + 18.5) / 28.5 * 255).astype(np.uint8)
    held_out = np.arange(n_takes) >= n_takes - 3
    starts = np.arange(0, n + 1, n_frames)
    return Corpus(codes, (14 * opening).astype(np.float32), starts, held_out)


@pytest.mark.parametrize(("sound", "hears"), [("mel", True), ("loudness", False)])
def test_training_learns_the_colour_of_a_sound_and_loudness_cannot(tmp_path: Path, sound: str, hears: bool):
    corpus = made_corpus()
    tensors = train(corpus, sound, 60, 0, Console(quiet=True))
    save_network(tmp_path / "net.safetensors", tensors, {"sound": sound})
    offsets = offsets_of_late_lips(tmp_path / "net.safetensors", corpus, delay=6)
    assert all(abs(offset - 6) <= 2 for offset in offsets) == hears


def offsets_of_late_lips(path: Path, corpus: Corpus, delay: int) -> list[int]:
    """Offsets of held-out takes whose lips come late."""
    scorer = network_scorer(load_network(path))
    offsets = []
    for first, last in corpus.takes(held_out=True):
        score = scorer(corpus.opening(first, last - delay), corpus.power(first + delay, last))
        assert score is not None
        offsets.append(score.offset)
    return offsets


def test_a_file_that_is_no_corpus_is_an_error_with_a_code(tmp_path: Path):
    other = tmp_path / "other.npz"
    np.savez(other, log_mel=np.zeros((4, 80), np.uint8))
    with pytest.raises(AvatarBenchError, match="E401"):
        load_corpus(other)
    with pytest.raises(AvatarBenchError, match="E401"):
        train(made_corpus(n_takes=4), "mel", 1, 0, Console(quiet=True))


def test_silence_is_finite():
    features = mel_features(mel_power(np.zeros(32_000, np.int16)))
    assert np.isfinite(features).all()
    assert lipsync_score(shipped_network().hear(features), shipped_network().hear(features)) is not None
