"""Shapes of the hand that gestures use, as rotations of the finger bones of the template.

Angles are written in axes of the left hand: along it (wrist to middle knuckle), across it (towards the thumb) and out
of the palm. The right hand is the mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from reference_model.body.template import load_template

__all__ = ["HAND_SHAPES", "HandShape", "finger_bones", "finger_rotations", "hand_axes"]

_Curl = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class HandShape:
    """A posture of the fingers; all angles are radians from the template's half-relaxed hand."""

    curls: tuple[_Curl, _Curl, _Curl, _Curl]
    """Bend of index, middle, ring and little finger at knuckle, middle and end joint; a straight finger is negative."""
    closed: float
    """0 the template's spread of the fingers, 1 fingers side by side; negative spreads further."""
    thumb: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """Rotation vector of the thumb's root (along, across, palm), and bends of its two other joints."""


_SIDE_BY_SIDE = (-0.07, 0.08, 0.20, 0.34)
"""Turns about the palm's normal that bring the fingers of the template together, index to little finger."""
_THUMB_AXIS = (0.471, 0.180, -0.863)
"""About which the template's thumb bends, in the hand's axes."""

_STRAIGHT: _Curl = (-0.16, -0.20, -0.06)
_SOFT: _Curl = (0.10, 0.12, 0.06)
_LOOSE: _Curl = (0.38, 0.50, 0.28)
_BENT: _Curl = (1.15, 1.45, 0.80)
# Thumbs by least squares on the template's joints: the tip meets the index tip, the back of the bent middle finger,
# or lies along the index finger's root.
_THUMB_RING = (-0.09, -0.16, 0.13, 0.48, 0.62)
_THUMB_OVER = (0.11, -0.10, -0.18, 0.67, 0.56)
_THUMB_BESIDE = (-0.12, 0.20, 0.24, 0.36, 0.50)

HAND_SHAPES: dict[str, HandShape] = {
    "relaxed": HandShape((_SOFT, (0.20, 0.24, 0.14), (0.26, 0.30, 0.16), (0.30, 0.34, 0.18)), 0.55),
    "loose": HandShape((_LOOSE, (0.48, 0.58, 0.30), (0.55, 0.62, 0.34), (0.60, 0.60, 0.36)), 0.65,
                       (0.0, 0.0, 0.0, 0.22, 0.25)),
    "flat": HandShape((_STRAIGHT, (-0.12, -0.16, -0.06), (-0.10, -0.12, -0.04), (-0.08, -0.08, -0.02)), 0.85,
                      _THUMB_BESIDE),
    "open": HandShape((_STRAIGHT, (-0.10, -0.14, -0.04), (-0.04, -0.08, -0.02), (0.02, -0.04, 0.0)), 0.10,
                      (0.0, 0.0, 0.10, -0.12, -0.10)),
    "cup": HandShape(((0.22, 0.28, 0.16), (0.26, 0.30, 0.18), (0.28, 0.32, 0.18), (0.30, 0.34, 0.18)), 0.35,
                     (0.0, 0.0, 0.0, 0.10, 0.10)),
    "fist": HandShape((_BENT, (1.20, 1.50, 0.85), (1.22, 1.50, 0.85), (1.22, 1.45, 0.80)), 0.90, _THUMB_OVER),
    "point": HandShape((_STRAIGHT, _BENT, (1.20, 1.48, 0.82), (1.20, 1.42, 0.80)), 0.60, _THUMB_OVER),
    "two": HandShape((_STRAIGHT, (-0.10, -0.14, -0.04), (1.15, 1.45, 0.80), (1.18, 1.42, 0.80)), -0.55,
                     (0.20, -0.10, -0.35, 0.60, 0.50)),
    "three": HandShape((_STRAIGHT, (-0.10, -0.14, -0.04), (-0.04, -0.08, -0.02), (1.05, 1.35, 0.75)), -0.25,
                       (0.30, -0.05, -0.50, 0.50, 0.40)),
    "ring": HandShape(((0.55, 0.75, 0.35), (0.16, 0.22, 0.12), (0.06, 0.12, 0.08), (0.0, 0.06, 0.06)), 0.20,
                      _THUMB_RING),
    "steeple": HandShape(((0.02, 0.10, 0.06), (0.06, 0.12, 0.06), (0.10, 0.14, 0.06), (0.14, 0.16, 0.08)), 0.25,
                         (0.0, 0.0, 0.0, 0.10, 0.10)),
    "pinch": HandShape(((0.30, 0.42, 0.20), (0.85, 1.05, 0.60), (0.95, 1.15, 0.65), (1.0, 1.10, 0.62)), 0.60,
                       (-0.05, 0.0, 0.10, 0.20, 0.25)),
}  # fmt: skip
"""By name; "pinch" leaves some centimetres between thumb and index finger."""


@lru_cache(maxsize=1)
def hand_axes() -> np.ndarray:
    """Axes of the template's left hand in the world: along, across, out of the palm; rows of [3, 3] float64."""
    template = load_template()
    wrist, index, middle, little = (
        template.joints[template.joint(name)].astype(np.float64)
        for name in ("wrist.L", "finger2-1.L", "finger3-1.L", "finger5-1.L")
    )
    along = (middle - wrist) / np.linalg.norm(middle - wrist)
    palm = np.cross(along, index - little)
    palm /= np.linalg.norm(palm)
    return np.stack([along, np.cross(palm, along), palm])


def finger_bones(side: str) -> list[int]:
    """Joints of the 15 finger bones of a side ("L" or "R"): thumb to little finger, root to tip."""
    template = load_template()
    return [template.joint(f"finger{finger}-{bone}.{side}") for finger in range(1, 6) for bone in (1, 2, 3)]


@lru_cache(maxsize=64)
def finger_rotations(shape: str, side: str) -> np.ndarray:
    """Rotations of the finger bones for a hand shape.

    Args:
        shape: A name of `HAND_SHAPES`.
        side: "L" or "R".

    Returns:
        [15, 3] float64 rotation vectors relative to the template's reference pose, in the order of `finger_bones`.
    """
    wanted = HAND_SHAPES[shape]
    vectors = np.zeros((5, 3, 3))  # finger, bone, axis of the hand
    axis = np.array(_THUMB_AXIS)
    vectors[0] = [wanted.thumb[:3], wanted.thumb[3] * axis, wanted.thumb[4] * axis]
    for finger, curl in enumerate(wanted.curls, start=1):
        bends = np.outer(curl, [0.0, -1.0, 0.0])
        spread = Rotation.from_rotvec([0.0, 0.0, wanted.closed * _SIDE_BY_SIDE[finger - 1]])
        vectors[finger] = [(spread * Rotation.from_rotvec(bends[0])).as_rotvec(), bends[1], bends[2]]
    world = vectors.reshape(15, 3) @ hand_axes()
    mirrored = world * [1.0, -1.0, -1.0] if side == "R" else world
    mirrored.setflags(write=False)  # cached
    return mirrored
