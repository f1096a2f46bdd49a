"""Does it move like a person and not like a still? Blinks, and travel of head and wrists against real clips.

Run `python -m reference_model.evaluation.motion person.avatar speech.wav --video talk1.mp4 --video talk2.mp4`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
from reference_model.evaluation.curves import blink_rate, travel_per_second
from reference_model.evaluation.tracking import close_up, face_curves, pose_tracks

__all__ = ["FPS", "MotionReport", "body_travel", "judge"]

FPS = 25
BLINKS_PER_MINUTE = (8.0, 30.0)
TRAVEL_AGAINST_REAL = (0.3, 2.0)


@dataclass(frozen=True, slots=True)
class MotionReport:
    """How much a clip moves."""

    blinks: float
    """Blinks a minute."""
    head: float
    """Travel of the head, shoulder widths a second."""
    wrists: float
    """Travel of the wrist that moves more, shoulder widths a second."""


def body_travel(frames: Iterable[NDArray[np.uint8]], fps: float) -> tuple[float, float]:
    """Travel of the head and of the more active wrist, in shoulder widths a second."""
    tracks = pose_tracks(frames)
    wrists = [travel_per_second(tracks.wrists[:, side], tracks.shoulder_width, fps) for side in range(2)]
    return travel_per_second(tracks.head, tracks.shoulder_width, fps), max(wrists)


def judge(report: MotionReport, real: list[tuple[float, float]]) -> dict[str, bool]:
    """Whether each measure lies where people's lie.

    Args:
        report: The clip under test.
        real: Head and wrist travel of real talkers; the band is taken about their mean.
    """
    head, wrists = np.mean(real, axis=0)
    low, high = TRAVEL_AGAINST_REAL
    return {
        "blinks": BLINKS_PER_MINUTE[0] <= report.blinks <= BLINKS_PER_MINUTE[1],
        "head": bool(low * head <= report.head <= high * head),
        "wrists": bool(low * wrists <= report.wrists <= high * wrists),
    }


def main(
    avatar: Annotated[Path, typer.Argument(help="The avatar.")],
    speech: Annotated[Path, typer.Argument(help="What it says.")],
    video: Annotated[list[Path], typer.Option(help="Clip of a real person who talks.")],
    seconds: Annotated[float, typer.Option(help="How much of the speech.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of blinks, sway and gestures.")] = 0,
) -> None:
    """Compare an avatar's blinks and travel with real people's, and with a still picture."""
    real = [body_travel(read_frames(clip, fps=FPS, size=_half_size(clip)), FPS) for clip in video]
    animator = Animator(load_avatar(avatar))
    samples = load_audio(speech, duration_s=seconds)
    whole = animator.avatar.camera.resized(384, 512)
    close = [frame.rgb for frame in animator.frames(samples, seed=seed, camera=close_up(animator.avatar))]
    body = [frame.rgb for frame in animator.frames(samples, seed=seed, camera=whole)]
    moving = MotionReport(blink_rate(face_curves(close).eye_opening, FPS), *body_travel(body, FPS))
    still = MotionReport(
        blink_rate(face_curves(close[:1] * len(close)).eye_opening, FPS),
        *body_travel(body[:1] * len(body), FPS),
    )
    table = Table("clip", "blinks a minute", "head travel", "wrist travel", "passes")
    for clip, (head, wrists) in zip(video, real, strict=True):
        table.add_row(clip.name, "", f"{head:.3f}", f"{wrists:.3f}", "")
    for name, report in (("avatar", moving), ("frozen", still)):
        verdict = judge(report, real)
        failed = ", ".join(key for key, good in verdict.items() if not good)
        cells = (f"{report.blinks:.1f}", f"{report.head:.3f}", f"{report.wrists:.3f}")
        table.add_row(name, *cells, "yes" if not failed else f"no: {failed}")
    Console().print(table)


def _half_size(clip: Path) -> tuple[int, int]:
    """Half the clip's size: the pose model sees no more detail than that, and decoding to it is faster."""
    from media.video import probe

    info = probe(clip)
    return info.width // 4 * 2, info.height // 4 * 2


if __name__ == "__main__":
    typer.run(main)
