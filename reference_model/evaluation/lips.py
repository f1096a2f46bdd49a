"""Do the lips follow the sound? Against real people, and at bilabials of synthesised speech; on rendered frames.

Run `python -m reference_model.evaluation.lips person.avatar --video talk1.mp4 --video talk2.mp4`.

Loudness is no reference: real lips hardly follow it. What counts is the inner-lip gap of the person who spoke.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from media.audio import load_audio
from media.video import read_frames
from reference_model.animate import Animator
from reference_model.avatar.io import load_avatar
from reference_model.evaluation.curves import LagCorrelation, closure_rates, lag_correlation, shift_control
from reference_model.evaluation.tracking import FaceCurves, close_up, face_curves, fill_gaps

__all__ = ["FPS", "driven_curves", "held_out_closures", "real_clip_correlation"]

FPS = 25
_BILABIALS, _OPEN_VOWELS = "pbm", "aɑæʌɐ"


def driven_curves(animator: Animator, samples: np.ndarray, seed: int = 0) -> FaceCurves:
    """Curves of the avatar's rendered face while it says `samples` (`[S]`, 16 kHz)."""
    frames = animator.frames(samples, seed=seed, camera=close_up(animator.avatar))
    return face_curves(frame.rgb for frame in frames)


def real_clip_correlation(
    animator: Animator, video: Path, seed: int = 0
) -> tuple[LagCorrelation, NDArray[np.floating]]:
    """Avatar's lips against those of the person who is heard.

    Returns:
        Correlation of the inner-lip gaps at the best lag within 2 frames, and the same statistic of 200 circular
        shifts.
    """
    real = fill_gaps(face_curves(read_frames(video, fps=FPS)).lip_gap)
    driven = fill_gaps(driven_curves(animator, load_audio(video), seed).lip_gap)
    return lag_correlation(driven, real), shift_control(driven, real)


def held_out_closures(animator: Animator, n_takes: int = 12, seed: int = 0) -> tuple[float, float]:
    """Closure recall at p, b, m and false closure on open vowels, on rendered frames.

    The voices and sentences are ones that the training corpus holds out.

    Returns:
        Recall and false closure rate, each the mean over takes of several sentences.
    """
    from reference_model.corpus.geometry_corpus import speak_take  # needs the train extra
    from reference_model.corpus.speech.synthesis import MAX_RANDOM_VARIANTS, SpeechSynthesizer

    rng = random.Random(seed)
    with SpeechSynthesizer(MAX_RANDOM_VARIANTS, seed) as synthesizer:
        takes = [speak_take(synthesizer, rng, held_out=True) for _ in range(n_takes)]
    rates = []
    for take in takes:
        gap = fill_gaps(driven_curves(animator, take.samples, seed).lip_gap)
        starts = [start for start, _ in take.phonemes]
        spans = zip((ipa for _, ipa in take.phonemes), starts, [*starts[1:], take.duration], strict=True)
        sounds = [(ipa.strip("ˈˌ")[:1], (start, end)) for ipa, start, end in spans]
        closures = [span for sound, span in sounds if sound and sound in _BILABIALS]
        vowels = [span for sound, span in sounds if sound and sound in _OPEN_VOWELS]
        if closures and vowels:
            rates.append(closure_rates(gap, FPS, closures, vowels))
    recall, false_closure = np.mean(rates, axis=0)
    return float(recall), float(false_closure)


def main(
    avatars: Annotated[list[Path], typer.Argument(help="Avatars to drive.")],
    video: Annotated[
        list[Path] | None, typer.Option(help="Clip of a real person who talks, with sound.")
    ] = None,
    closures: Annotated[
        int, typer.Option(help="Held-out synthesised takes for the closure test; 0 skips.")
    ] = 12,
    seed: Annotated[int, typer.Option(help="Seed of blinks and sway.")] = 0,
) -> None:
    """Measure how well rendered lips follow speech."""
    table = Table("avatar", "what", "value", "lag", "99% of shifts")
    for path in avatars:
        animator = Animator(load_avatar(path))
        found = [real_clip_correlation(animator, clip, seed) for clip in video or []]
        for clip, (true, shifted) in zip(video or [], found, strict=True):
            chance = f"{np.quantile(shifted, 0.99):.3f}"
            table.add_row(path.stem, f"lip gap r, {clip.name}", f"{true.r:.3f}", str(true.lag_frames), chance)
        if found:
            mean, chance = (
                np.mean([true.r for true, _ in found]),
                np.mean([shifted for _, shifted in found], 0),
            )
            table.add_row(path.stem, "lip gap r, mean", f"{mean:.3f}", "", f"{np.quantile(chance, 0.99):.3f}")
        if closures:
            recall, false_closure = held_out_closures(animator, closures, seed)
            table.add_row(path.stem, "bilabial closure recall", f"{recall:.2f}", "", "")
            table.add_row(path.stem, "false closure on open vowels", f"{false_closure:.2f}", "", "")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
