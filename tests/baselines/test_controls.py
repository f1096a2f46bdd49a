"""Each rung of the sanity ladder changes what it says it changes, by the amount that it states, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baselines.controls import (
    BLUR,
    CODEC,
    GROUND_TRUTH,
    NOISE,
    OTHER_SPEECH,
    SHIFT,
    WRONG_IDENTITY,
)
from benchmark.contract import ClipSource, GroundTruth, MethodSpec, Oracle, Sample
from benchmark.registry import create_method
from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError
from media.video import probe, read_frames, write_video

N_FRAMES, WIDTH, HEIGHT, FPS = 12, 96, 128, 25
ORACLES = [GROUND_TRUTH, CODEC, SHIFT, BLUR, NOISE, OTHER_SPEECH, WRONG_IDENTITY]


def texture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A grey picture with detail of a few pixels, [H, W, 3] uint8 around 128."""
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    grey = np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def brightening(n_frames: int, start: int = 20) -> Iterator[np.ndarray]:
    """Flat pictures; frame `i` is `start + 5 i` bright, so that its brightness tells its number."""
    return (np.full((HEIGHT, WIDTH, 3), start + 5 * frame, np.uint8) for frame in range(n_frames))


def tone(hertz: float, n_frames: int = N_FRAMES) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(n_frames * SAMPLE_RATE // FPS) / SAMPLE_RATE)).astype(
        np.float32
    )


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    write_wav(tmp_path / "audio.wav", tone(440))
    picture = tmp_path / "reference.png"
    return Sample(
        "clip", "ada", picture, tmp_path / "audio.wav", None, N_FRAMES, float(FPS), WIDTH, HEIGHT, 7
    )


def truth_of(path: Path, frames: Iterator[np.ndarray]) -> GroundTruth:
    """The clip itself stands for the other clips, too, unless a test replaces them."""
    write_video(path, frames, FPS, audio=tone(1000), crf=1)
    source = ClipSource(path, 0.0)
    return GroundTruth(source, source, source)


def made(spec: MethodSpec, sample: Sample, truth: GroundTruth) -> np.ndarray:
    """Decoded frames of a control, [T, H, W, 3] float64."""
    oracle: Oracle = create_method(spec, "cpu")  # type: ignore[assignment]
    out = sample.audio.with_name(f"{spec.id}.mp4")
    return np.stack(list(read_frames(oracle.generate(sample, truth, out).video))).astype(float)


@pytest.mark.parametrize("spec", ORACLES, ids=lambda spec: spec.id)
def test_every_oracle_writes_the_samples_frames_with_the_samples_sound(
    spec: MethodSpec, sample: Sample, tmp_path: Path
):
    truth = truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))
    assert made(spec, sample, truth).shape == (N_FRAMES, HEIGHT, WIDTH, 3)
    info = probe(tmp_path / f"{spec.id}.mp4")
    assert (info.fps, info.n_frames) == (FPS, N_FRAMES)
    heard = np.abs(np.fft.rfft(load_audio(tmp_path / f"{spec.id}.mp4")[: len(tone(440))]))
    assert np.argmax(heard) * FPS / N_FRAMES == pytest.approx(440, abs=5)  # not the 1000 Hz of the clip
    assert spec.privileged


def test_codec_is_x264_at_crf_38_where_the_truth_has_12(sample: Sample, tmp_path: Path):
    """x264 writes its settings into the stream."""
    truth = truth_of(tmp_path / "true.mp4", (texture(frame) for frame in range(N_FRAMES)))
    coded, kept = made(CODEC, sample, truth), made(GROUND_TRUTH, sample, truth)
    assert b"crf=38.0" in (tmp_path / "codec.mp4").read_bytes()
    assert b"crf=12.0" in (tmp_path / "ground_truth.mp4").read_bytes()
    source = np.stack(list(read_frames(tmp_path / "true.mp4"))).astype(float)
    assert np.square(coded - source).mean() > 4 * np.square(kept - source).mean()


def test_shift_shows_each_picture_200_ms_late_and_repeats_the_first(sample: Sample, tmp_path: Path):
    shown = made(SHIFT, sample, truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))).mean((1, 2, 3))
    number = np.rint((shown - 20) / 5)  # one frame is 5 levels, the codec's error below 1
    assert number.tolist() == [0] * 5 + list(range(N_FRAMES - 5))


def test_a_clip_shorter_than_the_delay_is_its_first_picture(sample: Sample, tmp_path: Path):
    truth = truth_of(tmp_path / "true.mp4", brightening(4))
    short = replace(sample, n_frames=4)
    assert np.rint((made(SHIFT, short, truth).mean((1, 2, 3)) - 20) / 5).tolist() == [0, 0, 0, 0]


