"""Hands and arms of a talker: raised while a hand has the word, beating with the accents of the speech.

All rotations are relative to whatever pose the photograph shows, so every gesture is built from movements that are
safe from most poses: elbows bend up, upper arms come forward and turn outward, away from the trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reference_model.body.template import BodyTemplate, load_template
from reference_model.innovations import (
    BOTH_HANDS,
    GESTURE_AMPLITUDE,
    GESTURE_HAND,
    LEFT_HAND,
    RIGHT_HAND,
    SWAY,
)

__all__ = ["accent_pulses", "arm_rotations", "choose_accents", "idle_arms", "minimum_jerk", "settle"]

_SHORTEST_BEAT_S = 0.6
_RAISE_S = 0.7
_FOLLOW_S = 0.28
_SIDES = {"L": (LEFT_HAND, 1.0), "R": (RIGHT_HAND, -1.0)}

# Radians at full raise, for gesture amplitude 1. Chosen so that the wrists travel about as far as those of the
# real talkers measured (0.16 to 0.66 shoulder widths a second).
_RAISE = {"flex": 0.42, "forward": 0.14, "aside": 0.06, "outward": 0.16, "extend": 0.10, "curl": -0.06}
_BEAT = {"flex": -0.24, "forward": -0.05, "aside": 0.02, "outward": 0.05, "extend": -0.12, "curl": 0.10}
_DRIFT_NOD = {"flex": 0.12, "forward": 0.05, "aside": 0.0, "outward": 0.0, "extend": 0.03, "curl": 0.04}
_DRIFT_TURN = {"flex": 0.0, "forward": 0.0, "aside": 0.03, "outward": 0.11, "extend": 0.0, "curl": 0.0}


@dataclass(frozen=True, slots=True)
class _ArmAxes:
    """Unit axes of one arm in reference axes; turning by a positive angle does what the name says."""

    flex: np.ndarray
    """Of the elbow: the forearm comes up towards the upper arm."""
    forward: np.ndarray
    """Of the shoulder: the arm comes forward."""
    aside: np.ndarray
    """Of the shoulder: the arm leaves the trunk."""
    outward: np.ndarray
    """Of the shoulder, about the upper arm itself: a bent forearm turns away from the trunk."""
    extend: np.ndarray
    """Of the wrist: the back of the hand comes up."""
    curl: np.ndarray
    """[5, 3] of the fingers: they close."""


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _arm_axes(template: BodyTemplate, side: str, sign: float) -> _ArmAxes:
    def head(name: str) -> np.ndarray:
        return template.joints[template.joint(f"{name}.{side}")].astype(np.float64)

    upper = _unit(head("lowerarm01") - head("upperarm01"))
    flex = _unit(np.cross(upper, head("wrist") - head("lowerarm01")))
    outside = np.array([sign, 0.0, 0.0])
    # About the upper arm, a bent forearm moves along the elbow's axis.
    outward = upper * np.sign(flex @ outside)
    curl = []
    for finger in range(1, 6):
        first, second, third = (head(f"finger{finger}-{bone}") for bone in (1, 2, 3))
        curl.append(_unit(np.cross(second - first, third - second)))
    # Fingers close towards the palm, so a wrist extends the other way about the middle finger's axis.
    return _ArmAxes(
        flex=flex,
        forward=_unit(np.cross(upper, [0.0, -1.0, 0.0])),
        aside=_unit(np.cross(upper, outside)),
        outward=outward,
        extend=-curl[2],
        curl=np.stack(curl),
    )


@lru_cache(maxsize=1)
def _axes_of_template() -> dict[str, _ArmAxes]:
    return {side: _arm_axes(load_template(), side, sign) for side, (_, sign) in _SIDES.items()}


def minimum_jerk(share: np.ndarray) -> np.ndarray:
    """Position along a minimum-jerk movement (Flash and Hogan 1985) at shares of its duration, 0 to 1."""
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10.0 - 15.0 * share + 6.0 * share**2)


def settle(target: np.ndarray, duration_s: float, fps: float) -> np.ndarray:
    """Follow a target that jumps by minimum-jerk movements that begin at the jump, from 0, [T] -> [T]."""
    position = minimum_jerk(np.arange(int(np.ceil(duration_s * fps)) + 1) / (duration_s * fps))
    # Averaging over the past with the movement's bell-shaped speed; overlapping movements add up.
    return np.convolve(target, np.diff(position))[: len(target)]


def choose_accents(onsets_s: list[float], shortest_s: float = _SHORTEST_BEAT_S) -> list[float]:
    """Thin out stressed onsets to what a hand can follow, first come first served."""
    chosen: list[float] = []
    for onset in onsets_s:
        if not chosen or onset - chosen[-1] >= shortest_s:
            chosen.append(onset)
    return chosen


def accent_pulses(
    onsets_s: list[float], gains: np.ndarray, shape_s: tuple[float, float, float], n_frames: int, fps: float
) -> np.ndarray:
    """A track that leaves 0, reaches each gain at its apex and comes back, by minimum-jerk movements.

    Args:
        onsets_s: Times of the accents.
        gains: Height of each, [len(onsets_s)].
        shape_s: Start and apex relative to the onset, and duration of the return, in seconds.
        n_frames: T.
        fps: Frames a second.

    Returns:
        [T] float64.
    """
    start, apex, back = shape_s
    time = np.arange(n_frames) / fps
    track = np.zeros(n_frames)
    for onset, gain in zip(onsets_s, gains, strict=True):
        there = minimum_jerk((time - onset - start) / (apex - start))
        away = minimum_jerk((time - onset - apex) / back)
        track += gain * (there - away)
    return track


def arm_rotations(
    innovations: np.ndarray, talking: np.ndarray, beats: np.ndarray, gains: dict[str, float], fps: float
) -> np.ndarray:
    """Rotations of shoulders, elbows, wrists and fingers.

    Args:
        innovations: [T, 8], see `reference_model.innovations`.
        talking: Whether somebody speaks, [T] in 0..1.
        beats: Pulses of the accents, [T], 1 at an apex.
        gains: Amplitude of the arms "L" and "R".
        fps: Frames a second.

    Returns:
        Rotation vectors relative to the photograph in the axes of each bone, [T, J, 3] radians.
    """
    template = load_template()
    rotations = np.zeros((len(innovations), template.n_joints, 3))
    chosen = innovations[:, GESTURE_HAND]
    # Arms hang on the trunk and follow its sway smoothly, a little later.
    turn, nod = (settle(innovations[:, channel], _FOLLOW_S, fps) for channel in (SWAY.start, SWAY.start + 1))
    for side, (value, sign) in _SIDES.items():
        active = ((chosen == value) | (chosen == BOTH_HANDS)) * talking * innovations[:, GESTURE_AMPLITUDE]
        raised = settle(active * gains[side], _RAISE_S, fps)  # [T]
        # A hand that is not raised still takes a little part.
        stroke = beats * (0.12 * gains[side] + 0.88 * raised)
        # Both hands drift to the same side, as with the turning trunk.
        drift_turn, drift_nod = sign * turn * raised, nod * raised
        angle = {
            name: _RAISE[name] * raised
            + _BEAT[name] * stroke
            + _DRIFT_NOD[name] * drift_nod
            + _DRIFT_TURN[name] * drift_turn
            for name in _RAISE
        }
        _turn_arm(rotations, template, side, angle)
    return rotations


def idle_arms(
    sway: np.ndarray, beats: np.ndarray, talking: np.ndarray, gains: dict[str, float]
) -> np.ndarray:
    """The little that arms move without a gesture: with the trunk, and a trace of each accent.

    Args:
        sway: [T, 3] turn, nod and tilt of the trunk, unit variance.
        beats: Pulses of the accents, [T], 1 at an apex.
        talking: Whether somebody speaks, [T] in 0..1.
        gains: Amplitude of the arms "L" and "R".

    Returns:
        Rotation vectors as those of `arm_rotations`, [T, J, 3] radians.
    """
    template = load_template()
    rotations = np.zeros((len(sway), template.n_joints, 3))
    lively = 0.4 + 0.6 * talking
    for side, (_, sign) in _SIDES.items():
        turn, nod = sign * sway[:, 0] * lively, sway[:, 1] * lively
        angle = {
            name: gains[side]
            * (0.12 * _BEAT[name] * beats + 0.3 * (_DRIFT_NOD[name] * nod + _DRIFT_TURN[name] * turn))
            for name in _BEAT
        }
        _turn_arm(rotations, template, side, angle)
    return rotations


def _turn_arm(rotations: np.ndarray, template: BodyTemplate, side: str, angle: dict[str, np.ndarray]) -> None:
    """Write the rotations of one arm into [T, J, 3]; small angles about several axes add up."""
    axes = _axes_of_template()[side]

    def about(name: str, axis: np.ndarray) -> np.ndarray:
        return angle[name][:, None] * axis  # [T, 3]

    shoulder = about("forward", axes.forward) + about("aside", axes.aside) + about("outward", axes.outward)
    rotations[:, template.joint(f"upperarm01.{side}")] = shoulder
    rotations[:, template.joint(f"lowerarm01.{side}")] = about("flex", axes.flex)
    rotations[:, template.joint(f"wrist.{side}")] = about("extend", axes.extend)
    for finger in range(2, 6):
        for bone, share in ((1, 1.0), (2, 0.8), (3, 0.5)):
            joint = template.joint(f"finger{finger}-{bone}.{side}")
            # Fingers do not move as one: the little finger curls most.
            rotations[:, joint] = share * (0.6 + 0.15 * finger) * about("curl", axes.curl[finger - 1])
