"""Which frame of a tool is shown when, and where in it the sample's picture is found."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from barcode import read_number, stamp

from baselines.external.declaration import Video
from baselines.external.pictures import choose_frame, frame_picture
from baselines.external.videos import source_frames, write_aligned
from benchmark.contract import Sample
from media.audio import write_wav
from media.errors import AvatarBenchError
from media.video import probe, read_frames, write_video

WIDTH, HEIGHT = 96, 128


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    write_wav(tmp_path / "audio.wav", np.tile(np.float32([0.2, -0.2]), 25 * 320))
    return Sample("c", "ada", tmp_path / "x.png", tmp_path / "audio.wav", None, 25, 25.0, WIDTH, HEIGHT, 0)


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 5)


def video(
    path: Path, n_frames: int, fps: float = 25, image: np.ndarray | None = None, **changes: object
) -> Video:
    image = picture() if image is None else image
    write_video(path, (stamp(image, number) for number in range(n_frames)), fps, crf=4)
    size = (image.shape[1], image.shape[0])
    return replace(Video(path, size, n_frames, fps, fps), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("fps", [12.5, 24.0, 25.0, 29.97, 30.0])
@pytest.mark.parametrize("lead", [0, 1, 9])
def test_the_frame_nearest_in_time_is_shown_for_any_length_and_rate(sample: Sample, fps: float, lead: int):
    for n_frames in (1, 2, 13, 110, 250):
        asked = replace(sample, n_frames=n_frames)
        there = lead + int(n_frames * fps / 25) + 2
        numbers, _ = source_frames(asked, Video(Path(), (2, 2), there, fps, fps, lead), there)
        for i, number in enumerate(numbers):
            off = abs(Fraction(number - lead) / Fraction(fps) - Fraction(i, 25))
            assert off <= Fraction(1, 2) / Fraction(fps) + Fraction(1, 10**9)
        assert numbers == sorted(numbers) and len(numbers) == n_frames


def test_an_end_that_is_cut_or_filled_is_said(sample: Sample, tmp_path: Path):
    long = video(tmp_path / "long.mp4", 30)
    assert write_aligned(sample, long, tmp_path / "a.mp4") == ("5 frames after the clip's end were cut off",)
    short = video(tmp_path / "short.mp4", 23)
    [note] = write_aligned(sample, short, tmp_path / "b.mp4")
    assert "2 more times" in note
    shown = [read_number(frame) for frame in read_frames(tmp_path / "b.mp4")]
    assert shown == [*range(23), 22, 22] and probe(tmp_path / "b.mp4").has_audio


def test_more_than_two_missing_frames_are_refused(sample: Sample, tmp_path: Path):
    with pytest.raises(AvatarBenchError, match=r"E721: the video ends 3 frames before"):
        write_aligned(sample, video(tmp_path / "short.mp4", 22), tmp_path / "out.mp4")


def test_a_rate_that_only_the_container_states_does_not_shift_the_frames(sample: Sample, tmp_path: Path):
    """PERSONA writes a motion of 25 frames a second into a file of 30."""
    made = replace(video(tmp_path / "v.mp4", 25, fps=30), fps=25.0)
    write_aligned(sample, made, tmp_path / "out.mp4")
    assert [read_number(frame) for frame in read_frames(tmp_path / "out.mp4")] == list(range(25))


@pytest.mark.parametrize("offset", [(0.0, 0.0), (16.0, 8.0), (10.4, 7.75)])
def test_a_region_is_cut_out_to_a_fraction_of_a_pixel(
    sample: Sample, tmp_path: Path, offset: tuple[float, float]
):
    inner, (x, y) = picture(), offset
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    whole = cv2.warpAffine(inner, matrix, (144, 160), borderMode=cv2.BORDER_REPLICATE)
    frames = [np.roll(whole, i % 2, axis=2) for i in range(25)]
    write_video(tmp_path / "v.mp4", frames, 25, crf=1)
    made = Video(tmp_path / "v.mp4", (144, 160), 25, 25, 25, region=(x, y, WIDTH, HEIGHT))
    write_aligned(sample, made, tmp_path / "out.mp4")
    error = np.abs(next(read_frames(tmp_path / "out.mp4")).astype(int) - inner)[4:-4, 4:-4]
    assert error.mean() < 3


def test_a_still_render_beside_a_running_frame_number_is_refused(sample: Sample, tmp_path: Path):
    """PERSONA counts its frames in the panel that is cut away."""
    frames = [np.hstack([stamp(picture(), i), picture()]) for i in range(25)]
    write_video(tmp_path / "v.mp4", frames, 25)
    made = Video(tmp_path / "v.mp4", (2 * WIDTH, HEIGHT), 25, 25, 25, region=(WIDTH, 0, WIDTH, HEIGHT))
    with pytest.raises(AvatarBenchError, match="E724: all frames of the tool's video are the same"):
        write_aligned(sample, made, tmp_path / "out.mp4")


def test_a_framed_picture_is_whole_and_in_the_middle():
    for size in ((384, 512), (512, 288), (300, 300), (101, 499)):
        framing = choose_frame(*size, frames=((720, 400), (720, 720), (400, 720)))
        left, top, width, height = framing.region
        assert left >= 0 and top >= 0 and left + width <= framing.width and top + height <= framing.height
        assert abs(width / height - size[0] / size[1]) < 0.01 * size[0] / size[1]
        assert max(width / framing.width, height / framing.height) == 1
    assert frame_picture(512, 288, 720, 400).inner_width == 711
