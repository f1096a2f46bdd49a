"""Do the lips follow the sound? Against real people, and at bilabials of synthesised speech; on rendered frames.

Run `python -m reference_model.evaluation.lips person.avatar --video talk1.mp4 --video talk2.mp4`.

Loudness is no reference: real lips hardly follow it. What counts is the inner-lip gap of the person who spoke.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from media.audio import SAMPLE_RATE, load_audio
from media.video import read_frames
from reference_model.animate import Animator
from reference_model.avatar.io import load_avatar
from reference_model.evaluation.curves import closure_rates, lag_correlation, shift_control
from reference_model.evaluation.tracking import FaceCurves, close_up, face_curves, fill_gaps

__all__ = ["FPS", "driven_curves", "held_out_closures", "real_clip_correlation"]

FPS = 25
_BILABIALS, _OPEN_VOWELS = "pbm", "aɑæʌɐ"


def driven_curves(animator: Animator, samples: np.ndarray, seed: int = 0) -> FaceCurves:
    """Curves of the avatar's rendered face while it says `samples` (`[S]`, 16 kHz)."""
    frames = animator.frames(samples, seed=seed, camera=close_up(animator.avatar))
    return face_curves(frame.rgb for frame in frames)


def real_clip_correlation(animator: Animator, video: Path, seed: int = 0) -> tuple[float, int, float]:
    """Avatar's lips against those of the person who is heard.

    Returns:
        Correlation of the inner-lip gaps at the best lag within 2 frames, that lag, and the 99th percentile of the
        same statistic over 200 circular shifts.
    """
    real = fill_gaps(face_curves(read_frames(video, fps=FPS)).lip_gap)
    driven = fill_gaps(driven_curves(animator, load_audio(video), seed).lip_gap)
    found = lag_correlation(driven, real)
    return found.r, found.lag_frames, float(np.quantile(shift_control(driven, real), 0.99))


def held_out_closures(animator: Animator, n_utterances: int = 12, seed: int = 0) -> tuple[float, float]:
    """Closure recall at p, b, m and false closure on open vowels, on rendered frames.

    The voices and sentences are ones that the training corpus holds out.

    Returns:
        Recall and false closure rate, each the mean over utterances.
    """
    from reference_model.corpus.held_out import held_out_utterances

    rates = []
    for utterance in held_out_utterances(n_utterances, seed):
        gap = fill_gaps(driven_curves(animator, utterance.samples, seed).lip_gap)
        ends = [start for start, _ in utterance.phonemes[1:]] + [len(utterance.samples) / SAMPLE_RATE]
        spans = [(ipa, start, end) for (start, ipa), end in zip(utterance.phonemes, ends, strict=True)]
        closures = [(start, end) for ipa, start, end in spans if ipa and ipa.strip("ˈˌ")[:1] in _BILABIALS]
        vowels = [(start, end) for ipa, start, end in spans if ipa and ipa.strip("ˈˌ")[:1] in _OPEN_VOWELS]
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
        int, typer.Option(help="Held-out synthesised utterances for the closure test; 0 skips.")
    ] = 12,
    seed: Annotated[int, typer.Option(help="Seed of blinks and sway.")] = 0,
) -> None:
    """Measure how well rendered lips follow speech."""
    table = Table("avatar", "what", "value", "lag", "99% of shifts")
    for path in avatars:
        animator = Animator(load_avatar(path))
        values = []
        for clip in video or []:
            r, lag, chance = real_clip_correlation(animator, clip, seed)
            values.append(r)
            table.add_row(path.stem, f"lip gap r, {clip.name}", f"{r:.3f}", str(lag), f"{chance:.3f}")
        if values:
            table.add_row(path.stem, "lip gap r, mean", f"{np.mean(values):.3f}", "", "")
        if closures:
            recall, false_closure = held_out_closures(animator, closures, seed)
            table.add_row(path.stem, "bilabial closure recall", f"{recall:.2f}", "", "")
            table.add_row(path.stem, "false closure on open vowels", f"{false_closure:.2f}", "", "")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
