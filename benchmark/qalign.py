"""Q-Align in a process of its own: what is asked, and the pipe to the process that answers.

Q-Align (Wu et al. 2023, "Q-Align: Teaching LMMs for Visual Scoring via Discrete Text-Defined Levels") shows a language
model a picture and a sentence that stops before its last word. The logits of five words, excellent to bad, give the
score. pyiqa's code for it changes transformers for the whole process, so `benchmark.qalign_worker` runs it elsewhere.
"""

from __future__ import annotations

import numpy as np

__all__ = ["LEVELS", "LEVEL_SCORES", "PAD_COLOUR", "SIDE", "pad_to_square", "prompt"]

LEVELS = ("excellent", "good", "fair", "poor", "bad")
LEVEL_SCORES = (5.0, 4.0, 3.0, 2.0, 1.0)
"""Of `LEVELS`, as in the paper; `scorer.py` of the authors has (1, .75, .5, .25, 0), which is (score - 1) / 4."""
SIDE = 448
"""Of the square picture that the network sees, px."""
PAD_COLOUR = (122, 116, 104)
"""RGB beside a picture that is no square: CLIP's mean, as `int(255 * mean)`."""


def prompt(word: str) -> str:
    """The sentence of `scorer.py` that asks for `word`: `quality` or `aesthetics` (not "aesthetic")."""
    return f"USER: How would you rate the {word} of this image?\n<|image|>\nASSISTANT: The {word} of the image is"


def pad_to_square(frame: np.ndarray) -> np.ndarray:
    """A frame [H, W, 3] uint8 sRGB in the middle of a square of `PAD_COLOUR`, an odd pixel to the right or below."""
    height, width = frame.shape[:2]
    side = max(height, width)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = PAD_COLOUR
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = frame
    return square
