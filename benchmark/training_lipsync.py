"""Train the small sync network of `mini-v1`: `python -m benchmark.training_lipsync CORPUS.npz --out FILE`.

The corpus is made by `python -m reference_model.corpus.geometry_corpus`: synthesised speech, and the inner-lip gap of
a procedural speaker. Real lips follow the sound less well and are measured with noise, so both are put in: see
`benchmark/lipsync_disturbance.py`. One core, a few minutes.
"""

from __future__ import annotations

import argparse
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from benchmark.hashing import sha256_file
from benchmark.lipsync_disturbance import disturb_opening, disturb_power, still_lips
from benchmark.lipsync_features import (
    MEL_FRAMES,
    loudness_features,
    mel_features,
    relative_opening,
)
from benchmark.lipsync_network import EMBEDDING, KERNEL, MAX_SHIFT, SOUNDS, WINDOW, save_network
from media.errors import AvatarBenchError
from media.threads import one_torch_thread

__all__ = ["Corpus", "load_corpus", "main", "train"]

EYE_DISTANCE_MM = 90.0
"""Between the outer corners of the eyes of an adult: the unit of `lip_opening`."""
FRAMES = 110
"""Pictures of a training stretch: 4.4 s."""
BATCH = 40
STEPS = 1500
STILL = 8
"""Stretches of lips that do not speak, offered beside the true ones of each batch."""
_LOWEST_LOG, _HIGHEST_LOG = -18.5, 10.0  # of the corpus's 8-bit logarithms
_STRETCHES = (1, 12, 48)  # windows over which distances are averaged before they are compared


@dataclass(frozen=True, slots=True)
class Corpus:
    """Takes one after the other, N pictures in all."""

    log_mel: np.ndarray
    """[4 N, 80] uint8."""
    gap_mm: np.ndarray
    """[N] float32."""
    take_start: np.ndarray
    """[U + 1] first picture of each take, and N."""
    held_out: np.ndarray
    """[U] bool."""

    def takes(self, *, held_out: bool) -> list[tuple[int, int]]:
        """First picture and end of each take of one side."""
        return [
            (int(self.take_start[i]), int(self.take_start[i + 1]))
            for i in np.flatnonzero(self.held_out == held_out)
        ]

    def power(self, first: int, last: int) -> np.ndarray:
        """Mel power of the pictures from `first` to before `last`, [4 n, 80] float32."""
        codes = self.log_mel[MEL_FRAMES * first : MEL_FRAMES * last].astype(np.float32)
        return np.exp(codes / 255.0 * (_HIGHEST_LOG - _LOWEST_LOG) + _LOWEST_LOG)

    def opening(self, first: int, last: int) -> np.ndarray:
        """Inner-lip gap over the distance of the eyes, [n] float32."""
        return self.gap_mm[first:last] / EYE_DISTANCE_MM


def load_corpus(path: Path) -> Corpus:
    """Read what the training needs of a geometry corpus.

    Raises:
        AvatarBenchError: E401 where the file is absent or no such corpus.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Corpus(
                archive["log_mel"],
                archive["gap_mm"].astype(np.float32),
                archive["take_start"],
                archive["held_out"],
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise AvatarBenchError(
            "E401",
            "the training corpus cannot be read",
            where=path,
            expected="an npz with log_mel, gap_mm, take_start and held_out",
            got=str(error),
            fix="make it: python -m reference_model.corpus.geometry_corpus --hours 1.5 --seed 0 --out FOLDER",
        ) from error


def _encoder(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, width), (width, width), (width, width)):
        layers += [nn.Conv1d(inputs, outputs, KERNEL, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(width, EMBEDDING, 1))


class TrainedNetwork(nn.Module):
    """The two encoders with their batch statistics; `folded` gives the plain convolutions that are shipped."""

    def __init__(self, sound_channels: int) -> None:
        super().__init__()
        self.sound = _encoder(sound_channels, 64)
        self.mouth = _encoder(1, 48)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def embed(self, which: str, features: Tensor) -> Tensor:
        """Unit vectors [B, n, d] of features [B, T, C]; n = T - 12 windows."""
        return F.normalize(self.get_submodule(which)(features.transpose(1, 2)), dim=1).transpose(1, 2)

    def folded(self) -> dict[str, np.ndarray]:
        """Kernels [out, in, k] and biases [out] by name, batch normalisation multiplied in."""
        tensors: dict[str, np.ndarray] = {}
        for which in ("sound", "mouth"):
            encoder: nn.Sequential = getattr(self, which)
            modules = list(encoder)
            for number, place in enumerate((0, 3, 6)):
                convolution, normalisation = modules[place], modules[place + 1]
                assert isinstance(convolution, nn.Conv1d) and isinstance(normalisation, nn.BatchNorm1d)
                mean, variance = normalisation.running_mean, normalisation.running_var
                assert mean is not None and variance is not None
                factor = normalisation.weight / (variance + normalisation.eps).sqrt()
                tensors[f"{which}.{number}.kernel"] = _array(convolution.weight * factor[:, None, None])
                tensors[f"{which}.{number}.bias"] = _array(normalisation.bias - mean * factor)
            last = modules[9]
            assert isinstance(last, nn.Conv1d) and last.bias is not None
            tensors[f"{which}.3.kernel"], tensors[f"{which}.3.bias"] = _array(last.weight), _array(last.bias)
        return tensors


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _draw(
    corpus: Corpus, takes: list[tuple[int, int]], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A batch of disturbed stretches: mel power [B, 4 T, 80] and openings [B, T]."""
    chosen = random.choice(len(takes), min(BATCH, len(takes)), replace=False)
    power, opening = [], []
    for index in chosen:
        first, last = takes[index]
        start = int(random.integers(first, last - FRAMES + 1))
        power.append(corpus.power(start, start + FRAMES))
        opening.append(corpus.opening(start, start + FRAMES))
    return disturb_power(np.stack(power), random), disturb_opening(np.stack(opening), random)


