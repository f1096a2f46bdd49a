"""What the driving tokens must tell of the speech, read out by one linear layer that is thrown away after training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.corpus.speech.visemes import PHONEME_CLASSES
from reference_model.training.batches import Batch

__all__ = ["SpeechReadout"]

_GAP_SCALE_MM = 5.0
_GAP_WEIGHT = 3.0
_CLOSED_WEIGHT = 4.0
"""Extra weight of the gap in frames where the lips must be shut."""
_PHONEME_WEIGHT = 0.3


class SpeechReadout(nn.Module):
    """Gap of the lips and class of the phoneme from driving tokens.

    The motion's losses reach the audio encoder through the whole deformer, and most of what moves is not lips. An
    encoder that learns from them alone hears less than it can: one that first learns to tell gap and phoneme, and
    must go on telling them, follows unseen voices more closely (docs/model_card.md).

    Args:
        dim_driving: Width of a driving token.
    """

    def __init__(self, dim_driving: int) -> None:
        super().__init__()
        self.gap = nn.Linear(dim_driving, 1)
        self.phoneme = nn.Linear(dim_driving, len(PHONEME_CLASSES))

    def forward(self, driving: Tensor, batch: Batch) -> Tensor:
        """Huber loss of the gap and cross-entropy of the phoneme, scalar.

        Args:
            driving: Tokens, [B, T, d].
            batch: The truth.
        """
        frames = (batch.weight > 0).float()
        gap_error = self.gap(driving)[..., 0] - batch.gap / _GAP_SCALE_MM
        gap = F.smooth_l1_loss(gap_error, torch.zeros_like(gap_error), reduction="none", beta=0.1)
        gap_weight = frames * (1 + _CLOSED_WEIGHT * batch.closure)
        phoneme = F.cross_entropy(self.phoneme(driving).transpose(1, 2), batch.phoneme, reduction="none")
        return _GAP_WEIGHT * (gap * gap_weight).sum() / gap_weight.sum().clamp(min=1e-6) + _PHONEME_WEIGHT * (
            phoneme * frames
        ).sum() / frames.sum().clamp(min=1e-6)
