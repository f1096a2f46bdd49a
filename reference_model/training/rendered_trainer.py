"""The loop of the training through the renderer, on one process or several, that goes on where it was killed.

Everything a step draws depends on (seed, step, process) alone, and a checkpoint holds weights, their average and the
optimiser: a run that was killed at any moment and goes on gives the losses and weights of an undisturbed one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.particle_objective import ParticleObjective
from reference_model.training.rendered_batches import RenderedBatches, step_seed
from reference_model.training.rendered_objective import RenderedObjective, Scope

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["MixedObjective", "RenderedOptions", "RenderedTrainer", "make_accelerator", "read_checkpoint"]

_CHECKPOINT, _LOSSES = "checkpoint.pt", "losses.csv"
_MOTION_ROWS = slice(0, 3)  # of the Gaussian head's last layer: the offset


@dataclass(frozen=True, slots=True)
class RenderedOptions:
    """One training run."""

    scope: Scope = "appearance"
    steps: int = 300
    clips: int = 2
    """Of a step, in each process."""
    pictures: int = 3
    """Drawn of each clip."""
    frames: int = 110
    """Longest stretch of a clip."""
    seed: int = 0
    learning_rate: float = 3e-3
    """Of the scope "appearance"; "all" takes a tenth."""
    warm_up: int = 20
    ema: float = 0.99
    clip: float = 1.0
    checkpoint_every: int = 50
    picture_weight: float = 1.0
    """Factor of all terms of pictures and projected points, where geometry is mixed in."""
    geometry_batch: int = 0
    """Crops of the geometry corpus in each step, in each process; 0 for pictures alone."""
    geometry_frames: int = 100
    bfloat16: bool = False


class MixedObjective(nn.Module):
    """Pictures, and the geometric supervision of the same model if there is any.

    Args:
        rendered: Loss on pictures.
        geometric: Loss on points; it takes over the model of `rendered`.
        picture_weight: Factor of the terms of pictures.
    """

    def __init__(
        self, rendered: RenderedObjective, geometric: ParticleObjective | None, picture_weight: float
    ) -> None:
        super().__init__()
        self.rendered, self.geometric, self.picture_weight = rendered, geometric, picture_weight
        if geometric is not None:
            geometric.model = rendered.model

    def forward(self, clips: Any, crops: Any) -> dict[str, Tensor]:
        """Weighted terms of a batch of clips and one of crops, if any."""
        losses = {name: self.picture_weight * value for name, value in self.rendered(clips).items()}
        if self.geometric is not None:
            losses |= {f"geometry_{name}": value for name, value in self.geometric(crops).items()}
        return losses


class RenderedTrainer:
    """Trains in place.

    Args:
        objective: The loss, with the model.
        batches: Clips.
        corpus: The geometry corpus, if one is mixed in.
        options: The recipe.
        folder: Where checkpoint and losses go.
        accelerator: Processes and device.
        resume: Go on from the folder's checkpoint.

    Attributes:
        step: Steps done.

    Raises:
        AvatarBenchError: E504, the checkpoint is of other options or there is none to go on from.
    """

    def __init__(
        self,
        objective: MixedObjective,
        batches: RenderedBatches,
        corpus: CorpusBatches | None,
        options: RenderedOptions,
        folder: Path,
        accelerator: Accelerator,
        resume: bool = False,
    ) -> None:
        self.options, self.folder, self.step = options, folder, 0
        self.accelerator = accelerator
        self._batches, self._corpus = batches, corpus
        self._plain = objective
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        rate = options.learning_rate * (1.0 if options.scope == "appearance" else 0.1)
        # Without decay a parameter whose gradient is always zero keeps every bit.
        self._optimiser = torch.optim.AdamW(self._parameters, rate, (0.9, 0.99), weight_decay=0.0)
        self._rate = rate
        self._averaged = [p.detach().clone() for p in self._parameters]
        self._objective, self._prepared = accelerator.prepare(objective, self._optimiser)
        if resume:
            self._restore()

    def run(self, on_checkpoint: Callable[[int], None] | None = None) -> Iterator[dict[str, float]]:
        """Train to the end.

        Args:
            on_checkpoint: Called in the main process after each checkpoint, with the averaged weights in place.

        Yields:
            Loss terms of this process and their total, once a step.

        Raises:
            FloatingPointError: A gradient is not finite.
        """
        writer = self._tensorboard()
        self._cut_losses()
        while self.step < self.options.steps:
            terms = self._train_step()
            if self.accelerator.is_main_process:
                self._log(terms, writer)
            done = self.step == self.options.steps
            if done or self.step % self.options.checkpoint_every == 0:
                self._save()
                if on_checkpoint is not None and self.accelerator.is_main_process:
                    with self.averaged_weights():
                        on_checkpoint(self.step)
                self.accelerator.wait_for_everyone()
            yield terms
        if writer is not None:
            writer.close()

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The model holds the averaged weights inside, those of the optimiser again afterwards."""
        current = [p.detach().clone() for p in self._parameters]
        self._load(self._averaged)
        try:
            yield
        finally:
            self._load(current)

    def _train_step(self) -> dict[str, float]:
        options, process = self.options, self.accelerator.process_index
        seed = step_seed(options.seed, self.step, process)
        torch.manual_seed(seed)
        device = self.accelerator.device
        clips = self._batches.draw(options.clips, options.pictures, seed)
        crops = None
        if self._corpus is not None:
            generator = torch.Generator(device).manual_seed(seed)
            crops = self._corpus.draw(options.geometry_batch, options.geometry_frames, generator)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * _schedule(self.step, options)
        self._objective.train(options.scope == "all")
        losses = self._objective(clips, crops)
        total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        if options.scope == "appearance":
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad[_MOTION_ROWS] = 0
        norm = nn.utils.clip_grad_norm_(self._parameters, options.clip)
        terms = {name: float(value.detach()) for name, value in {"total": total, **losses}.items()}
        if not math.isfinite(float(norm)):
            raise FloatingPointError(f"the gradient is not finite in step {self.step}; losses {terms}")
        self._prepared.step()
        self.step += 1
        keep = min(options.ema, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, parameter in zip(self._averaged, self._parameters, strict=True):
                mean.lerp_(parameter, 1 - keep)
        return terms

    def _load(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self._parameters, values, strict=True):
                parameter.copy_(value)

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        state = {
            "options": asdict(self.options),
            "step": self.step,
            "parameters": [p.detach().cpu() for p in self._parameters],
            "averaged": [p.cpu() for p in self._averaged],
            "optimiser": self._optimiser.state_dict(),
        }
        with atomic_write(self.folder / _CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def _restore(self) -> None:
        state = read_checkpoint(self.folder, self.options, self.accelerator.device)
        self.step = state["step"]
        self._load(state["parameters"])
        for mean, value in zip(self._averaged, state["averaged"], strict=True):
            mean.copy_(value)
        self._optimiser.load_state_dict(state["optimiser"])

    def _log(self, terms: dict[str, float], writer: Any) -> None:
        path = self.folder / _LOSSES
        row = {"step": self.step, **{name: repr(value) for name, value in terms.items()}}
        new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(row))
            if new:
                table.writeheader()
            table.writerow(row)
        if writer is not None:
            for name, value in terms.items():
                writer.add_scalar(f"loss/{name}", value, self.step)

    def _cut_losses(self) -> None:
        """Drop rows of steps that will be done again."""
        path = self.folder / _LOSSES
        if not self.accelerator.is_main_process or not path.is_file():
            return
        rows = path.read_text("utf-8").splitlines()
        kept = [
            row
            for row in rows[1:]
            if row.count(",") == rows[0].count(",") and int(row.split(",")[0]) <= self.step
        ]
        if self.step == 0:
            path.unlink()
            return
        with atomic_write(path) as temporary:
            temporary.write_text("\n".join([rows[0], *kept]) + "\n", "utf-8")

    def _tensorboard(self) -> Any:
        if not self.accelerator.is_main_process:
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # the table of losses says the same
            return None
        return SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.step)


