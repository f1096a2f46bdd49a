"""A procedural performer: speech and innovations in, facial actions and bone rotations out.

Its motions are what the first weights learn and what moves the made people. The lips are solved so that the gap that
one sees on the template is the gap that the phonemes ask for; everything else is relative to the photograph's pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.motion.gestures import accent_pulses, arm_rotations, choose_accents, minimum_jerk
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.corpus.speech.visemes import (
    CLOSED,
    LOUDNESS_SHARE,
    TRACK_RATE,
    LipTracks,
    closure_of_pictures,
    lip_tracks,
)
from reference_model.innovations import BLINK_ONSET, GAZE, SWAY

__all__ = [
    "BROW_S",
    "FPS",
    "NOD_S",
    "Motion",
    "Style",
    "absolute_rotations",
    "add_blinks",
    "add_breath",
    "add_brows",
    "add_gaze",
    "add_head_and_trunk",
    "animate",
    "mouth_actions",
    "stressed_word_onsets",
    "talking_share",
    "turn_head",
]

FPS = 25

_WIDEST_GAP_MM = 13.0
"""Of a lip-gap target of 1; the gap of open vowels of the real talkers measured was 13 to 18 mm."""
_JAW_OPEN = 0.42
"""`jawOpen` of a jaw target of 1."""

_BLINK_CLOSE_S, _BLINK_HOLD_S, _BLINK_OPEN_S = 0.09, 0.03, 0.15
NOD_S = (-0.10, 0.08, 0.40)
BROW_S = (-0.08, 0.12, 0.50)
_BEAT_S = (-0.12, 0.06, 0.50)
"""Start and apex relative to a stressed onset, and return. The strokes start late enough to be heard coming with
the model's 80 ms of lookahead."""

_HEAD_SWAY = np.radians([6.5, 4.5, 5.5])  # turn, nod, tilt
_NOD = np.radians(3.2)
_TRUNK_SWAY = np.radians([1.8, 0.9, 1.3])
_BREATH = np.radians(0.5)
_BREATH_HZ = 0.25


@dataclass(frozen=True, slots=True)
class Style:
    """How a person performs; the defaults are the median performer."""

    expression: float = 0.0
    """Smile, 0 to 1."""
    gesture_amplitude: float = 1.0
    """0 keeps the arms still; up to 2."""
    head_amplitude: float = 1.0
    """0 to 2."""
    handedness: float = 0.15
    """-1 gestures with the left hand only, 0 with both alike, 1 with the right hand only."""
    lip_articulation: float = 1.0
    """Scales the lip gap and the lip shapes, 0.6 (mumbling) to 1.3."""
    loudness_share: float = LOUDNESS_SHARE
    """How far jaw and lip gap follow the loudness, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A performance at 25 frames a second; frame `i` shows time `i / 25`."""

    actions: np.ndarray
    """[T, 52] float32, facial actions 0..1 in the template's order, absolute."""
    rotations: np.ndarray
    """[T, J, 3] float32, rotation vectors relative to the photograph in the axes of each bone, radians."""


def absolute_rotations(rest: np.ndarray, motion: Motion) -> np.ndarray:
    """Rest pose and motion together: each bone first takes its rest rotation, then turns in its own axes.

    Args:
        rest: Rotation vectors of the rest pose, [J, 3] radians.
        motion: Its `rotations` are relative to the rest pose, [T, J, 3].

    Returns:
        Rotation vectors, [T, J, 3] float32 radians.
    """
    n_frames = len(motion.rotations)
    base = Rotation.from_rotvec(np.tile(rest, (n_frames, 1)))
    turned = base * Rotation.from_rotvec(motion.rotations.reshape(-1, 3))
    return turned.as_rotvec().reshape(motion.rotations.shape).astype(np.float32)