def test_blur_is_a_gaussian_of_a_128th_of_the_long_side(sample: Sample, tmp_path: Path):
    truth = truth_of(tmp_path / "true.mp4", (texture(frame) for frame in range(N_FRAMES)))
    source = np.stack(list(read_frames(tmp_path / "true.mp4"))).astype(float)
    blurred = made(BLUR, sample, truth)
    errors = {
        sigma: np.abs(gaussian_filter(source, (0, sigma, sigma, 0), mode="mirror") - blurred).mean()
        for sigma in (0.5, 0.8, 1.0, 1.25, 2.0)
    }
    assert min(errors, key=errors.__getitem__) == HEIGHT / 128
    assert errors[HEIGHT / 128] < 1.5  # the codec


def test_noise_has_the_stated_deviation(sample: Sample, tmp_path: Path):
    """Independent noise of 20 in R, G and B is noise of 20 sqrt(.2126^2 + .7152^2 + .0722^2) = 15.0 in luma."""
    grey = (np.full((HEIGHT, WIDTH, 3), 128, np.uint8) for _ in range(N_FRAMES))
    noisy = made(NOISE, sample, truth_of(tmp_path / "true.mp4", grey))
    weights = np.array([0.2126, 0.7152, 0.0722])  # BT.709
    luma = noisy @ weights
    assert luma.mean() == pytest.approx(128, abs=1)
    assert luma.std() == pytest.approx(20 * np.sqrt(np.square(weights).sum()), rel=0.06)
    across = np.corrcoef(luma[0].ravel(), luma[1].ravel())[0, 1]
    assert abs(across) < 0.1  # drawn anew for each frame


def test_noise_hangs_on_the_seed_of_the_sample_alone(sample: Sample, tmp_path: Path):
    truth = truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))
    oracle: Oracle = create_method(NOISE, "cpu")  # type: ignore[assignment]
    other = replace(sample, seed=8)
    written = []
    for number, asked in enumerate((sample, sample, other)):
        generation = oracle.generate(asked, truth, tmp_path / f"{number}.mp4")
        assert generation.seeds == {"noise": asked.seed}
        written.append(generation.video.read_bytes())
    assert written[0] == written[1] != written[2]


def test_other_speech_shows_the_other_clip_from_its_beginning(sample: Sample, tmp_path: Path):
    truth = truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))
    write_video(tmp_path / "other.mp4", brightening(N_FRAMES + 6, start=60), FPS)
    other = ClipSource(tmp_path / "other.mp4", 6 / FPS)
    shown = made(OTHER_SPEECH, sample, GroundTruth(truth.clip, other, None)).mean((1, 2, 3))
    assert np.rint((shown - 60) / 5).tolist() == list(range(6, N_FRAMES + 6))


def test_a_wrong_identity_keeps_its_aspect_and_loses_its_edges(sample: Sample, tmp_path: Path):
    """A picture twice as wide as high fills the sample's 3 : 4; what stays is its middle, at the same scale."""
    wide = texture(3, 2 * HEIGHT, HEIGHT)
    write_video(tmp_path / "wide.mp4", (wide for _ in range(N_FRAMES)), FPS, crf=1)
    truth = truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))
    source = ClipSource(tmp_path / "wide.mp4", 0.0)
    shown = made(WRONG_IDENTITY, sample, GroundTruth(truth.clip, None, source))
    left = (2 * HEIGHT - WIDTH) // 2
    assert np.abs(shown[0] - wide[:, left : left + WIDTH]).mean() < 3
    assert np.abs(shown[0] - wide[:, :WIDTH]).mean() > 20


def test_another_size_is_scaled_to_cover_the_picture(sample: Sample, tmp_path: Path):
    small = texture(3, WIDTH, HEIGHT)
    large = cv2.resize(small, (3 * WIDTH, 3 * HEIGHT), interpolation=cv2.INTER_NEAREST)
    write_video(tmp_path / "large.mp4", (large for _ in range(N_FRAMES)), FPS, crf=1)
    truth = truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))
    source = ClipSource(tmp_path / "large.mp4", 0.0)
    shown = made(WRONG_IDENTITY, sample, GroundTruth(truth.clip, None, source))
    assert np.abs(shown[0] - small).mean() < 3


@pytest.mark.parametrize("spec", [OTHER_SPEECH, WRONG_IDENTITY], ids=lambda spec: spec.id)
def test_without_another_clip_the_control_says_so(spec: MethodSpec, sample: Sample, tmp_path: Path):
    truth = truth_of(tmp_path / "true.mp4", brightening(N_FRAMES))
    with pytest.raises(AvatarBenchError, match=r"E406: .* as long as 'clip'"):
        made(spec, sample, GroundTruth(truth.clip, None, None))
