"""Reading and writing video, by time stamps and in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from media._container import first_video_stream, open_input, origin
from media._encoding import SCALER, SPEECH, SoundCodec, SoundTrack, add_video_stream, encode_picture
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["SPEECH", "SoundCodec", "VideoInfo", "add_sound", "probe", "read_frames", "write_video"]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds."""

    width: int
    """As shown, after the rotation that the file asks for, px."""
    height: int
    """As shown, px."""
    fps: float
    """Mean frame rate."""
    n_frames: int
    """Number of stored pictures."""
    duration_s: float
    """From the first frame's start to the last one's end."""
    has_audio: bool
    """Whether there is a sound track."""


def probe(path: str | Path) -> VideoInfo:
    """Describe a video; every packet is read, one frame is decoded.

    Raises:
        AvatarBenchError: E206 when the file is missing or holds no video that can be read.
    """
    with open_input(path, "E206", "video") as container:
        stream = _video_stream(path, container)
        first = next(container.decode(stream), None)
        if first is None:
            raise _no_frames(path)
        swapped = first.rotation % 180 != 0
        container.seek(0)
        packets = [
            (p.pts, p.duration or 0)
            for p in container.demux(stream)
            if p.pts is not None and not p.is_discard
        ]
        n_frames = len(packets)
        time_base = stream.time_base or Fraction(1, av.time_base)
        begin = min(pts for pts, _ in packets)
        last_pts, last_duration = max(packets)
        if last_duration == 0 and n_frames > 1:
            last_duration = (last_pts - begin) // (n_frames - 1)
        duration = (last_pts + last_duration - begin) * time_base
        return VideoInfo(
            width=first.height if swapped else first.width,
            height=first.width if swapped else first.height,
            fps=float(n_frames / duration) if duration > 0 else float(stream.average_rate or 0),
            n_frames=n_frames,
            duration_s=float(duration),
            has_audio=bool(container.streams.audio),
        )


