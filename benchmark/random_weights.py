"""Calibrated random weights where the published ones are missing, for trying out what a metric's path does.

They prove that decoding, networks and arithmetic hang together, and nothing about what the metric sees: no value made
with them may stand under the metric's name, or stay. So all of it lives in folders that vanish. The makers are those of
the parity tests, whose features are asserted to vary; they need a checkout.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.cache import ENVIRONMENT_VARIABLE, cache_folder, make_folder
from benchmark.extractors import EXTRACTORS, extractor_weights
from benchmark.hashing import sha256_file
from benchmark.weights import FOLDERS_VARIABLE, WEIGHTS, expected_facts, find_weight, weights_folder
from benchmark.weights_lock import FileFacts, record_file
from media.errors import AvatarBenchError

__all__ = ["missing_weights", "random_weights", "register_made"]

_MAKERS = Path(__file__).resolve().parents[1] / "tests" / "parity"
_CHECKPOINT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from qalign_checkpoint import write_checkpoint
write_checkpoint(Path(sys.argv[3]), 0)
"""
_LIPS, _WINDOW = 5, 16  # frames that SyncNet and I3D see at once


def missing_weights(ids: Sequence[str]) -> tuple[str, ...]:
    """Those of some weights whose files do not stand here, or have no known hash."""
    found = {weight_id: find_weight(WEIGHTS[weight_id]) for weight_id in ids}
    unknown = {i for i in ids if any(facts.sha256 is None for facts in expected_facts(WEIGHTS[i]).values())}
    return tuple(i for i in ids if found[i].folder is None or found[i].missing or i in unknown)


@contextmanager
def random_weights(ids: Sequence[str], frames: np.ndarray, samples: np.ndarray) -> Iterator[Path]:
    """Let made files stand for the weights `ids`, in this process and those that it starts, and vanish afterwards.

    The cache is another one meanwhile, so that nothing computed with them stays; what needs no weights is read from and
    kept in the true one.

    Args:
        ids: Keys of `WEIGHTS`.
        frames: [T, H, W, 3] uint8 sRGB at 25 fps, T at least 32, to calibrate with.
        samples: [S] int16 at 16 kHz of the same clip.

    Yields:
        The folder of the made files.

    Raises:
        AvatarBenchError: E603 without a checkout.
    """
    if not _MAKERS.is_dir():
        raise AvatarBenchError(
            "E603",
            "random weights are made by the code of the parity tests",
            where=_MAKERS,
            fix="run this from a checkout of the repository, with its development packages",
        )
    with tempfile.TemporaryDirectory(prefix="avatarbench-random-") as place, ExitStack() as stack:
        folder, cache = Path(place) / "weights", Path(place) / "cache"
        folder.mkdir()
        _borrow_cache(cache)
        stack.callback(_restore, ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE))
        stack.callback(_restore, FOLDERS_VARIABLE, os.environ.get(FOLDERS_VARIABLE))
        os.environ[ENVIRONMENT_VARIABLE] = str(cache)
        os.environ[FOLDERS_VARIABLE] = os.pathsep.join(
            [str(folder), *filter(None, [os.environ.get(FOLDERS_VARIABLE)])]
        )
        for weight_id in ids:
            _make(weight_id, folder, frames, samples)
            stack.callback(WEIGHTS.__setitem__, weight_id, WEIGHTS[weight_id])
            register_made(weight_id, folder)
        yield folder


def _borrow_cache(cache: Path) -> None:
    """A cache whose inputs, and observations that need no weights, are those of the true one."""
    shared = ["inputs", *(f"observations/{e.id}" for e in EXTRACTORS.values() if not extractor_weights(e))]
    for name in shared:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(make_folder(cache_folder() / name).resolve())


def _restore(variable: str, before: str | None) -> None:
    os.environ.pop(variable, None)
    if before is not None:
        os.environ[variable] = before


def register_made(weight_id: str, folder: Path) -> None:
    """Let the registry of this process know the made files of a weight by their hashes."""
    weight = WEIGHTS[weight_id]
    facts = {
        name: FileFacts(bytes=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
        for name in weight.names
    }
    if weight.sha256 is not None:
        made = facts[weight.file]
        WEIGHTS[weight_id] = replace(weight, bytes=made.bytes, sha256=made.sha256)
        return
    for name, fact in facts.items():  # of the weights whose hashes the first fetch records
        record_file(make_folder(weights_folder()), weight_id, name, fact, weight.revision)


def _make(weight_id: str, folder: Path, frames: np.ndarray, samples: np.ndarray) -> None:
    """Write one weight in its published format."""
    import cv2

    if str(_MAKERS) not in sys.path:
        sys.path.append(str(_MAKERS))
    path = folder / WEIGHTS[weight_id].file
    path.parent.mkdir(exist_ok=True)
    few = frames[:: max(1, len(frames) // 8)][:8]
    if weight_id == "inception_fid":
        _maker("made_inception").write_inception(folder, list(few))
    elif weight_id == "i3d_kinetics400":
        _maker("made_i3d").write_i3d(folder, [frames[:_WINDOW], frames[_WINDOW : 2 * _WINDOW]])
    elif weight_id == "buffalo_l_detection":
        _maker("made_identity").write_detector(folder, [cv2.resize(frame, (640, 640)) for frame in few])
    elif weight_id == "buffalo_l_recognition":
        _maker("made_identity").write_recogniser(folder, [cv2.resize(frame, (112, 112)) for frame in few])
    elif weight_id == "syncnet_v2":
        from benchmark.mfcc import mfcc

        small = np.stack([cv2.resize(frame, (224, 224))[..., ::-1] for frame in frames[: _LIPS + 12]])
        lips = np.stack([small[start : start + _LIPS] for start in range(0, 12, 3)])
        heard = mfcc(samples).astype(np.float32)
        sound = np.stack([heard[4 * start : 4 * start + 20].T for start in range(0, 12, 3)])
        _maker("made_syncnet").write_syncnet(path, lips, sound)
    elif weight_id == "s3fd":
        _maker("made_syncnet").write_s3fd(path, frames[0], 0.25)
    elif weight_id == "one_align":
        # In a process of its own, because importing pyiqa changes transformers.
        command = [
            sys.executable,
            "-c",
            _CHECKPOINT,
            str(_MAKERS / "canonical"),
            str(_MAKERS.parents[1]),
            str(path),
        ]
        subprocess.run(command, check=True, capture_output=True)
    else:
        raise ValueError(f"nobody makes random weights for {weight_id}")


def _maker(name: str) -> Any:  # modules of the tests: known here by name alone
    return importlib.import_module(name)
