"""Items of one clip that are equal to the byte, so that a network need not see them twice.

A picture that stands still decodes to frames that repeat: the encoder leaves them alone, or alternates between a few.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["Distinct"]


class Distinct:
    """Numbers the different items of a clip in the order of their first appearance; it keeps no item."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self.numbers: list[int] = []
        """Which of the different items each item was."""

    def is_new(self, item: np.ndarray) -> bool:
        """Number the next item, an array of the clip's one shape and dtype; False where it has been seen before."""
        n_before = len(self._numbers)
        digest = hashlib.sha256(np.ascontiguousarray(item).data).digest()
        self.numbers.append(self._numbers.setdefault(digest, n_before))
        return len(self._numbers) > n_before
