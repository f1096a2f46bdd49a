"""Train the reconstruction `mini`: `python -m reference_model.training.reconstruction --people 96 --out FILE`.

Draws made people, trains on one device and prints what the pass gains over the canvas on people held out. The people's
files are made first where they are missing (extra `train`); everything after needs torch, numba, OpenCV and, on a GPU,
gsplat.
"""

from __future__ import annotations

import argparse
import logging
import math
import multiprocessing
import pickle
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numba
import torch
from torch import Tensor

from reference_model.body.template import load_template
from reference_model.reconstruction.canvas_network import CanvasNetwork, CanvasPass
from reference_model.reconstruction.fine_tune import point_penalty
from reference_model.reconstruction.reconstruction_file import load_canvas_network, save_canvas_network
from reference_model.reconstruction.weight_decoder import divergence
from reference_model.training.reconstruction_batch import Batch, Drawn, collate, drawn_views, to_device
from reference_model.training.reconstruction_people import people_files
from reference_model.training.reconstruction_samples import (
    HEAD,
    LEFT_HAND,
    OTHER,
    PHOTO,
    RIGHT_HAND,
    SIDES,
    Sample,
    draw_samples,
)

__all__ = ["Options", "batch_loss", "held_out_psnr", "main", "solid_psnr", "train"]

_log = logging.getLogger(__name__)

_GROUPS = ((PHOTO, *SIDES, OTHER), (HEAD,), (LEFT_HAND, RIGHT_HAND))
_WEIGHT = {PHOTO: 1.0, HEAD: 0.6, LEFT_HAND: 0.3, RIGHT_HAND: 0.3, SIDES[0]: 0.5, SIDES[1]: 0.5, OTHER: 0.5}
_GRADIENT, _MASK = 0.5, 0.5
_DIVERGENCE, _SHAPE, _STRAY = 3e-2, 1e-4, 2e-3
_LEARNING_RATE, _WARM_UP, _LARGEST_GRADIENT = 1e-3, 60, 1.0
_AVERAGE = 0.995
_VIEWS = {
    "photo": (PHOTO,),
    "head": (HEAD,),
    "hands": (LEFT_HAND, RIGHT_HAND),
    "sides": SIDES,
    "other pose": (OTHER,),
}
_COLORS = slice(3, 9)  # of the attributes: canvas and photograph


class Options(NamedTuple):
    """How long and how much at a time."""

    steps: int = 2500
    batch: int = 6
    minutes: float = math.inf
    """Caps the steps, by the pace of the first 40."""
    seed: int = 0


def batch_loss(batch: Batch, found: CanvasPass, grey: Tensor) -> Tensor:
    """Pictures from all views, and penalties.

    Args:
        batch: B samples.
        found: What the network made of them.
        grey: Behind the people, [B].
    """
    groups = drawn_views(batch, found, _GROUPS, grey)
    total = grey.new_zeros(())
    for views, group in zip(groups, _GROUPS, strict=True):
        for drawn, view in zip(views, group, strict=True):
            total = total + _WEIGHT[view] * _view_loss(drawn)
    real = batch.real
    log_scales = (batch.canvas.log_scales + found.corrections.log_scale)[real]
    offset = found.corrections.offset[real]
    shape = point_penalty(log_scales.exp(), offset, batch.region[real], batch.position[real])
    stray = (offset / batch.canvas.spacing[real][:, None]).square().clamp_max(100).mean()
    change = divergence(found.skin[real][None], found.template_skin[real], found.allowed[real])
    return total + _SHAPE * shape + _STRAY * stray + _DIVERGENCE * change


def _view_loss(drawn: Drawn) -> Tensor:
    """L1 of colours, their gradients and the mask, over the views that show something."""
    error = drawn.rgb - drawn.true_rgb
    slope = error.diff(dim=1).abs().mean((1, 2, 3)) + error.diff(dim=2).abs().mean((1, 2, 3))
    hole = (drawn.alpha - drawn.true_alpha).abs().mean((1, 2))
    each = error.abs().mean((1, 2, 3)) + _GRADIENT * slope + _MASK * hole  # [B]
    return (each * drawn.weight).sum() / len(each)


