"""The training loop: AdamW under a warm-up and half a cosine, with averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from reference_model.networks.audio_encoder import AudioEncoder
from reference_model.training.batches import Batch
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.face_geometry import FaceGeometry
from reference_model.training.face_report import FaceCurves, FaceReport, face_report
from reference_model.training.speech_readout import SpeechReadout

__all__ = ["Objective", "Trainer", "TrainingOptions", "evaluate"]

_BETAS = 0.9, 0.98
_READOUT_RATE = 1e-2
"""Of a read-out that learns alone: one linear layer."""
_PACE_STEPS = 20, 60
"""Steps between which the pace is taken; the first ones compile and allocate."""


class Objective(Protocol):
    """A network with its loss; also an `nn.Module`."""

    kind: str
    network: nn.Module
    """What is saved."""
    geometry: FaceGeometry
    """The points that are supervised."""
    readout: SpeechReadout
    """What the network's driving tokens must tell."""

    def config(self) -> dict[str, int | float | str]:
        """Sizes, for the header of the weights file."""
        ...

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted loss terms."""
        ...

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """How prediction and animator move the points of `geometry`, metres, [B, T, n, 3] each."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """One training run."""

    steps: int = 4000
    speech_steps: int = 1500
    """Steps before these, of twice as many crops, in which the audio encoder learns for the read-out alone; of a
    network that has weights already, only the read-out learns."""
    batch: int = 32
    """Crops of a step."""
    frames: int = 100
    """Pictures of a crop; 100 are 4 s."""
    seed: int = 0
    evaluate_every: int = 250
    held_out_crops: int = 64
    minutes: float = math.inf
    """Upper limit of the time of `steps`: the pace of the first ones decides how many there will be."""
    density: float = 1.0
    """Share of the supervised points."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_up: int = 200
    clip: float = 1.0
    ema: float = 0.998


class Trainer:
    """Trains an objective in place.

    Args:
        objective: An `Objective`.
        corpus: Where batches come from.
        options: The recipe.
        device: Where to train.
        started: The network has weights already.

    Attributes:
        options: The recipe; its `steps` may have been lowered to keep within `minutes`.
        step: Steps done.
    """

    def __init__(
        self,
        objective: nn.Module,
        corpus: CorpusBatches,
        options: TrainingOptions,
        device: torch.device,
        started: bool = False,
    ) -> None:
        self.options, self.step, self._started = options, 0, started
        self._objective = objective.to(device).train()
        self._corpus = corpus
        self._generator = torch.Generator(device).manual_seed(options.seed)
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self._parameters,
            options.learning_rate,
            _BETAS,
            weight_decay=options.weight_decay,
            fused=device.type == "cuda",
        )
        self._averaged = [p.detach().clone() for p in self._parameters]

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end.

        Yields:
            Loss terms and their total, once a step; those of `speech_steps` are not among them.

        Raises:
            FloatingPointError: A gradient is not finite.
        """
        self._learn_to_tell()
        paced = 0.0
        while self.step < self.options.steps:
            yield self._train_step()
            if self.step == _PACE_STEPS[0]:
                paced = time.perf_counter()
            if self.step == _PACE_STEPS[1]:
                self._limit_steps((time.perf_counter() - paced) / (_PACE_STEPS[1] - _PACE_STEPS[0]))

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The objective holds the averaged weights inside, those of the optimiser again afterwards."""
        current = [p.detach().clone() for p in self._parameters]
        self._load(self._averaged)
        try:
            yield
        finally:
            self._load(current)

    def _learn_to_tell(self) -> None:
        options, objective = self.options, cast(Objective, self._objective)
        encoder, readout = cast(AudioEncoder, objective.network.audio), objective.readout
        parameters, rate = [*encoder.parameters(), *readout.parameters()], options.learning_rate
        if self._started:
            parameters, rate = list(readout.parameters()), _READOUT_RATE
        optimiser = torch.optim.AdamW(parameters, rate, _BETAS, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, options.speech_steps))
        for _ in range(options.speech_steps):
            batch = self._corpus.draw(2 * options.batch, options.frames, self._generator)
            loss = readout(encoder(batch.mel, batch.innovations)[0], batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, options.clip)
            optimiser.step()
            schedule.step()

    def _train_step(self) -> dict[str, float]:
        options = self.options
        for group in self._optimiser.param_groups:
            group["lr"] = options.learning_rate * _schedule(self.step, options)
        losses = self._objective(self._corpus.draw(options.batch, options.frames, self._generator))
        total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, options.clip)
        terms = {name: value.item() for name, value in {"total": total, **losses}.items()}
        if not math.isfinite(norm.item()):
            raise FloatingPointError(f"the gradient is not finite in step {self.step}; losses {terms}")
        self._optimiser.step()
        self.step += 1
        # A young average must not remember the random start for long.
        keep = min(options.ema, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, parameter in zip(self._averaged, self._parameters, strict=True):
                mean.lerp_(parameter, 1 - keep)
        return terms

    def _limit_steps(self, pace_s: float) -> None:
        affordable = int(self.options.minutes * 60 / pace_s) if math.isfinite(self.options.minutes) else None
        if affordable is not None and affordable < self.options.steps:
            self.options = replace(self.options, steps=max(affordable, self.step + 1))

    def _load(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self._parameters, values, strict=True):
                parameter.copy_(value)


def _schedule(step: int, options: TrainingOptions) -> float:
    """Linear warm-up, then half a cosine to 2 % of the full rate."""
    warm_up = min(options.warm_up, options.steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, options.steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def evaluate(objective: Any, batches: Sequence[Batch]) -> FaceReport:
    """Figures of an `Objective` on held-out voices and sentences; lips by the middle third of the mouth."""
    training = objective.training
    objective.eval()
    predicted, wanted, closure = [], [], []
    for batch in batches:
        scene = objective.geometry.scene(batch.shape, batch.expression)
        lengths = (batch.weight > 0).sum(1).tolist()
        for moved, curves in zip(objective.predict(batch), (predicted, wanted), strict=True):
            gap = objective.geometry.lip_gap(scene, moved)
            third = gap.shape[-1] // 3
            middle = gap[..., third:-third].mean(-1).cpu().numpy()  # [B, T]
            drop = objective.geometry.lid_drop(moved).cpu().numpy()
            curves += [FaceCurves(middle[row, :n], drop[row, :n]) for row, n in enumerate(lengths)]
        closure += [batch.closure[row, :n].cpu().numpy() for row, n in enumerate(lengths)]
    objective.train(training)
    return face_report(predicted, wanted, closure)