def _pooled(distances: Tensor, stretch: int) -> Tensor:
    """Means over stretches of windows, [..., n // stretch]."""
    n = distances.shape[-1] // stretch * stretch
    return distances[..., :n].unflatten(-1, (-1, stretch)).mean(-1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (2.0 - 2.0 * (a * b).sum(-1)).clamp(min=1e-4).sqrt()


def _loss(mouth: Tensor, still: Tensor, sound: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy of the true shift among 31, and of the true partner among the clips and still lips.

    Args:
        mouth: [B, n, d] lips.
        still: [R, n, d] lips that do not speak.
        sound: [B, n, d] sounds of `mouth`.
        scale: Of the distances.
    """
    n = mouth.shape[1] - 2 * MAX_SHIFT
    centre = mouth[:, MAX_SHIFT : MAX_SHIFT + n]
    shifted = torch.stack(
        [_distance(centre, sound[:, shift : shift + n]) for shift in range(2 * MAX_SHIFT + 1)], 1
    )  # [B, 31, n]
    across = _distance(torch.cat([mouth, still])[:, None], sound[None])  # [B + R, B, n]
    loss = mouth.new_zeros(())
    own = torch.arange(len(mouth))
    for stretch in _STRETCHES:
        factor = scale * stretch**0.5
        among_shifts = -factor * _pooled(shifted, stretch)  # [B, 31, m]
        target = torch.full((len(mouth), among_shifts.shape[-1]), MAX_SHIFT)
        loss = loss + F.cross_entropy(among_shifts, target)
        among_clips = -factor * _pooled(across, stretch)  # [B + R, B, m]
        target = own[:, None].expand(-1, among_clips.shape[-1])
        loss = loss + F.cross_entropy(among_clips.transpose(0, 1), target)  # mouths for each sound
        loss = loss + F.cross_entropy(among_clips[: len(mouth)], target)  # sounds for each mouth
    return loss / (3 * len(_STRETCHES))


def train(corpus: Corpus, sound: str, steps: int, seed: int, console: Console) -> dict[str, np.ndarray]:
    """Train on the takes that are not held out.

    Args:
        corpus: The corpus.
        sound: `mel` or `loudness`.
        steps: Batches.
        seed: Of weights, batches and disturbances.
        console: Told of the loss.

    Returns:
        The tensors of the shipped file.

    Raises:
        AvatarBenchError: E401 where there are fewer than two takes to train on.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    features = {"mel": mel_features, "loudness": loudness_features}[sound]
    takes = [take for take in corpus.takes(held_out=False) if take[1] - take[0] >= FRAMES]
    if len(takes) < 2:
        raise AvatarBenchError(
            "E401",
            "the training corpus has too few takes to compare",
            expected=f"2 takes or more of {FRAMES / 25:g} s that are not held out",
            got=str(len(takes)),
            fix="make a longer one: python -m reference_model.corpus.geometry_corpus --hours 1.5 --out FOLDER",
        )
    network = TrainedNetwork(SOUNDS[sound])
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    mean_loss = 0.0
    for step in range(1, steps + 1):
        power, opening = _draw(corpus, takes, random)
        lips = np.concatenate([opening, still_lips(STILL, FRAMES, random)])
        seen = torch.from_numpy(relative_opening(lips).astype(np.float32))[..., None]
        mouth = network.embed("mouth", seen)
        heard = network.embed("sound", torch.from_numpy(features(power)))
        loss = _loss(mouth[: len(heard)], mouth[len(heard) :], heard, network.log_scale.exp())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        mean_loss += (loss.item() - mean_loss) / min(step, 100)
        if step % 100 == 0:
            console.print(f"step {step}: loss {mean_loss:.3f}, scale {network.log_scale.exp().item():.1f}")
    return network.eval().folded()


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sound", choices=sorted(SOUNDS), default="mel")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    with one_torch_thread():
        tensors = train(load_corpus(options.corpus), options.sound, options.steps, options.seed, console)
    command = f"python -m benchmark.training_lipsync CORPUS --sound {options.sound} --steps {options.steps}"
    header = {
        "command": f"{command} --seed {options.seed}",
        "corpus_sha256": sha256_file(options.corpus),
        "sound": options.sound,
        "window": str(WINDOW),
        "licence": "Apache-2.0",
    }
    save_network(options.out, tensors, header)
    console.print(f"{options.out}: sha256 {sha256_file(options.out)}")


if __name__ == "__main__":
    main()
