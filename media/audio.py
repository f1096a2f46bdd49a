"""Reading and writing sound."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from media._container import open_input, origin
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["MAX_DURATION_S", "MIN_DURATION_S", "SAMPLE_RATE", "load_audio", "write_wav"]

SAMPLE_RATE = 16_000
"""Rate of all sound in memory, Hz."""
MIN_DURATION_S = 0.2
"""Shorter sounds hold less than one syllable."""
MAX_DURATION_S = 1800.0
"""Longer sounds have to be taken in parts."""
_SILENT_PEAK = 1e-4  # -80 dBFS, three steps of 16-bit sound
_MAX_PADDING_S = 0.15  # encoders fill their last block with silence; the track's stated length leaves it out


def load_audio(path: str | Path, *, start_s: float = 0.0, duration_s: float | None = None) -> np.ndarray:
    """Read a sound file, or the sound of a video, as 16 kHz mono.

    Channels are averaged. Sample 0 is the first video frame's time where the file is a video; a sound track
    that starts later is preceded by zeros. The file is decoded from its beginning, because seeking in
    compressed sound is not exact; only the wanted part is kept in memory.

    Args:
        path: Any file that FFmpeg decodes.
        start_s: Where to start, s.
        duration_s: How much to take at most, s; None for all.

    Returns:
        Samples [S] float32 in [-1, 1] at `SAMPLE_RATE`.

    Raises:
        AvatarBenchError: E201 unreadable, E202 no sound in the file, E203 silent, E204 under 0.2 s,
            E205 over 30 min.
    """
    with open_input(path, "E201", "sound") as container:
        if not container.streams.audio:
            raise AvatarBenchError(
                "E202", "the file has no sound", where=path, fix="give a sound file or a video with sound"
            )
        _refuse_long(path, _known_duration(container), start_s, duration_s)
        samples = _decode(path, container, start_s, duration_s)
    if not np.isfinite(samples).all():
        raise AvatarBenchError("E201", "the sound holds values that are no numbers", where=path)
    if samples.size < MIN_DURATION_S * SAMPLE_RATE:
        raise AvatarBenchError(
            "E204",
            "the sound is too short",
            where=path,
            expected=f"at least {MIN_DURATION_S} s",
            got=f"{samples.size / SAMPLE_RATE:.3f} s after {start_s:g} s",
        )
    if np.abs(samples).max() < _SILENT_PEAK:
        raise AvatarBenchError(
            "E203",
            "the sound is silent",
            where=path,
            expected=f"a peak of {_SILENT_PEAK:g} of full scale or more",
            got=f"a peak of {np.abs(samples).max():.2g}",
            fix="check the microphone or the export; sound in opposite phase on two channels cancels in mono",
        )
    return np.clip(samples, -1.0, 1.0)


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono sound as 16-bit PCM.

    Args:
        path: The .wav file; replaced only when complete.
        samples: Samples [S] float in [-1, 1]; beyond that they are clipped.
        sample_rate: Hz.
    """
    if samples.ndim != 1:
        raise ValueError(f"samples must have shape [S], got {list(samples.shape)}")
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with atomic_write(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm.tobytes())


def _known_duration(container: InputContainer) -> float | None:
    """Duration of the sound in s as far as the container tells it; raw streams do not."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _known_end(container: InputContainer) -> float:
    """End of the sound on our time axis in s, as the track states it; infinite where it does not."""
    stream = container.streams.audio[0]
    if stream.duration is None or stream.time_base is None:
        return np.inf
    return float((stream.duration + (stream.start_time or 0)) * stream.time_base - origin(container))


def _refuse_long(path: str | Path, known_s: float | None, start_s: float, duration_s: float | None) -> None:
    wanted = None if known_s is None else known_s - start_s
    if duration_s is not None:
        wanted = duration_s if wanted is None else min(wanted, duration_s)
    if wanted is not None and wanted > MAX_DURATION_S:
        raise _too_long(path, f"{wanted / 60:.0f} min")


def _too_long(path: str | Path, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E205",
        "the sound is too long",
        where=path,
        expected=f"at most {MAX_DURATION_S / 60:.0f} min",
        got=got,
        fix=f"cut it: ffmpeg -ss 0 -t {MAX_DURATION_S:.0f} -i {Path(path).name} part.wav",
    )


def _decode(
    path: str | Path, container: InputContainer, start_s: float, duration_s: float | None
) -> np.ndarray:  # [S] float32
    limit = round((MAX_DURATION_S if duration_s is None else duration_s) * SAMPLE_RATE)
    blocks: list[np.ndarray] = []
    position: int | None = None  # of the next block in the result; negative before the start
    for time_s, mono in _resampled(path, container):
        if position is None:
            position = round((time_s - start_s) * SAMPLE_RATE)
            blocks.append(np.zeros(max(position, 0), np.float32))
        wanted = mono[max(-position, 0) :]
        if wanted.size:
            blocks.append(wanted)
        position += mono.size
        if position >= limit:
            if duration_s is None and position > limit + SAMPLE_RATE:
                raise _too_long(path, f"over {MAX_DURATION_S / 60:.0f} min")
            if duration_s is not None:
                break
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if duration_s is not None:
        return samples[:limit]
    padding = samples.size - (_known_end(container) - start_s) * SAMPLE_RATE
    return samples[: -round(padding)] if 0.5 < padding < _MAX_PADDING_S * SAMPLE_RATE else samples


def _resampled(path: str | Path, container: InputContainer) -> Iterator[tuple[float, np.ndarray]]:
    """Mono blocks at `SAMPLE_RATE` with the time of their first sample, s."""
    stream = container.streams.audio[0]
    zero = float(origin(container))
    resampler: av.AudioResampler | None = None
    clock = 0.0  # time of the next resampled block, s
    for frame in container.decode(stream):
        if resampler is None:
            # Keep the channels: FFmpeg scales its own mix to mono differently for integer and float sound.
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=SAMPLE_RATE)
            clock = 0.0 if frame.time is None else frame.time - zero
        try:
            resampled = resampler.resample(frame)
        except ValueError as error:
            raise AvatarBenchError(
                "E201", "the sound changes its format midway", where=path, fix="convert it to WAV with ffmpeg"
            ) from error
        for block in resampled:
            yield clock, block.to_ndarray().mean(axis=0)
            clock += block.samples / SAMPLE_RATE
    for block in resampler.resample(None) if resampler is not None else ():
        yield clock, block.to_ndarray().mean(axis=0)
        clock += block.samples / SAMPLE_RATE
