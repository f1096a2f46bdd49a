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

    A longer request begins with the values of a shorter one of the same seed, so a stream may ask for more.

    Args:
        n_frames: Length in frames.
        seed: Performance; equal seeds give equal values.
        fps: Frames a second.

    Returns:
        Channels as described at the constants of this module, [T, 8] float32.
    """
    # One generator for each channel: the number of draws of one never shifts another.
    blink, *sway, hand, amplitude, gaze = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)
    )
    channels = np.zeros((n_frames, N_CHANNELS), np.float32)  # [T, 8]
    channels[:, BLINK_ONSET] = _impulses(_blink_times_s(blink), n_frames, fps)
    for index, generator in enumerate(sway, start=SWAY.start):
        channels[:, index] = _smooth_noise(generator, n_frames, _SWAY_TIME_S * fps)
    channels[:, GESTURE_HAND] = _held(_hand_choices(hand), n_frames, fps)[:, 0]
    wander = _smooth_noise(amplitude, n_frames, _AMPLITUDE_TIME_S * fps)
    channels[:, GESTURE_AMPLITUDE] = np.exp(_AMPLITUDE_SPREAD * wander)
    channels[:, GAZE] = _held(_fixations(gaze), n_frames, fps)
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


def _impulses(times_s: Iterator[float], n_frames: int, fps: float) -> np.ndarray:
    impulses = np.zeros(n_frames, np.float32)
    for time_s in times_s:
        frame = math.floor(time_s * fps)
        if frame >= n_frames:
            return impulses
        impulses[frame] = 1.0
    raise AssertionError("the times of an endless process do not end")


def _held(events: Iterator[tuple[float, tuple[float, ...]]], n_frames: int, fps: float) -> np.ndarray:
    """Piecewise constant rows, [T, values per event]."""
    rows: list[tuple[float, ...]] = []
    end_s = 0.0
    for dwell_s, value in events:
        end_s += dwell_s
        rows += [value] * (math.floor(end_s * fps) - len(rows))
        if len(rows) >= n_frames:
            return np.array(rows[:n_frames], np.float32).reshape(n_frames, len(value))
    raise AssertionError("the events of an endless process do not end")


def _smooth_noise(generator: np.random.Generator, n_frames: int, time_frames: float) -> np.ndarray:
    """Critically damped second-order noise of unit variance, stationary from its first frame, [T]."""
    pole = math.exp(-1.0 / time_frames)
    # The filter 1 / (1 - p z)^2 has the impulse response (k + 1) p^k, whose energy is this sum's closed form.
    gain = math.sqrt((1 - pole**2) ** 3 / (1 + pole**2))
    # Twenty time constants let the filter forget that it started from rest.
    run_in = math.ceil(20 * time_frames)
    noise = generator.standard_normal(run_in + n_frames)
    return np.asarray(lfilter([gain], [1.0, -2 * pole, pole**2], noise))[run_in:]
