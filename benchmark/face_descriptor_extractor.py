"""Likeness of the face in every fifth frame to that of the reference picture, as an extractor."""

from __future__ import annotations

import numpy as np

from benchmark.face_descriptor import describe_face, five_points
from benchmark.metrics.definition import Arrays
from benchmark.networks import Networks
from benchmark.person_extractors import FACE_MESH

__all__ = ["FACE_LIKENESS_PREPROCESSING", "FaceLikeness"]

STEP = 5
"""One frame in so many is looked at, the first one first."""
FACE_LIKENESS_PREPROCESSING = (
    f"every {STEP}th frame; largest face by five points of the mesh to 112x112, Gaussian 1.5 px, HOG of 88x80"
)


class FaceLikeness:
    """Cosine of the descriptors of the largest face in the reference picture and in the prediction's frames.

    The reference picture is the first true frame, the only picture that a method sees. `cosine` [S] float64, one a
    frame looked at, NaN where no face is found in it or in the reference picture; `reference` [1] bool, whether that
    shows a face. Faces are not followed: of several the largest counts.
    """

    def __init__(self, networks: Networks) -> None:
        self._mesh = networks.get(FACE_MESH)
        self._forwards = networks.counters.forwards
        self._n_frames = 0
        self._reference: np.ndarray | None = None
        self._cosine: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame, and look at every fifth; of the true frames at the first one alone."""
        if self._n_frames == 0:
            self._reference = self._describe(truth)
        if self._n_frames % STEP == 0:
            self._cosine.append(self._compare(prediction))
        self._n_frames += 1

    def arrays(self) -> Arrays:
        """`cosine` and `reference`."""
        return {
            "cosine": np.array(self._cosine, np.float64),
            "reference": np.array([self._reference is not None]),
        }

    def _compare(self, picture: np.ndarray) -> float:
        if self._reference is None:
            return np.nan
        found = self._describe(picture)
        return np.nan if found is None else float(found @ self._reference)

    def _describe(self, picture: np.ndarray) -> np.ndarray | None:
        before = self._mesh.n_forwards
        mesh = self._mesh(picture)
        self._forwards[FACE_MESH.id] += self._mesh.n_forwards - before
        return None if mesh is None else describe_face(picture, five_points(mesh))
