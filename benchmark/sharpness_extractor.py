"""Sharpness and noise of the person in every fifth frame, as an extractor."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.definition import Arrays
from benchmark.networks import Networks
from benchmark.person_extractors import PERSON_SEGMENTER
from benchmark.sharpness import MIN_SIDE, crete_blur, luma, noise_deviation

__all__ = ["SHARPNESS_PREPROCESSING", "PersonSharpness"]

STEP = 5
"""One frame in so many is looked at, the first one first."""
MIN_SHARE = 0.01
"""A frame shows a person when at least this share of its pixels does; less is a speck in the background."""
SHARPNESS_PREPROCESSING = (
    f"every {STEP}th frame, box (blur) and pixels (noise) above .5 of the segmenter, BT.601 brightness"
)


class PersonSharpness:
    """Blur of the box about the person, and noise on the person, as the segmenter sees it in the judged frame itself.

    `blur` and `noise` [S] float64, one a frame looked at, NaN where it shows no person: `benchmark.sharpness` says what
    they are. The box holds background, too; what lies outside of it does not count.
    """

    def __init__(self, networks: Networks) -> None:
        self._segmenter = networks.get(PERSON_SEGMENTER)
        self._forwards = networks.counters.forwards
        self._n_frames = 0
        self._found: list[tuple[float, float]] = []

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, and look at every fifth."""
        if self._n_frames % STEP == 0:
            self._found.append(self._look(frame))
        self._n_frames += 1

    def arrays(self) -> Arrays:
        """`blur` and `noise`."""
        blur, noise = np.array(self._found, np.float64).reshape(-1, 2).T
        return {"blur": blur, "noise": noise}

    def _look(self, frame: np.ndarray) -> tuple[float, float]:
        before = self._segmenter.n_forwards
        mask = self._segmenter(frame)
        self._forwards[PERSON_SEGMENTER.id] += self._segmenter.n_forwards - before
        box = person_box(mask)
        if box is None:
            return np.nan, np.nan
        brightness = luma(frame[box])
        return crete_blur(brightness), noise_deviation(brightness, mask[box])


def person_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns about the pixels of `mask` [H, W] bool; None where they are too few, or the box too narrow."""
    if np.count_nonzero(mask) < MIN_SHARE * mask.size:
        return None
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return box if min(side.stop - side.start for side in box) >= MIN_SIDE else None
