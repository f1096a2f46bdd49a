"""Q-Align as an extractor: what it says about one frame of each second of a clip."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import numpy as np

from benchmark.hashing import sha256_json
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from benchmark.qalign import PAD_COLOUR, SIDE
from benchmark.qalign_process import QAlignProcess, qalign_command
from benchmark.weights import weight_sha256
from media.errors import AvatarBenchError

__all__ = ["FPS", "PREPROCESSING", "QALIGN", "WORDS", "QAlignSeconds"]

FPS = 25.0
"""Frame rate that the extractor is made for: there, one frame a second is every 25th."""
WORDS = ("quality", "aesthetics")
PREPROCESSING = (
    f"every 25th frame, padded to a square of {PAD_COLOUR}, Pillow bicubic to {SIDE}x{SIDE}, CLIP's norm"
)
_FRAMES_A_SECOND = int(FPS)
_WEIGHT = "one_align"
_PACKAGES = ("pyiqa", "transformers")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _sha256() -> str:
    """Of all that decides the logits: weights, the packages that hold the network's code, the kind of device.

    float16 sums are rounded otherwise on a GPU, so that values of both kinds must not share a place in the store.
    """
    weights = weight_sha256(_WEIGHT)
    try:
        packages = {name: version(name) for name in _PACKAGES}
    except PackageNotFoundError as error:
        raise AvatarBenchError(
            "E603",
            "Q-Align (iqa, ase) needs packages that are not installed",
            got=f"no {error.name}",
            fix="pip install 'avatarbench[paper]'",
        ) from None
    return sha256_json({"weights": weights, "packages": packages, "device": _device()})


QALIGN: Network[QAlignProcess] = Network(
    "qalign", lambda: QAlignProcess(qalign_command(_device())), _sha256, (_WEIGHT,)
)
"""OneAlign in a process of its own, on the GPU where there is one; float16."""


class QAlignSeconds:
    """Logits of the five levels for one frame a second, in the order of `benchmark.qalign.LEVELS`.

    `quality`, `aesthetics` [S, 5] float32 and `frame` [S] int64, the numbers of the frames: `int(fps * i)` for each
    whole second `i`, as Q-Align's `load_video` takes them, so that a rest of less than a second is not looked at. A
    clip shorter than a second, from which Q-Align takes nothing, is judged by its first frame.
    """

    def __init__(self, networks: Networks) -> None:
        self._network = networks.get(QALIGN)
        self._network.check_alive()  # a process that died is no clip's fault: raised here, it ends the scoring
        self._forwards = networks.counters.forwards
        self._n_frames = 0
        self._first: np.ndarray | None = None  # of the second that is not yet whole
        self._logits: list[list[np.ndarray]] = []  # by second and word, [5]

    def add(self, frame: np.ndarray) -> None:
        """Take a frame; the first one of a second is looked at when the second is whole."""
        place = self._n_frames % _FRAMES_A_SECOND
        if place == 0:
            self._first = frame.copy()
        self._n_frames += 1
        if place == _FRAMES_A_SECOND - 1:
            self._look()

    def arrays(self) -> Arrays:
        """`quality`, `aesthetics` and `frame`."""
        if not self._logits:
            self._look()
        logits = np.array(self._logits, np.float32).reshape(-1, len(WORDS), 5)
        found = {word: logits[:, index] for index, word in enumerate(WORDS)}
        return {**found, "frame": _FRAMES_A_SECOND * np.arange(len(logits))}

    def _look(self) -> None:
        if self._first is None:
            raise ValueError("a clip without frames has no quality")
        found = self._network.logits(self._first, WORDS)
        self._forwards[QALIGN.id] += len(WORDS)
        self._logits.append([found[word] for word in WORDS])
