"""Answers about the last frames, so that extractors that ask the same thing of the same frame share the work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Generic, TypeVar

import numpy as np

__all__ = ["LatestPair", "RecentFrames"]

_KEPT = 20
"""The frames of one instant, and of the instant before, of the ladder's eight rungs and their truth."""
_SPARSE = slice(None, None, 41)

_Answer = TypeVar("_Answer")


class RecentFrames(Generic[_Answer]):
    """A detector without memory between frames, with its last answers at hand.

    Methods are compared with the same true frame, several extractors look at one frame, and a picture that stands
    still decodes to equal frames: each is looked at once. Answers are shared, so nobody may write to them.
    """

    def __init__(
        self, detector: AbstractContextManager[object], look: Callable[[np.ndarray], _Answer]
    ) -> None:
        """`look` is a function of the frame alone; `detector` is closed with this object."""
        self._stack = ExitStack()
        self._stack.enter_context(detector)
        self._look = look
        self._known: deque[tuple[np.ndarray, _Answer]] = deque(maxlen=_KEPT)
        self.n_forwards = 0
        """How often the detector has looked."""

    def __enter__(self) -> RecentFrames[_Answer]:
        return self

    def __exit__(self, *exception: object) -> None:
        self._known.clear()
        self._stack.close()

    def __call__(self, frame: np.ndarray) -> _Answer:
        """What the detector says of a frame [H, W, 3] uint8 sRGB."""
        for known, answer in reversed(self._known):
            if known is frame or _equal(known, frame):
                return answer
        answer = self._look(frame)
        self.n_forwards += 1
        self._known.append((frame, answer))
        return answer


class LatestPair(Generic[_Answer]):
    """A function of two frames, with its last answer at hand."""

    def __init__(self, compare: Callable[[np.ndarray, np.ndarray], _Answer]) -> None:
        self._compare = compare
        self._latest: tuple[np.ndarray, np.ndarray, _Answer] | None = None

    def __call__(self, first: np.ndarray, second: np.ndarray) -> _Answer:
        """The function of two arrays; only the very same objects count as the same."""
        latest = self._latest
        if latest is None or latest[0] is not first or latest[1] is not second:
            latest = self._latest = (first, second, self._compare(first, second))
        return latest[2]


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or not np.array_equal(one[_SPARSE, _SPARSE], other[_SPARSE, _SPARSE]):
        return False  # nearly all frames that differ, at a glance
    return np.array_equal(one, other)
