"""From a tool's video to the sample's frames: checked against the tool's own rules, aligned in time and place.

Nothing is blended: each frame of the sample is one frame of the tool's, at the nearest time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from baselines.external.declaration import Video
from benchmark.contract import Sample
from media.audio import load_audio
from media.errors import AvatarBenchError
from media.image import load_image
from media.video import VideoInfo, probe, read_frames, write_video

__all__ = ["MAX_PADDED", "source_frames", "write_aligned"]

MAX_PADDED = 2
"""Frames at the end that may be repeated; a video that lacks more is refused."""
_FPS_TOLERANCE = 0.02
_FLAT = 2.0
"""Of 255, at 48 x 48: deviation within a picture that shows nothing."""
_STILL = 8.0
"""Of 255, at 48 x 48: greatest difference to the first picture. One picture encoded 16 times differs by up to 5 in
MPEG-4 Part 2; 0.6 s of a person who talks by 70 and more."""
_RESEMBLANCE = 0.9
_SMALL = (48, 48)


@dataclass(frozen=True, slots=True)
class _Seen:
    n_frames: int
    first: np.ndarray
    flat: bool
    still: bool


def source_frames(sample: Sample, video: Video, n_frames: int) -> tuple[list[int], list[str]]:
    """Which frame of the tool's video is shown at each frame of the sample.

    Frame `i` of the sample shows time `i / sample.fps`; the tool's frame nearest to it is `lead_frames +
    floor(i * video.fps / sample.fps + 1/2)`.

    Args:
        sample: What is to be shown.
        video: How the video is to be read.
        n_frames: Frames that it has, with those before time 0.

    Returns:
        Frame numbers, one a frame of the sample, and what was cut or padded at the end.

    Raises:
        AvatarBenchError: E721 when more than `MAX_PADDED` frames lack.
    """
    wanted = [
        video.lead_frames + math.floor(i * video.fps / sample.fps + 0.5) for i in range(sample.n_frames)
    ]
    lacking = sum(number >= n_frames for number in wanted)
    if lacking > MAX_PADDED:
        raise AvatarBenchError(
            "E721",
            f"the video ends {lacking} frames before the clip does",
            where=video.path,
            expected=f"{wanted[-1] + 1} frames at {video.fps:g} fps",
            got=f"{n_frames} frames",
        )
    notes = []
    if lacking:
        notes.append(f"the last frame was shown {lacking} more times: the tool's video ends early")
    unused = n_frames - 1 - wanted[-1]
    if unused > 0:
        notes.append(f"{unused} frames after the clip's end were cut off")
    return [min(number, n_frames - 1) for number in wanted], notes


def write_aligned(sample: Sample, video: Video, out: Path) -> tuple[str, ...]:
    """Check a tool's video and write the sample's frames of it, with the sample's own sound.

    Returns:
        What was done to it, for the record.

    Raises:
        AvatarBenchError: E721-E726.
    """
    info = _probe(video)
    _check_form(video, info)
    seen = _look(video)
    _check_content(video, seen)
    numbers, notes = source_frames(sample, video, seen.n_frames)
    pictures = (_place(picture, sample, video) for picture in _chosen(video.path, numbers))
    write_video(out, pictures, sample.fps, audio=load_audio(sample.audio))
    if video.fps != sample.fps:
        notes.append(f"{video.fps:g} fps shown at {sample.fps:g} by the nearest frame")
    return (*video.notes, *notes)


def _probe(video: Video) -> VideoInfo:
    try:
        return probe(video.path)
    except AvatarBenchError as error:
        raise AvatarBenchError(
            "E725", "the tool's video cannot be decoded", where=video.path, got=error.what
        ) from error


def _check_form(video: Video, info: VideoInfo) -> None:
    if (info.width, info.height) != video.size:
        raise AvatarBenchError(
            "E722",
            "the tool's video has another size than its rules give",
            where=video.path,
            expected=f"{video.size[0]}x{video.size[1]}",
            got=f"{info.width}x{info.height}",
        )
    if abs(info.fps - video.container_fps) > _FPS_TOLERANCE * video.container_fps:
        raise AvatarBenchError(
            "E723",
            "the tool's video has another frame rate than it should",
            where=video.path,
            expected=f"{video.container_fps:g}",
            got=f"{info.fps:.4g}",
        )


def _look(video: Video) -> _Seen:
    """Decode the whole video once; whether it shows something is asked where the sample's picture is."""
    first: np.ndarray | None = None
    n_frames, flat, still = 0, True, True
    small = np.zeros(0)
    try:
        for picture in read_frames(video.path):
            here = cv2.resize(_cut(picture, video), _SMALL, interpolation=cv2.INTER_AREA).astype(np.float32)
            if first is None:
                first, small = picture, here
            flat = flat and float(here.std()) < _FLAT
            still = still and float(np.abs(here - small).max()) < _STILL
            n_frames += 1
    except AvatarBenchError as error:
        raise AvatarBenchError(
            "E725",
            "the tool's video breaks off",
            where=video.path,
            got=f"{n_frames} frames, then: {error.what}",
        ) from error
    assert first is not None, "read_frames raises where there is no frame"
    return _Seen(n_frames, first, flat, still and n_frames > 1)


def _check_content(video: Video, seen: _Seen) -> None:
    if abs(seen.n_frames - video.n_frames) > video.tolerance:
        raise AvatarBenchError(
            "E721",
            "the tool's video has another length than its rules give",
            where=video.path,
            expected=f"{video.n_frames} frames, give or take {video.tolerance}",
            got=f"{seen.n_frames} frames",
        )
    if seen.flat or seen.still:
        raise AvatarBenchError(
            "E724",
            "the tool's video shows nothing" if seen.flat else "all frames of the tool's video are the same",
            where=video.path,
            expected="pictures of a person who talks",
        )
    if video.first_frame is not None:
        alike = _resemblance(seen.first, load_image(video.first_frame))
        if alike < _RESEMBLANCE:
            raise AvatarBenchError(
                "E726",
                "frame 0 of the tool's video is not the reference picture that it should be",
                where=video.path,
                expected=f"a correlation of at least {_RESEMBLANCE:g}",
                got=f"{alike:.2f}",
                fix="the tool's version may begin at another time; see its commit.",
            )


def _resemblance(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures at 48 x 48."""
    flat = [
        cv2.resize(picture, _SMALL, interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        for picture in (one, other)
    ]
    if min(picture.std() for picture in flat) == 0:
        return 0.0
    return float(np.corrcoef(flat[0], flat[1])[0, 1])


def _chosen(path: Path, numbers: list[int]) -> Iterator[np.ndarray]:
    """The frames of the given numbers, which do not fall."""
    frames = enumerate(read_frames(path))
    at, picture = next(frames)
    for number in numbers:
        while at < number:
            at, picture = next(frames)
        yield picture


def _cut(picture: np.ndarray, video: Video) -> np.ndarray:
    """The region of a frame of the tool that shows the sample's picture."""
    height, width = picture.shape[:2]
    left, top, w, h = video.region or (0.0, 0.0, float(width), float(height))
    columns, rows = max(1, round(w)), max(1, round(h))
    whole = all(float(value).is_integer() for value in (left, top, w, h))
    if whole and left >= 0 and top >= 0 and left + w <= width and top + h <= height:
        return picture[int(top) : int(top) + rows, int(left) : int(left) + columns]
    sx, sy = w / columns, h / rows  # pixel centres at +0.5
    matrix = np.array([[sx, 0, left + sx / 2 - 0.5], [0, sy, top + sy / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _place(picture: np.ndarray, sample: Sample, video: Video) -> np.ndarray:
    """The sample's picture in a frame of the tool: its region, brought to the sample's size."""
    cut = _cut(picture, video)
    if cut.shape[:2] == (sample.height, sample.width):
        return np.ascontiguousarray(cut)
    shrinks = cut.shape[0] >= sample.height and cut.shape[1] >= sample.width
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(cut, (sample.width, sample.height), interpolation=kind)
