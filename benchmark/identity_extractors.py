"""The identity of the person as an extractor: embeddings of the face in each frame and in the reference picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmark.distinct import Distinct
from benchmark.hashing import sha256_json
from benchmark.identity import (
    EMBEDDING_SIZE,
    Faces,
    align_face,
    choose_face,
    detect_faces,
    embed_face,
    open_session,
)
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from benchmark.paper_networks import Parallel, PendingCalls, parallel
from benchmark.weights import weight_path, weight_sha256

__all__ = ["FACE_IDENTITY_PREPROCESSING", "IDENTITY", "FaceIdentity"]

FACE_IDENTITY_PREPROCESSING = (
    "RGB; SCRFD at 640x640, scores from .5, NMS .4; five points to 112x112, / 127.5 - 1"
)
_DETECTION, _RECOGNITION = "buffalo_l_detection", "buffalo_l_recognition"


class FaceNetworks(NamedTuple):
    """SCRFD and ArcFace of buffalo_l on threads."""

    detect: Parallel[np.ndarray, Faces]
    """All faces of a picture [H, W, 3] uint8 RGB."""
    embed: Parallel[np.ndarray, np.ndarray]
    """The embedding [512] float32 of an aligned face [112, 112, 3] uint8 RGB."""


@contextmanager
def _load() -> Iterator[FaceNetworks]:
    paths = [weight_path(name) for name in (_DETECTION, _RECOGNITION)]
    detection, recognition = map(open_session, paths)
    with (
        parallel(partial(detect_faces, detection)) as detect,
        parallel(partial(embed_face, recognition)) as embed,
    ):
        yield FaceNetworks(detect, embed)


IDENTITY: Network[FaceNetworks] = Network(
    "insightface_buffalo_l",
    _load,
    lambda: sha256_json([weight_sha256(_DETECTION), weight_sha256(_RECOGNITION)]),
    (_DETECTION, _RECOGNITION),
)
"""SCRFD-10G and ArcFace R50 of buffalo_l."""


class FaceIdentity:
    """Embeddings of the reference picture's largest face, and of the face that is followed through the prediction.

    The reference picture is the first true frame, the only picture that a method sees. `reference` [512] float32 of
    unit length and `reference_box` [4] float32 px; `embedding` [T, 512] and `box` [T, 4], the same of each frame. NaN
    where no face is.
    Of several faces the first frame's largest is followed, and then the one that overlaps most with the last one
    seen; where none does (a cut, a return elsewhere) again the largest. The others are not embedded, and equal pictures
    and equal crops are looked at once.
    """

    def __init__(self, networks: Networks) -> None:
        network = networks.get(IDENTITY)
        self._forwards = networks.counters.forwards
        self._pictures, self._faces = Distinct(), PendingCalls(network.detect)
        self._crops, self._embeddings = Distinct(), PendingCalls(network.embed)
        self._waiting: deque[np.ndarray] = deque()  # pictures in which no face has been chosen yet
        self._n_waiting = network.detect.n_threads
        self._boxes: list[np.ndarray] = []  # [4] each, of the chosen faces
        self._last: np.ndarray | None = None

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Look at the next frame; of the true frames at the first one alone."""
        if not self._pictures.numbers:
            self._put(truth)
        self._put(prediction)

    def arrays(self) -> Arrays:
        """`reference`, `reference_box`, `embedding` and `box`."""
        while self._waiting:
            self._follow()
        boxes = np.stack(self._boxes)
        embeddings = np.full((len(boxes), EMBEDDING_SIZE), np.nan, np.float32)
        different = self._embeddings.results()
        if different:
            embeddings[np.isfinite(boxes[:, 0])] = np.stack(different)[self._crops.numbers]
        return {
            "reference": embeddings[0],
            "reference_box": boxes[0],
            "embedding": embeddings[1:],
            "box": boxes[1:],
        }

    def _put(self, picture: np.ndarray) -> None:
        """Start looking for faces, and choose one in the picture that has waited longest."""
        if self._pictures.is_new(picture):
            self._forwards[IDENTITY.id] += 1
            self._faces.put(picture)
        self._waiting.append(picture)
        if len(self._waiting) > self._n_waiting:
            self._follow()

    def _follow(self) -> None:
        """Choose a face in the next picture, and start embedding it; the reference picture starts no track."""
        picture, place = self._waiting.popleft(), len(self._boxes)
        faces = self._faces.result(self._pictures.numbers[place])
        index = choose_face(faces.boxes, self._last)
        if index is None:
            self._boxes.append(np.full(4, np.nan, np.float32))
            return
        self._boxes.append(faces.boxes[index])
        self._last = faces.boxes[index] if place > 0 else None
        crop = align_face(picture, faces.points[index])
        if self._crops.is_new(crop):
            self._embeddings.put(crop)
