"""The steady state of a performance as CUDA graphs: stretch after stretch of one shape, launched as a whole.

Live, a picture's networks and rig are some 400 small kernels, and launching them one by one takes longer than running
them. A CUDA graph records them once and launches all of them by one call. It holds fixed tensors and shapes: the first
stretches of a sound, the last one and texts go through the ordinary calls.
"""

from __future__ import annotations

from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.cuda_graph import Graphed
from reference_model.networks.audio_encoder import EncoderState
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import AvatarContext, AvatarModel, Memory

__all__ = ["SteadyState"]


class SteadyState:
    """Networks and rig of one avatar on a CUDA device, as captured graphs.

    Belongs to the context that it was made with: a new avatar needs a new one.

    Args:
        model: A model without text.
        context: The avatar, on the model's device.
    """

    def __init__(self, model: AvatarModel, context: AvatarContext) -> None:
        if model.device.type != "cuda":
            raise ValueError(f"CUDA graphs need a model on a CUDA device, got {model.device}")
        self._model, self._context = model, context
        self._advance = Graphed(self._advance_tensors)
        self._apply = Graphed(self._apply_tensors)

    def advance(self, heard: Tensor, innovations: Tensor, memory: Memory) -> tuple[Tensor, Residuals, Memory]:
        """As `AvatarModel.advance` within a sound."""
        encoder = memory.encoder
        tensors = (heard, innovations, encoder.heard, encoder.hidden, *memory[1:])
        found = [part.clone() for part in self._advance(*tensors)]
        return found[0], Residuals(*found[1:5]), Memory(EncoderState(found[5], found[6]), *found[7:])

    def apply(self, states: Tensor, residuals: Residuals) -> Gaussians:
        """As `Rig.apply`; the Gaussians are good until the next call."""
        return Gaussians(*self._apply(states, *residuals))

    def _advance_tensors(
        self, heard: Tensor, innovations: Tensor, mel: Tensor, hidden: Tensor, *memory: Tensor
    ) -> tuple[Tensor, ...]:
        before = Memory(EncoderState(mel, hidden), *memory)
        states, residuals, after = self._model.advance(self._context, heard, innovations, before, last=False)
        return (states, *residuals, after.encoder.heard, after.encoder.hidden, *after[1:])

    def _apply_tensors(self, states: Tensor, *residuals: Tensor) -> tuple[Tensor, ...]:
        moved = self._context.rig.apply(states, Residuals(*residuals))
        return (moved.means, moved.quats, moved.scales, moved.opacities, moved.colors)
