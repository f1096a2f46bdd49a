"""What the networks hear: mel power, its causal normalisation, and the augmentation used in training.

Neither the level of a recording nor the colour of its microphone says how the lips stand, so the encoder
sees each band relative to its own running mean and variance. The recipe (running normalisation; noise,
reverberation and vocal-tract-length perturbation of synthesised speech) is the one that carried over best to
recordings of real people.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "FRAME_RATE",
    "HOP",
    "N_MELS",
    "SAMPLE_RATE",
    "NormaliserState",
    "RunningNormaliser",
    "augment_power_mel",
    "mel_filterbank",
    "normalised_log_mel",
    "power_mel",
]

SAMPLE_RATE = 16_000
HOP = 160
"""10 ms; four mel frames for each picture at 25 frames a second."""
FRAME_RATE = SAMPLE_RATE // HOP
N_MELS = 80

_WINDOW = 400  # 25 ms
_N_FFT = 512
_LOWEST_HZ, _HIGHEST_HZ = 50.0, 7800.0
_BLOCK = 4096  # frames per FFT call, so that half an hour of sound needs no gigabytes

# Under the level of 16-bit rounding noise is nothing to hear.
_POWER_FLOOR = 1e-8


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + hz / 700.0)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


@functools.cache
def _band_corners_hz() -> np.ndarray:
    """Lower edge, centre and upper edge of consecutive bands share this list, [N_MELS + 2] Hz."""
    lowest, highest = _hz_to_mel(np.array([_LOWEST_HZ, _HIGHEST_HZ]))
    return _mel_to_hz(np.linspace(lowest, highest, N_MELS + 2))


@functools.cache
def mel_filterbank() -> Tensor:
    """Triangular filters over the FFT's bins; every row sums to one, so that white noise is flat.

    Returns:
        Weights, [80, 257] float32.
    """
    lower, centre, upper = (_band_corners_hz()[i : i + N_MELS, None] for i in range(3))
    bins = np.arange(_N_FFT // 2 + 1)[None] * SAMPLE_RATE / _N_FFT  # [1, 257] Hz
    rising = (bins - lower) / (centre - lower)
    falling = (upper - bins) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))  # [80, 257]
    return torch.from_numpy((triangles / triangles.sum(1, keepdims=True)).astype(np.float32))


def power_mel(samples: Tensor) -> Tensor:
    """Mel power spectrum; frame `i` is a 25 ms Hann window centred on `i * 10` ms.

    Args:
        samples: Sound at 16 kHz in [-1, 1], [..., S] float32, on any device.

    Returns:
        Power, [..., ceil(S / 160), 80] float32, not negative.
    """
    n_frames = -(-samples.shape[-1] // HOP)
    if n_frames == 0:
        raise ValueError(f"samples must hold at least one value, got shape {tuple(samples.shape)}")
    tail = (n_frames - 1) * HOP + _WINDOW // 2 - samples.shape[-1]
    frames = F.pad(samples, (_WINDOW // 2, max(tail, 0))).unfold(-1, _WINDOW, HOP)  # [..., T, 400]
    window = torch.hann_window(_WINDOW, device=samples.device)
    filters = mel_filterbank().to(samples.device).T  # [257, 80]
    blocks = [
        torch.fft.rfft(block * window, n=_N_FFT).abs().square() @ filters
        for block in frames[..., :n_frames, :].split(_BLOCK, dim=-2)
    ]
    return torch.cat(blocks, dim=-2)  # [..., T, 80]


@dataclass(frozen=True, slots=True)
class NormaliserState:
    """What `RunningNormaliser` remembers of the past, all float64."""

    peak: Tensor
    """Slowly falling maximum of the frame level (mean log power), [B]."""
    weight: Tensor
    """Sum of the weights of the frames seen, [B, 1]."""
    first: Tensor
    """Weighted sum of log power, [B, 80]."""
    second: Tensor
    """Weighted sum of squared log power, [B, 80]."""

    def to(self, *args: Any) -> NormaliserState:
        """The same state on another device."""
        return NormaliserState(*(t.to(*args) for t in (self.peak, self.weight, self.first, self.second)))


class RunningNormaliser:
    """Causal mean and variance of each log-mel band over the speech heard so far.

    Frames within `gate` of the running peak level count as speech; only they move the clock of an exponential
    memory of `tau_s` seconds, so a pause does not wash the statistics out. A frame weighs as its amplitude:
    when a voice sets in over background noise, the noise heard before stops mattering at once. A weak prior
    (a typical speech spectrum under the current peak) stands in until a second of speech has been heard.
    Multiplying the sound by a constant leaves the output as it was, above the noise floor.

    Args:
        tau_s: Memory, in seconds of speech.
    """

    gate = 4.5
    """Natural logarithm of power; 20 dB under the peak is no speech."""
    fall_per_frame = 0.004
    """How fast the peak level falls, natural logarithm of power per 10 ms."""
    lowest_peak = -10.0
    """A peak below this (about -75 dBFS) is silence, not a quiet voice: it must not be blown up."""
    prior_frames = 20.0
    prior_deviation = 2.2
    prior_below_peak = 2.5
    prior_tilt = 4.0
    """Fall of the prior's mean from the lowest band to the highest, natural logarithm of power."""
    deviation_offset = 0.3
    limit = 4.0
    _block = 64  # frames handled by one small matrix product

    def __init__(self, tau_s: float = 1.5) -> None:
        self.tau_frames = tau_s * FRAME_RATE

    def initial_state(self, batch: int, device: torch.device | str = "cpu") -> NormaliserState:
        """The state before any sound, for `batch` sounds."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        peak = zeros(batch) + self.lowest_peak
        return NormaliserState(peak, zeros(batch, 1), zeros(batch, N_MELS), zeros(batch, N_MELS))

    def __call__(self, power: Tensor, state: NormaliserState | None = None) -> tuple[Tensor, NormaliserState]:
        """Normalise the next stretch of sound.

        Args:
            power: Mel power, [B, T, 80]; any split of a sound into stretches gives the same values.
            state: What the previous call returned; None at the start of a sound.

        Returns:
            Normalised log power in [-4, 4], [B, T, 80] float32, and the state for the next call.
        """
        state = self.initial_state(power.shape[0], power.device) if state is None else state
        # float64 throughout: the variance is a difference of sums, and reduced-precision matrix products
        # of a GPU must not reach it.
        log_power = (power.double() + _POWER_FLOOR).log()  # [B, T, 80]
        outputs = []
        for block in log_power.split(self._block, dim=1):
            normalised, state = self._normalise_block(block, state)
            outputs.append(normalised)
        return torch.cat(outputs, dim=1).float(), state

    def _normalise_block(self, x: Tensor, state: NormaliserState) -> tuple[Tensor, NormaliserState]:
        n_frames = x.shape[1]
        level = x.mean(2)  # [B, t]
        # peak_t = max(peak_{t-1} - fall, level_t) in closed form: a running maximum under a slanted axis.
        slant = self.fall_per_frame * torch.arange(1, n_frames + 1, device=x.device, dtype=x.dtype)  # [t]
        fallen = torch.maximum((level + slant).cummax(1).values, state.peak[:, None]) - slant
        peak = fallen.clamp(min=self.lowest_peak)  # [B, t]
        speech = (level > peak - self.gate).to(x.dtype)  # [B, t]
        clock = speech.cumsum(1) / self.tau_frames  # [B, t]
        weight = speech * (0.5 * level).exp()  # [B, t] amplitude
        # Memory of frame s at frame t >= s: exp(clock_s - clock_t).
        memory = (clock[:, None, :] - clock[:, :, None]).exp().tril() * weight[:, None, :]  # [B, t, s]
        carried = (-clock)[..., None].exp()  # [B, t, 1]
        total = memory.sum(2, keepdim=True) + carried * state.weight[:, None]  # [B, t, 1]
        first = memory @ x + carried * state.first[:, None]  # [B, t, 80]
        second = memory @ x.square() + carried * state.second[:, None]
        mean, deviation = self._statistics(peak, total, first, second)
        normalised = ((x - mean) / (deviation + self.deviation_offset)).clamp(-self.limit, self.limit)
        return normalised, NormaliserState(peak[:, -1], total[:, -1], first[:, -1], second[:, -1])

    def _statistics(
        self, peak: Tensor, total: Tensor, first: Tensor, second: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each band, prior included, [B, t, 80]."""
        tilt = torch.linspace(0.5, -0.5, N_MELS, device=peak.device, dtype=peak.dtype) * self.prior_tilt
        centre = peak[..., None] - self.prior_below_peak  # [B, t, 1]
        prior_mean = centre + tilt  # [B, t, 80]
        prior_weight = self.prior_frames * (0.5 * centre).exp()
        whole = total + prior_weight
        mean = (first + prior_weight * prior_mean) / whole
        prior_second = prior_mean.square() + self.prior_deviation**2
        variance = (second + prior_weight * prior_second) / whole - mean.square()
        return mean, variance.clamp(min=0.0).sqrt()


