"""A motion in SMPL-X's parameters, in one convention, and its resampling in time.

One convention inside: rotation vectors as they act (`flat_hand_mean=True`), float64. Tools whose hands count from a
relaxed pose are converted where their files are read and written.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from baselines.motion.layout import LEFT_HAND, N_JOINTS, RIGHT_HAND
from media.errors import AvatarBenchError

__all__ = ["SmplxMotion", "read_motion_npz", "with_hand_mean"]


@dataclass(frozen=True, slots=True, eq=False)
class SmplxMotion:
    """T frames; frame `i` shows time `i / fps`."""

    rotations: np.ndarray
    """[T, 55, 3] float64, rotation vectors in radians, each in its parent's axes, in the order of `JOINT_NAMES`.

    The first turns the body in the world, whichever that is; see `anchor.place`."""
    translation: np.ndarray
    """[T, 3] float64, metres: SMPL-X's `transl`, `x = R (x0 - J0) + J0 + transl` with `J0` the pelvis at rest."""
    expression: np.ndarray
    """[T, E] float64, coefficients of the SMPL-X 2020 (FLAME 2020) expression basis."""
    fps: float

    def __post_init__(self) -> None:
        n = len(self.rotations)
        shapes = self.rotations.shape, self.translation.shape, self.expression.shape[:-1]
        if shapes != ((n, N_JOINTS, 3), (n, 3), (n,)):
            raise ValueError(f"rotations, translation and expression do not belong together: {shapes}")

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.rotations)

    def resampled(self, fps: float, n_frames: int) -> SmplxMotion:
        """The same motion at times `i / fps`, `i < n_frames`.

        Rotations move along the geodesic between their neighbours (slerp), the rest linearly. For a motion of angular
        acceleration up to `a` the error of a rotation is at most `a / (8 self.fps ** 2)`, as for any linear
        interpolation.

        Raises:
            AvatarBenchError: E742, the motion ends before the last of these times.
        """
        place = np.arange(n_frames) * (self.fps / fps)
        if n_frames and place[-1] > self.n_frames - 1 + 1e-9:
            raise AvatarBenchError(
                "E742",
                "the motion is shorter than the clip",
                expected=f"{int(np.ceil(place[-1] - 1e-9)) + 1} frames at {self.fps:g} a second",
                got=f"{self.n_frames}",
                fix="make the motion of a longer sound (pad it with silence): nothing is frozen or repeated",
            )
        before = np.floor(place + 1e-9).astype(int)
        after = np.minimum(before + 1, self.n_frames - 1)
        share = np.clip(place - before, 0.0, 1.0)  # [n]

        def linear(values: np.ndarray) -> np.ndarray:
            return values[before] + share[:, None] * (values[after] - values[before])

        return SmplxMotion(
            _slerp(self.rotations[before], self.rotations[after], share),
            linear(self.translation),
            linear(self.expression),
            fps,
        )


def _slerp(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Rotation vectors [n, J, 3] at `share` [n] of the shorter way from `start` to `end`."""
    first = Rotation.from_rotvec(start.reshape(-1, 3))
    way = (first.inv() * Rotation.from_rotvec(end.reshape(-1, 3))).as_rotvec().reshape(start.shape)
    part = Rotation.from_rotvec((share[:, None, None] * way).reshape(-1, 3))
    turned = (first * part).as_rotvec().reshape(start.shape)
    return np.where(
        (share == 0)[:, None, None], start, turned
    )  # frames of both grids stay as they are to the bit


def with_hand_mean(rotations: np.ndarray, hand_mean: np.ndarray, sign: int) -> np.ndarray:
    """A copy of rotations [T, 55, 3] with the mean hands [2, 15, 3] added (`sign` 1) or taken away (-1).

    In the space of rotation vectors, as the smplx package does it.
    """
    changed = rotations.copy()
    changed[:, LEFT_HAND] += sign * hand_mean[0]
    changed[:, RIGHT_HAND] += sign * hand_mean[1]
    return changed


def read_motion_npz(path: Path, hand_mean: np.ndarray) -> SmplxMotion:
    """Read what MotionCraft writes, or another tracker's file in the same layout (that of BEAT2).

    `poses` [T, 165] rotation vectors, `trans` [T, 3] metres, `expressions` [T, E] and `mocap_frame_rate`. Hands count
    from the model's mean hands unless the file says `flat_hand_mean=True`.

    Args:
        path: The `.npz`.
        hand_mean: [2, 15, 3], from the model file that the motion was made with.

    Raises:
        AvatarBenchError: E741, the file is not such a one or holds numbers that are none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            poses, translation, expression = (
                np.asarray(archive[name], np.float64) for name in ("poses", "trans", "expressions")
            )
            fps = float(archive["mocap_frame_rate"])
            flat = bool(archive["flat_hand_mean"]) if "flat_hand_mean" in archive.files else False
        motion = SmplxMotion(poses.reshape(len(poses), N_JOINTS, 3), translation, expression, fps)
        if not all(np.isfinite(part).all() for part in (poses, translation, expression, fps)) or fps <= 0:
            raise ValueError("not all numbers are finite")
    except (OSError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile, EOFError) as error:
        raise AvatarBenchError(
            "E741",
            "the motion cannot be read",
            where=path,
            expected="an .npz with poses [T, 165], trans [T, 3], expressions [T, E] and mocap_frame_rate",
            got=f"{type(error).__name__}: {error}",
            fix="look at the log of the tool that wrote it",
        ) from error
    return motion if flat else replace(motion, rotations=with_hand_mean(motion.rotations, hand_mean, 1))
