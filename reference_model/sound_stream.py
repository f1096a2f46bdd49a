"""Sound in pieces, as the audio encoders take it: offline by the second, live by the picture.

What is carried from piece to piece never grows: 0.04 s of sound, the statistics of the normaliser and the state of the
innovations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from media.threads import one_torch_thread
from reference_model.innovations import N_CHANNELS, InnovationStream
from reference_model.networks.audio_encoder import LOOKAHEAD_FRAMES, MEL_PER_FRAME, tokens_of
from reference_model.networks.features import HOP, N_MELS, NormaliserState, RunningNormaliser, power_mel

__all__ = [
    "FPS",
    "SAMPLES_PER_FRAME",
    "STRETCH_FRAMES",
    "Listener",
    "MelListener",
    "MelStream",
    "SoundStream",
    "Stretch",
    "sound_frames",
]

FPS = 25
SAMPLES_PER_FRAME = HOP * MEL_PER_FRAME
STRETCH_FRAMES = 25
"""Pictures of a stretch of a whole sound."""
_REACH = 200  # samples of a mel frame's window on either side of its centre
_BEFORE = -(-_REACH // HOP)  # mel frames by which the kept sound begins before the next frame's centre


class Listener(Protocol):
    """What turns sound into the input of an audio encoder, piece by piece."""

    latency_frames: int
    """Pictures from the end of the sound given back to the first picture that is complete."""

    def push(self, samples: Tensor, last: bool = False) -> Tensor:
        """The input [n, d] that further samples [S] complete; all of it by the last piece."""
        ...

    def pictures(self, n_inputs: int, last: bool) -> int:
        """How many pictures `n_inputs` rows, heard from the start of the sound, complete."""
        ...


class Stretch(NamedTuple):
    """A piece of sound and the noise of the pictures that it completes."""

    heard: Tensor
    """What the listener made of it, such as normalised log-mel at 100 Hz, [t_mel, 80]."""
    innovations: Tensor
    """[T, 8]; pictures come some frames after their sound, all of them by the last stretch."""
    last: bool


class MelStream:
    """Mel power of a sound that arrives in pieces, equal to `power_mel` of the whole up to rounding."""

    def __init__(self) -> None:
        self._kept = torch.zeros(0)
        self._begin = self._done = 0  # mel frames before the kept sound, and given so far

    def push(self, samples: Tensor, last: bool = False) -> Tensor:
        """The mel frames that a further piece of sound completes.

        Args:
            samples: [S] float32 at 16 kHz.
            last: The sound ends here; zeros follow.

        Returns:
            Mel power, [t_mel, 80]; until the last piece, frames whose window has not yet been heard wait.
        """
        sound = torch.cat([self._kept, samples])
        heard = self._begin * HOP + len(sound)
        end = -(-heard // HOP) if last else max(0, (heard - _REACH) // HOP + 1)
        if end <= self._done:
            self._kept = sound
            return torch.zeros(0, N_MELS)
        power = power_mel(sound)[self._done - self._begin : end - self._begin]
        begin = max(0, end - _BEFORE)
        self._kept = sound[(begin - self._begin) * HOP :].clone()
        self._begin, self._done = begin, end
        return power


class MelListener:
    """Normalised log-mel of a sound in pieces, the input of an `AudioEncoder`."""

    latency_frames = LOOKAHEAD_FRAMES + 1

    def __init__(self) -> None:
        self._mel, self._normaliser = MelStream(), RunningNormaliser()
        self._statistics: NormaliserState | None = None

    def push(self, samples: Tensor, last: bool = False) -> Tensor:
        """The mel frames that further samples complete, [t_mel, 80]."""
        power = self._mel.push(samples, last)
        if not len(power):
            return power
        normalised, self._statistics = self._normaliser(power[None], self._statistics)
        return normalised[0]

    def pictures(self, n_inputs: int, last: bool) -> int:
        """As the `AudioEncoder` counts its tokens."""
        return tokens_of(n_inputs, last)


class SoundStream:
    """Encoder input and innovations of a performance, piece by piece.

    Args:
        seed: Seed of the innovations.
        listener: What hears; log-mel when None.
    """

    def __init__(self, seed: int = 0, listener: Listener | None = None) -> None:
        self.listener = MelListener() if listener is None else listener
        self._innovations = InnovationStream(seed, FPS)
        self._heard = self._pictures = 0

    def push(self, samples: np.ndarray, last: bool = False) -> Stretch:
        """Hear a further piece.

        Args:
            samples: Sound at 16 kHz in [-1, 1], [S] float32, S not 0 unless it is the last piece.
            last: The sound ends here.
        """
        with one_torch_thread():
            heard = self.listener.push(torch.from_numpy(np.asarray(samples, np.float32)), last)
        self._heard += len(heard)
        complete = self.listener.pictures(self._heard, last)
        innovations = self._innovations.take(complete - self._pictures)
        self._pictures = complete
        return Stretch(heard, torch.from_numpy(innovations), last)


def sound_frames(
    samples: np.ndarray,
    *,
    seed: int = 0,
    n_frames: int | None = None,
    innovations: np.ndarray | None = None,
    listener: Listener | None = None,
    stretch_frames: int = STRETCH_FRAMES,
) -> Iterator[Stretch]:
    """A whole sound in stretches of a second, or of another length.

    Args:
        samples: Sound at 16 kHz in [-1, 1], [S] float32.
        seed: Seed of the innovations.
        n_frames: Pictures in all; those of the sound (rounded up) when None.
        innovations: Noise in place of that of `seed`, [T, 8].
        listener: What hears, fresh; log-mel when None.
        stretch_frames: Pictures of a stretch.

    Yields:
        The stretches in order.
    """
    n = math.ceil(len(samples) / SAMPLES_PER_FRAME) if n_frames is None else n_frames
    if innovations is not None and innovations.shape != (n, N_CHANNELS):
        raise ValueError(f"innovations must have shape {(n, N_CHANNELS)}, got {innovations.shape}")
    sound = np.zeros(n * SAMPLES_PER_FRAME, np.float32)
    sound[: len(samples)] = samples[: len(sound)]
    stream, done = SoundStream(seed, listener), 0
    size = stretch_frames * SAMPLES_PER_FRAME
    for start in range(0, len(sound), size):
        stretch = stream.push(sound[start : start + size], last=start + size >= len(sound))
        if innovations is not None:
            given = innovations[done : done + len(stretch.innovations)]
            stretch = stretch._replace(innovations=torch.from_numpy(given))
        done += len(stretch.innovations)
        yield stretch
