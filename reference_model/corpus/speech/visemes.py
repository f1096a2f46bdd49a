"""From phonemes to the movement of lips, jaw and tongue: targets, coarticulation, closures.

Each phoneme class pulls each articulator towards a target with a strength of its own (dominance); the
movement is the dominance-weighted average in a Gaussian neighbourhood. That lets a /u/ round the consonants
beside it while a /p/ closes the lips whatever stands around it.

The lip-gap targets were chosen for transfer to real people: their lips stand half open in /s t i/, where
teeth show, and close only for /p b m/ and nearly so for rounded sounds; a mouth between words is not shut.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from reference_model.corpus.speech.synthesis import SAMPLE_RATE, Utterance

__all__ = [
    "ARTICULATORS",
    "CLOSED",
    "LOUDNESS_SHARE",
    "PHONEME_CLASSES",
    "TRACK_RATE",
    "VOWEL_CLASSES",
    "LipTracks",
    "closed_pictures",
    "closure_of_pictures",
    "lip_tracks",
    "phoneme_classes",
]

TRACK_RATE = 100
"""Values a second of all tracks; value `i` is at `i * 10` ms, as the mel frames."""

ARTICULATORS = ("gap", "jaw", "spread", "round", "funnel", "tuck", "tongue")
"""Inner-lip gap, jaw opening, lip corners apart, lips puckered, lips flared, lower lip under the teeth,
tongue tip between the teeth; each 0 to 1."""

# Targets in the order of ARTICULATORS, then the dominance over gap, jaw and lip shape.
_CLASSES: dict[str, tuple[tuple[float, ...], tuple[float, float, float]]] = {
    "silence": ((0.42, 0.05, 0.00, 0.00, 0.00, 0.0, 0.0), (0.50, 0.50, 0.30)),
    "p b m": ((0.00, 0.10, 0.05, 0.00, 0.00, 0.0, 0.0), (2.50, 0.60, 0.25)),
    "f v": ((0.20, 0.10, 0.10, 0.00, 0.00, 1.0, 0.0), (1.60, 0.90, 0.60)),
    "th": ((0.45, 0.20, 0.10, 0.00, 0.00, 0.0, 0.6), (1.00, 0.90, 0.30)),
    "t d n l": ((0.55, 0.20, 0.10, 0.00, 0.00, 0.0, 0.3), (0.50, 0.60, 0.20)),
    "s z": ((0.58, 0.08, 0.30, 0.00, 0.00, 0.0, 0.1), (0.90, 1.00, 0.40)),
    "sh": ((0.50, 0.12, 0.00, 0.35, 0.65, 0.0, 0.0), (0.90, 1.00, 1.10)),
    "k g": ((0.55, 0.25, 0.05, 0.00, 0.00, 0.0, 0.0), (0.30, 0.40, 0.15)),
    "h": ((0.55, 0.35, 0.00, 0.00, 0.00, 0.0, 0.0), (0.12, 0.12, 0.08)),
    "r": ((0.33, 0.20, 0.00, 0.40, 0.30, 0.0, 0.0), (0.60, 0.60, 0.70)),
    "w": ((0.02, 0.12, 0.00, 1.00, 0.20, 0.0, 0.0), (1.30, 0.90, 1.60)),
    "j": ((0.55, 0.16, 0.50, 0.00, 0.00, 0.0, 0.0), (0.60, 0.60, 0.60)),
    "i": ((0.68, 0.20, 0.70, 0.00, 0.00, 0.0, 0.0), (0.90, 0.90, 1.00)),
    "ih": ((0.65, 0.30, 0.40, 0.00, 0.00, 0.0, 0.0), (0.80, 0.80, 0.70)),
    "e": ((0.85, 0.42, 0.45, 0.00, 0.00, 0.0, 0.0), (1.00, 1.00, 0.90)),
    "a": ((0.95, 0.85, 0.10, 0.00, 0.00, 0.0, 0.0), (1.10, 1.10, 0.80)),
    "ae": ((0.95, 0.75, 0.35, 0.00, 0.00, 0.0, 0.0), (1.10, 1.10, 0.90)),
    "o": ((0.28, 0.52, 0.00, 0.60, 0.30, 0.0, 0.0), (1.00, 1.00, 1.20)),
    "aw": ((0.45, 0.65, 0.00, 0.40, 0.30, 0.0, 0.0), (1.00, 1.00, 1.10)),
    "u": ((0.05, 0.20, 0.00, 0.90, 0.30, 0.0, 0.0), (1.00, 0.90, 1.40)),
    "y": ((0.12, 0.18, 0.00, 0.90, 0.20, 0.0, 0.0), (1.00, 0.90, 1.40)),
    "oe": ((0.28, 0.38, 0.00, 0.70, 0.20, 0.0, 0.0), (1.00, 0.90, 1.20)),
    "schwa": ((0.50, 0.38, 0.00, 0.00, 0.00, 0.0, 0.0), (0.50, 0.55, 0.35)),
    "er": ((0.40, 0.34, 0.00, 0.30, 0.20, 0.0, 0.0), (0.80, 0.80, 0.80)),
}

PHONEME_CLASSES = tuple(_CLASSES)
"""Names of the 24 classes by index; 0 is silence."""

VOWEL_CLASSES = frozenset("i ih e a ae o aw u y oe schwa er".split())
"""Names of `PHONEME_CLASSES` that are vowels."""

_IPA_OF_CLASS = {
    "p b m": "pbmɓʙ",
    "f v": "fvɱʋɸβ",
    "th": "θð",
    "t d n l": "tdnlɾʈɖɳɭɫɬɮʎɲcɟ",
    "s z": "szɕʑʦ",
    "sh": "ʃʒʂʐç",
    "k g": "kɡgŋxɣqɢχʁɴ",
    "h": "hɦʔħʕ",
    "r": "rɹɻ",
    "w": "wʍɥʷ",
    "j": "jʝ",
    "i": "i",
    "ih": "ɪᵻɨʉɯɘ",
    "e": "eɛ",
    "a": "aɑʌɐ",
    "ae": "æ",
    "o": "oɵɤ",
    "aw": "ɔɒ",
    "u": "uʊ",
    "y": "yʏ",
    "oe": "øœɞ",
    "schwa": "ə",
    "er": "ɜɚɝ",
}
_CLASS_OF_IPA = {symbol: name for name, symbols in _IPA_OF_CLASS.items() for symbol in symbols}
_AFFRICATES = ("tʃ", "dʒ", "ʈʂ", "ɖʐ", "tɕ", "dʑ")

CLOSED = 0.95
"""Closure from which on nothing may be seen between the lips."""

_FINE_RATE = 200  # values a second while smoothing
_MARGIN = 100  # fine values before and after, so that the filters see silence there
_SPREAD_S = 0.045
_CLOSURE_SPREAD_S = 0.016
_SHORTEST_CLOSURE_S = 0.07
"""A /b/ of fast speech would otherwise slip between two pictures at 25 a second."""
_LEAD_S = 0.03
"""The lips move before their sound."""
_FIRST_PART_OF_DIPHTHONG = 0.58
LOUDNESS_SHARE = 0.15
"""How far jaw and gap follow the loudness of the median performer."""
_REST_AFTER_S = 0.4
_REST_RAMP_S = 0.3
_STRESS_GAIN = {"ˈ": 1.0, "ˌ": 0.92, "": 0.82}


@dataclass(frozen=True, slots=True)
class LipTracks:
    """Articulation of an utterance at 100 values a second; T = ceil(100 x duration)."""

    targets: np.ndarray
    """[T, 7] float32, the `ARTICULATORS`; gap, jaw, ... are 0 at rest."""
    close: np.ndarray
    """[T] float32, 1 where the lips must touch (p, b, m)."""
    classes: np.ndarray
    """[T] int8, index into `PHONEME_CLASSES` of the phoneme that sounds."""

    def track(self, name: str) -> np.ndarray:
        """[T] the articulator called `name`."""
        return self.targets[:, ARTICULATORS.index(name)]


def phoneme_classes(ipa: str) -> tuple[list[str], str]:
    """Split a phoneme into at most two classes.

    Args:
        ipa: As espeak-ng writes it, with stress, length and tone marks.

    Returns:
        The classes in order, empty for pauses and unknown sounds; and the stress mark ("ˈ", "ˌ" or "").
    """
    stress = next((mark for mark in "ˈˌ" if mark in ipa), "")
    plain = ipa.replace("ˈ", "").replace("ˌ", "")
    if plain.startswith(_AFFRICATES):
        return ["sh"], stress
    classes: list[str] = []
    for symbol in unicodedata.normalize("NFC", plain):
        # Nasal and accented vowels are their base letter with a mark; c with cedilla is a sound of its own.
        base = symbol if symbol in _CLASS_OF_IPA else unicodedata.normalize("NFD", symbol)[0]
        name = _CLASS_OF_IPA.get(base)
        if name is not None and (not classes or classes[-1] != name):
            classes.append(name)
    return classes[:2], stress


def lip_tracks(utterance: Utterance, loudness_share: float = LOUDNESS_SHARE) -> LipTracks:
    """Coarticulated targets of an utterance.

    Args:
        utterance: Speech with phoneme times.
        loudness_share: How far jaw and gap follow the loudness, 0 to 1.

    Returns:
        The tracks; in silence longer than 0.4 s everything eases to 0, the mouth's own rest.
    """
    n_fine = int(np.ceil(utterance.duration * _FINE_RATE)) + 2 * _MARGIN + 1
    values = np.tile(np.array(_CLASSES["silence"][0], np.float32), (n_fine, 1))
    dominance = np.tile(np.array(_CLASSES["silence"][1], np.float32), (n_fine, 1))
    classes = np.zeros(n_fine, np.int8)
    closure = np.zeros(n_fine, np.float32)
    for name, start_s, end_s, gain in _segments(utterance):
        first = _MARGIN + int(start_s * _FINE_RATE)
        last = max(_MARGIN + int(end_s * _FINE_RATE), first + 1)
        values[first:last], dominance[first:last] = _CLASSES[name]
        values[first:last, :2] *= gain
        classes[first:last] = PHONEME_CLASSES.index(name)
        if name == "p b m":
            missing_s = max(0.0, _SHORTEST_CLOSURE_S - (end_s - start_s))
            closure[first - round(missing_s * _FINE_RATE) : last] = 1.0

    def smooth(track: np.ndarray, spread_s: float) -> np.ndarray:
        return gaussian_filter1d(track, spread_s * _FINE_RATE, axis=0)

    strength = dominance[:, [0, 1, 2, 2, 2, 2, 2]]
    targets = smooth(values * strength, _SPREAD_S) / smooth(strength, _SPREAD_S)  # [n_fine, 7]
    close = np.clip(1.5 * smooth(closure, _CLOSURE_SPREAD_S), 0.0, 1.0)
    n_frames = int(np.ceil(utterance.duration * TRACK_RATE))
    at = _MARGIN + np.arange(n_frames) * (_FINE_RATE // TRACK_RATE)
    lead = round(_LEAD_S * _FINE_RATE)
    targets, close, classes = targets[at + lead], close[at + lead], classes[at]
    loudness = 1.0 - loudness_share + loudness_share * _relative_loudness(utterance.samples, n_frames)
    targets[:, :2] *= loudness[:, None]
    awake = 1.0 - _rest(classes == 0)
    return LipTracks((targets * awake[:, None]).astype(np.float32), close.astype(np.float32), classes)


def closure_of_pictures(tracks: LipTracks, n_pictures: int, fps: int = 25) -> np.ndarray:
    """The closure track as pictures must show it, [n_pictures] in 0..1.

    A closure shorter than the time between two pictures must still be seen, so a picture takes the strongest
    closure within its time.
    """
    step = TRACK_RATE // fps
    return maximum_filter1d(tracks.close, step)[np.arange(n_pictures) * step]


def closed_pictures(tracks: LipTracks, n_pictures: int, fps: int = 25) -> np.ndarray:
    """Pictures on which the lips must touch, [n_pictures] bool."""
    return closure_of_pictures(tracks, n_pictures, fps) > CLOSED


def _segments(utterance: Utterance) -> list[tuple[str, float, float, float]]:
    """(class, start, end, gain of gap and jaw) of every sounding stretch."""
    segments = []
    for (start_s, ipa), (end_s, _) in pairwise([*utterance.phonemes, (utterance.duration, "")]):
        names, stress = phoneme_classes(ipa)
        middle_s = start_s + _FIRST_PART_OF_DIPHTHONG * (end_s - start_s)
        bounds = [start_s, middle_s, end_s] if len(names) == 2 else [start_s, end_s]
        for name, (from_s, to_s) in zip(names, pairwise(bounds), strict=False):
            if to_s > from_s:
                segments.append((name, from_s, to_s, _STRESS_GAIN[stress] if name in VOWEL_CLASSES else 1.0))
    return segments


def _relative_loudness(samples: np.ndarray, n_frames: int) -> np.ndarray:
    """Level over the last 20 dB under the loud parts of the utterance, [n_frames] in 0..1.15."""
    hop = SAMPLE_RATE // TRACK_RATE
    padded = np.pad(samples, (0, n_frames * hop - len(samples)))
    power = (padded.reshape(n_frames, hop) ** 2).mean(1) + 1e-8
    level = gaussian_filter1d(np.log10(power), 3.0)  # bels
    return np.clip(1.0 + (level - np.percentile(level, 90)) / 2.0, 0.0, 1.15)


def _rest(silent: np.ndarray) -> np.ndarray:
    """How far the mouth has gone back to rest, [T] in 0..1."""
    rest = np.zeros(len(silent), np.float32)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(int)))
    after, ramp = _REST_AFTER_S * TRACK_RATE, _REST_RAMP_S * TRACK_RATE
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        index = np.arange(first, last)
        since = np.inf if first == 0 else index - first  # nobody spoke before the utterance
        until = np.inf if last == len(silent) else last - index
        # The lips part a tenth of a second before the voice sets in; the model's lookahead is 80 ms.
        rest[first:last] = np.clip(np.minimum((since - after) / ramp, until / 10.0 - 0.2), 0.0, 1.0)
    return gaussian_filter1d(rest, 3.0)
