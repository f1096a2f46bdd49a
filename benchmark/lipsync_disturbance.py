"""What stands between a procedural speaker and a filmed one: other rooms, other microphones, other lips, landmarks.

Used to train the small sync network. Every function keeps the time of its input, but for a constant lag of the lips.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, shift
from scipy.signal import lfilter

from benchmark.lipsync_features import MEL_FRAMES, N_BANDS

__all__ = ["disturb_opening", "disturb_power", "slow_noise", "still_lips"]

# Pictures by which lips come late. Real ones open before they are heard (Chandrasekaran et al. 2009: 100 to 300 ms at
# the onset of a word), those of the corpus do not, and landmarks of a video may be a picture off.
_LAG = (-2.0, 1.0)
_JITTER = (0.002, 0.010)  # of landmarks, distances of the eyes: smallest and largest standard deviation
_BLUR = (0.3, 1.2)  # pictures: landmarks of a video follow fast lips late and early
_OTHER_MOVEMENT = 0.9  # of lips that no sound explains, in standard deviations of those that one does


def slow_noise(shape: tuple[int, ...], sigma: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise of unit variance over the last axis, smoothed by a Gaussian of `sigma` samples."""
    noise = gaussian_filter1d(random.standard_normal(shape), sigma, axis=-1, mode="wrap")
    return noise / (noise.std(axis=-1, keepdims=True) + 1e-9)


def disturb_opening(opening: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Openings as landmarks would read them on people who articulate otherwise.

    In this order: a gain of the clip that also changes over words, more weight for small or for large openings,
    movement of its own (smiles, breath, other habits), a constant lag, the blur and jitter of landmarks, slow drift.

    Args:
        opening: [B, T] distances of the eyes.
        random: Source of randomness.

    Returns:
        [B, T] float64.
    """
    batch, n_frames = opening.shape
    largest = opening.max(axis=1, keepdims=True) + 1e-6
    bent = largest * (opening / largest) ** np.exp(random.uniform(-0.5, 0.5, (batch, 1)))
    gain = random.uniform(0.35, 1.2, (batch, 1)) * np.exp(0.45 * slow_noise((batch, n_frames), 8.0, random))
    spoken = gain * bent
    share = random.uniform(0.0, _OTHER_MOVEMENT, (batch, 1))
    sigma = float(random.uniform(1.5, 6.0))
    own = spoken.std(axis=1, keepdims=True) * share * slow_noise((batch, n_frames), sigma, random)
    moved = np.maximum(spoken + own, 0.0)
    lags = random.uniform(*_LAG, batch)
    blurs = random.uniform(*_BLUR, batch)
    seen = np.stack(
        [
            gaussian_filter1d(shift(row, lag, order=1, mode="nearest"), blur)
            for row, lag, blur in zip(moved, lags, blurs, strict=True)
        ]
    )
    return seen + _landmark_noise(batch, n_frames, random)


def still_lips(count: int, n_frames: int, random: np.random.Generator) -> np.ndarray:
    """Openings [count, T] of lips that do not speak: frozen ones under the jitter of landmarks, or with slow smiles."""
    smiles = random.uniform(0.0, 0.03, (count, 1)) * (random.random((count, 1)) < 0.5)
    moving = smiles * slow_noise((count, n_frames), 15.0, random)
    frozen = random.random((count, 1)) < 0.3
    return moving + np.where(frozen, 0.3, 1.0) * _landmark_noise(count, n_frames, random)


def _landmark_noise(batch: int, n_frames: int, random: np.random.Generator) -> np.ndarray:
    jitter = random.uniform(*_JITTER, (batch, 1)) * slow_noise((batch, n_frames), 0.6, random)
    drift = random.uniform(0.0, 0.02, (batch, 1)) * slow_noise((batch, n_frames), 30.0, random)
    return jitter + drift


def disturb_power(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sound as other people in other rooms would give it.

    Vocal tracts up to 15 % shorter or longer, the tail of a room in 60 % of the clips, a microphone's colour, and
    coloured noise at -2 to 38 dB whose level wanders.

    Args:
        power: Mel power [B, 4 T, 80].
        random: Source of randomness.

    Returns:
        [B, 4 T, 80] float32.
    """
    out = np.empty(power.shape, np.float32)
    for index, clip in enumerate(power):
        out[index] = _add_noise(_reverberate(_stretch_bands(clip, random), random), random)
    return out


def _stretch_bands(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Resample the mel axis: a change of the vocal tract's length is about a shift of all formants' logarithm."""
    factor = np.exp(random.uniform(-1.0, 1.0) * np.log(1.15))
    hz = 700.0 * (10.0 ** (np.linspace(70.0, 2850.0, N_BANDS) / 2595.0) - 1.0)
    position = (2595.0 * np.log10(1.0 + hz * factor / 700.0) - 70.0) / (2850.0 - 70.0) * (N_BANDS - 1)
    position = np.clip(position, 0.0, N_BANDS - 1.001)
    below = position.astype(int)
    part = (position - below).astype(np.float32)
    return power[:, below] * (1 - part) + power[:, below + 1] * part


def _reverberate(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if random.random() > 0.6:
        return power
    t60_s = 0.08 + 0.7 * random.random() ** 1.5
    decay = float(np.exp(-np.log(1e6) / (100.0 * t60_s)))  # of power in one frame of 10 ms; 60 dB in T60
    wet = np.asarray(lfilter([1.0 - decay], [1.0, -decay], power, axis=0))
    share = 0.7 * random.random()
    return (1 - share) * power + share * wet


def _add_noise(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    n_frames = len(power)
    band = np.arange(N_BANDS) / N_BANDS
    waves = [random.normal() * 1.2 / order * np.cos(np.pi * order * band) for order in (1, 2, 3)]
    colour = np.exp(sum(waves) - 2.5 * random.random() * band)
    ripple = random.standard_exponential((n_frames, N_BANDS), dtype=np.float32)  # power of noise in one frame
    level = np.exp(0.5 * slow_noise((n_frames,), 25.0 * MEL_FRAMES / 4, random))
    decibels = random.uniform(-2.0, 38.0)
    loudness = power.mean() * 10.0 ** (-decibels / 10.0)
    return power + (loudness * level)[:, None] * (colour / colour.mean()) * ripple
