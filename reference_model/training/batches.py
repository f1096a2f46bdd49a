"""What a training step gets to see; both our model and the pose-driven rival learn from the same batches."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Batch"]


class Batch(NamedTuple):
    """B crops of T pictures at 25 frames a second."""

    mel: Tensor
    """Normalised log-mel, [B, 4T, 80]."""
    innovations: Tensor
    """The noise that the animator used, [B, T, 8]."""
    shape: Tensor
    """Shape coefficients of the people, [B, K]."""
    expression: Tensor
    """Facial actions of their photos, [B, 52]."""
    change: Tensor
    """Facial actions minus those of the photo, [B, T, 52]."""
    rotations: Tensor
    """Joint rotations relative to the photo, in bone axes, radians, [B, T, J, 3]."""
    closure: Tensor
    """The lips have to be shut here, [B, T] bool."""
    gap: Tensor
    """Gap between the lips of the mean face that speaks without an expression, millimetres, [B, T]."""
    phoneme: Tensor
    """What sounds: index into the corpus's classes, [B, T] int64."""
    text_ids: Tensor
    """What is said in each crop and shortly before, as `PhonemeEncoder` takes it, [B, L, 6] int64."""
    text_start: Tensor
    """When each phoneme begins, pictures from the crop's first, [B, L]; infinite where there is none."""
    weight: Tensor
    """Weight of each frame in the loss; 0 past the end of an utterance, [B, T]."""
