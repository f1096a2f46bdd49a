"""What becomes of odd and broken videos on their way from a folder to a sample: they work, or say what is wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from moving_clips import FPS, N_FRAMES, moving_shapes, tone, write_clip

from benchmark.inputs import SampleInputs, make_inputs
from benchmark.manifest import load_dataset
from benchmark.protocol import load_protocol
from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError
from media.image import load_image
from media.video import write_video


def inputs_of(folder: Path) -> SampleInputs:
    dataset = load_dataset(folder)
    assert len(dataset.clips) == 1
    return make_inputs(dataset, dataset.clips[0], load_protocol("mini-v1"), seed=0)


def kept(cache: Path) -> list[Path]:
    """What the making of inputs left, whole or in part."""
    return [*cache.rglob("*.png"), *cache.rglob("*.wav"), *cache.rglob(".part-*")]


def encode(
    path: Path, frames: list[np.ndarray], codec: str, pix_fmt: str, *, times_ms: list[int] | None = None,
    rotation: int = 0, source: str = "rgb24", sound: np.ndarray | None = None,
) -> Path:  # fmt: skip
    """A video with sound, written by PyAV alone; without `times_ms` at 25 frames a second."""
    times = times_ms or [40 * index for index in range(len(frames))]
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=FPS)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            video.set_display_rotation(rotation)
        audio = container.add_stream(
            "pcm_s16le" if path.suffix != ".mp4" else "aac", rate=SAMPLE_RATE, layout="mono"
        )
        for time, picture in zip(times, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format=source)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = tone(1, len(frames)) if sound is None else sound
        for begin in range(0, samples.size, 1024):
            block = av.AudioFrame.from_ndarray(
                np.round(samples[None, begin : begin + 1024] * 32767).astype(np.int16),
                format="s16",
                layout="mono",
            )
            block.sample_rate, block.time_base, block.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), begin
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


def numbered(count: int) -> list[np.ndarray]:
    """Frame i has the brightness 8 + 8 i."""
    return [np.full((96, 128, 3), 8 + 8 * index, np.uint8) for index in range(count)]


def test_a_variable_frame_rate_is_read_by_its_times(tmp_path: Path):
    """Frames on the grid are those on display in the middle of each interval, by `searchsorted` on the times."""
    times = [0, 40, 80, 300, 320, 340, 600, 640, 760]
    sound = tone(1, 20)
    encode(tmp_path / "a.mkv", numbered(9), "libx264", "yuv420p", times_ms=times, sound=sound)
    inputs = inputs_of(tmp_path)
    n = inputs.sample.n_frames
    expected = np.searchsorted(times, (np.arange(n) + 0.5) * 40, side="right") - 1
    shown = [round((float(frame.mean()) - 8) / 8) for frame in inputs.truth.frames()]
    assert shown == expected.tolist()
    assert n >= 19
    assert load_audio(inputs.sample.audio).size == n * 640


@pytest.mark.parametrize("rotation", [90, -90])
def test_a_phone_video_stands_upright(tmp_path: Path, rotation: int):
    """FFmpeg counts anticlockwise: after a quarter turn to the left, the right edge is the upper one."""
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:, 64:] = 255
    encode(tmp_path / "a.mp4", [picture] * N_FRAMES, "libx264", "yuv420p", rotation=rotation)
    inputs = inputs_of(tmp_path)
    assert (inputs.sample.width, inputs.sample.height) == (384, 512)
    reference = load_image(inputs.sample.reference_image)
    upper, lower = reference[:200].mean(), reference[-200:].mean()
    assert (upper > 200 > 50 > lower) if rotation == 90 else (lower > 200 > 50 > upper)


def test_odd_dimensions_become_even_ones_of_the_same_aspect(tmp_path: Path):
    frames = [cv2.resize(frame, (97, 131)) for frame in moving_shapes(0)]
    encode(tmp_path / "a.mkv", frames, "libx264rgb", "rgb24")
    inputs = inputs_of(tmp_path)
    assert (inputs.sample.width, inputs.sample.height) == (380, 512)  # 512 * 97 / 131 = 379.1
    assert load_image(inputs.sample.reference_image).shape == (512, 380, 3)


def gradient(peak: int) -> np.ndarray:
    """A ramp to the right, the same in all channels, [96, 128] up to `peak`."""
    return np.broadcast_to(np.linspace(0, peak, 128), (96, 128))


def test_a_16_bit_source_is_scaled_and_not_cut_to_8_bits(tmp_path: Path):
    """FFV1 with 16 bits a channel; taking the low byte alone would show 256 ramps instead of one."""
    deep = np.repeat(gradient(65535)[..., None], 3, axis=2).astype(np.uint16)
    encode(tmp_path / "a.mkv", [deep] * N_FRAMES, "ffv1", "gbrp16le", source="rgb48le")
    reference = load_image(inputs_of(tmp_path).sample.reference_image)
    expected = cv2.resize(gradient(255).astype(np.float32), (512, 384), interpolation=cv2.INTER_AREA)
    assert np.abs(reference.astype(float) - expected[..., None]).max() <= 2


def test_a_10_bit_phone_video_is_read(tmp_path: Path):
    frames = list(moving_shapes(0))
    encode(tmp_path / "a.mkv", frames, "libx264", "yuv420p10le")
    inputs = inputs_of(tmp_path)
    first = cv2.resize(frames[0], (384, 512), interpolation=cv2.INTER_AREA)
    assert np.abs(load_image(inputs.sample.reference_image).astype(float) - first).mean() < 6


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_alpha_is_left_out_and_the_colours_stay(tmp_path: Path, suffix: str):
    colour = np.full((96, 128, 3), (200, 60, 30), np.uint8)
    for folder, alpha in (("opaque", 255), ("clear", 0)):
        (tmp_path / folder).mkdir()
        frames = [np.dstack([colour, np.full((96, 128), alpha, np.uint8)])] * N_FRAMES
        write_video(tmp_path / folder / f"a{suffix}", frames, FPS, audio=tone(0))
    pictures = [
        load_image(inputs_of(tmp_path / folder).sample.reference_image) for folder in ("opaque", "clear")
    ]
    assert pictures[0].shape == (384, 512, 3)
    assert np.abs(pictures[0].astype(int) - (200, 60, 30)).max() <= 4
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 4


@pytest.mark.parametrize(
    ("sound", "code"),
    [(None, "E202"), (np.zeros(N_FRAMES * 640, np.float32), "E203")],
    ids=["no sound track", "silence"],
)
def test_a_video_nobody_can_hear_is_refused(
    tmp_path: Path, own_cache: Path, sound: np.ndarray | None, code: str
):
    write_video(tmp_path / "a.mp4", moving_shapes(0), FPS, audio=sound)
    with pytest.raises(AvatarBenchError, match=code) as refused:
        inputs_of(tmp_path)
    assert str(tmp_path / "a.mp4") in str(refused.value)
    assert not kept(own_cache)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_truncated_video_is_refused_wherever_it_breaks_off(tmp_path: Path, own_cache: Path, share: float):
    path = write_clip(tmp_path / "a.mp4", 0, n_frames=50)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    with pytest.raises(AvatarBenchError, match="E402"):
        inputs_of(tmp_path)
    assert not kept(own_cache)


def test_sound_that_ends_before_the_pictures_is_filled_with_silence(tmp_path: Path):
    encode(tmp_path / "a.mkv", numbered(25), "libx264", "yuv420p", sound=tone(1, 15))
    heard = load_audio(inputs_of(tmp_path).sample.audio)
    assert heard.size == 25 * 640
    assert np.abs(heard[: 14 * 640]).max() > 0.2 and not heard[16 * 640 :].any()


def test_a_sound_without_pictures_is_refused(tmp_path: Path):
    write_wav(tmp_path / "a.wav", tone(0))
    (tmp_path / "a.wav").rename(tmp_path / "a.mp4")
    with pytest.raises(AvatarBenchError, match="E402: the clip 'a' is not a video that can be read"):
        inputs_of(tmp_path)


def test_a_single_frame_is_too_short(tmp_path: Path):
    write_video(tmp_path / "a.mp4", list(moving_shapes(0))[:1], FPS, audio=tone(0))
    with pytest.raises(AvatarBenchError, match="E402: the clip 'a' is too short"):
        inputs_of(tmp_path)