def read_checkpoint(
    folder: Path, options: RenderedOptions, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """What a run left behind: "step", "parameters", "averaged", "optimiser".

    Raises:
        AvatarBenchError: E504, there is none or it is of other options.
    """
    path = folder / _CHECKPOINT
    if not path.is_file():
        raise AvatarBenchError("E504", "there is nothing to go on from", where=path, fix="leave out --resume")
    state = torch.load(path, map_location=device, weights_only=True)
    mine = asdict(options)
    changed = [name for name in mine if mine[name] != state["options"].get(name)]
    if changed:
        raise AvatarBenchError(
            "E504",
            "the run was begun with other options",
            where=path,
            expected=", ".join(f"{name}={state['options'].get(name)!r}" for name in changed),
            got=", ".join(f"{name}={mine[name]!r}" for name in changed),
            fix="repeat them, or give another folder",
        )
    return state


def make_accelerator(cpu: bool) -> Accelerator:
    """Processes and device as the launcher made them.

    Raises:
        AvatarBenchError: E603, accelerate is missing.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise AvatarBenchError(
            "E603", "training needs accelerate", got=str(error), fix="pip install 'avatarbench[train]'"
        ) from error
    # Some parameters have no gradient in some steps: a head without a hand in the picture, say.
    return Accelerator(cpu=cpu, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])


def _schedule(step: int, options: RenderedOptions) -> float:
    """Linear warm-up, then half a cosine to 2 % of the full rate."""
    if step < options.warm_up:
        return (step + 1) / options.warm_up
    progress = (step - options.warm_up) / max(1, options.steps - options.warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
