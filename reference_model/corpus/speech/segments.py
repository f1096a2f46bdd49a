"""What a synthesiser of recorded voices gives back, in its own names of phonemes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Segment", "Spoken"]


class Segment(NamedTuple):
    """One phoneme or pause."""

    end_s: float
    name: str
    """As the voice calls it."""
    stressed: bool
    """Whether its syllable is stressed, as the voice's rules say."""
    word: str
    """Spelling; empty in pauses."""
    word_id: str
    """Tells a word from the next one of the same spelling; empty in pauses."""


class Spoken(NamedTuple):
    """A text as it was spoken."""

    samples: np.ndarray
    """[S] int16."""
    sample_rate: int
    segments: list[Segment]
    """In order; the first begins with the sound. Empty when nothing could be said."""
