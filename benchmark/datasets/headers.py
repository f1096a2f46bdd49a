"""What a video file promises against what it holds."""

from __future__ import annotations

from pathlib import Path

import av
from av.error import FFmpegError

from media.errors import AvatarBenchError
from media.video import probe

__all__ = ["count_frames", "missing_bytes", "whole_duration_s"]


def count_frames(path: Path) -> int:
    """How many frames of a video decode; no picture is converted, which is most of the work of reading one.

    Raises:
        AvatarBenchError: E206 where one does not decode.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            return sum(1 for _ in container.decode(stream))
    except (FFmpegError, IndexError, UnicodeDecodeError) as error:
        raise AvatarBenchError("E206", "the video cannot be read", where=path, got=str(error)) from error


def missing_bytes(path: Path) -> int:
    """How many bytes a cut-off MP4 or MOV lacks: its sample tables say where each picture and sound stands.

    A reader of such a file sees no error where it was cut between two packets, only a shorter video. Other
    containers keep no such table; for them the answer is 0.

    Raises:
        AvatarBenchError: E206 where the file cannot be opened.
    """
    try:
        with av.open(str(path)) as container:
            if "mov" not in container.format.name.split(","):
                return 0
            ends = [entry.pos + entry.size for stream in container.streams for entry in stream.index_entries]
    except (FFmpegError, UnicodeDecodeError) as error:
        raise AvatarBenchError("E206", "the video cannot be read", where=path, got=str(error)) from error
    return max(0, max(ends, default=0) - path.stat().st_size)


def whole_duration_s(path: Path) -> float:
    """Length of a video whose file is whole, seconds.

    Raises:
        AvatarBenchError: E206 where it is no video or breaks off.
    """
    missing = missing_bytes(path)
    if missing:
        raise AvatarBenchError(
            "E206",
            "the video breaks off",
            where=path,
            got=f"{missing} bytes are missing",
            fix="fetch it again",
        )
    return probe(path).duration_s
