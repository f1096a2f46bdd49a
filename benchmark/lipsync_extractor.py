"""The extractor of what the small sync network hears."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from benchmark.lipsync_features import MEL_CHANNELS, MEL_FRAMES, mel_features, mel_power
from benchmark.lipsync_network import EMBEDDING, LIPSYNC_SHA256, WINDOW, LipSyncNetwork, shipped_network
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from media.audio import SAMPLE_RATE

__all__ = ["FPS", "LIPSYNC", "PREPROCESSING", "SOUND_BATCH", "LipSyncSound"]

FPS = 25.0
"""Four mel frames a picture."""
SOUND_BATCH = 32
PREPROCESSING = (
    f"log-mel of 40 bands about its mean and spread in the clip's speech, {WINDOW * MEL_FRAMES} frames"
)
_SAMPLES = int(SAMPLE_RATE / FPS)


@contextmanager
def _load() -> Iterator[LipSyncNetwork]:
    yield shipped_network()


LIPSYNC: Network[LipSyncNetwork] = Network("lipsync_mini", _load, lambda: LIPSYNC_SHA256)


class LipSyncSound:
    """What is heard: `sound` [N - 12, 32] float32, one row for each window of 13 pictures; `energy` [N] float64.

    N is the number of whole frames of 1/25 s; `energy` is the mean square of each frame's samples on the scale of
    16-bit integers.
    """

    def __init__(self, networks: Networks) -> None:
        self._network = networks.get(LIPSYNC)

    def begin(self) -> _Hearing:
        """Begin with a sound."""
        return _Hearing()

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        """`sound` [B, 32] of windows [B, 13, 160]."""
        vectors = [self._network.hear(window)[0] for window in batch]
        return {"sound": np.array(vectors, np.float32)}

    def nothing(self) -> Arrays:
        """`sound` [0, 32]."""
        return {"sound": np.zeros((0, EMBEDDING), np.float32)}


class _Hearing:
    def __init__(self) -> None:
        self._energy = np.zeros(0)

    def add(self, observed: np.ndarray) -> Iterable[np.ndarray]:
        n_frames = len(observed) // _SAMPLES
        frames = observed[: n_frames * _SAMPLES].reshape(n_frames, _SAMPLES).astype(np.float64)
        self._energy = np.square(frames).mean(axis=1)
        if n_frames < WINDOW:
            return
        features = mel_features(mel_power(observed))
        assert features.shape == (n_frames, MEL_CHANNELS)
        for start in range(n_frames - WINDOW + 1):
            yield features[start : start + WINDOW]

    def end(self) -> Iterable[np.ndarray]:
        return ()

    def arrays(self) -> Arrays:
        return {"energy": self._energy}
