"""Phoneme encoder and fusion of a model that hears already.

What the model hears with and moves with stays, to the bit: without a text it makes the frames it made before. The text
learns through the frozen deformer and head, from the same losses as the motion did.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from reference_model.networks.model import AvatarModel, load_model
from reference_model.training.batches import Batch
from reference_model.training.losses import LossWeights
from reference_model.training.particle_objective import ParticleObjective

__all__ = ["text_objective", "with_text", "without_words"]


def with_text(model: AvatarModel) -> AvatarModel:
    """The same model with a new phoneme encoder and fusion; without a text it does what `model` does."""
    reading = AvatarModel(replace(model.config, text="phonemes"))
    loaded = reading.load_state_dict(model.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    return reading


def text_objective(start: Path, density: float = 1.0) -> ParticleObjective:
    """The objective of a model whose text side learns, and nothing else.

    Args:
        start: Weights that hear.
        density: Share of the supervised points.

    Raises:
        AvatarBenchError: E5xx, the weights cannot be read.
    """
    model = with_text(load_model(start))
    objective = ParticleObjective(density, model.config, LossWeights(speech=0.0))
    objective.model.load_state_dict(model.state_dict())
    assert objective.model.text is not None and objective.model.audio.fusion is not None
    objective.requires_grad_(False)
    for reads in (objective.model.text, objective.model.audio.fusion):
        reads.requires_grad_(True)
    # Without a text there is nothing here to learn.
    objective.model.audio.fusion.text_dropout = 0.0
    return objective


def without_words(batch: Batch) -> Batch:
    """The batch without its text."""
    return batch._replace(text_start=torch.full_like(batch.text_start, torch.inf))
