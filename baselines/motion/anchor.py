"""Where the person of the reference picture stands, and a motion moved there.

The anchor comes from the reference picture alone. A generated motion lives in a world of its own; what is kept of it is
the motion relative to its first frame.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from baselines.motion.layout import ROOT
from baselines.motion.smplx_motion import SmplxMotion
from media.errors import AvatarBenchError

__all__ = ["Anchor", "PinholeCamera", "Translation", "place", "read_lhm_anchor", "read_persona_anchor"]

Translation = Literal["anchor_relative", "locked"]
"""What becomes of the pelvis' way: kept relative to the first frame, or left out (the pelvis stays on the anchor)."""


@dataclass(frozen=True, slots=True)
class PinholeCamera:
    """OpenCV's camera at the origin: x right, y down, z forward."""

    focal: tuple[float, float]
    """px."""
    principal: tuple[float, float]
    """px."""
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """Root and camera of the person in the reference picture, in the camera's axes."""

    root: np.ndarray
    """[3] rotation vector; near (pi, 0, 0) for someone upright who faces the camera."""
    translation: np.ndarray
    """[3] SMPL-X's `transl`, metres."""
    camera: PinholeCamera


def place(motion: SmplxMotion, anchor: Anchor, translation: Translation = "anchor_relative") -> SmplxMotion:
    """The motion in the camera's axes, so that its first frame stands as the reference picture does.

    With `Q = R_anchor R_0^T`: `R' = Q R`, `t' = t_anchor + Q (t - t_0)`. Axes (y up or down), heading and place of the
    motion's world drop out, and so does the pelvis at rest: body shapes may differ.
    """
    first = Rotation.from_rotvec(motion.rotations[0, ROOT])
    turn = Rotation.from_rotvec(anchor.root) * first.inv()
    rotations = motion.rotations.copy()
    rotations[:, ROOT] = (turn * Rotation.from_rotvec(rotations[:, ROOT])).as_rotvec()
    way = turn.apply(motion.translation - motion.translation[0])  # [T, 3]
    moved = anchor.translation + (way if translation == "anchor_relative" else np.zeros_like(way))
    return replace(motion, rotations=rotations, translation=moved)


def read_lhm_anchor(path: Path) -> Anchor:
    """The anchor from one frame of LHM's own tracker (`engine/pose_estimation/video2motion.py`), `00001.json`.

    Raises:
        AvatarBenchError: E743, missing or not such a file.
    """
    values = _read(path)

    def build() -> Anchor:
        if float(values.get("pad_ratio", 0)):
            raise ValueError(
                f"pad_ratio is {values['pad_ratio']}: the picture's place in the frame is not known"
            )
        camera = _camera(values["focal"], values["princpt"], values["img_size_wh"])
        return Anchor(_vector(values["root_pose"], 3), _vector(values["trans"], 3), camera)

    return _checked(path, build)


def read_persona_anchor(parameters: Path, lens_path: Path, width: int, height: int) -> Anchor:
    """The anchor from PERSONA's preprocessing of the reference picture.

    Args:
        parameters: `captured/smplx_optimized/smplx_params/0.json`.
        lens_path: `captured/cam_params/0.json`.
        width: Of the reference picture, px.
        height: Of the reference picture, px.

    Raises:
        AvatarBenchError: E743, missing, not such files, or a camera that is turned against the parameters' axes.
    """
    values, lens = _read(parameters), _read(lens_path)

    def build() -> Anchor:
        pose = np.column_stack([np.asarray(lens["R"], np.float64), _vector(lens["t"], 3)])
        if not np.allclose(pose, np.eye(3, 4), atol=1e-6):
            raise ValueError("R is not the identity or t is not zero")
        camera = _camera(lens["focal"], lens["princpt"], (width, height))
        return Anchor(_vector(values["root_pose"], 3), _vector(values["trans"], 3), camera)

    return _checked(lens_path, build)


def _read(path: Path) -> dict[str, Any]:
    return _checked(path, lambda: dict(json.loads(path.read_text(encoding="utf-8"))))


def _checked(path: Path, build: Any) -> Any:
    try:
        return build()
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise AvatarBenchError(
            "E743",
            "the anchor of the motion cannot be used",
            where=path,
            expected="root_pose [3], trans [3], focal [2], princpt [2] of the reference picture, in camera axes",
            got=f"{type(error).__name__}: {error}",
            fix="run the tracker of the method on the reference picture again and look at its log",
        ) from error


def _vector(values: Any, n: int) -> np.ndarray:
    vector = np.asarray(values, np.float64).reshape(-1)
    if vector.shape != (n,) or not np.isfinite(vector).all():
        raise ValueError(f"expected {n} finite numbers, got {values!r}")
    return vector


def _camera(focal: Any, principal: Any, size: Any) -> PinholeCamera:
    fx, fy = _vector(focal, 2)
    cx, cy = _vector(principal, 2)
    width, height = _vector(size, 2)
    if fx <= 0 or fy <= 0 or width < 1 or height < 1:
        raise ValueError("focal length and size must be positive")
    return PinholeCamera((float(fx), float(fy)), (float(cx), float(cy)), round(width), round(height))