def animate(utterance: Utterance, innovations: np.ndarray, style: Style, rng: np.random.Generator) -> Motion:
    """Perform an utterance.

    Args:
        utterance: Speech with its phonemes and words.
        innovations: [T, 8] at 25 frames a second; their length is that of the performance. Where it is longer than
            the speech, silence follows.
        style: How to perform.
        rng: The little that neither sound nor innovations decide: strength of single accents, phase of the breath.

    Returns:
        The motion, of the length of the innovations.
    """
    n_frames = len(innovations)
    utterance = utterance.padded(0.0, max(0.0, (n_frames + 1) / FPS - utterance.duration))
    tracks = lip_tracks(utterance, style.loudness_share)
    actions = mouth_actions(tracks, style, n_frames)
    template = load_template()
    add_blinks(actions, template, innovations[:, BLINK_ONSET])
    add_gaze(actions, template, innovations[:, GAZE])
    accents = choose_accents(sorted(stressed_word_onsets(utterance).values()))
    gains = rng.uniform(0.75, 1.25, len(accents))
    add_brows(actions, template, accent_pulses(accents, gains, BROW_S, n_frames, FPS))
    talking = talking_share(tracks, n_frames)
    nods = accent_pulses(accents, gains, NOD_S, n_frames, FPS)
    beats = accent_pulses(accents, gains, _BEAT_S, n_frames, FPS)
    arms = {
        "L": style.gesture_amplitude * min(1.0, 1.0 - style.handedness),
        "R": style.gesture_amplitude * min(1.0, 1.0 + style.handedness),
    }
    rotations = arm_rotations(innovations, talking, beats, arms, FPS)
    add_head_and_trunk(rotations, template, innovations[:, SWAY] * style.head_amplitude, nods, talking)
    add_breath(rotations, template, rng.uniform(0.0, 2 * np.pi))
    return Motion(np.clip(actions, 0.0, 1.0).astype(np.float32), rotations.astype(np.float32))


