"""The encoders behind `media.video.write_video`, on one thread: bytes do not depend on the cores."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

__all__ = ["SCALER", "SPEECH", "SoundCodec", "SoundTrack", "add_video_stream", "encode_picture"]

# Exact arithmetic in the colour conversion: the same bytes whatever vector instructions the machine has.
SCALER = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)


def add_video_stream(
    container: OutputContainer, first: np.ndarray, rate: Fraction, crf: int, preset: str = "medium"
) -> VideoStream:
    """Add the picture track.

    Args:
        container: The output; its format decides the codec of pictures with alpha.
        first: The first frame [H, W, 3 or 4].
        rate: Frame rate, Hz.
        crf: Constant rate factor of H.264 and VP9.
        preset: Effort of H.264, a name of x264.
    """
    webm = container.format.name == "webm"
    if first.shape[2] == 3:
        codec, pixel_format = "libx264", "yuv420p"
        # Without B-frames every reader, also one that ignores edit lists, sees frame 0 at time 0.
        options = {"preset": preset, "crf": str(crf), "bf": "0", "x264-params": "lookahead-threads=1"}
    elif webm:
        codec, pixel_format = "libvpx-vp9", "yuva420p"
        options = {"crf": str(crf), "b": "0", "cpu-used": "4", "auto-alt-ref": "0", "row-mt": "0"}
    else:
        codec, pixel_format, options = "prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}
    stream = container.add_stream(codec, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = pixel_format
    context = stream.codec_context
    context.thread_count = 1
    context.time_base = 1 / rate
    context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1  # BT.709 in ISO/IEC 23091-2
    context.color_range = ColorRange.MPEG
    return stream


def encode_picture(container: OutputContainer, stream: VideoStream, picture: np.ndarray, index: int) -> None:
    """Encode one picture [H, W, 3 or 4] uint8 as frame `index`."""
    source = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(picture), format="rgb24" if picture.shape[2] == 3 else "rgba"
    )
    frame = source.reformat(
        format=stream.pix_fmt,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=SCALER,
        threads=1,
    )
    frame.pts = index
    frame.time_base = stream.codec_context.time_base
    container.mux(stream.encode(frame))


class SoundCodec(NamedTuple):
    """How a sound track is encoded."""

    name: Literal["aac", "libopus"]
    bit_rate: int
    """Bits a second."""


SPEECH = SoundCodec("libopus", 24_000)
"""Speech where bytes matter: Opus is nearer to 16 kHz speech at this rate than AAC is at 32,000."""


class SoundTrack:
    """The sound track of a video that is being written.

    Args:
        container: The output.
        samples: Mono samples [S] float in [-1, 1]; sample 0 is heard with frame 0.
        sample_rate: Of `samples`, Hz.
        codec: None: AAC at 128,000 bits a second, in WebM Opus.
    """

    _BLOCK = 1024  # samples of an AAC frame

    def __init__(
        self,
        container: OutputContainer,
        samples: np.ndarray,
        sample_rate: int,
        codec: SoundCodec | None = None,
    ) -> None:
        if samples.ndim != 1:
            raise ValueError(f"audio must have shape [S], got {list(samples.shape)}")
        name, bit_rate = codec or SoundCodec("libopus" if container.format.name == "webm" else "aac", 128_000)
        # Opus knows a few rates only; the encoder's own resampler takes the rest to 48 kHz.
        stream = container.add_stream(name, rate=48_000 if name == "libopus" else sample_rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        stream.bit_rate = bit_rate
        stream.codec_context.thread_count = 1
        self._container = container
        self._stream = stream
        self._samples = np.clip(samples, -1.0, 1.0).astype(np.float32)
        self._sample_rate = sample_rate
        self._position = 0

    def write_until(self, time_s: float) -> None:
        """Encode what sounds before `time_s`."""
        until = min(round(time_s * self._sample_rate), self._samples.size)
        while self._position < until:
            block = self._samples[self._position : self._position + self._BLOCK]
            frame = av.AudioFrame.from_ndarray(block[None].copy(), format="fltp", layout="mono")
            frame.sample_rate = self._sample_rate
            frame.time_base = Fraction(1, self._sample_rate)
            frame.pts = self._position
            self._container.mux(self._stream.encode(frame))
            self._position += block.size

    def finish(self) -> None:
        """Encode the rest and flush the encoder."""
        self.write_until(self._samples.size / self._sample_rate)
        self._container.mux(self._stream.encode(None))
