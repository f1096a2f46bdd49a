"""Which gesture when: strokes of named gestures on stressed words, steered by what is said, laid out in time.

Whether hands are at work and which of them comes from the innovations; which gesture, from the text, from the person's
favourites and from chance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reference_model.corpus.motion.arm_reach import Physique, Reach, reach
from reference_model.corpus.motion.gestures import minimum_jerk
from reference_model.corpus.motion.personal_style import PersonalStyle
from reference_model.corpus.motion.repertoire import GESTURES, Gesture, Key
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.innovations import BOTH_HANDS, GESTURE_HAND, LEFT_HAND, NO_HAND

__all__ = ["Accent", "Hand", "PlannedGesture", "arm_tracks", "cued_gestures", "plan_gestures"]

Hand = Literal["L", "R", "both"]

_CUES: dict[str, str] = {
    "count": "one two three four five six seven eight nine ten first second third finally next both",
    "weigh": "or either whether while although though versus rather compare but however instead",
    "chop": "but not never no stop clearly definitely must exactly",
    "fist_beat": "must strong power powerful fight push never win proud promise promised absolutely",
    "point_aside": "there over that those outside away yesterday behind beside next left right",
    "offer": "you your please here this these give take welcome question thank thanks let",
    "open_palms": "know everybody everyone anyone nobody maybe perhaps think guess who what why how sorry hello",
    "hand_on_chest": "i my me mine myself love loved feel felt heart believe hope glad grateful",
    "size_large": "big huge large great whole wide long broad enormous far world",
    "size_small": "small little tiny few short single bit slightly detail thin",
    "rise": "up more rise grow grew higher better improve increase young new build built",
    "sweep_aside": "all every everything nothing none always across never whole anyway forget over",
    "ring": "exactly precisely perfect detail point specific word name single means true",
    "steeple": "together think between consider plan join meet believe begin summary",
    "frame": "idea question problem story part kind thing about case",
    "press_down": "calm slow slowly quiet wait down easy carefully careful low",
}
"""Words that ask for a gesture; English only, other languages have beats and questions."""
_GESTURES_OF_WORD: dict[str, tuple[str, ...]] = {
    word: tuple(name for name, words in _CUES.items() if word in words.split())
    for words in _CUES.values()
    for word in words.split()
}
_CUE_WEIGHT = 6.0
_UNCUED_ILLUSTRATOR = 0.45
"""Weight of an illustrator that nothing in the text asks for, over that of a beat."""
_TWO_HANDS_OF_BOTH = 0.72
"""Share of two-handed gestures while the innovations give both hands the word."""

_APEX_S = 0.015, 0.045
"""Mean and spread of the apex after the stressed onset."""
_PREPARATION_S = 0.30, 0.90  # seconds, and seconds a metre of way
_SHORTEST_PREPARATION_S = 0.22
_RETRACTION_S = 0.65
_SHORTEST_REST_S = 0.30
"""Hands that would rest for less than this stay up until the next gesture."""
_HOME = (1.05, -1.08, -0.60)
"""Centre of the gesture space, as `Reach.place`; the amplitude of a person scales about it."""


@dataclass(frozen=True, slots=True)
class Accent:
    """A stressed word."""

    word: str
    onset_s: float
    """Onset of its stressed vowel."""
    cues: tuple[str, ...] = ()
    """Names of gestures that the words up to here ask for."""


@dataclass(frozen=True, slots=True)
class PlannedGesture:
    """One gesture in the time of the clip, seconds."""

    kind: str
    hand: Hand
    word: str
    onset_s: float
    """Stressed onset that the first stroke belongs to."""
    start_s: float
    """Beginning of the preparation."""
    stroke_s: float
    """Beginning of the first stroke."""
    apexes_s: tuple[float, ...]
    end_s: float
    """End of the last posture's hold; the hand then retracts or prepares the next gesture."""