def normalised_log_mel(power: Tensor) -> Tensor:
    """Normalise whole sounds at once, each on its own.

    Args:
        power: Mel power, [T, 80] or [B, T, 80].

    Returns:
        Normalised log power in [-4, 4], of the same shape.
    """
    batch = power if power.ndim == 3 else power[None]
    normalised, _ = RunningNormaliser()(batch)
    return normalised.reshape(power.shape)


def augment_power_mel(power: Tensor, generator: torch.Generator) -> Tensor:
    """Make synthesised speech sound like recordings of other people in other rooms, for training.

    Vocal-tract length within 15 %, reverberation of 60 % of the items (T60 0.08 to 0.78 s), coloured noise at
    a signal-to-noise ratio of -2 to 38 dB. Time stays as it is, so targets remain valid.

    Args:
        power: Mel power of each item, [B, T, 80].
        generator: Source of randomness, on the device of `power`.

    Returns:
        Mel power, [B, T, 80].
    """
    return _add_noise(_reverberate(_perturb_tract_length(power, generator), generator), generator)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _perturb_tract_length(power: Tensor, generator: torch.Generator) -> Tensor:
    """Stretch the frequency axis by up to 15 % either way, also a shift of all formants."""
    batch, n_frames, n_bands = power.shape
    factor = ((_uniform(generator, batch, 1) * 2 - 1) * math.log(1.15)).exp()  # [B, 1]
    centres = torch.from_numpy(_band_corners_hz()[1:-1].astype(np.float32)).to(power.device)  # [80] Hz
    mel = 2595.0 * torch.log10(1.0 + centres[None] * factor / 700.0)  # [B, 80]
    lowest, highest = 2595.0 * torch.log10(1.0 + centres[[0, -1]] / 700.0)
    position = ((mel - lowest) / (highest - lowest) * (n_bands - 1)).clamp(0.0, n_bands - 1.001)
    below = position.floor().long()
    share = (position - below)[:, None]  # [B, 1, 80]

    def pick(band: Tensor) -> Tensor:
        return power.gather(2, band[:, None].expand(batch, n_frames, n_bands))

    return pick(below) * (1 - share) + pick(below + 1) * share


