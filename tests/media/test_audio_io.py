"""`media.audio`: any sound as 16 kHz mono, on the time axis of the pictures."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import resample_poly

from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError


def chirp(rate: int, seconds: float = 1.0) -> np.ndarray:
    """A sweep 100 to 3000 Hz with a fade at both ends [S] float in [-0.5, 0.5]."""
    t = np.arange(round(rate * seconds)) / rate
    sweep = np.sin(2 * np.pi * (100 * t + 1450 * t**2 / seconds))
    return 0.5 * sweep * np.minimum(1, 20 * np.minimum(t, seconds - t))


def test_written_wav_is_what_scipy_reads_and_loads_back(tmp_path: Path) -> None:
    samples = chirp(SAMPLE_RATE).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    rate, pcm = wavfile.read(tmp_path / "a.wav")
    assert rate == SAMPLE_RATE and pcm.dtype == np.int16
    np.testing.assert_allclose(pcm / 32767, samples, atol=0.51 / 32767)
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), samples, atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled_in_time_with_scipy(tmp_path: Path, rate: int) -> None:
    wavfile.write(tmp_path / "a.wav", rate, chirp(rate).astype(np.float32))
    loaded = load_audio(tmp_path / "a.wav")
    reference = resample_poly(chirp(rate), SAMPLE_RATE, rate)
    assert abs(loaded.size - SAMPLE_RATE) <= 2
    n = min(loaded.size, reference.size)
    assert np.abs(loaded[:n] - reference[:n]).max() < 0.02  # a shift of one sample would give 0.3


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_channels_are_averaged_alike_for_integer_and_float_sound(tmp_path: Path, dtype: type) -> None:
    left, right = chirp(SAMPLE_RATE), 0.4 * np.cos(np.arange(SAMPLE_RATE) / 20)
    stereo = np.stack([left, right], axis=1)
    wavfile.write(
        tmp_path / "a.wav", SAMPLE_RATE, (stereo * (32767 if dtype is np.int16 else 1)).astype(dtype)
    )
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), (left + right) / 2, atol=1e-4)


def test_start_and_duration_cut_out_the_same_samples(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 44_100, chirp(44_100, 3.0).astype(np.float32))
    whole = load_audio(tmp_path / "a.wav")
    part = load_audio(tmp_path / "a.wav", start_s=1.25, duration_s=0.5)
    assert part.size == SAMPLE_RATE // 2
    np.testing.assert_allclose(part, whole[20_000:28_000], atol=2e-3)


def test_five_hours_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    """The file is a WAV header in front of a hole: decoding it would take long and give E203."""
    size = 5 * 3600 * SAMPLE_RATE * 2
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt ")
        file.write(struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16))
        file.write(b"data" + struct.pack("<I", size))
        file.truncate(size + 44)
    with pytest.raises(AvatarBenchError, match="E205") as caught:
        load_audio(path)
    assert caught.value.got == "300 min" and "ffmpeg" in (caught.value.fix or "")
    with pytest.raises(AvatarBenchError, match="E203"):  # a short part of it is read, and it is silent
        load_audio(path, start_s=10.0, duration_s=1.0)


def test_silence_and_shortness_have_their_own_codes(tmp_path: Path) -> None:
    write_wav(tmp_path / "silent.wav", np.full(SAMPLE_RATE, 5e-5))
    write_wav(tmp_path / "short.wav", chirp(SAMPLE_RATE, 0.19))
    write_wav(tmp_path / "quiet.wav", 2e-3 * chirp(SAMPLE_RATE, 0.21))
    with pytest.raises(AvatarBenchError, match="E203"):
        load_audio(tmp_path / "silent.wav")
    with pytest.raises(AvatarBenchError, match="E204"):
        load_audio(tmp_path / "short.wav")
    with pytest.raises(AvatarBenchError, match="E204"):
        load_audio(tmp_path / "quiet.wav", start_s=9.0)
    assert load_audio(tmp_path / "quiet.wav").size == round(0.21 * SAMPLE_RATE)


def test_unreadable_sound_is_e201(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound at all, only words " * 50)
    wavfile.write(tmp_path / "nan.wav", SAMPLE_RATE, np.full(SAMPLE_RATE, np.nan, np.float32))
    for name in ("missing.wav", "text.wav", "nan.wav"):
        with pytest.raises(AvatarBenchError, match="E201"):
            load_audio(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("eng.wav", 60.0), ("RD_Radio31_000.wav", 8.0), ("chinese_good.wav", 4.0)],
)
def test_real_speech_is_loaded_whole(shared_data: Path, name: str, seconds: float) -> None:
    samples = load_audio(shared_data / "speech" / name)
    assert samples.dtype == np.float32 and abs(samples.size / SAMPLE_RATE - seconds) < 1.0
    assert 0.05 < np.abs(samples).max() <= 1.0
