"""A made person performs: speech, chance and a personal style in, motion and a record of what happened out.

The mouth is that of `animator.animate`. Arms make gestures of the repertoire; face, gaze, head and trunk follow the
person's style.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.motion.animator import (
    BROW_S,
    FPS,
    NOD_S,
    Motion,
    add_blinks,
    add_breath,
    add_brows,
    add_gaze,
    add_head_and_trunk,
    mouth_actions,
    stressed_word_onsets,
    talking_share,
    turn_head,
)
from reference_model.corpus.motion.arm_reach import Physique, arm_bones
from reference_model.corpus.motion.gesture_plan import (
    Accent,
    PlannedGesture,
    arm_tracks,
    cued_gestures,
    plan_gestures,
)
from reference_model.corpus.motion.gestures import accent_pulses, choose_accents, idle_arms, settle
from reference_model.corpus.motion.personal_style import PersonalStyle
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.corpus.speech.visemes import LipTracks, lip_tracks
from reference_model.innovations import BLINK_ONSET, GAZE, SWAY

__all__ = ["Performance", "perform"]

_SMILE = {"mouthSmile": 0.85, "mouthDimple": 0.18, "cheekSquint": 0.60}
_SMILE_OF_EYES, _SMILE_OF_BROWS = 0.30, 0.05
"""Weights of a full smile; that of the eyes is what tells a felt smile from a polite one."""
_SMILE_TIME_S = 1.6
_LID_OF_GAZE = 0.35
"""Lids go down with the eyes, share of `eyeLookDown`."""
_HEAD_OF_GAZE = np.radians(1.3)
"""The head goes along with a glance, radians a unit of the innovations' gaze."""
_FACE_ASYMMETRY = 0.25
_SHIFT = np.radians(1.5)
_SHIFT_S = (3.5, 9.0)
_SHIFT_DURATION_S = 1.4


@dataclass(frozen=True, slots=True)
class Performance:
    """What happened when, seconds of the clip."""

    accents: tuple[Accent, ...]
    """All stressed words."""
    gestures: tuple[PlannedGesture, ...]
    blinks_s: tuple[float, ...]
    """When the lids begin to close."""

    def to_json(self) -> dict[str, Any]:
        """Plain lists, strings and numbers."""
        return asdict(self)


def perform(
    utterance: Utterance,
    innovations: np.ndarray,
    style: PersonalStyle,
    rng: np.random.Generator,
    physique: Physique,
) -> tuple[Motion, Performance]:
    """Perform an utterance as a made person.

    Args:
        utterance: Speech with its phonemes and words.
        innovations: [T, 8] at 25 frames a second; their length is that of the performance. Where it is longer than
            the speech, silence follows.
        style: Who performs.
        rng: Chance that neither sound nor innovations decide: which gesture, its exact place, the strength of accents.
        physique: The person's body and rest pose.

    Returns:
        The motion relative to the rest pose of `physique`, of the length of the innovations, and what it contains.
    """
    n_frames, template = len(innovations), load_template()
    # One generator for each part: the draws of one never shift another.
    of_face, of_accents, of_gestures, of_trunk = rng.spawn(4)
    utterance = utterance.padded(0.0, max(0.0, (n_frames + 1) / FPS - utterance.duration))
    tracks = lip_tracks(utterance, style.loudness_share)
    talking = talking_share(tracks, n_frames)
    onsets = stressed_word_onsets(utterance)
    smile = _smile(style, talking, of_face)
    actions = mouth_actions(tracks, style, n_frames, _smiling_mouth(smile, tracks, style))
    add_gaze(actions, template, innovations[:, GAZE] * style.glances)
    _add_eyes(actions, template, innovations[:, BLINK_ONSET], smile, style)
    chosen = choose_accents(sorted(onsets.values()))
    gains = of_accents.uniform(0.6, 1.4, len(chosen))
    add_brows(actions, template, style.brows * accent_pulses(chosen, gains, BROW_S, n_frames, FPS))
    _tilt_face(actions, template, style)
    pulses = accent_pulses(chosen, gains, NOD_S, n_frames, FPS)
    rotations = _arms(innovations, pulses, talking, style)
    accents = cued_gestures(utterance, onsets)
    gestures, ways = plan_gestures(accents, innovations, style, physique, of_gestures, FPS)
    for side, way in ways.items():
        rotations[:, arm_bones(side)] += arm_tracks(way, n_frames, FPS)
    sway = innovations[:, SWAY] * style.head_amplitude
    add_head_and_trunk(rotations, template, sway, style.nods * pulses, talking)
    _add_posture(rotations, template, innovations, style, of_trunk)
    add_breath(rotations, template, of_trunk.uniform(0.0, 2 * np.pi))
    blinks = tuple(float(frame / FPS) for frame in np.flatnonzero(innovations[:, BLINK_ONSET]))
    motion = Motion(np.clip(actions, 0.0, 1.0).astype(np.float32), rotations.astype(np.float32))
    return motion, Performance(tuple(accents), tuple(gestures), blinks)


