"""`media.video`: frames by time stamps, sound in step, bytes that do not depend on the machine's cores."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media.audio import SAMPLE_RATE, load_audio
from media.errors import AvatarBenchError
from media.video import probe, read_frames, write_video

FPS = 25


def numbered_frames(n: int, width: int = 128, height: int = 96) -> Iterator[np.ndarray]:
    """Frames whose level of grey tells their number: 8 levels apart, from 8 on."""
    for i in range(n):
        yield np.full((height, width, 3), 8 + 8 * i, np.uint8)


def numbers_of(frames: Iterator[np.ndarray]) -> list[int]:
    return [round((float(frame.mean()) - 8) / 8) for frame in frames]


def noisy_frames(n: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    picture = cv2.GaussianBlur(random.integers(0, 256, (96, 128, 3), dtype=np.uint8), (0, 0), 3)
    for i in range(n):
        yield np.roll(picture, 3 * i, axis=1)


def variable_rate_video(path: Path, times_ms: list[int]) -> None:
    """H.264 in MKV with a frame at each of the times, written without the code under test."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "5", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time, picture in zip(times_ms, numbered_frames(len(times_ms)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_every_written_frame_comes_back_once_and_in_order(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered_frames(30), FPS)
    assert numbers_of(read_frames(tmp_path / "a.mp4")) == list(range(30))
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.fps, info.n_frames) == (128, 96, 25.0, 30)
    assert info.duration_s == pytest.approx(1.2) and not info.has_audio


