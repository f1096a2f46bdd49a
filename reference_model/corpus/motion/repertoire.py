"""The gestures that made people know: beats and illustrators, as postures in time about the apex of the stroke.

The kinds and their phases (preparation, stroke, hold, retraction) are those of gesture research (McNeill 1992, Kendon
2004); the postures were set by eye on the template.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference_model.corpus.motion.arm_reach import Reach

__all__ = ["GESTURES", "Gesture", "Key"]

Key = tuple[float, Reach]
"""Seconds after the apex of the first stroke, and where the arm then is."""


@dataclass(frozen=True, slots=True)
class Gesture:
    """One gesture; the first key ends the preparation and starts the stroke."""

    keys: tuple[Key, ...]
    """Of the leading hand, in order of time."""
    hands: tuple[int, ...] = (1, 2)
    """How many hands may make it."""
    other: tuple[Key, ...] | None = None
    """Of the second hand, where it does not mirror the leading one."""
    strokes_s: tuple[float, ...] = (0.0,)
    """Times of all apexes relative to the first."""
    hold_s: float = 0.25
    """How long the last posture is kept at least."""
    exact: bool = False
    """Hands meet each other or the body: neither size nor chance changes the places."""

    @property
    def beat(self) -> bool:
        """Whether it only marks rhythm; illustrators also say something."""
        return self in _BEATS


_STROKE = -0.24
_INWARD = (-0.85, 0.05, -0.45)  # a palm at rest beside the body

_DOWN_PREPARED = Reach((1.05, -1.05, -0.38), (-0.20, -0.75, 0.60), _INWARD)
_DOWN = Reach((1.12, -1.20, -0.80), (-0.22, -0.95, 0.02), (-0.75, 0.0, -0.6))
_SMALL_DOWN_PREPARED = Reach((1.10, -1.12, -0.45), (-0.22, -0.82, 0.40), (-0.55, -0.1, -0.8), "loose")
_SMALL_DOWN = Reach((1.14, -1.20, -0.72), (-0.22, -0.95, 0.08), (-0.55, -0.1, -0.8), "loose")
_CHOP_PREPARED = Reach((0.95, -1.02, -0.20), (-0.10, -0.65, 0.75), (-1.0, 0.0, 0.05), "flat")
_CHOP = Reach((0.95, -1.22, -0.62), (-0.05, -1.0, 0.05), (-1.0, 0.0, 0.05), "flat")
_FIST_PREPARED = Reach((1.0, -0.98, -0.20), (-0.22, -0.45, 0.85), (-0.95, 0.1, -0.1), "fist")
_FIST = Reach((1.0, -1.18, -0.58), (-0.18, -0.88, 0.38), (-0.95, 0.0, -0.2), "fist")
_RING_PREPARED = Reach((0.95, -1.0, -0.12), (-0.12, -0.42, 0.90), (-0.60, -0.75, -0.2), "ring")
_RING = Reach((0.95, -1.18, -0.42), (-0.12, -0.70, 0.70), (-0.60, -0.65, -0.4), "ring")
_WEIGH_HIGH = Reach((1.10, -1.14, -0.38), (0.05, -0.95, 0.25), (-0.05, -0.05, 1.0), "cup")
_WEIGH_LOW = Reach((1.12, -1.18, -0.80), (0.05, -1.0, 0.05), (-0.05, -0.05, 1.0), "cup")


def _count(shape: str, lift: float) -> Reach:
    return Reach((1.0, -1.02, -0.24 + lift), (-0.12, -0.22, 0.97), (-0.25, -0.95, -0.2), shape)


_BEATS = (
    _BEAT_DOWN := Gesture(((_STROKE, _DOWN_PREPARED), (0.0, _DOWN)), hold_s=0.12),
    _DOUBLE_BEAT := Gesture(
        (
            (-0.20, _SMALL_DOWN_PREPARED),
            (0.0, _SMALL_DOWN),
            (0.18, _SMALL_DOWN_PREPARED),
            (0.38, _SMALL_DOWN),
        ),
        strokes_s=(0.0, 0.38),
        hold_s=0.12,
    ),
    _CHOP_BEAT := Gesture(((_STROKE, _CHOP_PREPARED), (0.0, _CHOP)), hold_s=0.18),
    _FIST_BEAT := Gesture(((_STROKE, _FIST_PREPARED), (0.0, _FIST)), hands=(1,), hold_s=0.15),
    _RING_BEAT := Gesture(((_STROKE, _RING_PREPARED), (0.0, _RING)), hands=(1,), hold_s=0.25),
    _FRAME_BEAT := Gesture(
        (
            (_STROKE, Reach((0.78, -1.10, -0.28), (-0.08, -0.75, 0.65), (-1.0, 0.05, -0.1), "cup")),
            (0.0, Reach((0.82, -1.22, -0.58), (-0.08, -0.92, 0.35), (-1.0, 0.05, -0.1), "cup")),
        ),
        hands=(2,),
        hold_s=0.30,
    ),
    _PRESS_BEAT := Gesture(
        (
            (-0.30, Reach((1.05, -1.10, -0.25), (-0.12, -0.92, 0.38), (0.0, -0.35, -0.95), "flat")),
            (0.0, Reach((1.10, -1.18, -0.75), (-0.12, -0.98, 0.15), (0.0, -0.15, -1.0), "flat")),
        ),
        hold_s=0.25,
    ),
)

GESTURES: dict[str, Gesture] = {
    "beat_down": _BEAT_DOWN,
    "double_beat": _DOUBLE_BEAT,
    "chop": _CHOP_BEAT,
    "fist_beat": _FIST_BEAT,
    "ring": _RING_BEAT,
    "frame": _FRAME_BEAT,
    "press_down": _PRESS_BEAT,
    "open_palms": Gesture(
        (
            (-0.34, Reach((0.75, -0.98, -0.62), (-0.12, -0.88, 0.40), (-0.75, 0.05, 0.55), "relaxed")),
            (0.0, Reach((1.24, -1.05, -0.62), (0.22, -0.85, 0.30), (-0.05, -0.25, 0.95), "open")),
        ),
        hands=(2,),
        hold_s=0.40,
    ),
    "offer": Gesture(
        (
            (-0.32, Reach((0.80, -0.85, -0.70), (-0.28, -0.82, 0.35), (-0.75, 0.1, 0.45), "relaxed")),
            (0.0, Reach((1.05, -1.42, -0.60), (0.08, -0.95, 0.22), (-0.15, -0.1, 1.0), "cup")),
        ),
        hold_s=0.40,
    ),
    "count": Gesture(
        (
            (-0.22, _count("point", 0.08)),
            (0.0, _count("point", -0.06)),
            (0.22, _count("two", 0.08)),
            (0.44, _count("two", -0.06)),
            (0.66, _count("three", 0.08)),
            (0.88, _count("three", -0.06)),
        ),
        hands=(1,),
        strokes_s=(0.0, 0.44, 0.88),
        hold_s=0.25,
    ),
    "point_aside": Gesture(
        (
            (-0.30, Reach((0.72, -0.98, -0.44), (-0.22, -0.78, 0.50), (-0.80, 0.0, -0.5), "point")),
            (0.0, Reach((1.14, -0.92, -0.34), (0.62, -0.62, 0.34), (-0.30, -0.55, -0.75), "point")),
        ),
        hands=(1,),
        hold_s=0.45,
    ),
    "sweep_aside": Gesture(
        (
            (-0.40, Reach((0.42, -1.22, -0.36), (-0.55, -0.80, 0.15), (-0.2, -0.25, -0.95), "flat")),
            (0.0, Reach((1.26, -1.08, -0.54), (0.26, -0.92, 0.14), (0.1, -0.30, -0.95), "flat")),
        ),
        hands=(1,),
        hold_s=0.30,
    ),
    "steeple": Gesture(
        (
            (-0.36, Reach((0.90, -1.05, -0.66), (-0.20, -0.75, 0.58), (-0.90, 0.1, -0.25), "cup")),
            (
                0.0,
                Reach((0.62, -1.05, -0.60), (-0.30, -0.58, 0.72), (-0.92, 0.10, -0.25), "steeple", meet=True),
            ),
        ),
        hands=(2,),
        hold_s=0.60,
        exact=True,
    ),
    "hand_on_chest": Gesture(
        (
            (-0.36, Reach((0.90, -1.05, -0.62), (-0.80, -0.30, 0.42), (-0.35, 0.90, -0.1), "relaxed")),
            (0.0, Reach((0.72, -0.62, -0.48), (-0.88, 0.0, 0.42), (-0.05, 1.0, 0.0), "flat", touch=True)),
        ),
        hands=(1,),
        hold_s=0.55,
        exact=True,
    ),
    "weigh": Gesture(
        ((-0.30, _WEIGH_LOW), (0.0, _WEIGH_HIGH), (0.48, _WEIGH_LOW)),
        hands=(2,),
        other=((-0.30, _WEIGH_HIGH), (0.0, _WEIGH_LOW), (0.48, _WEIGH_HIGH)),
        strokes_s=(0.0, 0.48),
        hold_s=0.25,
    ),
    "rise": Gesture(
        (
            (-0.42, Reach((1.00, -1.15, -0.88), (-0.15, -0.98, 0.05), (-0.15, -0.05, 1.0), "cup")),
            (0.0, Reach((1.10, -1.15, -0.20), (-0.05, -0.88, 0.42), (-0.1, -0.05, 1.0), "cup")),
        ),
        hold_s=0.35,
    ),
    "size_large": Gesture(
        (
            (-0.36, Reach((0.55, -1.15, -0.50), (-0.10, -0.88, 0.42), (-1.0, 0.0, 0.0), "cup")),
            (0.0, Reach((1.34, -1.06, -0.46), (-0.10, -0.85, 0.50), (-0.95, -0.15, 0.05), "open")),
        ),
        hands=(2,),
        hold_s=0.40,
    ),
    "size_small": Gesture(
        (
            (-0.26, Reach((0.95, -1.0, -0.30), (-0.22, -0.60, 0.75), (-0.75, -0.55, -0.2), "relaxed")),
            (0.0, Reach((0.92, -1.08, -0.10), (-0.30, -0.45, 0.85), (-0.65, -0.75, -0.2), "pinch")),
        ),
        hands=(1,),
        hold_s=0.40,
    ),
}
"""By name."""
