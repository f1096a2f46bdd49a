"""The small sync network of `mini-v1`: two encoders to a common space, in the form of SyncNet (Chung, Zisserman 2016).

Three convolutions of 5 pictures under ReLU and one of 1, without padding, so that a window has 13 pictures (0.52 s);
then unit vectors. It is small enough for numpy, and its weights ship with the package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from benchmark.cache import make_folder
from benchmark.hashing import sha256_file
from benchmark.lipsync_features import LOUDNESS_CHANNELS, MEL_CHANNELS
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = [
    "EMBEDDING",
    "KERNEL",
    "LIPSYNC_SHA256",
    "LOUDNESS_WEIGHTS",
    "MAX_SHIFT",
    "SOUNDS",
    "WEIGHTS",
    "WINDOW",
    "LipSyncNetwork",
    "load_network",
    "save_network",
    "shipped_network",
]

KERNEL = 5
EMBEDDING = 32
WINDOW = 3 * (KERNEL - 1) + 1
"""Pictures of a window."""
MAX_SHIFT = 15
"""Pictures by which the sound is moved either way."""
SOUNDS = {"mel": MEL_CHANNELS, "loudness": LOUDNESS_CHANNELS}
"""What a network may hear, and the numbers of it a picture."""
WEIGHTS = Path(__file__).parent / "weights_shipped" / "lipsync_mini.safetensors"
LOUDNESS_WEIGHTS = WEIGHTS.with_name("lipsync_loudness.safetensors")
"""The control that hears loudness only; no metric uses it."""
LIPSYNC_SHA256 = "6ac671db195ecd5c5a7a6abc142599e629fe1dbae2765a180ed331dfe30a4636"
"""Of the file `WEIGHTS`."""

_N_LAYERS = 4


@dataclass(frozen=True, slots=True)
class LipSyncNetwork:
    """The two encoders."""

    sound: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Kernel [out, in, k] and bias [out] of each layer."""
    mouth: tuple[tuple[np.ndarray, np.ndarray], ...]
    header: dict[str, str]
    """How the weights were made."""

    def hear(self, features: np.ndarray) -> np.ndarray:
        """Unit vectors of each window of sound, [n, 32] float64, n = T - 12 or 0, from [T, C]."""
        return _encode(self.sound, features)

    def see(self, opening: np.ndarray) -> np.ndarray:
        """Unit vectors of each window of lips, [n, 32] float64, from `relative_opening` [T].

        Windows that touch a NaN are NaN.
        """
        return _encode(self.mouth, opening[:, None])


def _encode(layers: tuple[tuple[np.ndarray, np.ndarray], ...], features: np.ndarray) -> np.ndarray:
    if len(features) < WINDOW:
        return np.zeros((0, EMBEDDING))
    maps = features.astype(np.float64)  # sums of float32 would depend on the machine's vector unit
    for number, (kernel, bias) in enumerate(layers):
        windows = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[2], axis=0)  # [n, in, k]
        maps = windows.reshape(len(windows), -1) @ kernel.reshape(len(kernel), -1).T.astype(np.float64) + bias
        if number < _N_LAYERS - 1:
            maps = np.maximum(maps, 0.0)  # keeps NaN
    return maps / np.maximum(np.linalg.norm(maps, axis=1, keepdims=True), 1e-12)


def save_network(path: Path, tensors: dict[str, np.ndarray], header: dict[str, str]) -> None:
    """Write the encoders' tensors and how they were made.

    Raises:
        AvatarBenchError: E601 or E602, the file cannot be written.
    """
    make_folder(path.parent)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"avatarbench": json.dumps(header, sort_keys=True)})


def load_network(path: Path) -> LipSyncNetwork:
    """Read a file that `save_network` wrote.

    Raises:
        AvatarBenchError: E502 where it is absent, damaged or of another form.
    """
    try:
        with safe_open(path, "numpy") as file:
            encoders = [
                tuple(
                    (file.get_tensor(f"{which}.{n}.kernel"), file.get_tensor(f"{which}.{n}.bias"))
                    for n in range(_N_LAYERS)
                )
                for which in ("sound", "mouth")
            ]
            header = json.loads((file.metadata() or {})["avatarbench"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    return LipSyncNetwork(encoders[0], encoders[1], header)


@cache
def shipped_network() -> LipSyncNetwork:
    """The network of this release.

    Raises:
        AvatarBenchError: E502 where its file is absent or another one: numbers would not be comparable.
    """
    if not WEIGHTS.is_file():
        raise _unusable(WEIGHTS, "no such file")
    found = sha256_file(WEIGHTS)
    if found != LIPSYNC_SHA256:
        raise _unusable(WEIGHTS, f"SHA-256 {found}, not {LIPSYNC_SHA256}")
    return load_network(WEIGHTS)


def _unusable(path: Path, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E502",
        "the weights of the small sync network, which ship with the package, are missing or damaged",
        where=path,
        got=got,
        fix="install the package again",
    )
