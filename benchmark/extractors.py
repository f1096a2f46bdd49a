"""Extractors: what is computed once from the frames of a clip, or of a prediction beside its truth.

An extractor is data about a class of one of five forms: `clip` looks at one clip frame by frame and may remember
what it saw, `pair` does so at a prediction beside its truth, and `batch` is a stateless network whose batches are
filled with frames of any clips. `gather` is such a network, too, whose items are made of several frames (windows,
tracks), and `sound` is one whose items are made of a sample's sound. All that decides its arrays beside the frames is
part of their key in the store: id, version, the weights' bytes, preprocessing, batch size and number format. Raise the
version when equal frames give other arrays.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from benchmark import identity_extractors, paper_networks, qalign_extractors, random_networks, sync_extractors
from benchmark.face_descriptor_extractor import FACE_LIKENESS_PREPROCESSING, FaceLikeness
from benchmark.hashing import sha256_tree
from benchmark.lipsync_extractor import FPS as LIPSYNC_FPS
from benchmark.lipsync_extractor import LIPSYNC, SOUND_BATCH, LipSyncSound
from benchmark.lipsync_extractor import PREPROCESSING as LIPSYNC_PREPROCESSING
from benchmark.metrics.definition import Arrays, Metric, SetMetric
from benchmark.networks import Network, Networks
from benchmark.person_extractors import FACE_MESH, PERSON_SEGMENTER, FaceLandmarks, PersonFidelity
from benchmark.recent import RecentFrames
from benchmark.sharpness_extractor import SHARPNESS_PREPROCESSING, PersonSharpness
from benchmark.similarity import SIMILARITY

if TYPE_CHECKING:
    from media.landmarks import DetectedHand

__all__ = [
    "EXTRACTORS",
    "BatchExtractor",
    "ClipExtractor",
    "Extractor",
    "Gatherer",
    "GatheringExtractor",
    "Network",
    "Networks",
    "PairExtractor",
    "extractor_weights",
    "weights_of",
]


class ClipExtractor(Protocol):
    """Looks at one clip, frame by frame; a new object a clip."""

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, [H, W, 3] uint8 sRGB."""
        ...

    def arrays(self) -> Arrays:
        """What was found; small for each frame, because it is held for the whole clip."""
        ...


class PairExtractor(Protocol):
    """Looks at a prediction and its truth side by side; a new object a pair."""

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame of both, [H, W, 3] uint8 sRGB of one size."""
        ...

    def arrays(self) -> Arrays:
        """What was found; small for each frame, because it is held for the whole clip."""
        ...


class BatchExtractor(Protocol):
    """A network without memory between frames; one object for all clips.

    `run` always gets exactly `Extractor.batch_size` items: a batch that is not full is padded by repeating its last
    item. It must treat each item by itself (no statistics over the batch), and then an item's values do not depend
    on what shares its batch, to the bit; `tests/benchmark/test_engine_batches.py` shows how to prove it.
    """

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        """An item from one frame [H, W, 3] uint8 sRGB: the same shape and dtype whatever the clip."""
        ...

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """Arrays [B, ...] from items [B, ...], row by row; they become arrays [T, ...] of each clip."""
        ...


class Gatherer(Protocol):
    """Makes items for batches from what it sees or hears of one clip; a new object a clip."""

    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        """Items that are ready after the next frame, [H, W, 3] uint8 sRGB.

        Of the form `sound` it is called once, with all samples, [S] int16 at 16 kHz mono.
        """
        ...

    def end(self) -> Iterable[np.ndarray]:
        """The items that are left when the clip has ended; taken one by one, as late as possible."""
        ...

    def arrays(self) -> Arrays:
        """What stands beside the items' values, under other names; asked after `end`."""
        ...


class GatheringExtractor(Protocol):
    """A network without memory between items, and what makes items from a clip; one object for all clips.

    What `BatchExtractor` says about batches holds here, too: an item's values do not depend on its neighbours.
    """

    def begin(self) -> Gatherer:
        """Begin with a clip."""
        ...

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """Arrays [B, ...] from items [B, ...], row by row; they become arrays [n_items, ...] of each clip."""
        ...

    def nothing(self) -> Arrays:
        """The arrays [0, ...] of a clip without any item."""
        ...


