"""Which pixels of a frame show people, by MediaPipe 0.10.21's selfie segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from media._mediapipe import quiet, start_solution

__all__ = ["PersonSegmenter"]


class PersonSegmenter:
    """People against the background; a context manager without memory between frames.

    The general model (256x256; MediaPipe's `model_selection=0`) sees the whole frame squeezed to a square. It does
    not tell people apart, and things that a person touches can count as the person: a cushion, an arm of a chair.
    """

    def __init__(self) -> None:
        self._graph = start_solution("selfie_segmentation", "SelfieSegmentation", model_selection=0)

    def __enter__(self) -> PersonSegmenter:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()

    def probability(self, image: np.ndarray) -> np.ndarray:
        """Probability of a person at each pixel.

        Args:
            image: [H, W, 3] uint8 sRGB.

        Returns:
            [H, W] float32 in 0..1.
        """
        with quiet():
            result: Any = self._graph.process(np.ascontiguousarray(image))
        return np.array(result.segmentation_mask, np.float32)
