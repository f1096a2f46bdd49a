from __future__ import annotations

import random

import pytest

from reference_model.corpus.speech.utterances import (
    draw_language,
    draw_text,
    draw_voice,
    is_held_out_text,
    is_held_out_variant,
    pseudo_words,
    sentences,
    template_sentence,
)


def test_there_are_over_120_hand_written_english_sentences_and_none_twice():
    texts = [text for kind in sentences()["en"].values() for text in kind]
    assert len(texts) >= 120
    assert len(set(texts)) == len(texts)
    assert {"greeting", "introduction", "transition", "engagement", "dialogue"} <= set(sentences()["en"])


def test_many_languages_have_sentences_and_mandarin_most():
    counts = {
        language: sum(map(len, kinds.values())) for language, kinds in sentences().items() if language != "en"
    }
    assert len(counts) >= 15
    assert max(counts, key=lambda language: counts[language]) == "cmn"


@pytest.mark.parametrize("held_out", [False, True])
def test_texts_and_voices_of_one_split_never_come_in_the_other(held_out):
    rng = random.Random(0)
    variants = ["f1", "f2", "linda", "max", "rob", "steph", "zac", *(f"random{i:02d}" for i in range(40))]
    for _ in range(200):
        language = draw_language(rng, held_out=held_out)
        assert is_held_out_text(draw_text(rng, language, held_out=held_out)) == held_out
        assert is_held_out_variant(draw_voice(rng, language, variants, held_out=held_out).variant) == held_out


def test_about_an_eighth_is_held_out():
    rng = random.Random(1)
    share = sum(is_held_out_text(template_sentence(rng)) for _ in range(2000)) / 2000
    assert 0.09 < share < 0.15


def test_six_texts_in_ten_are_english():
    rng = random.Random(2)
    languages = [draw_language(rng, held_out=False) for _ in range(1000)]
    assert 0.55 < sum(language.startswith("en") for language in languages) / 1000 < 0.65
    assert len(set(languages)) > 20


def test_pseudo_words_contain_every_place_of_articulation():
    rng = random.Random(3)
    letters = set("".join(pseudo_words(rng) for _ in range(50)))
    assert set("pbmfvtdnlszkgrhwjaeiou") <= letters


def test_the_same_seed_gives_the_same_text():
    assert template_sentence(random.Random(7)) == template_sentence(random.Random(7))
