from __future__ import annotations

import numpy as np
import pytest

from reference_model.corpus.speech.synthesis import Utterance
from reference_model.corpus.speech.visemes import (
    PHONEME_CLASSES,
    TRACK_RATE,
    closed_pictures,
    lip_tracks,
    phoneme_classes,
)


def hum(phonemes: list[tuple[float, str]], duration: float) -> Utterance:
    """An even tone with phonemes written over it."""
    samples = 0.1 * np.sin(2 * np.pi * 120 * np.arange(int(duration * 16_000)) / 16_000)
    return Utterance(samples.astype(np.float32), phonemes, [], "")


@pytest.mark.parametrize(
    ("ipa", "classes"),
    [
        ("p", ["p b m"]),
        ("ˈaɪ", ["a", "ih"]),
        ("tʃ", ["sh"]),
        ("ç", ["sh"]),
        ("ɔ̃", ["aw"]),
        ("uː", ["u"]),
        ("əl", ["schwa", "t d n l"]),
        ("", []),
    ],
)
def test_phonemes_fall_into_classes(ipa, classes):
    assert phoneme_classes(ipa)[0] == classes


def test_stress_is_told_apart_from_the_sound():
    assert phoneme_classes("ˈæ") == (["ae"], "ˈ")
    assert phoneme_classes("ˌoʊ")[1] == "ˌ"


def test_nearly_all_sounds_of_the_corpus_languages_are_known(synthesizer):
    from reference_model.corpus.speech.synthesis import Voice
    from reference_model.corpus.speech.utterances import sentences

    known = total = 0
    for language, kinds in sentences().items():
        text = " ".join(next(iter(kinds.values()))[:3])
        for _, ipa in synthesizer.speak(text, Voice(language)).phonemes:
            if any(character.isalpha() for character in ipa):
                total += 1
                known += bool(phoneme_classes(ipa)[0])
    assert known / total > 0.98


def test_the_gap_is_wide_in_ah_small_in_oo_and_none_in_m():
    utterance = hum([(0.0, "ˈɑ"), (0.4, "m"), (0.6, "ˈuː"), (1.0, "ˈɑ")], 1.4)
    tracks = lip_tracks(utterance)
    gap = tracks.track("gap") * (1 - tracks.close)
    assert gap[20] > 0.8
    assert gap[48] == pytest.approx(0.0, abs=0.01)
    assert gap[78] < 0.2
    assert tracks.track("round")[78] > 0.7


MEASURED_GAPS = {
    "w": 0.02, "ˈuː": 0.05, "ˈyː": 0.12, "f": 0.20, "v": 0.20, "ˈoː": 0.28, "ɹ": 0.33, "ˈɜː": 0.40, "ˈɔː": 0.45,
    "θ": 0.45, "ˈə": 0.50, "ʃ": 0.50, "t": 0.55, "d": 0.55, "n": 0.55, "l": 0.55, "k": 0.55, "ɡ": 0.55, "h": 0.55,
    "j": 0.55, "s": 0.58, "z": 0.58, "ˈɪ": 0.65, "ˈiː": 0.68, "ˈɛ": 0.85, "ˈɑː": 0.95, "ˈæ": 0.95,
}  # fmt: skip
"""Table 3 of a trial against the lips of five real talkers; two of the five clips are still at hand."""


@pytest.mark.parametrize("ipa", MEASURED_GAPS)
def test_a_held_sound_opens_the_lips_as_far_as_measured_on_real_talkers(ipa):
    tracks = lip_tracks(hum([(0.0, ""), (0.2, ipa), (1.2, "")], 1.4), loudness_share=0.0)
    assert tracks.track("gap")[70] == pytest.approx(MEASURED_GAPS[ipa], abs=0.005)


@pytest.mark.parametrize("ipa", ["p", "b", "m"])
def test_a_held_bilabial_shuts_the_lips(ipa):
    tracks = lip_tracks(hum([(0.0, ""), (0.2, ipa), (1.2, "")], 1.4), loudness_share=0.0)
    assert tracks.track("gap")[70] == pytest.approx(0.0, abs=0.005)
    assert tracks.close[30:110].min() > 0.99


def test_lips_move_before_the_sound():
    tracks = lip_tracks(hum([(0.0, "ˈɑ"), (0.5, "b"), (0.58, "ˈɑ")], 1.0))
    closed = np.flatnonzero(tracks.close > 0.95) / TRACK_RATE
    assert closed[0] < 0.5
    assert 0.4 < closed.mean() < 0.54


@pytest.mark.parametrize("offset_s", [0.0, 0.01, 0.02, 0.03])
def test_even_a_very_short_closure_shuts_a_picture(offset_s):
    onset = 0.5 + offset_s
    tracks = lip_tracks(hum([(0.0, "ˈɑ"), (onset, "b"), (onset + 0.03, "ˈɑ")], 1.0))
    assert closed_pictures(tracks, 25).sum() >= 1
    assert closed_pictures(tracks, 25).sum() <= 4


def test_rounding_spreads_to_neighbours():
    alone = lip_tracks(hum([(0.0, "ˈɑ"), (0.3, "s"), (0.4, "ˈɑ")], 0.7)).track("round")[35]
    beside_oo = lip_tracks(hum([(0.0, "ˈuː"), (0.3, "s"), (0.4, "ˈuː")], 0.7)).track("round")[35]
    assert beside_oo > alone + 0.2


def test_the_mouth_goes_to_rest_in_a_long_pause_but_not_in_a_short_one():
    tracks = lip_tracks(hum([(0.0, "ˈɑ"), (0.5, ""), (0.8, "ˈɑ"), (1.3, ""), (3.0, "ˈɑ")], 3.3))
    gap = tracks.track("gap")
    assert gap[50:80].min() > 0.25
    assert gap[230:270].max() < 0.01
    assert gap[310] > 0.5


def test_classes_follow_the_phonemes(spoken):
    tracks = lip_tracks(spoken)
    bilabial = PHONEME_CLASSES.index("p b m")
    starts = [start for start, ipa in spoken.phonemes if ipa in ("p", "b", "m")]
    assert all(tracks.classes[round(start * TRACK_RATE) + 2] == bilabial for start in starts)
    assert len(tracks.classes) == len(tracks.targets) == len(tracks.close)