def train(
    network: CanvasNetwork, samples: Sequence[Sample], options: Options, device: torch.device | str = "cpu"
) -> list[float]:
    """Train in place; the network ends with the average of its last weights.

    Args:
        network: On `device`.
        samples: What to learn from, on `device`.
        options: How long.
        device: Where.

    Returns:
        The loss of each step.
    """
    generator = torch.Generator().manual_seed(options.seed)
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    average = {name: value.detach().clone() for name, value in network.named_parameters()}
    losses: list[Tensor] = []
    steps, begin = options.steps, time.monotonic()
    order = _shuffled(len(samples), generator)
    step = 0
    while step < steps:
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, steps)
        batch = _varied(collate([samples[next(order)] for _ in range(options.batch)]), generator)
        grey = torch.rand(options.batch, generator=generator).to(device)
        loss = batch_loss(batch, network(batch.photo), grey)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        with torch.no_grad():
            keep = min(_AVERAGE, step / (step + 10))
            for name, value in network.named_parameters():
                average[name].lerp_(value, 1 - keep)
        losses.append(loss.detach())
        step += 1
        if step == 10:
            begin = time.monotonic()  # kernels are compiled by now
        if step == 50:
            pace = (time.monotonic() - begin) / 40
            steps = min(steps, max(step, int(60 * options.minutes / pace)))
            _log.info("%.3f s a step, %d steps", pace, steps)
        if step % 200 == 0:
            _log.info("step %d: loss %.4f", step, torch.stack(losses[-100:]).mean().item())
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(average[name])
    return [loss.item() for loss in losses]


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / min(_WARM_UP, max(1, steps // 4)))
    return _LEARNING_RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


def _shuffled(n: int, generator: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(n, generator=generator).tolist()


def _varied(batch: Batch, generator: torch.Generator) -> Batch:
    """The same people in other colours: channels are exchanged and scaled, everywhere alike."""
    attributes = batch.photo.attributes.clone()
    colors, samples = batch.canvas.colors.clone(), []
    crops = {name: getattr(batch.photo, name).clone() for name in ("body", "head", "hands")}
    for row, sample in enumerate(batch.samples):
        swap = torch.rand(1, generator=generator) < 0.3
        order = torch.randperm(3, generator=generator) if swap else torch.arange(3)
        gain = (0.75 + 0.25 * torch.rand(3, generator=generator)).to(colors)
        colors[row] = colors[row][:, order] * gain
        both = attributes[row, :, _COLORS].unflatten(-1, (2, 3))
        attributes[row, :, _COLORS] = (both[..., order] * gain).flatten(-2)
        for crop in crops.values():
            for first in (0, 4):
                rgb, alpha = crop[row, ..., first : first + 3, :, :], crop[row, ..., first + 3, :, :]
                behind = 0.5 * (1 - alpha.unsqueeze(-3))  # the grey stays grey
                own = (rgb - behind)[..., order, :, :] * gain[:, None, None]
                crop[row, ..., first : first + 3, :, :] = own + behind
        targets = tuple(
            replace(t, rgb=(t.rgb[..., order].float() * gain).to(torch.uint8)) for t in sample.targets
        )
        samples.append(sample._replace(targets=targets))
    photo = replace(batch.photo, attributes=attributes, **crops)
    return batch._replace(photo=photo, canvas=replace(batch.canvas, colors=colors), samples=tuple(samples))


@torch.no_grad()
def held_out_psnr(network: CanvasNetwork, samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Mean PSNR where the person is solid (alpha > 0.9), dB: of the canvas and of the pass, by view.

    Args:
        network: Trained, on the device of the samples.
        samples: Of people it has not seen.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _VIEWS}
    for sample in samples:
        batch = collate([sample])
        grey = torch.full((1,), 0.5, device=batch.real.device)
        both = [
            {
                view: drawn
                for group, views in zip(_GROUPS, drawn_views(batch, result, _GROUPS, grey), strict=True)
                for view, drawn in zip(group, views, strict=True)
            }
            for result in (None, network(batch.photo))
        ]
        for name, views in _VIEWS.items():
            for view in views:
                if float(both[0][view].weight) > 0:
                    found[name].append((solid_psnr(both[0][view]), solid_psnr(both[1][view])))
    return {
        name: (sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs))
        for name, pairs in found.items()
        if pairs
    }


def solid_psnr(drawn: Drawn) -> float:
    """PSNR of one view of one sample where the person is solid (alpha > 0.9), dB."""
    solid = drawn.true_alpha > 0.9
    error = (drawn.rgb.clamp(0, 1) - drawn.true_rgb)[solid].square().mean()
    return float(-10 * error.log10())


class _Work(NamedTuple):
    path: Path
    seed: int
    n_fits: int


def _draw(work: _Work) -> bytes:
    """Samples as bytes: tensors between processes would each hold a file descriptor."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    return pickle.dumps(draw_samples(work.path, CanvasNetwork(load_template()), work.seed, work.n_fits))


def _drawn(paths: Sequence[Path], seed: int, n_fits: int, jobs: int) -> list[Sample]:
    work = [_Work(path, 10_000 * seed + index, n_fits) for index, path in enumerate(paths)]
    if jobs == 1:
        return [sample for item in work for sample in pickle.loads(_draw(item))]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [sample for found in pool.map(_draw, work) for sample in pickle.loads(found)]


def main(arguments: list[str] | None = None) -> int:
    """Train from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--people", type=int, default=96, help="people to learn from; an eighth more is held out"
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the people's files stand, or are made"
    )
    parser.add_argument("--out", type=Path, required=True, help="the weights, .safetensors")
    parser.add_argument("--fits", type=int, default=2, help="fits of each person")
    parser.add_argument("--steps", type=int, default=Options().steps)
    parser.add_argument("--batch", type=int, default=Options().batch)
    parser.add_argument("--minutes", type=float, default=math.inf, help="of drawing and training at most")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes that draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", action="store_true", help="only measure the weights in --out")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    begin = time.monotonic()
    learn, held_out = people_files(options.folder, options.people, options.seed)
    if options.measure:
        tests = _drawn(held_out, 2 * options.seed + 1, 1, options.jobs)
        _tell(held_out_psnr(load_canvas_network(options.out), tests))
        return 0
    samples = _drawn(learn, 2 * options.seed, options.fits, options.jobs)
    tests = _drawn(held_out, 2 * options.seed + 1, 1, options.jobs)
    _log.info("%d samples drawn in %.0f s", len(samples) + len(tests), time.monotonic() - begin)
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    network = CanvasNetwork(load_template()).to(options.device)
    samples = [to_device(sample, options.device) for sample in samples]
    tests = [to_device(sample, options.device) for sample in tests]
    left = options.minutes - (time.monotonic() - begin) / 60
    begin = time.monotonic()
    losses = train(
        network, samples, Options(options.steps, options.batch, left, options.seed), options.device
    )
    gained = held_out_psnr(network, tests)
    gates = [
        value.detach().abs().mean().item()
        for name, value in network.named_parameters()
        if name.endswith("hand.gate")
    ]
    told = {
        "people": options.people,
        "fits": options.fits,
        "steps": len(losses),
        "held_out_db": {name: [round(value, 2) for value in pair] for name, pair in gained.items()},
    }
    save_canvas_network(options.out, network, told)
    _log.info("%d steps in %.0f s", len(losses), time.monotonic() - begin)
    _log.info("gates of the hands: %s", [round(gate, 3) for gate in gates])
    _tell(gained)
    return 0


def _tell(gained: dict[str, tuple[float, float]]) -> None:
    for name, (canvas, after) in gained.items():
        _log.info("held out, %s: canvas %.2f dB, pass %.2f dB", name, canvas, after)


if __name__ == "__main__":
    raise SystemExit(main())
