"""Ten minutes of speech without drift: `python -m reference_model.evaluation.long_run person.avatar speech.wav`.

The speech is repeated, silence follows, all of it block by block as in `Animator.step`. A drifting integrator would
show as twists that grow from minute to minute, a pose that stays behind in silence, or memory that grows.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from media.audio import SAMPLE_RATE, load_audio
from media.threads import one_torch_thread
from reference_model.avatar.io import load_avatar
from reference_model.networks.model import AvatarContext, AvatarModel, load_model
from reference_model.sound_stream import FPS, SAMPLES_PER_FRAME, SoundStream

__all__ = ["Minute", "live_states", "minutes"]


class Minute(NamedTuple):
    """What was seen in one minute."""

    rotation_rad: float
    """Mean rotation angle over particles and frames."""
    largest_rad: float
    """Largest rotation angle of any particle."""
    shift_mm: float
    """Mean length of the translation."""
    megabytes: float
    """Peak memory of the process until now."""


def live_states(
    model: AvatarModel, context: AvatarContext, blocks: Iterator[np.ndarray], seed: int = 0
) -> Iterator[Tensor]:
    """Particle states [M, 6] of a live performance, one block of 640 samples after the other."""
    sound, memory = SoundStream(seed), None
    for block in blocks:
        heard, innovations, last = sound.push(block)
        with one_torch_thread():
            states, _, memory = model.advance(context, heard, innovations, memory, last)
        yield from states


def minutes(states: Iterator[Tensor], length: int = 60 * FPS) -> Iterator[Minute]:
    """Sum up each minute, or other stretch of `length` frames, one state at a time."""
    kept: list[tuple[float, float, float]] = []
    for state in states:
        angle = state[:, :3].norm(dim=-1)
        kept.append((float(angle.mean()), float(angle.max()), float(state[:, 3:].norm(dim=-1).mean())))
        if len(kept) == length:
            mean = np.mean(kept, axis=0)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            yield Minute(float(mean[0]), max(row[1] for row in kept), 1000 * float(mean[2]), peak_mb)
            kept.clear()


def main(
    avatar_file: Annotated[Path, typer.Argument(help="An .avatar file.")],
    speech: Annotated[Path, typer.Argument(help="Speech, repeated as often as is needed.")],
    speak_minutes: Annotated[int, typer.Option("--minutes", min=1)] = 10,
    silent_minutes: Annotated[int, typer.Option("--silence", min=0)] = 1,
) -> None:
    """Speak for minutes, then be silent, and print what the particles did in each minute."""
    sound = load_audio(speech)
    model = load_model()
    context = model.prepare(load_avatar(avatar_file))

    def blocks() -> Iterator[np.ndarray]:
        n_speech = speak_minutes * 60 * SAMPLE_RATE
        for start in range(
            0, n_speech + silent_minutes * 60 * SAMPLE_RATE + 2 * SAMPLES_PER_FRAME, SAMPLES_PER_FRAME
        ):
            at = np.arange(start, start + SAMPLES_PER_FRAME)
            yield np.where(at < n_speech, sound[at % len(sound)], np.float32(0))

    table = Table(title=f"{speak_minutes} min of {speech.name}, then {silent_minutes} min of silence")
    for column in ("minute", "mean rotation, rad", "largest, rad", "mean shift, mm", "peak memory, MB"):
        table.add_column(column, justify="right")
    for index, minute in enumerate(minutes(live_states(model, context, blocks())), start=1):
        name = str(index) if index <= speak_minutes else f"{index} (silent)"
        table.add_row(name, *(f"{value:.4f}" for value in minute[:2]), f"{minute[2]:.3f}", f"{minute[3]:.0f}")
    Console().print(table)


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
