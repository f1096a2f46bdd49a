"""What the optimisation of an avatar starts from, and how soon there is one.

`python -m reference_model.evaluation.initialisation PHOTO...` compares the template's canvas with the pass of the
reconstruction `mini`, both alone and optimised, against the photographs themselves, and prints the time to the first
avatar by stages. `--quick` leaves out the optimisations.

A machine with a GPU may lack the detectors: `--save-landmarks FILE.npz PHOTO...` writes what they find, and
`--landmarks FILE.npz --device cuda` begins from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from media.image import load_image
from media.threads import one_torch_thread
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.personalize import FittedPhoto, SeenPhoto, fit_seen, one_thread, see_photo
from reference_model.avatar.report import masked_quality
from reference_model.evaluation.seen_photos import load_seen_photos, save_seen_photos

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


def compare(
    fitted: FittedPhoto, variants: list[str], seed: int = 0, device: torch.device | str = "cpu"
) -> Iterator[tuple[str, Quality]]:
    """Make an avatar in each of the ways `variants`.

    Args:
        fitted: The fitted photograph.
        variants: Names in `VARIANTS`.
        seed: Of the optimisation.
        device: Of the pass.
    """
    for name in variants:
        initial, steps = VARIANTS[name]
        begin = time.perf_counter()
        canvas = fitted.canvas if initial == "template" else fitted.forward(device=device)[0]
        gaussians: Gaussians = fitted.optimised(canvas, steps, seed, lambda done: None)
        seconds = time.perf_counter() - begin
        avatar = fitted.avatar(gaussians, {})
        yield name, Quality(*masked_quality(avatar, fitted.photo, fitted.alpha), seconds)


def first_avatar_seconds(
    photo: np.ndarray | SeenPhoto, device: torch.device | str = "cpu"
) -> tuple[dict[str, float], FittedPhoto]:
    """Seconds of each stage from a photograph to the avatar that the pass gives; and the fitted photograph.

    Args:
        photo: `[H, W, 3]` uint8, or what was seen in it; then landmarks and matte are no stages.
        device: Where fit, silhouette and network are computed.
    """
    seconds: dict[str, float] = {}
    marks: list[tuple[str, float]] = []

    def mark(stage: str, _: float = 0.0) -> None:
        marks.append((stage, time.perf_counter()))

    seen = photo if isinstance(photo, SeenPhoto) else see_photo(photo, mark)
    fitted = fit_seen(seen, progress=mark, device=device)
    mark("pass")
    canvas, skin = fitted.forward(device=device)
    fitted.avatar(canvas.gaussians(), {}, skin)
    mark("end")
    for (stage, begin), (_, end) in pairwise(marks):
        seconds[stage] = end - begin
    return seconds, fitted


def _main(
    photos: Annotated[list[Path] | None, typer.Argument(help="Photographs, one person each.")] = None,
    landmarks: Annotated[Path | None, typer.Option(help="Photographs of --save-landmarks instead.")] = None,
    save_landmarks: Annotated[Path | None, typer.Option(help="Only write what the detectors see.")] = None,
    quick: Annotated[bool, typer.Option(help="Canvas and pass alone.")] = False,
    device: Annotated[str, typer.Option(help="Of fit, silhouette and network.")] = "cpu",
) -> None:
    """Print a table of quality and of the time to the first avatar."""
    images = {path.stem: load_image(path) for path in photos or []}
    if save_landmarks is not None:
        save_seen_photos(save_landmarks, {name: see_photo(image) for name, image in images.items()})
        return
    found: dict[str, np.ndarray | SeenPhoto] = dict(images)
    if landmarks is not None:
        found |= load_seen_photos(landmarks)
    if not found:
        raise typer.BadParameter("give photographs, or --landmarks FILE.npz")
    # A GPU's host has cores enough, and what runs there need not give the same bits.
    with one_thread() if device == "cpu" else one_torch_thread():
        _report(found, [name for name, (_, steps) in VARIANTS.items() if not quick or steps == 0], device)


def _report(photos: dict[str, np.ndarray | SeenPhoto], variants: list[str], device: str) -> None:
    rows: list[dict[str, Quality]] = []
    times: list[dict[str, float]] = []
    first_avatar_seconds(next(iter(photos.values())), device)  # compiles and loads what the rest then finds
    for stem, photo in photos.items():
        seconds, fitted = first_avatar_seconds(photo, device)
        row = dict(compare(fitted, variants, device=device))
        told = ", ".join(
            f"{name} {q.psnr_db:.2f} dB {q.ssim:.4f} {q.seconds:.1f} s" for name, q in row.items()
        )
        typer.echo(f"{stem}: {told}")
        rows.append(row)
        times.append(seconds)
    typer.echo("| start | PSNR dB | SSIM | seconds |\n|---|---|---|---|")
    for name in variants:
        psnr_db, ssim, mean_s = (float(np.mean([row[name][k] for row in rows])) for k in range(3))
        typer.echo(f"| {name} | {psnr_db:.2f} | {ssim:.4f} | {mean_s:.1f} |")
    stages = {stage: float(np.median([t[stage] for t in times])) for stage in times[0]}
    typer.echo("first avatar, median seconds: " + ", ".join(f"{k} {v:.2f}" for k, v in stages.items()))
    after = [sum(v for stage, v in t.items() if stage not in ("landmarks", "matte")) for t in times]
    typer.echo(
        f"landmarks and matte -> first avatar: {float(np.median(after)):.2f} s "
        f"({min(after):.2f} to {max(after):.2f}), {device}"
    )


if __name__ == "__main__":
    typer.run(_main)
