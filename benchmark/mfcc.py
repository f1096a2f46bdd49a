"""Mel-frequency cepstral coefficients as SyncNet was trained on: those of python_speech_features at its defaults.

Windows of 25 ms every 10 ms without a taper, pre-emphasis 0.97, FFT of 512, 26 triangular filters up to 8 kHz, natural
logarithm, orthonormal DCT-II, lifter 22, and the logarithm of the frame's energy in place of coefficient 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct

__all__ = ["COEFFICIENTS", "HOP", "mfcc"]

SAMPLE_RATE = 16_000
HOP = 160
"""Samples from one frame to the next."""
WIDTH = 400
"""Samples of a frame."""
COEFFICIENTS = 13
_FFT, _FILTERS, _PREEMPHASIS, _LIFTER = 512, 26, 0.97, 22


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Coefficients of 100 frames a second.

    Args:
        samples: [S] at 16 kHz on the scale of 16-bit integers, -32768..32767; S of 1 or more. The scale matters:
            coefficient 0 is an absolute logarithm.

    Returns:
        [F, 13] float64, F = 1 + ceil((S - 400) / 160) and at least 1; zeros fill the last frame.
    """
    signal = samples.astype(np.float64)
    emphasised = np.append(signal[0], signal[1:] - _PREEMPHASIS * signal[:-1])
    count = 1 + max(0, -(-(len(signal) - WIDTH) // HOP))
    padded = np.zeros((count - 1) * HOP + WIDTH)
    padded[: len(signal)] = emphasised
    frames = np.lib.stride_tricks.sliding_window_view(padded, WIDTH)[::HOP]  # [F, 400]
    power = np.square(np.abs(np.fft.rfft(frames, _FFT))) / _FFT  # [F, 257]
    filtered = np.log(_positive(power @ _filters().T))  # [F, 26]
    cepstra = np.asarray(dct(filtered, type=2, axis=1, norm="ortho"))[:, :COEFFICIENTS]
    cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    cepstra[:, 0] = np.log(_positive(power.sum(axis=1)))
    return cepstra


@cache
def _filters() -> np.ndarray:
    """Triangles over FFT bins, evenly spaced in mel, [26, 257]."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _FILTERS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * hertz / SAMPLE_RATE)
    bins = np.arange(_FFT // 2 + 1)
    filters = np.zeros((_FILTERS, len(bins)))
    for row, low, centre, high in zip(filters, edges, edges[1:], edges[2:], strict=False):
        rising, falling = (low <= bins) & (bins < centre), (centre <= bins) & (bins < high)
        row[rising] = (bins[rising] - low) / (centre - low)
        row[falling] = (high - bins[falling]) / (high - centre)
    return filters


def _positive(energy: np.ndarray) -> np.ndarray:
    return np.where(energy == 0, np.finfo(float).eps, energy)  # digital silence has no logarithm
