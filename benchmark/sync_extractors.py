"""Extractors of SyncNet's features: of the longest face track of a clip, and of the sample's sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from benchmark.face_tracks import CANONICAL, FULLBODY, FaceTracker, Profile, Track
from benchmark.metrics.definition import Arrays
from benchmark.mfcc import HOP, mfcc
from benchmark.networks import Network, Networks
from benchmark.weights import weight_path, weight_sha256
from media.threads import one_torch_thread

if TYPE_CHECKING:
    from benchmark.s3fd import S3fd
    from benchmark.syncnet import SyncNet

__all__ = [
    "FPS",
    "LIP_BATCH",
    "LIP_FRAMES",
    "S3FD",
    "SOUND_BATCH",
    "SOUND_FRAMES",
    "SYNCNET",
    "CanonicalFaces",
    "FullbodyFaces",
    "SoundFeatures",
    "longest_track",
]

FPS = 25.0
"""SyncNet hears four MFCC frames a picture, so that no other rate has a meaning."""
LIP_BATCH, SOUND_BATCH = 8, 32
LIP_FRAMES = 5
"""Pictures of a window; windows begin one picture apart."""
SOUND_FRAMES = 20
"""MFCC frames of a window, as long as its pictures; windows begin four apart."""
_HOPS = SOUND_FRAMES // LIP_FRAMES  # MFCC frames a picture
_SAMPLES = HOP * _HOPS  # a picture


@contextmanager
def _load_syncnet() -> Iterator[SyncNet]:
    from benchmark.syncnet import load_syncnet

    yield load_syncnet(weight_path("syncnet_v2"))


@contextmanager
def _load_s3fd() -> Iterator[S3fd]:
    from benchmark.s3fd import load_s3fd

    yield load_s3fd(weight_path("s3fd"))


SYNCNET: Network[SyncNet] = Network(
    "syncnet", _load_syncnet, lambda: weight_sha256("syncnet_v2"), ("syncnet_v2",)
)
S3FD: Network[S3fd] = Network("s3fd", _load_s3fd, lambda: weight_sha256("s3fd"), ("s3fd",))


def longest_track(tracks: list[Track]) -> Track | None:
    """The track that stands for a clip: the longest; of equally long ones the largest face; then the first."""
    return max(tracks, key=lambda track: (len(track), track.mean_side()), default=None)


class CanonicalFaces:
    """What lips show along the longest track of a clip.

    `lip` [n - 5, 1024] float32, one row for each window of 5 frames of a track of n frames but the last, which the
    reference code leaves out; `first` and `n_frames` of the track (0 where there is none), `n_tracks`, int64 scalars;
    `faces` [T] int64, how many were found in each frame.
    """

    profile = CANONICAL

    def __init__(self, networks: Networks) -> None:
        self._syncnet = networks.get(SYNCNET)
        self._detector = networks.get(S3FD)
        self._forwards = networks.counters.forwards

    def begin(self) -> _FaceGatherer:
        """Begin with a clip."""
        return _FaceGatherer(self._detector, self.profile, self._count)

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """`lip` [B, 1024] of windows [B, 5, 224, 224, 3] uint8 RGB."""
        with one_torch_thread():
            return {"lip": self._syncnet.lips(batch[..., ::-1].copy())}  # SyncNet was trained on OpenCV's BGR

    def nothing(self) -> Arrays:
        """`lip` [0, 1024]."""
        return {"lip": self._syncnet.no_features()}

    def _count(self) -> None:
        self._forwards[S3FD.id] += 1


class FullbodyFaces(CanonicalFaces):
    """The same for small faces."""

    profile = FULLBODY


class SoundFeatures:
    """What is heard in each window of a sound: `sound` [N - 5, 1024] float32, `energy` [N] float64.

    N is the number of whole frames of 1/25 s, a window has 5 of them, and the last is left out as for lips. `energy`
    is the mean square of each frame's samples on the scale of 16-bit integers.

    The reference code cuts the sound to the track first. Windows are the same, but for the first of a track that begins
    later than the clip: its pre-emphasis hears the one sample before.
    """

    def __init__(self, networks: Networks) -> None:
        self._syncnet = networks.get(SYNCNET)

    def begin(self) -> _SoundGatherer:
        """Begin with a sound."""
        return _SoundGatherer()

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """`sound` [B, 1024] of MFCC windows [B, 13, 20]."""
        with one_torch_thread():
            return {"sound": self._syncnet.sound(batch)}

    def nothing(self) -> Arrays:
        """`sound` [0, 1024]."""
        return {"sound": self._syncnet.no_features()}


class _FaceGatherer:
    def __init__(self, detector: S3fd, profile: Profile, count: Callable[[], None]) -> None:
        self._detector = detector
        self._scale = profile.scale
        self._count = count
        self._tracker = FaceTracker(profile)
        self._faces: list[int] = []

    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        self._count()
        with one_torch_thread():  # by two, S3FD's convolutions are summed otherwise
            faces = self._detector.detect(observed, self._scale)
        self._faces.append(len(faces))
        self._tracker.add(observed, faces)
        return ()

    def end(self) -> Iterable[np.ndarray]:
        self._tracker.end()
        track = longest_track(self._tracker.tracks)
        crops = [] if track is None else track.crops
        for start in range(len(crops) - LIP_FRAMES):
            yield np.stack(crops[start : start + LIP_FRAMES])

    def arrays(self) -> Arrays:
        track = longest_track(self._tracker.tracks)
        first, n_frames = (0, 0) if track is None else (track.frames[0], len(track))
        numbers = {"first": first, "n_frames": n_frames, "n_tracks": len(self._tracker.tracks)}
        return {name: np.array(number, np.int64) for name, number in numbers.items()} | {
            "faces": np.array(self._faces, np.int64)
        }


class _SoundGatherer:
    def __init__(self) -> None:
        self._energy = np.zeros(0)

    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        n_frames = len(observed) // _SAMPLES
        frames = observed[: n_frames * _SAMPLES].reshape(n_frames, _SAMPLES).astype(np.float64)
        self._energy = np.square(frames).mean(axis=1)
        if n_frames <= LIP_FRAMES:
            return
        coefficients = mfcc(observed).T.astype(np.float32)  # [13, F]
        for start in range(n_frames - LIP_FRAMES):
            yield coefficients[:, _HOPS * start : _HOPS * start + SOUND_FRAMES]

    def end(self) -> Iterable[np.ndarray]:
        return ()

    def arrays(self) -> Arrays:
        return {"energy": self._energy}
