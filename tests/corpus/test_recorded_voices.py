"""Voices made of recordings: their phonemes become IPA with stress and times, and the sound agrees with them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from media.errors import AvatarBenchError
from reference_model.corpus.geometry_corpus import draw_takes
from reference_model.corpus.speech import festival, flite
from reference_model.corpus.speech.recorded import (
    HELD_OUT_VOICES,
    RECORDED_VOICES,
    RecordedVoices,
    as_utterance,
    phoneme_set,
)
from reference_model.corpus.speech.segments import Segment, Spoken
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.corpus.speech.visemes import phoneme_classes


def said(segments: list[Segment], name: str, tract: float = 1.0) -> Utterance:
    return as_utterance(Spoken(np.full(32_000, 1000, np.int16), 16_000, segments), "", name, tract)


@pytest.fixture(scope="module")
def recorded() -> Iterator[RecordedVoices]:
    try:
        voices = RecordedVoices()
    except AvatarBenchError as error:
        assert error.code == "E603"
        pytest.skip("flite, Festival or their voices are not installed")
    with voices:
        yield voices


def test_stress_falls_on_the_vowel_and_words_start_where_their_first_phoneme_does():
    english = [
        Segment(0.1, "pau", False, "", ""),
        Segment(0.2, "p", True, "paper", "1"),
        Segment(0.3, "ey", True, "paper", "1"),
        Segment(0.4, "p", False, "paper", "1"),
        Segment(0.6, "er", False, "paper", "1"),
        Segment(0.7, "pau", False, "", ""),
    ]
    utterance = said(english, "slt")
    assert [ipa for _, ipa in utterance.phonemes] == ["", "p", "ˈeɪ", "p", "ɚ", ""]
    assert [start for start, _ in utterance.phonemes] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
    assert utterance.words == [(pytest.approx(0.1), "paper")]


def test_a_language_whose_voices_mark_no_stress_is_stressed_in_front():
    czech = [
        Segment(0.1, "m", False, "máma", "1"),
        Segment(0.2, "a:", False, "máma", "1"),
        Segment(0.3, "m", False, "máma", "1"),
        Segment(0.4, "a", False, "máma", "1"),
    ]
    assert [ipa for _, ipa in said(czech, "dita").phonemes] == ["m", "ˈa", "m", "a"]


def test_a_longer_tract_sounds_lower_and_slower_with_its_times():
    segments = [Segment(1.0, "pau", False, "", ""), Segment(2.0, "aa", True, "ah", "1")]
    utterance = said(segments, "slt", tract=1.1)
    assert utterance.duration == pytest.approx(2.2, abs=0.01)
    assert utterance.words == [(pytest.approx(1.1), "ah")]


@pytest.mark.parametrize("tract", [0.9, 1.12])
def test_the_tract_leaves_the_length_that_was_asked_for(recorded, tract):
    plain, changed = (recorded.speak("One two three four five.", "slt", 1.0, t) for t in (1.0, tract))
    assert changed.duration == pytest.approx(plain.duration, rel=0.05)


@pytest.mark.parametrize("name", sorted({voice.phonemes for voice in RECORDED_VOICES.values()}))
def test_every_phoneme_of_every_set_is_of_a_known_class(name: str):
    for ipa in phoneme_set(name).values():
        assert not ipa or phoneme_classes(ipa)


@pytest.mark.parametrize(
    "engine", [lambda: flite.Flite(["slt"]), lambda: festival.Festival([])], ids=["flite", "festival"]
)
def test_a_missing_program_is_an_error_that_says_what_to_install(engine, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(AvatarBenchError, match="E603") as caught:
        engine()
    assert "install" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("slt", "papa papa papa"),
        ("ked", "papa papa papa"),
        ("pc", "papa papa papa"),
        ("lj", "papa papa papa"),
    ],
)
def test_the_sound_is_loud_in_vowels_and_quiet_in_stop_consonants(recorded, name, text):
    utterance = recorded.speak(text, name, stretch=1.3)
    level: dict[bool, list[float]] = {True: [], False: []}
    for (start, ipa), (end, _) in pairwise([*utterance.phonemes, (utterance.duration, "")]):
        piece = utterance.samples[int(start * 16_000) : int(end * 16_000)]
        if ipa and len(piece):
            level[ipa == "p"].append(float(np.abs(piece).mean()))
    assert len(level[True]) >= 5
    assert np.median(level[False]) > 2 * np.median(level[True])


def test_a_take_is_spoken_by_held_out_voices_exactly_where_it_is_held_out(recorded, synthesizer):
    takes = list(draw_takes(synthesizer, 0.1, 5, recorded, 1.0))
    assert any(take.held_out for take in takes) and not all(take.held_out for take in takes)
    for take in takes:
        name = take.utterance.voice.variant.removeprefix("recorded-")
        assert (name in HELD_OUT_VOICES) == take.held_out
