"""Where somebody speaks in a sound, by its level alone: for data sets that do not tell."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.cutting import Span
from media.audio import SAMPLE_RATE

__all__ = ["VERSION", "find_speech"]

VERSION = "energy-1"
"""Raised whenever equal sound may give other spans."""

_FRAME, _HOP = 400, 160  # samples: 25 ms every 10 ms, the usual frames of speech analysis
_BAND_HZ = (200.0, 4000.0)  # most of the energy of speech; leaves out rumble, hum and hiss
_FLOOR_PERCENTILE, _LOUD_PERCENTILE = 10.0, 95.0
_SHARE = 0.4  # of the way from the floor to the loud level, in dB
_MIN_RANGE_DB = 10.0  # a sound whose level varies less has no pauses that its level could show
_SILENCE_DB = -60.0  # relative to full scale; below it nobody speaks
_SHORTEST_PAUSE_S, _SHORTEST_SPEECH_S = 0.3, 0.1  # stops inside words are pauses of up to 0.2 s
_MARGIN_S = 0.1  # words begin and end below the threshold
_CHUNK = 6000  # frames at a time: memory stays bounded


def find_speech(samples: np.ndarray) -> list[Span]:
    """Spans of a recording in which its level is that of speech.

    The level of a frame is its energy between 200 and 4000 Hz. The 10th percentile of all levels is taken as
    the floor, the 95th as loud speech; a frame is speech from 40 % of the way between them on (in dB), and never
    below -60 dB of full scale. Pauses under 0.3 s are closed, what then lasts less than 0.1 s is dropped, and 0.1 s
    are added at both ends. Where the level varies by less than 10 dB no pause can be told: all of it is speech.

    The detector cannot tell speech from music, nor one voice from another; it is meant for recordings of one
    person in a quiet place.

    Args:
        samples: Sound [S] float32 in [-1, 1] at 16 kHz.

    Returns:
        (start, end) in seconds, in order and apart.
    """
    levels = _levels_db(samples)
    if not levels.size:
        return []
    floor, loud = np.percentile(levels, [_FLOOR_PERCENTILE, _LOUD_PERCENTILE])
    if loud - floor < _MIN_RANGE_DB:
        active = np.full(levels.shape, loud >= _SILENCE_DB)
    else:
        active = levels >= max(floor + _SHARE * (loud - floor), _SILENCE_DB)
    spans = _close(_runs(active), _SHORTEST_PAUSE_S)
    lasting = [(start, end) for start, end in spans if end - start >= _SHORTEST_SPEECH_S]
    duration_s = samples.size / SAMPLE_RATE
    wider = [(max(0.0, start - _MARGIN_S), min(duration_s, end + _MARGIN_S)) for start, end in lasting]
    return _close(wider, 0.0)


def _levels_db(samples: np.ndarray) -> np.ndarray:  # [F] float64, dB of full scale
    n_frames = 1 + (samples.size - _FRAME) // _HOP
    if n_frames < 1:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]  # [F, 400], a view
    window = np.hanning(_FRAME)
    bins = np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE)
    band = (bins >= _BAND_HZ[0]) & (bins <= _BAND_HZ[1])
    # By Parseval: a sine of full scale in the band has the level -3 dB, as the mean square of its samples says.
    scale = 2.0 / (_FRAME * np.sum(window**2))
    energy = [
        (np.abs(np.fft.rfft(frames[begin : begin + _CHUNK] * window)[:, band]) ** 2).sum(axis=1) * scale
        for begin in range(0, n_frames, _CHUNK)
    ]
    return 10.0 * np.log10(np.maximum(np.concatenate(energy), 1e-12))


def _runs(active: np.ndarray) -> list[Span]:
    """Runs of True as spans: from the middle of the first frame's hop to that of the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    centre = (_FRAME - _HOP) / 2
    return [
        (float(begin * _HOP + centre) / SAMPLE_RATE, float(end * _HOP + centre) / SAMPLE_RATE)
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def _close(spans: list[Span], pause_s: float) -> list[Span]:
    """Join spans that are at most `pause_s` apart."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= pause_s:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