def _reverberate(power: Tensor, generator: torch.Generator) -> Tensor:
    """Smear the power of each band in time by an exponential tail, mixed with the dry sound."""
    batch, length = power.shape[0], 60  # 0.6 s of tail
    time_s = torch.arange(length, device=power.device) / FRAME_RATE
    t60_s = 0.08 + 0.7 * _uniform(generator, batch, 1) ** 1.5
    tail = (-math.log(1e6) * time_s / t60_s).exp()  # [B, 60]; 60 dB after T60
    tail = tail / tail.sum(1, keepdim=True)
    wet_share = 0.7 * _uniform(generator, batch) * (_uniform(generator, batch) < 0.6)  # [B]
    padded = F.pad(power.permute(2, 0, 1), (length - 1, 0))  # [80, B, 59 + T]
    wet = F.conv1d(padded, tail.flip(1)[:, None], groups=batch).permute(1, 2, 0)  # [B, T, 80]
    return torch.lerp(power, wet, wet_share[:, None, None])


def _add_noise(power: Tensor, generator: torch.Generator) -> Tensor:
    """Add noise of a random smooth spectrum whose level wanders slowly."""
    batch, n_frames, n_bands = power.shape
    band = torch.arange(n_bands, device=power.device) / n_bands  # [80]
    colour = torch.zeros(batch, n_bands, device=power.device)
    for order in range(1, 4):
        colour += _normal(generator, batch, 1) * 1.2 / order * (math.pi * order * band).cos()
    colour = (colour - 2.5 * _uniform(generator, batch, 1) * band).exp()
    colour = (colour / colour.mean(1, keepdim=True))[:, None]  # [B, 1, 80]
    # The power of noise in one band and frame is spread like an exponential variable.
    ripple = 0.5 - 0.5 * (_uniform(generator, batch, n_frames, n_bands) + 1e-6).log()
    knots = _normal(generator, batch, 1, n_frames // 25 + 2)
    wander = F.interpolate(knots, size=n_frames, mode="linear").clamp(-1.1, 2.0)  # [B, 1, T]
    snr_db = 40.0 * _uniform(generator, batch, 1, 1) - 2.0
    level = power.mean((1, 2), keepdim=True) * 10.0 ** (-snr_db / 10.0)
    return power + level * colour * ripple * (1.0 + 0.8 * wander.transpose(1, 2))