@dataclass(frozen=True, slots=True)
class Extractor:
    """An extractor as data."""

    id: str
    """Name in metrics' `needs`, and of its folder in the store."""
    version: str
    """Raised when equal frames give other arrays."""
    form: Literal["clip", "pair", "batch", "gather", "sound"]
    build: Callable[[Networks], ClipExtractor | PairExtractor | BatchExtractor | GatheringExtractor]
    """Makes an object of the form; whatever it raises ends the scoring, because no clip has caused it."""
    preprocessing: str
    """What happens to a decoded frame first, in one line."""
    dtype: str
    """Number format of the computation."""
    batch_size: int = 1
    """Items in a batch (forms `batch`, `gather`, `sound`)."""
    network: Network[Any] | None = None
    """Whose weights decide the arrays; the one that batches are counted for."""
    further_networks: tuple[Network[Any], ...] = ()
    """Other networks whose weights decide the arrays."""
    fps: float | None = None
    """The only frame rate at which the arrays mean something; None for any."""

    def content(self) -> list[object]:
        """What decides the arrays beside the frames."""
        weights = None if self.network is None else self.network.sha256()
        further = [network.sha256() for network in self.further_networks]
        return [self.id, self.version, weights, self.preprocessing, self.batch_size, self.dtype, *further]


@cache
def _hand_models_sha256() -> str:
    found = importlib.util.find_spec("mediapipe")  # finds the folder without the seconds of importing it
    modules = Path(found.origin).parent / "modules" if found and found.origin else Path("mediapipe")
    names = ("palm_detection/palm_detection_full.tflite", "hand_landmark/hand_landmark_full.tflite")
    return sha256_tree(modules, names)


def _load_hand_detector() -> RecentFrames[list[DetectedHand]]:
    from media.landmarks import HandDetector

    detector = HandDetector()
    return RecentFrames(detector, detector.detect)


HAND_DETECTOR: Network[RecentFrames[list[DetectedHand]]] = Network(
    "mediapipe_hands", _load_hand_detector, _hand_models_sha256
)
"""MediaPipe's palm detector and hand landmark model, stateless between frames."""


class Hands:
    """Hands of each frame: `points` [T, 2, 21, 2] float32 px, `score` [T, 2] float32, NaN where none is."""

    def __init__(self, networks: Networks) -> None:
        self._detector = networks.get(HAND_DETECTOR)
        self._forwards = networks.counters.forwards
        self._points = array("f")  # flat and growing: a list of small arrays takes three times the memory
        self._score = array("f")

    def add(self, frame: np.ndarray) -> None:
        """Detect up to two hands."""
        points = np.full((2, 21, 2), np.nan, np.float32)
        score = np.full(2, np.nan, np.float32)
        before = self._detector.n_forwards
        hands = self._detector(frame)
        self._forwards[HAND_DETECTOR.id] += self._detector.n_forwards - before
        for slot, hand in enumerate(hands[:2]):
            points[slot] = hand.points[:, :2]
            score[slot] = hand.score
        self._points.frombytes(points.tobytes())
        self._score.frombytes(score.tobytes())

    def arrays(self) -> Arrays:
        """`points` and `score`."""
        points = np.frombuffer(self._points, np.float32).reshape(-1, 2, 21, 2)
        return {"points": points, "score": np.frombuffer(self._score, np.float32).reshape(-1, 2)}


class PixelError:
    """Mean squared error of each frame: `mse` [T] float64 over all pixels and channels, scale 0..255."""

    def __init__(self, networks: Networks) -> None:
        self._mse: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Compare one frame; exact in integers, so the order of summation cannot matter."""
        difference = prediction.astype(np.int32) - truth
        self._mse.append(int(np.square(difference).sum(dtype=np.int64)) / difference.size)

    def arrays(self) -> Arrays:
        """`mse`."""
        return {"mse": np.array(self._mse)}


class GaussianSsim:
    """SSIM of each frame: `ssim` [T] float64, the mean over pixels and channels of RGB; see `ssim_map`."""

    def __init__(self, networks: Networks) -> None:
        self._map = networks.get(SIMILARITY)
        self._ssim: list[float] = []

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Compare one frame."""
        self._ssim.append(float(self._map(prediction, truth).mean()))

    def arrays(self) -> Arrays:
        """`ssim`."""
        return {"ssim": np.array(self._ssim)}