def mouth_actions(
    tracks: LipTracks, style: Style, n_frames: int, more: dict[str, np.ndarray] | None = None
) -> np.ndarray:
    """Facial actions of the mouth.

    Args:
        tracks: Articulation of the utterance.
        style: How to articulate.
        n_frames: T.
        more: Further actions by name, each [T] or a number, that take the place of the style's own; the lip gap is
            solved with them.

    Returns:
        [T, 52] float64.
    """
    at = np.arange(n_frames) * (TRACK_RATE // FPS)
    close = closure_of_pictures(tracks, n_frames, FPS).astype(np.float64)
    gap, jaw, spread, rounded, funnel, tuck, tongue = tracks.targets[at].astype(np.float64).T
    shape_gain = style.lip_articulation * (1.0 - 0.7 * close)
    shape = {
        "mouthStretch": 0.35 * spread * style.lip_articulation,
        "mouthSmile": 0.18 * spread + 0.5 * style.expression,
        "mouthPucker": 0.75 * rounded * style.lip_articulation,
        "mouthFunnel": 0.60 * funnel * shape_gain,
        "mouthRollLower": 0.55 * tuck + 0.20 * close,
        "mouthRollUpper": 0.12 * close,
        "mouthPress": 0.30 * close,
        "tongueOut": 0.80 * np.clip(tongue - 0.3, 0.0, None) * (1.0 - close),
        "cheekSquint": 0.3 * style.expression,
        **(more or {}),
    }
    jaw_open = _JAW_OPEN * jaw * style.lip_articulation
    # From shut lips over a mouth opened by the jaw alone to one that the lips help to open: `mouthClose` of the
    # same weight undoes `jawOpen`, and 0.3 of it the flare of `mouthFunnel`.
    shut = {"jawOpen": jaw_open, "mouthClose": jaw_open + 0.3 * shape["mouthFunnel"] + 0.04}
    half = {"jawOpen": jaw_open, "mouthLowerDown": 0.15 * gap, "mouthUpperUp": 0.08 * gap}
    wide = {"jawOpen": jaw_open + 0.3, "mouthLowerDown": 0.15 * gap + 0.5, "mouthUpperUp": 0.08 * gap + 0.3}
    path = np.stack([_actions({**shape, **mouth}, n_frames) for mouth in (shut, half, wide)])  # [3, T, 52]
    target_mm = _WIDEST_GAP_MM * style.lip_articulation * gap * (1.0 - close)
    at_rest = gap < 1e-3
    return lip_gap().solve(path, np.where((close > CLOSED) | at_rest, 0.0, target_mm))


def _actions(weights: dict[str, np.ndarray], n_frames: int) -> np.ndarray:
    """Spread weights by name over [T, 52]; a name without a side means both sides."""
    template = load_template()
    actions = np.zeros((n_frames, len(template.action_names)))
    for name, weight in weights.items():
        sides = [name] if name in template.action_names else [f"{name}Left", f"{name}Right"]
        for side in sides:
            actions[:, template.action(side)] = weight
    return actions


def add_blinks(actions: np.ndarray, template: BodyTemplate, onsets: np.ndarray) -> None:
    """Shut the lids of both eyes at each onset, [T] of 0 and 1."""
    closing = _BLINK_CLOSE_S + _BLINK_HOLD_S
    # Half a frame in, so that the first picture of a blink already shows it.
    time = (np.arange(int(FPS * (closing + _BLINK_OPEN_S)) + 1) + 0.5) / FPS
    shape = minimum_jerk(time / _BLINK_CLOSE_S) - minimum_jerk((time - closing) / _BLINK_OPEN_S)
    lids = np.clip(np.convolve(onsets, shape)[: len(onsets)], 0.0, 1.0)
    for side in ("Left", "Right"):
        actions[:, template.action(f"eyeBlink{side}")] = lids


def add_gaze(actions: np.ndarray, template: BodyTemplate, gaze: np.ndarray) -> None:
    """Turn the eyes by about 4 degrees a unit; a saccade takes one frame."""
    sideways, upward = 0.18 * gaze[:, 0], 0.14 * gaze[:, 1]
    weights = {
        "eyeLookOutLeft": sideways,
        "eyeLookInRight": sideways,
        "eyeLookInLeft": -sideways,
        "eyeLookOutRight": -sideways,
        "eyeLookUpLeft": upward,
        "eyeLookUpRight": upward,
        "eyeLookDownLeft": -upward,
        "eyeLookDownRight": -upward,
    }
    for name, weight in weights.items():
        actions[:, template.action(name)] = np.clip(weight, 0.0, 0.6)


def add_brows(actions: np.ndarray, template: BodyTemplate, accents: np.ndarray) -> None:
    """Raise the brows with the accents, [T] pulses."""
    actions[:, template.action("browInnerUp")] += 0.35 * accents
    for side in ("Left", "Right"):
        actions[:, template.action(f"browOuterUp{side}")] += 0.22 * accents


def stressed_word_onsets(utterance: Utterance) -> dict[int, float]:
    """When the stressed vowel of each stressed word sets in, seconds, by the word's index."""
    starts = np.array([start for start, _ in utterance.words])
    onsets: dict[int, float] = {}
    for start, ipa in utterance.phonemes:
        if "ˈ" in ipa:
            onsets.setdefault(int(np.searchsorted(starts, start + 1e-6)) - 1, start)
    return onsets


def talking_share(tracks: LipTracks, n_frames: int) -> np.ndarray:
    """1 while somebody speaks and for most of a second after, [T] in 0..1."""
    voice = (tracks.classes != 0).astype(np.float64)
    held = maximum_filter1d(voice, 80, origin=39)  # looks back only
    smooth = gaussian_filter1d(held, 8.0)
    return smooth[np.arange(n_frames) * (TRACK_RATE // FPS)]


def add_head_and_trunk(
    rotations: np.ndarray, template: BodyTemplate, sway: np.ndarray, nods: np.ndarray, talking: np.ndarray
) -> None:
    """Sway head and trunk; axes are x to the person's left, y backwards, z up."""
    lively = (0.35 + 0.65 * talking)[:, None]
    turn, nod, tilt = (sway * lively).T
    head = np.stack(
        [_HEAD_SWAY[1] * nod + _NOD * nods, _HEAD_SWAY[2] * tilt, _HEAD_SWAY[0] * turn], 1
    )  # [T, 3]
    turn_head(rotations, template, head)
    trunk = np.stack([_TRUNK_SWAY[1] * nod, _TRUNK_SWAY[2] * tilt, _TRUNK_SWAY[0] * turn], 1)
    for name in ("spine03", "spine02", "spine01"):
        rotations[:, template.joint(name)] += trunk / 3


def turn_head(rotations: np.ndarray, template: BodyTemplate, turn: np.ndarray) -> None:
    """Add a rotation vector of the head, [T, 3] radians, spread over neck and head."""
    for name, share in (("neck01", 0.2), ("neck02", 0.2), ("neck03", 0.2), ("head", 0.4)):
        rotations[:, template.joint(name)] += share * turn


def add_breath(rotations: np.ndarray, template: BodyTemplate, phase: float) -> None:
    """The chest rises and the shoulders with it, about 15 times a minute."""
    breath = _BREATH * np.sin(2 * np.pi * _BREATH_HZ * np.arange(len(rotations)) / FPS + phase)
    rotations[:, template.joint("spine01"), 0] -= breath
    for side, sign in (("L", 1.0), ("R", -1.0)):
        # About the axis backwards, the left collar bone rises by a negative angle.
        rotations[:, template.joint(f"clavicle.{side}"), 1] -= sign * breath
