"""The networks of FID and KID, FVD and KVD as extractors, and the threads that they share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from benchmark.distinct import Distinct
from benchmark.metrics.definition import Arrays
from benchmark.networks import Network, Networks
from benchmark.weights import weight_path, weight_sha256

if TYPE_CHECKING:
    import torch

__all__ = [
    "FRAME_STEP",
    "I3D",
    "I3D_PREPROCESSING",
    "INCEPTION",
    "INCEPTION_PREPROCESSING",
    "WINDOW",
    "InceptionFrames",
    "Parallel",
    "PendingCalls",
    "VideoWindows",
    "parallel",
]

FRAME_STEP = 5
"""Every fifth frame counts for FID and KID: neighbours are near-duplicates."""
WINDOW = 16
"""Frames of a window of FVD and KVD."""
INCEPTION_PREPROCESSING = (
    f"every {FRAME_STEP}th frame, RGB, TensorFlow 1 bilinear to 299x299 (no antialias), (x - 128) / 128"
)
I3D_PREPROCESSING = (
    f"windows of {WINDOW} frames from 0, {WINDOW}..., uint8 RGB, resize and rescale in the script"
)

_GROUP = 4  # pictures in one forward of Inception; larger groups are no faster on a CPU
_MAX_THREADS = 4  # each holds a window of whole frames
_N_POOL3, _N_LOGITS = 2048, 400

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Parallel(Generic[_Item, _Result]):
    """A network that several threads call at once, each call on one thread.

    So all cores work, and the order of every sum is that of one thread: values do not depend on the number of cores.
    """

    def __init__(self, call: Callable[[_Item], _Result], threads: ThreadPoolExecutor, n_threads: int) -> None:
        self._call = call
        self._threads = threads
        self.n_threads = n_threads

    def submit(self, item: _Item) -> Future[_Result]:
        """Start one call."""
        return self._threads.submit(self._call_on_one_thread, item)

    def _call_on_one_thread(self, item: _Item) -> _Result:
        import torch

        torch.set_num_threads(1)  # of this thread; the main one keeps what it has
        return self._call(item)


@contextmanager
def parallel(call: Callable[[_Item], _Result]) -> Iterator[Parallel[_Item, _Result]]:
    """`call` on as many threads as torch uses (`OMP_NUM_THREADS`, or the cores), 4 at most."""
    import torch

    n_threads = min(torch.get_num_threads(), _MAX_THREADS)
    with ThreadPoolExecutor(n_threads) as threads:
        yield Parallel(call, threads, n_threads)


class PendingCalls(Generic[_Item, _Result]):
    """The calls of one clip: results in the order of the items, and as few items in memory as keep all threads busy."""

    def __init__(self, network: Parallel[_Item, _Result]) -> None:
        self._network = network
        self._pending: deque[Future[_Result]] = deque()
        self._done: list[_Result] = []

    def put(self, item: _Item) -> None:
        """Start a call, after waiting for the oldest one where all threads are busy."""
        if len(self._pending) == self._network.n_threads:
            self._done.append(self._pending.popleft().result())
        self._pending.append(self._network.submit(item))

    def result(self, place: int) -> _Result:
        """Wait for the call of item `place`."""
        while len(self._done) <= place:
            self._done.append(self._pending.popleft().result())
        return self._done[place]

    def results(self) -> list[_Result]:
        """Wait for all calls."""
        while self._pending:
            self._done.append(self._pending.popleft().result())
        return self._done


@contextmanager
def _load_inception() -> Iterator[Parallel[np.ndarray, np.ndarray]]:
    path = weight_path("inception_fid")
    import torch

    from benchmark.inception import load_inception

    network = load_inception(path)

    def features(pictures: np.ndarray) -> np.ndarray:
        """[B, 2048] float32 of [B, 299, 299, 3] float32."""
        with torch.inference_mode():
            return network(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()

    with parallel(features) as network_on_threads:
        yield network_on_threads


INCEPTION: Network[Parallel[np.ndarray, np.ndarray]] = Network(
    "inception_fid", _load_inception, lambda: weight_sha256("inception_fid"), ("inception_fid",)
)
"""TensorFlow's Inception of 2015-12-05 (`benchmark.inception`)."""