def test_colours_are_stored_by_bt709_and_come_back(tmp_path: Path) -> None:
    colour = np.array([200, 60, 30])
    write_video(tmp_path / "a.mp4", [np.full((96, 128, 3), colour, np.uint8)] * 3, FPS)
    assert np.abs(next(read_frames(tmp_path / "a.mp4")).astype(int) - colour).max() <= 2
    with av.open(str(tmp_path / "a.mp4")) as container:
        planes = next(container.decode(video=0)).to_ndarray()  # [H * 3 / 2, W]: Y, then Cb and Cr
    luma = colour @ [0.2126, 0.7152, 0.0722] / 255
    blue, red = (colour[2] / 255 - luma) / 1.8556, (colour[0] / 255 - luma) / 1.5748
    assert planes[:96].mean() == pytest.approx(16 + 219 * luma, abs=1)
    assert planes[96:120].mean() == pytest.approx(128 + 224 * blue, abs=1)
    assert planes[120:].mean() == pytest.approx(128 + 224 * red, abs=1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_flash_and_click_are_read_back_at_the_same_time(tmp_path: Path, suffix: str) -> None:
    """Frame 37 of 75 is white and the sound is one click at its start: offset under a tenth of a frame."""
    path = tmp_path / f"a{suffix}"
    frames = (np.full((96, 128, 3), 255 * (i == 37), np.uint8) for i in range(75))
    sound = np.zeros(3 * SAMPLE_RATE, np.float32)
    sound[37 * SAMPLE_RATE // FPS :][:160] = 0.9
    write_video(path, frames, FPS, audio=sound)
    assert [i for i, frame in enumerate(read_frames(path)) if frame.mean() > 128] == [37]
    heard = load_audio(path)
    assert heard.size == sound.size
    click_frame = np.argmax(np.abs(heard) > 0.3) / SAMPLE_RATE * FPS
    assert abs(click_frame - 37) < 0.1
    part = load_audio(path, start_s=1.0, duration_s=1.0)
    assert abs(1.0 + np.argmax(np.abs(part) > 0.3) / SAMPLE_RATE - 37 / FPS) < 0.1 / FPS


def test_sound_that_starts_after_the_pictures_is_preceded_by_silence(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for i, picture in enumerate(numbered_frames(25)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = i
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(
            np.full((1, SAMPLE_RATE // 2), 16_000, np.int16), format="s16", layout="mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = (
            SAMPLE_RATE,
            Fraction(1, SAMPLE_RATE),
            SAMPLE_RATE // 4,
        )
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    heard = load_audio(path)
    assert abs(np.argmax(heard > 0.25) / SAMPLE_RATE - 0.25) < 1e-3


def test_other_rates_take_the_frame_on_display_at_the_middle_of_each_interval(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered_frames(30), 30)
    for fps in (25.0, 15.0, 60.0, 29.97):
        n = int(30 / 30 * fps)
        expected = [int((i + 0.5) / fps * 30 + 1e-9) for i in range(n)]
        assert numbers_of(read_frames(tmp_path / "a.mp4", fps=fps))[:n] == expected


def test_variable_rate_is_resampled_by_time_stamps(tmp_path: Path) -> None:
    times = [0, 40, 80, 300, 320, 340, 600, 640, 760]
    variable_rate_video(tmp_path / "a.mkv", times)
    moments = (np.arange(19) + 0.5) / FPS * 1000
    expected = (np.searchsorted(times, moments, side="right") - 1).tolist()
    assert numbers_of(read_frames(tmp_path / "a.mkv", fps=FPS, duration_s=0.76)) == expected
    assert numbers_of(read_frames(tmp_path / "a.mkv")) == list(range(len(times)))


def test_part_of_a_video_is_the_same_frames_as_of_the_whole(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered_frames(30), FPS)
    assert numbers_of(read_frames(tmp_path / "a.mp4", start_s=0.4, duration_s=0.2)) == [10, 11, 12, 13, 14]
    part = read_frames(tmp_path / "a.mp4", fps=12.5, start_s=0.4, duration_s=0.4)
    assert numbers_of(part) == [11, 13, 15, 17, 19]


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_rotation_turns_the_picture_anticlockwise_by_the_stored_angle(tmp_path: Path, angle: int) -> None:
    """FFmpeg's display matrix counts anticlockwise; a phone held upright stores -90."""
    path = tmp_path / "a.mp4"
    red, green, black, blue = corners = ((255, 0, 0), (0, 255, 0), (0, 0, 0), (0, 0, 255))
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:48, :64], picture[:48, 64:], picture[48:, 64:], picture[48:, :64] = corners  # clockwise
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.set_display_rotation(angle)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    frame = next(read_frames(path))
    upper_left = {0: red, 90: green, 180: black, 270: blue}[angle]
    assert frame.shape == ((96, 128, 3) if angle % 180 == 0 else (128, 96, 3))
    assert np.abs(frame[10, 10].astype(int) - upper_left).max() < 10
    assert (probe(path).width, probe(path).height) == (frame.shape[1], frame.shape[0])


def test_size_is_reached_by_area_interpolation(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", noisy_frames(2), FPS)
    whole, small = next(read_frames(tmp_path / "a.mp4")), next(read_frames(tmp_path / "a.mp4", size=(32, 24)))
    assert small.shape == (24, 32, 3)
    means = whole.reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_bytes_do_not_depend_on_the_number_of_cores(tmp_path: Path, suffix: str) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("needs two cores")
    sound = np.sin(np.arange(SAMPLE_RATE) / 10).astype(np.float32) / 3
    digests = set()
    for used in ({min(cores)}, cores):
        os.sched_setaffinity(0, used)
        try:
            frames = noisy_frames(20)
            if suffix == ".webm":
                frames = (np.dstack([f, f[:, :, 0]]) for f in frames)
            write_video(tmp_path / f"a{suffix}", frames, FPS, audio=sound)
        finally:
            os.sched_setaffinity(0, cores)
        digests.add(hashlib.sha256((tmp_path / f"a{suffix}").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize(("suffix", "decoder"), [(".mov", "prores"), (".webm", "libvpx-vp9")])
def test_alpha_is_kept(tmp_path: Path, suffix: str, decoder: str) -> None:
    path = tmp_path / f"a{suffix}"
    picture = np.full((96, 128, 4), (200, 60, 30, 255), np.uint8)
    picture[:, 64:, 3] = 0
    picture[64:, :, 3] = 128
    write_video(path, [picture] * 3, FPS, audio=np.sin(np.arange(8000) / 9).astype(np.float32))
    with av.open(str(path)) as container:
        codec = av.CodecContext.create(decoder, "r")
        codec.extradata = container.streams.video[0].codec_context.extradata
        packets = list(container.demux(container.streams.video[0]))
        frame = next(frame for packet in packets for frame in codec.decode(packet))
        alpha = frame.reformat(format="rgba").to_ndarray()[:, :, 3].astype(int)
    assert np.abs(alpha[8:56, 8:56] - 255).max() <= 2
    assert alpha[8:56, 72:].max() <= 2
    assert np.abs(alpha[72:, 8:120] - 128).max() <= 3
    assert next(read_frames(path)).shape == (96, 128, 3)


def test_bad_options_are_e504_and_write_nothing(tmp_path: Path) -> None:
    odd = [np.zeros((95, 128, 3), np.uint8)]
    clear = [np.zeros((96, 128, 4), np.uint8)]
    plain = [np.zeros((96, 128, 3), np.uint8)]
    for name, frames, fps in (
        ("a.mp4", odd, 25),
        ("a.mp4", clear, 25),
        ("a.gif", plain, 25),
        ("a.mp4", plain, 0),
    ):
        with pytest.raises(AvatarBenchError, match="E504"):
            write_video(tmp_path / name, frames, fps)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_no_file(tmp_path: Path) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from numbered_frames(3)
        raise RuntimeError("the renderer failed")

    with pytest.raises(RuntimeError, match="renderer"):
        write_video(tmp_path / "a.mp4", frames(), FPS)
    assert list(tmp_path.iterdir()) == []


def test_unreadable_video_is_e206(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered_frames(5), FPS)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:400])
    (tmp_path / "text.mp4").write_text("words " * 100)
    for name in ("missing.mp4", "cut.mp4", "text.mp4"):
        with pytest.raises(AvatarBenchError, match="E206"):
            list(read_frames(tmp_path / name))
        with pytest.raises(AvatarBenchError, match="E206"):
            probe(tmp_path / name)


def test_video_without_sound_is_e202(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered_frames(25), FPS)
    with pytest.raises(AvatarBenchError, match="E202"):
        load_audio(tmp_path / "a.mp4")


def test_real_clip_has_as_many_frames_as_its_duration_says(shared_data: Path) -> None:
    path = shared_data / "video" / "man_white_shirt.mp4"
    info = probe(path)
    assert (info.width, info.height, info.has_audio) == (1080, 1920, True)
    assert info.fps == pytest.approx(30, abs=0.1)
    frames = list(read_frames(path, fps=FPS, size=(54, 96), start_s=2.0, duration_s=2.0))
    assert len(frames) == 50
