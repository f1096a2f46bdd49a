"""What the optimisation of an avatar starts from, and how soon there is one.

`python -m reference_model.evaluation.initialisation PHOTO...` compares the template's canvas with the pass of the
reconstruction `mini`, both alone and optimised, against the photographs themselves, and prints the time to the first
avatar by stages. `--quick` leaves out the optimisations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from media.image import load_image
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.personalize import FittedPhoto, fit_photo, one_thread
from reference_model.avatar.report import masked_quality

__all__ = ["VARIANTS", "Quality", "compare", "first_avatar_seconds"]

VARIANTS = {
    "canvas": ("template", 0),
    "pass": ("forward", 0),
    "canvas + 200 steps": ("template", 200),
    "canvas + 400 steps": ("template", 400),
    "pass + 200 steps": ("forward", 200),
}
"""What is compared: where it starts, and steps of the optimisation."""


class Quality(NamedTuple):
    """One avatar against its photograph."""

    psnr_db: float
    ssim: float
    seconds: float
    """Of pass and optimisation."""


def compare(fitted: FittedPhoto, variants: list[str], seed: int = 0) -> Iterator[tuple[str, Quality]]:
    """Make an avatar in each of the ways `variants`.

    Args:
        fitted: The fitted photograph.
        variants: Names in `VARIANTS`.
        seed: Of the optimisation.
    """
    for name in variants:
        initial, steps = VARIANTS[name]
        begin = time.perf_counter()
        canvas = fitted.canvas if initial == "template" else fitted.forward()[0]
        gaussians: Gaussians = fitted.optimised(canvas, steps, seed, lambda done: None)
        seconds = time.perf_counter() - begin
        avatar = fitted.avatar(gaussians, {})
        yield name, Quality(*masked_quality(avatar, fitted.photo, fitted.alpha), seconds)


def first_avatar_seconds(image: np.ndarray) -> tuple[dict[str, float], FittedPhoto]:
    """Seconds of each stage from a photograph to the avatar that the pass gives; and the fitted photograph."""
    seconds: dict[str, float] = {}
    marks: list[tuple[str, float]] = []
    fitted = fit_photo(image, progress=lambda stage, _: marks.append((stage, time.perf_counter())))
    marks.append(("pass", time.perf_counter()))
    canvas, skin = fitted.forward()
    fitted.avatar(canvas.gaussians(), {}, skin)
    marks.append(("end", time.perf_counter()))
    for (stage, begin), (_, end) in pairwise(marks):
        seconds[stage] = end - begin
    return seconds, fitted


def _main(
    photos: Annotated[list[Path], typer.Argument(help="Photographs, one person each.")],
    quick: Annotated[bool, typer.Option(help="Canvas and pass alone.")] = False,
) -> None:
    """Print a table of quality and of the time to the first avatar."""
    variants = [name for name, (_, steps) in VARIANTS.items() if not quick or steps == 0]
    rows: list[dict[str, Quality]] = []
    times: list[dict[str, float]] = []
    with one_thread():
        first_avatar_seconds(load_image(photos[0]))  # compiles and loads what the rest then finds
        for path in photos:
            seconds, fitted = first_avatar_seconds(load_image(path))
            row = dict(compare(fitted, variants))
            told = ", ".join(
                f"{name} {q.psnr_db:.2f} dB {q.ssim:.4f} {q.seconds:.1f} s" for name, q in row.items()
            )
            typer.echo(f"{path.stem}: {told}")
            rows.append(row)
            times.append(seconds)
    typer.echo("| start | PSNR dB | SSIM | seconds |\n|---|---|---|---|")
    for name in variants:
        psnr_db, ssim, seconds = (float(np.mean([row[name][k] for row in rows])) for k in range(3))
        typer.echo(f"| {name} | {psnr_db:.2f} | {ssim:.4f} | {seconds:.1f} |")
    stages = {stage: float(np.median([t[stage] for t in times])) for stage in times[0]}
    typer.echo("first avatar, median seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in stages.items()))
    after = [sum(v for stage, v in t.items() if stage not in ("landmarks", "matte")) for t in times]
    typer.echo(f"landmarks and matte -> first avatar: {float(np.median(after)):.1f} s")


if __name__ == "__main__":
    typer.run(_main)
