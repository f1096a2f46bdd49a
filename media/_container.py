"""Opening media containers, and the one time axis that video and sound share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from media.errors import AvatarBenchError

__all__ = ["first_video_stream", "open_input", "origin"]

# PyAV is silent by default. Any log level at all makes FFmpeg's threads wait for Python's lock, and a video that
# is closed before its end then hangs for ever.


@contextmanager
def open_input(path: str | Path, code: str, kind: str) -> Iterator[InputContainer]:
    """Open a media file; whatever FFmpeg cannot read becomes an `AvatarBenchError` with `code`.

    Args:
        path: The media file.
        code: E201 or E206.
        kind: "sound" or "video", for the message.

    Yields:
        The open container.
    """
    if not Path(path).is_file():
        raise AvatarBenchError(code, f"the {kind} file does not exist", where=path, fix="check the path")
    try:
        with av.open(str(path)) as container:
            yield container
    except (FFmpegError, UnicodeDecodeError) as error:
        raise AvatarBenchError(
            code,
            f"the {kind} cannot be read",
            where=path,
            got=str(error),
            fix="check that the file plays elsewhere; convert it with ffmpeg if it does",
        ) from error


def first_video_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures; the cover picture of a song is none."""
    moving = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    return next(moving, None)


def origin(container: InputContainer) -> Fraction:
    """Time in s of the container's clock that both readers call zero: first video frame, else first sound.

    With this, sample 0 of `media.audio.load_audio` sounds while frame 0 of `media.video.read_frames` is
    shown.
    """
    stream = first_video_stream(container)
    if stream is None:
        stream = container.streams.audio[0]
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    start = stream.start_time * stream.time_base
    # Encoders put their priming before zero; FFmpeg drops those samples, so that zero is the first real one.
    return max(start, Fraction(0))
