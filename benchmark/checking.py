"""Checks of a generated video before it counts, and the one codec in which it is kept."""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from benchmark.contract import Sample
from benchmark.metrics.definition import Reason
from media.audio import load_audio
from media.errors import AvatarBenchError
from media.video import probe, read_frames, write_video

__all__ = ["Rejected", "check_video", "unify_codec"]

CODECS: dict[str, tuple[str, str]] = {"h264-yuv420p": ("h264", "yuv420p")}
"""By the protocol's name: FFmpeg's names of the codec and of the pixel format."""

_FPS_TOLERANCE = 1e-3


class Rejected(Exception):
    """The method returned, but what it wrote is not the video that was asked for."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


def check_video(path: Path, sample: Sample) -> None:
    """Refuse a video that does not decode wholly to the frames that were asked for, each at its time.

    Raises:
        Rejected: `decode`, `aspect_mismatch` or `length_mismatch`.
    """
    if not path.is_file():
        raise Rejected("decode", "the method returned without writing its video")
    try:
        info = probe(path)
        n_frames = sum(1 for _ in read_frames(path))
    except AvatarBenchError as error:
        raise Rejected("decode", f"the video does not decode: {error.what}") from error
    if (info.width, info.height) != (sample.width, sample.height):
        expected = f"{sample.width}x{sample.height}"
        raise Rejected("aspect_mismatch", f"expected {expected} pixels, got {info.width}x{info.height}")
    if n_frames != sample.n_frames or abs(info.fps - sample.fps) > _FPS_TOLERANCE:
        expected = f"{sample.n_frames} frames at {sample.fps:g} fps"
        raise Rejected("length_mismatch", f"expected {expected}, got {n_frames} at {info.fps:.4g} fps")
    _check_times(path, sample.fps)


def unify_codec(path: Path, codec: str, sample: Sample) -> str | None:
    """Encode a checked video anew, with the sample's sound, unless it is in the protocol's codec already.

    So no method gains or loses by its codec: a lossless file costs it nothing.

    Args:
        path: The video; replaced in place.
        codec: A key of `CODECS`.
        sample: What the video was made for.

    Returns:
        What the video was encoded with, where that was something else, such as `hevc yuv444p`.

    Raises:
        AvatarBenchError: E601 or E602.
    """
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        found = (context.name, context.pix_fmt or "")
    if found == CODECS[codec]:
        return None
    unified = path.with_name(f"{path.stem}.unified.mp4")
    write_video(unified, read_frames(path), sample.fps, audio=load_audio(sample.audio))
    os.replace(unified, path)
    return " ".join(found)


def _check_times(path: Path, fps: float) -> None:
    """Refuse frames that stand unevenly: the one shown at the middle of frame `i`'s time must be frame `i`."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base or Fraction(1, av.time_base)
        stamps = sorted(
            packet.pts
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard
        )
    times = [(stamp - stamps[0]) * time_base for stamp in stamps]
    step = 1 / Fraction(fps).limit_denominator(1001)
    for index, (begin, end) in enumerate(pairwise(times)):
        if not begin <= (index + Fraction(1, 2)) * step < end:
            expected = f"expected frame {index} at {float(index * step):.3f} s"
            raise Rejected("length_mismatch", f"{expected}, got {float(begin):.3f} to {float(end):.3f} s")