def read_frames(
    path: str | Path,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Iterator[np.ndarray]:
    """Decode a video frame by frame, turned as the file asks for.

    Args:
        path: Any file that FFmpeg decodes; the rate may vary.
        fps: Resample in time: output frame `i` is the picture that is shown at `start_s + (i + 0.5) / fps`.
            None gives every stored picture once.
        size: Output (width, height) in px by area interpolation; the aspect ratio is the caller's business.
        start_s: Where to start, s after the first frame.
        duration_s: How much to read at most, s.

    Yields:
        Frames [H, W, 3] uint8 sRGB.

    Raises:
        AvatarBenchError: E206 when the file is missing or cannot be decoded.
    """
    end_s = None if duration_s is None else start_s + duration_s
    with open_input(path, "E206", "video") as container:
        timed = _timed_frames(path, container, start_s)
        chosen = _stored(timed, start_s, end_s) if fps is None else _at_rate(timed, fps, start_s, duration_s)
        previous: av.VideoFrame | None = None
        picture = np.zeros(0)
        for frame in chosen:
            if frame is not previous:
                picture = _to_rgb(frame, size)
                previous = frame
            yield picture.copy()


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    audio: np.ndarray | None = None,
    sample_rate: int = 16_000,
    crf: int = 12,
    preset: str = "medium",
) -> None:
    """Encode frames, with sound that starts together with frame 0.

    `.mp4` is H.264 in yuv420p (BT.709) with AAC sound. Four-channel frames, with straight alpha, go into
    `.mov` (ProRes 4444, AAC) or `.webm` (VP9, Opus). Every encoder runs on one thread, so that the bytes do
    not depend on the number of cores.

    Args:
        path: The file; replaced only when complete.
        frames: Frames [H, W, 3] or [H, W, 4] uint8, all of one even size; consumed one at a time.
        fps: Frame rate, Hz.
        audio: Mono samples [S] float in [-1, 1].
        sample_rate: Of `audio`, Hz.
        crf: Constant rate factor of H.264 and VP9; lower is better. ProRes has a fixed quality.
        preset: Effort of H.264, a name of x264 such as "slow": smaller files for more time.

    Raises:
        AvatarBenchError: E504 for an odd frame size, a file type that cannot hold the frames or a bad rate;
            E601, E602 when the file cannot be written.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    if not fps > 0:
        raise AvatarBenchError("E504", "the frame rate must be positive", expected="fps > 0", got=f"{fps:g}")
    rate = Fraction(fps).limit_denominator(1001)
    _check_first_frame(path, first)
    with atomic_write(path) as temporary:
        flags = {"movflags": "+faststart"} if Path(path).suffix.lower() in (".mp4", ".mov") else {}
        with av.open(str(temporary), "w", options=flags | {"fflags": "+bitexact"}) as container:
            video = add_video_stream(container, first, rate, crf, preset)
            sound = None if audio is None else SoundTrack(container, audio, sample_rate)
            encode_picture(container, video, first, 0)
            for index, picture in enumerate(iterator, start=1):
                if picture.shape != first.shape:
                    raise ValueError(f"frame {index} must have shape {first.shape}, got {picture.shape}")
                # Sound goes in step with the pictures: the muxer holds back whatever runs ahead, in memory.
                if sound is not None:
                    sound.write_until(float(index / rate))
                encode_picture(container, video, picture, index)
            container.mux(video.encode(None))
            if sound is not None:
                sound.finish()


def add_sound(
    path: str | Path,
    video: str | Path,
    audio: np.ndarray,
    sample_rate: int = 16_000,
    *,
    codec: SoundCodec | None = None,
) -> None:
    """Copy a video without encoding its pictures again, with sound that starts together with frame 0.

    Args:
        path: The .mp4 file to write; replaced only when complete.
        video: A .mp4 file; sound that it has is dropped.
        audio: Mono samples [S] float in [-1, 1].
        sample_rate: Of `audio`, Hz.
        codec: Of the sound; None takes AAC at 128,000 bits a second.

    Raises:
        AvatarBenchError: E206 when the video cannot be read; E601, E602 when the file cannot be written.
    """
    with open_input(video, "E206", "video") as source, atomic_write(path) as temporary:
        stream = _video_stream(video, source)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(temporary), "w", options=options) as container:
            pictures = container.add_stream_from_template(stream)
            sound = SoundTrack(container, audio, sample_rate, codec)
            for packet in source.demux(stream):
                if packet.dts is None:  # the end of the stream
                    continue
                sound.write_until(float(packet.dts * stream.time_base) if stream.time_base else 0.0)
                packet.stream = pictures
                container.mux(packet)
            sound.finish()


def _video_stream(path: str | Path, container: InputContainer) -> VideoStream:
    stream = first_video_stream(container)
    if stream is None:
        raise AvatarBenchError("E206", "the file has no video", where=path, fix="give a video file")
    return stream


def _no_frames(path: str | Path) -> AvatarBenchError:
    return AvatarBenchError("E206", "the video has no frame that can be decoded", where=path)


def _timed_frames(
    path: str | Path, container: InputContainer, start_s: float
) -> Iterator[tuple[Fraction, Fraction, av.VideoFrame]]:
    """(start, end, frame) of the stored pictures from about `start_s` on, s after the first frame."""
    stream = _video_stream(path, container)
    stream.thread_type = "AUTO"
    time_base = stream.time_base or Fraction(1, av.time_base)
    zero = origin(container)
    if start_s > 0:
        container.seek(int((Fraction(start_s) + zero) / time_base), stream=stream, backward=True)
    usual = 1 / Fraction(stream.average_rate or 25)
    held: tuple[Fraction, Fraction, av.VideoFrame] | None = None
    for frame in container.decode(stream):
        begin = held[1] if held is not None and frame.pts is None else (frame.pts or 0) * time_base - zero
        # A picture is shown until the next one comes; durations in the file are often rounded or missing.
        if held is not None:
            yield held[0], begin, held[2]
        length = frame.duration * time_base if frame.duration else usual
        held = (begin, begin + length, frame)
    if held is None:
        raise _no_frames(path)
    yield held


def _stored(
    timed: Iterator[tuple[Fraction, Fraction, av.VideoFrame]], start_s: float, end_s: float | None
) -> Iterator[av.VideoFrame]:
    for begin, end, frame in timed:
        middle = (begin + end) / 2
        if end_s is not None and middle >= end_s:
            return
        if middle >= start_s:
            yield frame


def _at_rate(
    timed: Iterator[tuple[Fraction, Fraction, av.VideoFrame]],
    fps: float,
    start_s: float,
    duration_s: float | None,
) -> Iterator[av.VideoFrame]:
    step = 1 / Fraction(fps).limit_denominator(1001)
    limit = None if duration_s is None else round(Fraction(duration_s) / step)
    index = 0
    for _, end, frame in timed:
        while Fraction(start_s) + (index + Fraction(1, 2)) * step < end:
            if limit is not None and index >= limit:
                return
            yield frame
            index += 1


def _to_rgb(frame: av.VideoFrame, size: tuple[int, int] | None) -> np.ndarray:
    picture = frame.reformat(format="rgb24", interpolation=SCALER, threads=1).to_ndarray()  # [H, W, 3]
    turns = round(frame.rotation / 90) % 4  # anticlockwise, as np.rot90 counts
    if turns:
        picture = np.ascontiguousarray(np.rot90(picture, turns))
    if size is not None and size != (picture.shape[1], picture.shape[0]):
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return picture


def _check_first_frame(path: str | Path, frame: np.ndarray) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise ValueError(f"frames must be [H, W, 3 or 4] uint8, got {list(frame.shape)} {frame.dtype}")
    height, width, channels = frame.shape
    if width % 2 or height % 2:
        raise AvatarBenchError(
            "E504",
            "video needs an even width and height",
            where=path,
            expected="even numbers",
            got=f"{width}x{height}",
            fix=f"use {width - width % 2}x{height - height % 2}",
        )
    allowed = (".mp4", ".mov") if channels == 3 else (".mov", ".webm")
    if Path(path).suffix.lower() not in allowed:
        raise AvatarBenchError(
            "E504",
            "this file type cannot hold the video" + (" with its alpha" if channels == 4 else ""),
            where=path,
            expected=" or ".join(allowed),
            got=Path(path).suffix or "no suffix",
        )