class InceptionFrames:
    """Inception features of frames 0, 5, 10...: `feature` [ceil(T / 5), 2048] float32.

    The network always gets groups of four different pictures, the last one filled up by repeating its last picture.
    """

    def __init__(self, networks: Networks) -> None:
        self._calls = PendingCalls(networks.get(INCEPTION))
        self._forwards = networks.counters.forwards
        self._frames = Distinct()
        self._group: list[np.ndarray] = []
        self._n_seen = 0

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame [H, W, 3] uint8 sRGB; four of five are passed over."""
        if self._n_seen % FRAME_STEP == 0 and self._frames.is_new(frame):
            from benchmark.inception import resize_like_tf1

            self._group.append(resize_like_tf1(frame))
            if len(self._group) == _GROUP:
                self._run()
        self._n_seen += 1

    def arrays(self) -> Arrays:
        """`feature`."""
        if self._group:
            self._group += [self._group[-1]] * (_GROUP - len(self._group))
            self._run()
        rows = [np.empty((0, _N_POOL3), np.float32), *self._calls.results()]
        return {"feature": np.concatenate(rows)[self._frames.numbers]}

    def _run(self) -> None:
        self._forwards[INCEPTION.id] += 1
        self._calls.put(np.stack(self._group))
        self._group = []


@contextmanager
def _load_i3d() -> Iterator[Parallel[np.ndarray, np.ndarray]]:
    with parallel(load_i3d(weight_path("i3d_kinetics400"))) as network:
        yield network


def load_i3d(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """StyleGAN-V's I3D as a function from a window [16, H, W, 3] uint8 to logits [400] float32, on the CPU.

    It is called as StyleGAN-V calls it: colours 0..255, and the script brings them to 224x224 (aspect not kept) and to
    [-1, 1] itself. On a CPU there is no TF32.

    Args:
        path: `i3d_torchscript.pt`. TorchScript is code: its SHA-256 must have been compared
            (`benchmark.weights.weight_path`) before it comes here.
    """
    import torch

    detector = _fused(torch.jit.load(str(path), map_location="cpu").eval())

    def logits(window: np.ndarray) -> np.ndarray:
        video = torch.from_numpy(window).permute(3, 0, 1, 2)[None].contiguous()  # [1, 3, 16, H, W]
        with torch.inference_mode():
            found = detector(video, rescale=True, resize=True, return_features=True).numpy()
        if found.shape != (1, _N_LOGITS):
            raise ValueError(f"I3D must give logits (1, {_N_LOGITS}) of one window, got {found.shape}")
        return found[0]

    return logits


def _fused(script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The script with normalisations folded into the convolutions and oneDNN's layouts: a fifth to two fifths cheaper.

    Logits move by rounding alone. A script that torch cannot rewrite is left as it is.
    """
    import torch

    try:
        return torch.jit.optimize_for_inference(script)
    except RuntimeError:
        return script


I3D: Network[Parallel[np.ndarray, np.ndarray]] = Network(
    "i3d_kinetics400", _load_i3d, lambda: weight_sha256("i3d_kinetics400"), ("i3d_kinetics400",)
)
"""I3D of Kinetics-400 as TorchScript, in StyleGAN-V's copy."""


class VideoWindows:
    """I3D logits of whole windows of 16 frames from frame 0 that do not overlap: `logits` [T // 16, 400] float32."""

    def __init__(self, networks: Networks) -> None:
        self._calls = PendingCalls(networks.get(I3D))
        self._forwards = networks.counters.forwards
        self._windows = Distinct()
        self._window: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, [H, W, 3] uint8 sRGB."""
        self._window.append(frame)
        if len(self._window) == WINDOW:
            window = np.stack(self._window)
            self._window = []
            if self._windows.is_new(window):
                self._forwards[I3D.id] += 1
                self._calls.put(window)

    def arrays(self) -> Arrays:
        """`logits`; a rest shorter than a window is left out."""
        rows = [np.empty((0, _N_LOGITS), np.float32), *(row[None] for row in self._calls.results())]
        return {"logits": np.concatenate(rows)[self._windows.numbers]}
