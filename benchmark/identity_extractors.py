"""The identity of the person as an extractor: embeddings of the face in each frame and in the reference picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from benchmark.hashing import sha256_json
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from benchmark.paper_networks import Parallel, PendingCalls, parallel
from benchmark.weights import weight_path, weight_sha256

if TYPE_CHECKING:
    from benchmark.identity import Faces

__all__ = ["FACE_IDENTITY_PREPROCESSING", "IDENTITY", "FaceIdentity"]

FACE_IDENTITY_PREPROCESSING = (
    "RGB; SCRFD at 640x640, scores from .5, NMS .4; five points to 112x112, / 127.5 - 1"
)
_DETECTION, _RECOGNITION = "buffalo_l_detection", "buffalo_l_recognition"

_Seen = tuple["Faces", np.ndarray]
"""The faces of a picture, and their embeddings [K, 512]."""


@contextmanager
def _load() -> Iterator[Parallel[np.ndarray, _Seen]]:
    paths = [weight_path(name) for name in (_DETECTION, _RECOGNITION)]
    from benchmark.identity import EMBEDDING_SIZE, align_face, detect_faces, embed_face, open_session

    detection, recognition = map(open_session, paths)

    def see(picture: np.ndarray) -> _Seen:
        faces = detect_faces(detection, picture)
        embeddings = np.empty((len(faces.points), EMBEDDING_SIZE), np.float32)
        for row, points in zip(embeddings, faces.points, strict=True):
            row[:] = embed_face(recognition, align_face(picture, points))
        return faces, embeddings

    with parallel(see) as network:
        yield network


IDENTITY: Network[Parallel[np.ndarray, _Seen]] = Network(
    "insightface_buffalo_l",
    _load,
    lambda: sha256_json([weight_sha256(_DETECTION), weight_sha256(_RECOGNITION)]),
    (_DETECTION, _RECOGNITION),
)
"""SCRFD-10G and ArcFace R50 of buffalo_l: all faces of a picture [H, W, 3] uint8 RGB and their embeddings."""


class FaceIdentity:
    """Embeddings of the reference picture's largest face, and of the face that is followed through the prediction.

    The reference picture is the first true frame, the only picture that a method sees. `reference` [512] float32 of
    unit length and `reference_box` [4] float32 px; `embedding` [T, 512] and `box` [T, 4], the same of each frame. NaN
    where no face is.
    Of several faces the first frame's largest is followed, and then the one that overlaps most with the last one
    seen; where none does (a cut, a return elsewhere) again the largest.
    """

    def __init__(self, networks: Networks) -> None:
        self._calls = PendingCalls(networks.get(IDENTITY))
        self._forwards = networks.counters.forwards
        self._begun = False

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Look at the next frame; of the true frames at the first one alone."""
        if not self._begun:
            self._begun = True
            self._put(truth)
        self._put(prediction)

    def arrays(self) -> Arrays:
        """`reference`, `reference_box`, `embedding` and `box`."""
        embeddings, boxes = _followed(self._calls.results())
        return {
            "reference": embeddings[0],
            "reference_box": boxes[0],
            "embedding": embeddings[1:],
            "box": boxes[1:],
        }

    def _put(self, picture: np.ndarray) -> None:
        self._forwards[IDENTITY.id] += 1
        self._calls.put(picture)


def _followed(seen: list[_Seen]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [1 + T, 512] and boxes [1 + T, 4] of one face a picture; the reference picture starts no track."""
    from benchmark.identity import EMBEDDING_SIZE, choose_face

    embeddings = np.full((len(seen), EMBEDDING_SIZE), np.nan, np.float32)
    boxes = np.full((len(seen), 4), np.nan, np.float32)
    last: np.ndarray | None = None
    for place, (faces, all_embeddings) in enumerate(seen):
        index = choose_face(faces.boxes, last)
        if index is not None:
            embeddings[place], boxes[place] = all_embeddings[index], faces.boxes[index]
            last = boxes[place] if place > 0 else None
    return embeddings, boxes
