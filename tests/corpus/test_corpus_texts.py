"""Who says what in which voice: enough texts, none of the test sets' among those to learn from."""

from __future__ import annotations

import pytest

from reference_model.corpus.people.attributes import sample_attributes
from reference_model.corpus.pipeline.texts import KINDS
from reference_model.corpus.speech.synthesis import MAX_RANDOM_VARIANTS, SpeechSynthesizer
from reference_model.corpus.speech.utterances import is_held_out_variant, sentences, talk_texts
from reference_model.corpus.speech.voices import LEAD_S, assign_voices, speak_clip


@pytest.fixture(scope="module")
def all_voices() -> SpeechSynthesizer:
    with SpeechSynthesizer(MAX_RANDOM_VARIANTS, 0) as running:
        yield running


def test_there_are_over_500_english_sentences_of_five_kinds_and_none_twice() -> None:
    lists = talk_texts()
    texts = [text for kinds in lists.values() for texts in kinds.values() for text in texts]
    known = [text for texts in sentences()["en"].values() for text in texts]
    assert len(texts) >= 600 and len({text.lower() for text in [*texts, *known]}) == len(texts) + len(known)
    assert all(set(kinds) == set(KINDS) for kinds in lists.values())
    assert all(len(lists[name][kind]) == 24 for name in ("mini", "heldout") for kind in KINDS)


def test_voices_fit_the_sex_and_no_two_people_share_one(all_voices: SpeechSynthesizer) -> None:
    people = sample_attributes(60, 0, split="train")
    voices = assign_voices(people, 0, all_voices.genders, "train")
    assert len(set(voices)) == 60
    assert all(all_voices.genders[v.variant] == p.sex for v, p in zip(voices, people, strict=True))
    assert not any(is_held_out_variant(voice.variant) for voice in voices)
    assert 0.7 < sum(voice.language.startswith("en") for voice in voices) / 60 < 1.0


def test_held_out_people_speak_english_with_held_out_voices(all_voices: SpeechSynthesizer) -> None:
    voices = assign_voices(sample_attributes(24, 0, split="heldout"), 0, all_voices.genders, "heldout")
    assert all(is_held_out_variant(voice.variant) and voice.language.startswith("en") for voice in voices)


def test_men_sound_lower_than_women(all_voices: SpeechSynthesizer) -> None:
    """Pitch measured on the sound, by autocorrelation, not read from the voice files."""
    people = sample_attributes(10, 3, split="train")
    voices = assign_voices(people, 3, all_voices.genders, "mini")
    heard = {"female": [], "male": []}
    for person, voice in zip(people, voices, strict=True):
        heard[person.sex].append(_pitch_hz(all_voices.speak("Marie, where are you?", voice).samples))
    assert max(heard["male"]) < 175 < min(heard["female"]) + 40
    assert sum(heard["male"]) / 5 + 30 < sum(heard["female"]) / 5


def _pitch_hz(samples) -> float:
    import numpy as np

    pitches = []
    for start in range(0, len(samples) - 1024, 512):
        piece = samples[start : start + 1024] * np.hanning(1024)
        if np.abs(piece).max() < 0.05:
            continue
        line = np.correlate(piece, piece, "full")[1023:]
        lag = 40 + int(np.argmax(line[40:260]))
        if line[lag] > 0.4 * line[0]:
            pitches.append(16_000 / lag)
    return float(np.median(pitches))


@pytest.mark.parametrize("split", ["mini", "heldout"])
def test_every_text_of_the_test_sets_fits_its_clip(all_voices: SpeechSynthesizer, split: str) -> None:
    texts = [text for kind in talk_texts()[split].values() for text in kind]
    voices = assign_voices(sample_attributes(12, 0, split=split), 0, all_voices.genders, split)
    for index, text in enumerate(texts[::3]):
        utterance = speak_clip(all_voices, text, voices[index % 12], 4.4)
        assert utterance is not None, text
        assert utterance.duration == pytest.approx(4.4, abs=1e-3)
        assert all(start >= LEAD_S - 1e-6 for start, ipa in utterance.phonemes if ipa)
