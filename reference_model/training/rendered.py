"""Train through the renderer: `avatar train`, section 3.3 of the paper."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.networks.model import WEIGHTS, AvatarModel, config_dict, load_model
from reference_model.networks.weights import read_metadata, save_weights
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.losses import LossWeights
from reference_model.training.particle_objective import ParticleObjective
from reference_model.training.rendered_batches import RenderedBatches
from reference_model.training.rendered_file import PackedClip, PackedFile, load_packed
from reference_model.training.rendered_objective import RenderedObjective
from reference_model.training.rendered_trainer import (
    MixedObjective,
    RenderedOptions,
    RenderedTrainer,
    make_accelerator,
    read_checkpoint,
)

__all__ = ["train_packed", "train_rendered", "validation_loss"]

_log = logging.getLogger(__name__)
_SHEET_PICTURES = 6
_NO_READOUT = LossWeights(speech=0.0)
"""The read-out is not kept with the weights, and a new one would have to be taught first."""
Progress = Callable[[int, dict[str, float]], None]


def train_rendered(
    data: Path,
    out: Path,
    options: RenderedOptions,
    *,
    start: Path | None = None,
    geometry: Path | None = None,
    cpu: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train, and write weights, checkpoint, losses and validation sheets into a folder.

    Args:
        data: File of `avatar corpus pack`.
        out: The folder; made.
        options: The recipe.
        start: Weights to begin with; the shipped ones when None.
        geometry: Corpus of `reference_model.corpus.geometry_corpus`, if `options.geometry_batch` asks for it.
        cpu: Train on the CPU even where there is a GPU.
        resume: Go on with the folder's run.
        progress: Called after each step with the number of steps done and the loss terms.

    Returns:
        Validation losses of the weights at the start ("before_...") and of the averaged ones at the end ("after_...").

    Raises:
        AvatarBenchError: E401 for data that cannot be read, E502 for weights, E504 for options that do not fit.
    """
    if resume:
        read_checkpoint(out, options)  # before minutes of preparation
    return train_packed(
        load_packed(data), out, options,
        start=start, geometry=geometry, cpu=cpu, resume=resume, progress=progress,
    )  # fmt: skip


def train_packed(
    packed: PackedFile,
    out: Path,
    options: RenderedOptions,
    *,
    start: Path | None = None,
    geometry: Path | None = None,
    cpu: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "avatar train --preset mini",
) -> dict[str, float]:
    """As `train_rendered`, of data in memory; `command` is what the weights say they came from."""
    if options.geometry_batch and (geometry is None or options.scope != "all"):
        raise AvatarBenchError(
            "E504", "geometry can be mixed in with --scope all and --geometry FILE only", where="--geometry-batch"
        )  # fmt: skip
    accelerator = make_accelerator(cpu)
    device = accelerator.device
    batches = RenderedBatches(packed, device, options.frames)
    model = _trainable(start)
    rendered = RenderedObjective(
        model, batches.people, packed.size, options.scope, device, bfloat16=options.bfloat16
    )
    corpus = CorpusBatches(geometry, device) if geometry is not None and options.geometry_batch else None
    geometric = (
        None if corpus is None else ParticleObjective(config=model.config, weights=_NO_READOUT).to(device)
    )
    objective = MixedObjective(rendered, geometric, options.picture_weight)
    out.mkdir(parents=True, exist_ok=True)
    before = validation_loss(rendered, batches)
    trainer = RenderedTrainer(objective, batches, corpus, options, out, accelerator, resume)

    def on_checkpoint(step: int) -> None:
        write_sheet(out / f"sheet_{step:05d}.png", rendered, batches, batches.held_out[0])

    for terms in trainer.run(on_checkpoint):
        if progress is not None and accelerator.is_main_process:
            progress(trainer.step, terms)
    figures: dict[str, float] = {}
    if accelerator.is_main_process:
        with trainer.averaged_weights():
            after = validation_loss(rendered, batches)
            figures = {f"before_{k}": v for k, v in before.items()} | {
                f"after_{k}": v for k, v in after.items()
            }
            document = {
                "kind": "AvatarModel",
                "config": config_dict(model.config),
                "options": asdict(options) | {"processes": accelerator.num_processes},
                "command": command,
                "data_sha256": packed.sha256,
                "geometry_sha256": None if corpus is None else corpus.sha256,
                "torch": torch.__version__,
                "held_out": figures,
                "start": read_metadata(WEIGHTS if start is None else start, "AvatarModel"),
            }
            save_weights(out / "weights.safetensors", model.state_dict(), document)
            write_film(out / "validation.mp4", rendered, batches, batches.held_out[0])
    accelerator.wait_for_everyone()
    return figures


@torch.no_grad()
def validation_loss(
    rendered: RenderedObjective, batches: RenderedBatches, most: int = 12
) -> dict[str, float]:
    """Mean unweighted terms over the clips kept for validation."""
    was_training = rendered.training
    rendered.eval()
    sums: dict[str, list[float]] = {}
    for clip in batches.held_out:
        terms = rendered(batches.whole(clip, most))
        for name, value in terms.items():
            sums.setdefault(name, []).append(float(value) / getattr(rendered.weights, name))
    rendered.train(was_training)
    return {name: float(np.mean(values)) for name, values in sums.items()}


def write_sheet(path: Path, rendered: RenderedObjective, batches: RenderedBatches, clip: PackedClip) -> None:
    """A PNG of pictures of one clip: a column for each, true above ours, view by view."""
    rows = _side_by_side(rendered, batches, clip, _SHEET_PICTURES)
    columns = [np.concatenate(row, 1) for row in zip(*rows, strict=True)]
    width = max(column.shape[1] for column in columns)
    sheet = np.concatenate([_padded(column, width) for column in columns])
    with atomic_write(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])


def write_film(path: Path, rendered: RenderedObjective, batches: RenderedBatches, clip: PackedClip) -> None:
    """A clip with its sound, true beside ours, where PyAV is at hand."""
    try:
        from media.video import write_video
    except ImportError:
        _log.warning("PyAV is missing: no film of the validation clip is written")
        return
    pairs = _side_by_side(rendered, batches, clip, None)
    every = int(clip.shown[1] - clip.shown[0]) if len(clip.shown) > 1 else 1
    frames = (np.concatenate(pair[:2], 1) for pair in pairs)
    even = (frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2] for frame in frames)
    write_video(path, even, 25.0 / every, audio=clip.samples.numpy().astype(np.float32) / 32767)


@torch.no_grad()
def _side_by_side(
    rendered: RenderedObjective, batches: RenderedBatches, clip: PackedClip, most: int | None
) -> list[list[np.ndarray]]:
    """For each picture true and ours in each view, [h, w, 3] uint8, over black."""
    was_training = rendered.training
    rendered.eval()
    batch = batches.whole(clip, most)
    person = rendered.people[batch.people[0]]
    states, residuals = rendered.motion(batch)
    moved = person.rig.apply(states, residuals)
    parts = []
    for view in range(len(person.views)):
        ours, _ = rendered.draw(person, moved, view)
        parts += [batch.rgb[view][0], ours]
    rendered.train(was_training)
    pictures = [(part.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy() for part in parts]
    return [list(row) for row in zip(*pictures, strict=True)]


def _padded(picture: np.ndarray, width: int) -> np.ndarray:
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)))


def _trainable(start: Path | None) -> AvatarModel:
    model = load_model(start).requires_grad_(True)
    for reading in (model.text, model.audio.fusion):  # no clip has a text: `geometric --text` trains them
        if reading is not None:
            reading.requires_grad_(False)
    return model