def cued_gestures(utterance: Utterance, onsets: dict[int, float]) -> list[Accent]:
    """Stressed words with the gestures that the text asks for.

    Args:
        utterance: Speech with its words.
        onsets: Onset of the stressed vowel of each stressed word, by the word's index.

    Returns:
        Accents in order of time. A cue of an unstressed word goes to the next stressed one.
    """
    following = _punctuation(utterance)
    commas = sum("," in mark for mark in following)
    accents: list[Accent] = []
    pending: list[str] = []
    for index, (_, word) in enumerate(utterance.words):
        plain = re.sub(r"[^\w']", "", word.lower())
        pending += ["count"] if plain.isdigit() else _GESTURES_OF_WORD.get(plain, ())
        if index not in onsets:
            continue
        if commas >= 2 and "," in following[index]:
            pending += ["count", "double_beat"]  # a list
        if "?" in following[index]:
            pending += ["offer", "open_palms"]
        accents.append(Accent(word, onsets[index], tuple(dict.fromkeys(pending))))
        pending = []
    return accents


def _punctuation(utterance: Utterance) -> list[str]:
    """What stands after each word up to the next, by the spelling in the text."""
    text, cursor, ends, starts = utterance.text.lower(), 0, [], []
    for _, word in utterance.words:
        at = text.find(word.lower(), cursor)
        cursor = cursor if at < 0 else at + len(word)
        starts.append(cursor if at < 0 else at)
        ends.append(cursor)
    return [text[end:start] for end, start in zip(ends, [*starts[1:], len(text)], strict=True)]


def plan_gestures(
    accents: list[Accent],
    innovations: np.ndarray,
    style: PersonalStyle,
    physique: Physique,
    rng: np.random.Generator,
    fps: float,
) -> tuple[list[PlannedGesture], dict[str, list[tuple[float, np.ndarray]]]]:
    """Choose gestures and lay them out in time.

    Args:
        accents: Stressed words in order of time.
        innovations: [T, 8] at `fps`: which hand has the word.
        style: Who gestures.
        physique: The body.
        rng: Source of chance.
        fps: Frames a second.

    Returns:
        The gestures; and for each arm "L" and "R" postures in time, (seconds, [20, 3] rotations as from `reach`),
        between which the arm moves by minimum-jerk movements.
    """
    rest = np.zeros((20, 3))
    ways: dict[str, list[tuple[float, np.ndarray]]] = {side: [(0.0, rest)] for side in "LR"}
    planned: list[PlannedGesture] = []
    stage = _Stage(style, physique, ways, len(innovations) / fps)
    for accent in accents:
        # All draws of an accent are made even if it gets no gesture: one accent's fate leaves the others' alone.
        draws, spread = rng.random(4), rng.standard_normal(10)
        frame = min(int(accent.onset_s * fps), len(innovations) - 1)
        chosen = innovations[frame, GESTURE_HAND]
        if chosen == NO_HAND or style.gesture_amplitude <= 0:
            continue
        if draws[0] > (min(1.0, style.gesture_rate + 0.3) if accent.cues else style.gesture_rate):
            continue
        hands = _hands(chosen, style.handedness, draws[1:3])
        kind = _choose(accent, 2 if hands == "both" else 1, style, draws[3])
        apex_s = accent.onset_s + _APEX_S[0] + float(np.clip(_APEX_S[1] * spread[0], -0.1, 0.1))
        gesture = stage.lay_out(kind, hands, accent, apex_s, spread[1:])
        if gesture is not None:
            planned.append(gesture)
    for way in ways.values():
        _retract(way, style.tempo)
    return planned, ways


def _hands(chosen: float, handedness: float, draws: np.ndarray) -> Hand:
    dominant: Hand = "R" if handedness >= 0 else "L"
    if chosen == BOTH_HANDS:
        return "both" if draws[0] < _TWO_HANDS_OF_BOTH else dominant
    hand: Hand = "L" if chosen == LEFT_HAND else "R"
    # A strongly handed person leaves the word to the better hand.
    return dominant if draws[1] < abs(handedness) else hand


