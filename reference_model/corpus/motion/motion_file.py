"""Motion in a small file: whole steps of 1e-4, and only the joints and actions that move."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from media.files import atomic_write
from reference_model.corpus.motion.animator import Motion

__all__ = ["STEP", "load_motion", "save_motion"]

STEP = 1e-4
"""Of an action 0..1, and radians of a rotation vector: 0.006 degrees, under 0.1 mm at the end of an arm."""


def save_motion(path: Path, motion: Motion) -> None:
    """Write a motion.

    Args:
        path: The .npz file; replaced only when complete.
        motion: Its rotations must be within 3.27 radians.
    """
    rotations = motion.rotations.reshape(len(motion.rotations), -1)
    arrays = {"shape": np.array(motion.rotations.shape)}
    for name, values in (("actions", motion.actions), ("rotations", rotations)):
        steps = np.round(values / STEP)
        if np.abs(steps).max(initial=0) > np.iinfo(np.int16).max:
            raise ValueError(
                f"{name} reach {np.abs(values).max():.2f}, more than int16 steps of {STEP:g} hold"
            )
        moving = np.flatnonzero(steps.any(0))
        # Differences from frame to frame are small numbers, which compress well.
        arrays[name] = np.diff(steps[:, moving].astype(np.int16), axis=0, prepend=np.int16(0)).T
        arrays[f"{name}_at"] = moving.astype(np.int16)
    arrays["n_actions"] = np.array(motion.actions.shape[1])
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_motion(path: Path) -> Motion:
    """Read a motion: actions [T, 52] and rotations [T, J, 3], float32."""
    with np.load(path, allow_pickle=False) as arrays:
        shape = tuple(int(n) for n in arrays["shape"])
        tracks = {}
        for name, width in (("actions", int(arrays["n_actions"])), ("rotations", shape[1] * shape[2])):
            values = np.zeros((shape[0], width), np.float32)
            steps = np.cumsum(arrays[name].T, axis=0, dtype=np.int16)
            values[:, arrays[f"{name}_at"]] = steps.astype(np.float32) * np.float32(STEP)
            tracks[name] = values
    return Motion(tracks["actions"], tracks["rotations"].reshape(shape))