def _smile(style: PersonalStyle, talking: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The smile over time, [T] in 0..1: it wanders about the person's own and is wider before and after speech."""
    steps = int(len(talking) / (FPS * _SMILE_TIME_S)) + 3
    wander = np.interp(
        np.arange(len(talking)) / (FPS * _SMILE_TIME_S), np.arange(steps), rng.uniform(-1, 1, steps)
    )
    return np.clip(style.expression * (1.0 + 0.22 * wander + 0.18 * (1.0 - talking)), 0.0, 1.0)


def _smiling_mouth(smile: np.ndarray, tracks: LipTracks, style: PersonalStyle) -> dict[str, np.ndarray]:
    """Actions of a smile that share the mouth with speech: rounded lips take some of it back."""
    at = np.arange(len(smile)) * 4
    free = smile * (1.0 - 0.6 * tracks.track("round")[at])
    weights: dict[str, np.ndarray] = {}
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        lopsided = 1.0 + sign * _FACE_ASYMMETRY * style.asymmetry
        for name, weight in _SMILE.items():
            weights[f"{name}{side}"] = weight * lopsided * free
        weights[f"mouthSmile{side}"] += 0.18 * tracks.track("spread")[at]
    return weights


def _add_eyes(
    actions: np.ndarray, template: BodyTemplate, blinks: np.ndarray, smile: np.ndarray, style: PersonalStyle
) -> None:
    """Lids: blinks over hanging lids and lids that follow the gaze; the smile of the eyes."""
    add_blinks(actions, template, blinks)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        blink = actions[:, template.action(f"eyeBlink{side}")]
        down = _LID_OF_GAZE * actions[:, template.action(f"eyeLookDown{side}")]
        rest = np.clip(style.droop * (1.0 + sign * _FACE_ASYMMETRY * style.asymmetry) + down, 0.0, 0.4)
        open_share = 1.0 - blink
        actions[:, template.action(f"eyeBlink{side}")] = blink + rest * open_share
        actions[:, template.action(f"eyeSquint{side}")] += _SMILE_OF_EYES * smile**1.5 * open_share
        actions[:, template.action(f"browOuterUp{side}")] += _SMILE_OF_BROWS * smile


def _tilt_face(actions: np.ndarray, template: BodyTemplate, style: PersonalStyle) -> None:
    """Brows go up rather at their outer ends, which looks awake and not worried, and one further than the other."""
    actions[:, template.action("browInnerUp")] *= 0.5
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        actions[:, template.action(f"browOuterUp{side}")] *= (
            1.0 + 2 * sign * _FACE_ASYMMETRY * style.asymmetry
        )


def _arms(
    innovations: np.ndarray, pulses: np.ndarray, talking: np.ndarray, style: PersonalStyle
) -> np.ndarray:
    gains = {
        "L": style.gesture_amplitude * min(1.0, 1.0 - style.handedness),
        "R": style.gesture_amplitude * min(1.0, 1.0 + style.handedness),
    }
    return idle_arms(innovations[:, SWAY], pulses, talking, gains)


def _add_posture(
    rotations: np.ndarray,
    template: BodyTemplate,
    innovations: np.ndarray,
    style: PersonalStyle,
    rng: np.random.Generator,
) -> None:
    """How the head is held, its part in glances, and shifts of weight in the lower back."""
    n_frames = len(rotations)
    turn, bow, tilt = np.radians(style.lean_deg)
    held = np.tile([bow, tilt, turn], (n_frames, 1))
    for axis, channel in ((2, 0), (0, 1)):
        sign = 1.0 if axis == 2 else -1.0  # looking up, the head goes back
        glance = settle(innovations[:, GAZE][:, channel].astype(np.float64), 0.4, FPS)
        held[:, axis] += sign * _HEAD_OF_GAZE * style.glances * glance
    turn_head(rotations, template, held)
    shift = settle(_shifts(n_frames, rng), _SHIFT_DURATION_S, FPS) * _SHIFT * style.restlessness
    # The upper back leans the other way: the head stays above the feet.
    for name, share in (("spine05", 0.6), ("spine04", 0.4), ("spine02", -0.45), ("spine01", -0.35)):
        rotations[:, template.joint(name), 1] += share * shift


def _shifts(n_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Held targets of the weight, [T] in -1..1, from the middle."""
    target, frame, value = np.zeros(n_frames), 0, 0.0
    while frame < n_frames:
        length = int(FPS * rng.uniform(*_SHIFT_S))
        target[frame : frame + length] = value
        frame, value = frame + length, rng.uniform(-1.0, 1.0)
    return target