def _choose(accent: Accent, hands: int, style: PersonalStyle, draw: float) -> str:
    names, weights = [], []
    for name, weight in style.favourites:
        gesture = GESTURES[name]
        if hands not in gesture.hands:
            continue
        factor = _CUE_WEIGHT if name in accent.cues else 1.0 if gesture.beat else _UNCUED_ILLUSTRATOR
        names.append(name)
        weights.append(weight * factor)
    share = np.cumsum(weights) / np.sum(weights)
    return names[min(int(np.searchsorted(share, draw)), len(names) - 1)]


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where gestures are laid out."""

    style: PersonalStyle
    physique: Physique
    ways: dict[str, list[tuple[float, np.ndarray]]]
    duration_s: float

    def lay_out(
        self, kind: str, hands: Hand, accent: Accent, apex_s: float, spread: np.ndarray
    ) -> PlannedGesture | None:
        """Append a gesture to the ways of its hands; None, and nothing appended, where time is too short for it."""
        gesture, tempo = GESTURES[kind], self.style.tempo
        sides = "LR" if hands == "both" else hands
        leading = "R" if self.style.handedness >= 0 else "L"
        postures = {}
        for side in sides:
            keys = _personal(gesture, hands == "both" and side != leading, self.style, spread)
            postures[side] = [reach(self.physique, side, key) for _, key in keys]
        times = [apex_s + dt / tempo for dt, _ in gesture.keys]
        free_s = max(self.ways[side][-1][0] for side in sides)
        way = max(_travel(self.ways[side][-1][1], postures[side][0]) for side in sides)
        needed_s = (_PREPARATION_S[0] + _PREPARATION_S[1] * way) / tempo
        end_s = times[-1] + gesture.hold_s / tempo
        if times[0] - free_s < max(_SHORTEST_PREPARATION_S, 0.7 * needed_s) or end_s > self.duration_s:
            return None
        start_s = max(free_s, times[0] - needed_s)
        for side in sides:
            _leave(self.ways[side], start_s, tempo)
            self.ways[side] += zip(times, postures[side], strict=True)
            self.ways[side].append((end_s, postures[side][-1]))
        apexes = tuple(apex_s + dt / tempo for dt in gesture.strokes_s)
        return PlannedGesture(kind, hands, accent.word, accent.onset_s, start_s, times[0], apexes, end_s)


def _personal(gesture: Gesture, second: bool, style: PersonalStyle, spread: np.ndarray) -> list[Key]:
    """A gesture's postures in the size of the person, a little different each time."""
    keys = gesture.other if second and gesture.other is not None else gesture.keys
    if gesture.exact:
        return list(keys)
    shift, turn = 0.05 * np.clip(spread[:3], -2, 2), 0.06 * np.clip(spread[3:6], -2, 2)
    size = style.gesture_amplitude * (1.0 + 0.08 * float(np.clip(spread[6], -2, 2)))

    def changed(key: Reach) -> Reach:
        home = np.array(_HOME)
        x, y, z = home + size * (np.array(key.place) - home) + shift
        a, b, c = np.array(key.fingers) + turn
        return replace(key, place=(float(x), float(y), float(z)), fingers=(float(a), float(b), float(c)))

    return [(dt, changed(key)) for dt, key in keys]


def _travel(first: np.ndarray, second: np.ndarray) -> float:
    """Roughly how far the wrist goes between two postures, metres: upper arm and forearm turn about their joints."""
    turn = np.linalg.norm(second[:4] - first[:4], axis=1)
    return float(0.40 * (turn[0] + 0.3 * turn[1]) + 0.23 * turn[2])


def _leave(way: list[tuple[float, np.ndarray]], start_s: float, tempo: float) -> None:
    """From the last posture to the start of a preparation: hold, or go to rest and wait there."""
    time_s, posture = way[-1]
    if not posture.any():
        way.append((start_s, posture))
        return
    if start_s - time_s > _RETRACTION_S / tempo + _SHORTEST_REST_S:
        _retract(way, tempo)
        way.append((start_s, way[-1][1]))
    elif start_s > time_s:
        way.append((start_s, posture))


def _retract(way: list[tuple[float, np.ndarray]], tempo: float) -> None:
    time_s, posture = way[-1]
    if posture.any():
        way.append((time_s + _RETRACTION_S / tempo, np.zeros_like(posture)))


def arm_tracks(way: list[tuple[float, np.ndarray]], n_frames: int, fps: float) -> np.ndarray:
    """The movement through postures in time: minimum-jerk between each two.

    Args:
        way: (seconds, [20, 3]) in order of time, the first at 0.
        n_frames: T.
        fps: Frames a second.

    Returns:
        [T, 20, 3] rotation vectors relative to the rest pose.
    """
    times = np.array([time for time, _ in way])
    postures = np.stack([posture for _, posture in way])
    at = np.arange(n_frames) / fps
    before = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    length = np.maximum(times[after] - times[before], 1e-9)
    share = minimum_jerk((at - times[before]) / length)[:, None, None]
    return postures[before] + share * (postures[after] - postures[before])
