"""The chance part of a performance: when to blink, where to look, which hand speaks.

Sound does not determine these, so the model takes them as an input of its own. The animator of the corpus and
the trained model read the same eight channels, and a seed therefore repeats a performance exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.signal import lfilter

__all__ = [
    "BLINK_ONSET",
    "BOTH_HANDS",
    "GAZE",
    "GESTURE_AMPLITUDE",
    "GESTURE_HAND",
    "LEFT_HAND",
    "NO_HAND",
    "N_CHANNELS",
    "RIGHT_HAND",
    "SWAY",
    "InnovationStream",
    "sample_innovations",
]

N_CHANNELS = 8
BLINK_ONSET = 0
"""1 in the frame where the lids begin to close, else 0; 12 to 22 a minute, never closer than 0.3 s."""
SWAY = slice(1, 4)
"""Slow smooth unit-variance motion of head and trunk about three axes: turn, nod, tilt."""
GESTURE_HAND = 4
"""Which hand may gesture: one of the four values below, held for seconds."""
GESTURE_AMPLITUDE = 5
"""Positive slow factor with median 1."""
GAZE = slice(6, 8)
"""Held directions of gaze that jump: to the person's left, and up; about unit variance; 0 is the camera."""

NO_HAND, LEFT_HAND, RIGHT_HAND, BOTH_HANDS = 0.0, -1.0, 1.0, 2.0
_HAND_PROBABILITY = {NO_HAND: 0.12, LEFT_HAND: 0.24, RIGHT_HAND: 0.30, BOTH_HANDS: 0.34}

_SWAY_TIME_S = 0.45
_AMPLITUDE_TIME_S = 1.5
_AMPLITUDE_SPREAD = 0.25  # of the logarithm


def sample_innovations(n_frames: int, seed: int, fps: float = 25.0) -> np.ndarray:
    """Draw the innovations of a performance.

    A longer request begins with the values of a shorter one of the same seed.

    Args:
        n_frames: Length in frames.
        seed: Performance; equal seeds give equal values.
        fps: Frames a second.

    Returns:
        Channels as described at the constants of this module, [T, 8] float32.
    """
    return InnovationStream(seed, fps).take(n_frames)


class InnovationStream:
    """The innovations of an endless performance, piece by piece; what it keeps does not grow.

    Args:
        seed: Performance; equal seeds give equal values.
        fps: Frames a second.
    """

    def __init__(self, seed: int, fps: float = 25.0) -> None:
        # One generator for each channel: the number of draws of one never shifts another.
        blink, *sway, hand, amplitude, gaze = (
            np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)
        )
        self._blinks = _Impulses(_blink_times_s(blink), fps)
        self._sway = [_SmoothNoise(generator, _SWAY_TIME_S * fps) for generator in sway]
        self._hand = _held(_hand_choices(hand), fps)
        self._amplitude = _SmoothNoise(amplitude, _AMPLITUDE_TIME_S * fps)
        self._gaze = _held(_fixations(gaze), fps)

    def take(self, n_frames: int) -> np.ndarray:
        """The next `n_frames` frames, [n_frames, 8] float32; any split gives the same values."""
        channels = np.zeros((n_frames, N_CHANNELS), np.float32)
        if not n_frames:
            return channels  # scipy's filter forgets its state over an empty input
        channels[:, BLINK_ONSET] = self._blinks.take(n_frames)
        for index, noise in enumerate(self._sway, start=SWAY.start):
            channels[:, index] = noise.take(n_frames)
        channels[:, GESTURE_AMPLITUDE] = np.exp(_AMPLITUDE_SPREAD * self._amplitude.take(n_frames))
        for row in channels:
            row[GESTURE_HAND] = next(self._hand)[0]
            row[GAZE] = next(self._gaze)
        return channels


def _blink_times_s(generator: np.random.Generator) -> Iterator[float]:
    """Endless blink onsets; about one blink in eight is doubled."""
    time_s = generator.uniform(0.3, 3.0)
    while True:
        yield time_s
        if generator.random() < 0.12:
            yield time_s + generator.uniform(0.34, 0.46)
        time_s += 1.0 + generator.gamma(3.0, 2.85 / 3.0)


def _hand_choices(generator: np.random.Generator) -> Iterator[tuple[float, tuple[float]]]:
    """Endless (dwell time, value) of a telegraph that never stays in a state by drawing it again."""
    values, previous = np.array(list(_HAND_PROBABILITY)), None
    while True:
        weights = np.array([0.0 if value == previous else _HAND_PROBABILITY[value] for value in values])
        previous = float(generator.choice(values, p=weights / weights.sum()))
        mean_s = 1.5 if previous == NO_HAND else 3.0
        yield 1.2 + generator.exponential(mean_s), (previous,)


def _fixations(generator: np.random.Generator) -> Iterator[tuple[float, tuple[float, float]]]:
    """Endless (dwell time, direction): long looks into the camera, short glances elsewhere."""
    while True:
        # Even a steady look hops by a fraction of a degree.
        yield 0.5 + generator.exponential(1.4), tuple(generator.normal(0.0, 0.15, 2))
        if generator.random() < 0.55:
            sideways, upward = generator.normal(0.0, (1.9, 1.0))
            yield generator.uniform(0.3, 1.1), (sideways, upward)


class _Impulses:
    """1 in each frame in which one of endless ascending times falls, else 0."""

    def __init__(self, times_s: Iterator[float], fps: float) -> None:
        self._frames = (math.floor(time_s * fps) for time_s in times_s)
        self._next, self._done = next(self._frames), 0

    def take(self, n_frames: int) -> np.ndarray:  # [n_frames]
        impulses = np.zeros(n_frames, np.float32)
        while self._next < self._done + n_frames:
            impulses[self._next - self._done] = 1.0
            self._next = next(self._frames)
        self._done += n_frames
        return impulses


def _held(events: Iterator[tuple[float, tuple[float, ...]]], fps: float) -> Iterator[tuple[float, ...]]:
    """The value that holds in each frame, endlessly."""
    end_s, done = 0.0, 0
    for dwell_s, value in events:
        end_s += dwell_s
        for _ in range(math.floor(end_s * fps) - done):
            yield value
            done += 1


class _SmoothNoise:
    """Critically damped second-order noise of unit variance, stationary from its first frame."""

    def __init__(self, generator: np.random.Generator, time_frames: float) -> None:
        pole = math.exp(-1.0 / time_frames)
        # The filter 1 / (1 - p z)^2 has the impulse response (k + 1) p^k, whose energy is this sum's closed form.
        self._gain = math.sqrt((1 - pole**2) ** 3 / (1 + pole**2))
        self._denominator = [1.0, -2 * pole, pole**2]
        self._generator, self._state = generator, np.zeros(2)
        # Twenty time constants let the filter forget that it started from rest.
        self.take(math.ceil(20 * time_frames))

    def take(self, n_frames: int) -> np.ndarray:  # [n_frames]
        noise = self._generator.standard_normal(n_frames)
        values, self._state = lfilter([self._gain], self._denominator, noise, zi=self._state)
        return values