def _syncnet_faces(name: str, build: type[sync_extractors.CanonicalFaces]) -> Extractor:
    scale = build.profile.scale
    return Extractor(
        name,
        "1",
        "gather",
        build,
        f"S3FD at scale {scale:g} of RGB; crops of the track, bilinear to 224x224, BGR 0..255, 5 frames, every 1",
        "float32",
        batch_size=sync_extractors.LIP_BATCH,
        network=sync_extractors.SYNCNET,
        further_networks=(sync_extractors.S3FD,),
        fps=sync_extractors.FPS,
    )


EXTRACTORS: dict[str, Extractor] = {
    extractor.id: extractor
    for extractor in (
        Extractor("hands_mp", "1", "clip", Hands, "padded to a square", "float32", network=HAND_DETECTOR),
        Extractor("pixel_error", "1", "pair", PixelError, "none", "int64"),
        Extractor("ssim_gauss11", "1", "pair", GaussianSsim, "none", "float64"),
        Extractor("face_mesh_mp", "1", "clip", FaceLandmarks, "none", "float32", network=FACE_MESH),
        Extractor(
            "person_fidelity", "1", "pair", PersonFidelity, "none", "float64", network=PERSON_SEGMENTER
        ),
        Extractor(
            "random_frames",
            "1",
            "batch",
            random_networks.RandomFrames,
            random_networks.PREPROCESSING,
            "float32",
            batch_size=random_networks.BATCH_SIZE,
            network=random_networks.RANDOM_CNN,
        ),
        _syncnet_faces("syncnet_faces", sync_extractors.CanonicalFaces),
        _syncnet_faces("syncnet_faces_fullbody", sync_extractors.FullbodyFaces),
        Extractor(
            "syncnet_sound",
            "1",
            "sound",
            sync_extractors.SoundFeatures,
            "MFCC of python_speech_features, 20 frames at 100 Hz, every 4",
            "float32",
            batch_size=sync_extractors.SOUND_BATCH,
            network=sync_extractors.SYNCNET,
        ),
        Extractor(
            "inception_frames",
            "1",
            "clip",
            paper_networks.InceptionFrames,
            paper_networks.INCEPTION_PREPROCESSING,
            "float32",
            network=paper_networks.INCEPTION,
        ),
        Extractor(
            "i3d_windows",
            "2",
            "clip",
            paper_networks.VideoWindows,
            paper_networks.I3D_PREPROCESSING,
            "float32",
            network=paper_networks.I3D,
            fps=25.0,
        ),
        Extractor(
            "face_identity",
            "1",
            "pair",
            identity_extractors.FaceIdentity,
            identity_extractors.FACE_IDENTITY_PREPROCESSING,
            "float32",
            network=identity_extractors.IDENTITY,
        ),
        Extractor(
            "qalign_seconds",
            "1",
            "clip",
            qalign_extractors.QAlignSeconds,
            qalign_extractors.PREPROCESSING,
            "float16",
            network=qalign_extractors.QALIGN,
            fps=qalign_extractors.FPS,
        ),
        Extractor(
            "lipsync_sound",
            "1",
            "sound",
            LipSyncSound,
            LIPSYNC_PREPROCESSING,
            "float64",
            batch_size=SOUND_BATCH,
            network=LIPSYNC,
            fps=LIPSYNC_FPS,
        ),
        Extractor(
            "person_sharpness",
            "1",
            "clip",
            PersonSharpness,
            SHARPNESS_PREPROCESSING,
            "float64",
            network=PERSON_SEGMENTER,
        ),
        Extractor(
            "face_likeness",
            "1",
            "pair",
            FaceLikeness,
            FACE_LIKENESS_PREPROCESSING,
            "float64",
            network=FACE_MESH,
        ),
    )
}
"""By id."""


def weights_of(metric: Metric | SetMetric) -> tuple[str, ...]:
    """Ids of the fetched weights that a metric needs; none for one that runs without a download."""
    return tuple(dict.fromkeys(w for need in metric.needs for w in extractor_weights(EXTRACTORS[need])))


def extractor_weights(extractor: Extractor) -> tuple[str, ...]:
    """Ids of the fetched weights that an extractor needs."""
    networks = (extractor.network, *extractor.further_networks)
    return tuple(weight for network in networks if network is not None for weight in network.weights)
