"""SMPL-X parameters by name, one dictionary a frame: the form that LHM, PERSONA and their trackers share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from baselines.motion.layout import BODY, EYES, JAW, LEFT_HAND, RIGHT_HAND, ROOT
from baselines.motion.smplx_motion import SmplxMotion

__all__ = ["frames_of_motion", "motion_of_frames"]

_ROTATIONS = ("root_pose", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "lhand_pose", "rhand_pose")


def frames_of_motion(motion: SmplxMotion, n_expression: int) -> Iterator[dict[str, Any]]:
    """The parameters of each frame as lists of floats; the expression is cut or filled with zeros."""
    n = min(n_expression, motion.expression.shape[1])
    expression = np.zeros((motion.n_frames, n_expression))
    expression[:, :n] = motion.expression[:, :n]
    for turns, translation, face in zip(motion.rotations, motion.translation, expression, strict=True):
        parts = (turns[ROOT], turns[BODY], turns[JAW], *turns[EYES], turns[LEFT_HAND], turns[RIGHT_HAND])
        frame = {name: part.tolist() for name, part in zip(_ROTATIONS, parts, strict=True)}
        yield frame | {"trans": translation.tolist(), "expr": face.tolist()}


def motion_of_frames(frames: Sequence[Mapping[str, Any]], fps: float) -> SmplxMotion:
    """The motion in such dictionaries, as it stands there: hands may count from a mean hand."""
    rotations = [
        np.concatenate([np.asarray(frame[name], np.float64).reshape(-1, 3) for name in _ROTATIONS])
        for frame in frames
    ]
    translation = np.array([frame["trans"] for frame in frames], np.float64)
    expression = np.array([frame["expr"] for frame in frames], np.float64)
    return SmplxMotion(np.stack(rotations), translation, expression, fps)
