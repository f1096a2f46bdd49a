from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch

from reference_model.networks.features import (
    RunningNormaliser,
    augment_power_mel,
    mel_filterbank,
    normalised_log_mel,
    power_mel,
)


def read_speech(shared_data: Path, seconds: float = 8.0) -> torch.Tensor:
    with wave.open(str(shared_data / "speech" / "RD_Radio31_000.wav")) as file:
        assert file.getframerate() == 16_000
        samples = np.frombuffer(file.readframes(int(seconds * 16_000)), np.int16)
        samples = samples.reshape(-1, file.getnchannels()).mean(1)
    return torch.from_numpy(samples.astype(np.float32) / 32768)


def modulated_noise(n_frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    level = (torch.randn(1, n_frames, 1, generator=generator).cumsum(1) * 0.3).sin() * 2
    return (torch.randn(1, n_frames, 80, generator=generator) * 0.7 + level).exp()


def test_power_mel_equals_scipys_short_time_spectrum_through_the_filterbank():
    samples = torch.randn(16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    window = np.hanning(401)[:400]
    stft = scipy.signal.ShortTimeFFT(window, hop=160, fs=16_000, mfft=512)
    spectrum = np.abs(stft.stft(samples.double().numpy(), p0=0, p1=100)) ** 2  # [257, 100]
    expected = (mel_filterbank().double().numpy() @ spectrum).T
    np.testing.assert_allclose(power_mel(samples).numpy(), expected, rtol=2e-4)


@pytest.mark.parametrize("hz", [120.0, 440.0, 1000.0, 3000.0, 7000.0])
def test_a_pure_tone_is_loudest_in_the_band_that_holds_it(hz):
    time = torch.arange(8_000) / 16_000
    loudest = int(power_mel(torch.sin(2 * math.pi * hz * time))[20:30].mean(0).argmax())
    bins = torch.arange(257) * 16_000 / 512
    centre = float((mel_filterbank()[loudest] * bins).sum())
    assert abs(centre - hz) < max(40.0, 0.06 * hz)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(640 * 25, 100), (1, 1), (161, 2), (5_000 * 160, 5_000)])
def test_there_are_four_mel_frames_to_a_picture(n_samples, n_frames):
    assert power_mel(torch.zeros(2, n_samples)).shape == (2, n_frames, 80)


def test_a_stream_in_uneven_chunks_gives_the_values_of_the_whole():
    power = modulated_noise(700)
    whole, _ = RunningNormaliser()(power)
    normaliser, state, parts = RunningNormaliser(), None, []
    for chunk in power.split([4, 1, 63, 130, 2, 300, 200], dim=1):
        part, state = normaliser(chunk, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_the_running_sums_equal_a_frame_by_frame_recursion():
    power = modulated_noise(300, seed=3)
    normaliser = RunningNormaliser()
    level = (power[0].double() + 1e-8).log()
    peak, total = normaliser.lowest_peak, 0.0
    first, second = torch.zeros(80).double(), torch.zeros(80).double()
    for frame in level:
        loudness = float(frame.mean())
        peak = max(peak - normaliser.fall_per_frame, loudness, normaliser.lowest_peak)
        if loudness > peak - normaliser.gate:
            keep, weight = math.exp(-1 / normaliser.tau_frames), math.exp(0.5 * loudness)
            total, first = keep * total + weight, keep * first + weight * frame
            second = keep * second + weight * frame.square()
    _, state = normaliser(power)
    torch.testing.assert_close(state.weight[0, 0], torch.tensor(total).double())
    torch.testing.assert_close(state.first[0], first)
    torch.testing.assert_close(state.second[0], second)


def test_the_future_does_not_change_the_past():
    power = modulated_noise(400)
    altered = power.clone()
    altered[:, 200:] *= 100
    torch.testing.assert_close(normalised_log_mel(altered)[:, :200], normalised_log_mel(power)[:, :200])


def test_the_level_of_the_recording_does_not_matter(shared_data):
    samples = read_speech(shared_data)
    loud, quiet = (normalised_log_mel(power_mel(samples * gain)) for gain in (1.0, 0.1))
    assert (loud - quiet).abs().mean() < 0.05


def test_speech_comes_out_centred_with_about_unit_spread(shared_data):
    power = power_mel(read_speech(shared_data))
    level = power.log().mean(1)
    speech = normalised_log_mel(power)[(level > level.quantile(0.4)).nonzero()[:, 0]]
    assert abs(float(speech.mean())) < 0.35
    assert 0.6 < float(speech.std()) < 1.2


def test_digital_silence_is_not_blown_up():
    hiss = torch.randn(32_000, generator=torch.Generator().manual_seed(1)) / 32768
    for silence in (torch.zeros(32_000), hiss):
        normalised = normalised_log_mel(power_mel(silence))
        assert normalised.mean() < -0.8
        assert normalised.max() < 1.0


def test_noise_before_the_voice_is_forgotten_when_the_voice_sets_in(shared_data):
    speech = read_speech(shared_data)
    noise = torch.randn(48_000, generator=torch.Generator().manual_seed(2)) * 0.002
    alone = normalised_log_mel(power_mel(speech))
    after_noise = normalised_log_mel(power_mel(torch.cat([noise, speech])))[300:]
    assert (alone - after_noise)[100:].abs().mean() < 0.12


def test_augmentation_changes_the_power_but_keeps_shape_sign_and_timing(shared_data):
    power = power_mel(read_speech(shared_data, 4.0))[None].expand(16, -1, -1)
    augmented = augment_power_mel(power, torch.Generator().manual_seed(0))
    assert augmented.shape == power.shape
    assert torch.isfinite(augmented).all() and (augmented > 0).all()
    level, original = augmented.mean(2).log(), power.mean(2).log()
    similarity = [
        float(torch.corrcoef(torch.stack([a, b]))[0, 1]) for a, b in zip(level, original, strict=True)
    ]
    assert np.median(similarity) > 0.6
    assert len({round(float(item.mean()), 6) for item in augmented}) == 16


def test_augmentation_repeats_with_its_seed():
    power = modulated_noise(200).expand(4, -1, -1)
    first, second = (augment_power_mel(power, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
