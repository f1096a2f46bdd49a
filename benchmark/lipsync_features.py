"""What the small sync network sees and hears: the opening of the lips, and the colour of the sound over time.

Both are free of what says nothing about sync: the size of the face, how far a mouth rests open, the level of a
recording and the colour of its microphone.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from media.faces import inner_lip_gap

__all__ = [
    "LOUDNESS_CHANNELS",
    "MAX_GAP",
    "MEL_CHANNELS",
    "MEL_FRAMES",
    "N_BANDS",
    "SPEECH_RANGE",
    "lip_opening",
    "loudness_features",
    "mel_features",
    "mel_power",
    "relative_opening",
    "speech_level",
]

N_BANDS = 80
"""Mel bands of the power spectrum; neighbours are joined to pairs for the network."""
MEL_FRAMES = 4
"""Mel frames of 10 ms a picture of 1/25 s."""
MEL_CHANNELS = MEL_FRAMES * N_BANDS // 2
LOUDNESS_CHANNELS = MEL_FRAMES
MAX_GAP = 3
"""Frames without a face in a row that are bridged by a straight line."""
SPEECH_RANGE = 4.6
"""Natural logarithm of power: what lies 20 dB under the loudest speech is a pause."""

_RATE, _HOP, _WINDOW, _N_FFT = 16_000, 160, 400, 512
_LOWEST_HZ, _HIGHEST_HZ = 50.0, 7800.0
_FULL_SCALE = 32768.0
_POWER_FLOOR = 1e-8  # rounding noise of 16-bit sound
_FLOOR_SHARE = 1e-5  # of the loudest speech: with it no feature depends on the level of a clean recording
_DEVIATION_FLOOR = 0.3  # natural logarithm of power; a band that never changes is not blown up
_LIMIT = 4.0
_OPENING_FLOOR = 0.012  # distances of the eyes; landmarks of still lips wander by 0.005 or so
_FOLD = 512  # frames of one FFT call


def lip_opening(points: np.ndarray) -> np.ndarray:
    """Inner-lip gap over the distance of the outer eye corners, short gaps bridged.

    Args:
        points: Face mesh [T, 478, 3] px; NaN in frames without a face.

    Returns:
        [T] float64, about 0 to 0.3; NaN where more than `MAX_GAP` frames in a row have no face, and at the ends.
    """
    opening = np.full(len(points), np.nan)
    seen = np.isfinite(points[:, 0, 0])
    if not seen.any():
        return opening
    opening[:] = inner_lip_gap(points.astype(np.float64))
    found = np.flatnonzero(seen)
    for before, after in pairwise(found):
        if 1 < after - before <= MAX_GAP + 1:
            inside = np.arange(before + 1, after)
            opening[inside] = np.interp(inside, [before, after], [opening[before], opening[after]])
    return opening


def relative_opening(opening: np.ndarray) -> np.ndarray:
    """Opening about its mean over its spread: `(x - mean) / (std + 0.012)` over the clip, within +-4.

    The added constant keeps lips that do not move near zero instead of blowing up the noise of their landmarks.

    Args:
        opening: [..., T] distances of the eyes, NaN where nothing is known; not all of it.

    Returns:
        [..., T], NaN where the opening is.
    """
    mean = np.nanmean(opening, axis=-1, keepdims=True)
    spread = np.nanstd(opening, axis=-1, keepdims=True)
    return np.clip((opening - mean) / (spread + _OPENING_FLOOR), -_LIMIT, _LIMIT)


@cache
def _filterbank() -> np.ndarray:
    """Triangular mel filters whose rows sum to one, [80, 257]."""
    lowest, highest = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (_LOWEST_HZ, _HIGHEST_HZ))
    corners = 700.0 * (10.0 ** (np.linspace(lowest, highest, N_BANDS + 2) / 2595.0) - 1.0)
    lower, centre, upper = (corners[i : i + N_BANDS, None] for i in range(3))
    bins = np.arange(_N_FFT // 2 + 1)[None] * _RATE / _N_FFT
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return triangles / triangles.sum(axis=1, keepdims=True)


def mel_power(samples: np.ndarray) -> np.ndarray:
    """Mel power of a sound; frame i is a 25 ms Hann window about i * 10 ms.

    Args:
        samples: [S] int16 at 16 kHz.

    Returns:
        [4 N, 80] float64 for the N whole pictures of 1/25 s; full scale is 1.
    """
    n_frames = MEL_FRAMES * (len(samples) // (MEL_FRAMES * _HOP))
    padded = np.pad(samples.astype(np.float64) / _FULL_SCALE, (_WINDOW // 2, _WINDOW))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.empty((n_frames, N_BANDS))
    for first in range(0, n_frames, _FOLD):
        starts = _HOP * np.arange(first, min(first + _FOLD, n_frames))
        frames = padded[starts[:, None] + np.arange(_WINDOW)] * window
        spectrum = np.abs(np.fft.rfft(frames, _N_FFT, axis=1)) ** 2
        power[first : first + len(starts)] = spectrum @ _filterbank().T
    return power


def speech_level(power: np.ndarray) -> np.ndarray:
    """Power of loud speech: the 95th percentile over the frames of the mean over the bands, [...] of [..., T, B]."""
    return np.quantile(power.mean(axis=-1), 0.95, axis=-1)


def mel_features(power: np.ndarray) -> np.ndarray:
    """Each band's logarithm about its mean over its spread in the clip's speech, within +-4.

    Speech are the frames within 20 dB of `speech_level`. Multiplying the sound changes nothing above its own
    rounding noise.

    Args:
        power: [..., 4 N, 80].

    Returns:
        [..., N, 160] float32: 4 frames of 40 bands a picture.
    """
    paired = power.reshape(*power.shape[:-1], N_BANDS // 2, 2).mean(axis=-1)
    return _per_picture(_relative_to_speech(paired))


def loudness_features(power: np.ndarray) -> np.ndarray:
    """The same of the power of all bands together: [..., N, 4] float32, for comparison with `mel_features` only."""
    return _per_picture(_relative_to_speech(power.mean(axis=-1, keepdims=True)))


def _relative_to_speech(power: np.ndarray) -> np.ndarray:
    loudest = speech_level(power)[..., None, None]
    logarithm = np.log(power + _FLOOR_SHARE * loudest + _POWER_FLOOR)  # [..., T, B]
    level = np.log(power.mean(axis=-1, keepdims=True) + _POWER_FLOOR)  # [..., T, 1]
    speech = level > np.log(loudest + _POWER_FLOOR) - SPEECH_RANGE
    n_speech = np.maximum(speech.sum(axis=-2, keepdims=True), 1)
    mean = (logarithm * speech).sum(axis=-2, keepdims=True) / n_speech
    spread = np.sqrt(((logarithm - mean) ** 2 * speech).sum(axis=-2, keepdims=True) / n_speech)
    return np.clip((logarithm - mean) / (spread + _DEVIATION_FLOOR), -_LIMIT, _LIMIT)


def _per_picture(features: np.ndarray) -> np.ndarray:
    n_pictures = features.shape[-2] // MEL_FRAMES
    return features.reshape(*features.shape[:-2], n_pictures, -1).astype(np.float32)
