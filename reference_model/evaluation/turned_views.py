"""What an avatar is worth from where the photograph was not taken.

`python -m reference_model.evaluation.turned_views PERSON.npz...` draws made people (files of
`training/reconstruction_people.py`), makes avatars of their photographs from the template's canvas and from the pass of
the reconstruction `mini`, with and without the optimisation, and compares them with the truth in front, from both sides
and in another pose.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from reference_model.avatar.forward import corrected
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.optimise import Canvas, View, optimise
from reference_model.avatar.personalize import one_thread
from reference_model.reconstruction.canvas_network import CanvasNetwork
from reference_model.reconstruction.gaussian_decoder import Corrections
from reference_model.reconstruction.reconstruction_file import load_canvas_network
from reference_model.training.reconstruction import solid_psnr
from reference_model.training.reconstruction_batch import Batch, collate, drawn_gaussians
from reference_model.training.reconstruction_samples import OTHER, PHOTO, SIDES, Sample, draw_samples

__all__ = ["turned_psnr"]

_VIEWS = (PHOTO, *SIDES, OTHER)
_STARTS = {
    "canvas": (False, 0),
    "pass": (True, 0),
    "canvas + 400 steps": (False, 400),
    "pass + 200 steps": (True, 200),
}


def turned_psnr(sample: Sample, network: CanvasNetwork) -> dict[str, list[float]]:
    """PSNR in dB where the person is solid: photograph, both sides, another pose; by how the avatar was made.

    Args:
        sample: One person.
        network: The reconstruction `mini`.
    """
    batch = collate([sample])
    with torch.no_grad():
        result = network(batch.photo)
    own = Corrections(*(part[0] for part in result.corrections))
    views = [
        View(t.camera, t.rgb.float() / 255, t.alpha.float() / 255) for t in sample.targets[:4] if t.weight
    ]
    found = {}
    for name, (forward, steps) in _STARTS.items():
        canvas: Canvas = corrected(sample.canvas, own) if forward else sample.canvas
        # As `create_avatar` looks: the whole first, later every second look goes to a detail.
        turns = [1, *range(2, len(views)), 1]
        schedule = [turns[k // 2 % len(turns)] if k > steps // 4 and k % 2 else 0 for k in range(steps)]
        gaussians = optimise(canvas, views, schedule, torch.Generator().manual_seed(0), lambda done: None)
        found[name] = _measured(batch, gaussians, result.skin if forward else None)
    return found


@torch.no_grad()
def _measured(batch: Batch, gaussians: Gaussians, skin: Tensor | None) -> list[float]:
    one = Gaussians(*(getattr(gaussians, field.name)[None] for field in fields(Gaussians)))
    (drawn,) = drawn_gaussians(batch, one, skin, [_VIEWS], torch.full((1,), 0.5))
    return [solid_psnr(view) for view in drawn]


def _main(people: Annotated[list[Path], typer.Argument(help="Files of made people.")]) -> None:
    """Print a table of means."""
    network = load_canvas_network()
    rows: dict[str, list[list[float]]] = {name: [] for name in _STARTS}
    with one_thread():
        for index, path in enumerate(people):
            (sample,) = draw_samples(path, network, 500 + index, 1)
            for name, values in turned_psnr(sample, network).items():
                rows[name].append(values)
    typer.echo("| start | photo dB | sides dB | other pose dB |\n|---|---|---|---|")
    for name, values in rows.items():
        photo, left, right, other = np.mean(values, 0)
        typer.echo(f"| {name} | {photo:.2f} | {(left + right) / 2:.2f} | {other:.2f} |")


if __name__ == "__main__":
    typer.run(_main)
