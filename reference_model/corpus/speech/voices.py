"""Which voice a made person has, and how a sentence of it fills a clip."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reference_model.corpus.people.attributes import Attributes, Split
from reference_model.corpus.speech.synthesis import SpeechSynthesizer, Utterance, Voice
from reference_model.corpus.speech.utterances import (
    ENGLISH_ACCENTS,
    is_held_out_text,
    is_held_out_variant,
    sentences,
)

__all__ = ["LEAD_S", "TAIL_S", "assign_voices", "fit_rate", "speak_clip", "training_texts"]

LEAD_S = 0.2
"""Silence before the first word: the first picture is the reference image, with a calm face."""
TAIL_S = 0.1
"""Least silence after the last word."""
_FILL = 0.86
"""Share of the clip that speech should take."""
_SLOWEST, _FASTEST = 100, 200  # words a minute; the pace of talks and of lively conversation
_FOREIGN_SHARE = 0.15
_FEWEST_FOREIGN = 4
"""Training texts that a language other than English must have."""

_UNNATURAL = (
    "robo",
    "Robot",
    "klatt",
    "whisper",
    "croak",
    "Tweaky",
    "zac",
    "announcer",
    "Storm",
    "kaukovalta",
)
"""Parts of the names of variants that do not sound like grown-up people."""

_PITCH = {"female": (40, 70), "male": (30, 62)}
"""espeak-ng's pitch, 0 to 100, relative to the variant's own range."""
_AGE_PITCH = {"female": -12, "male": 8}
"""From 20 to 85 years women's voices fall and old men's rise (Stathopoulos et al., JSLHR 2011)."""


def assign_voices(
    people: Sequence[Attributes], seed: int, genders: Mapping[str, str], split: Split
) -> list[Voice]:
    """Give each person a voice that fits sex and age; no two people have the same one.

    Args:
        people: Attributes.
        seed: Seed.
        genders: `SpeechSynthesizer.genders`: all variants there are.
        split: "train" takes no held-out variant and 15 % languages other than English; the other splits take held-out
            variants only, and speak English.

    Returns:
        Voices with a rate that `fit_rate` may change from clip to clip, one for each person.

    Raises:
        ValueError: `genders` has no variant for a person's sex and split.
    """
    rng = random.Random(f"voices {seed} {split}")
    allowed = {sex: _shuffled_variants(sex, genders, split, rng) for sex in ("female", "male")}
    taken: dict[str, int] = dict.fromkeys(allowed, 0)
    foreign = sorted(language for language in sentences() if len(training_texts(language)) >= _FEWEST_FOREIGN)
    voices: list[Voice] = []
    while len(voices) < len(people):
        person = people[len(voices)]
        names = allowed[person.sex]
        low, high = _PITCH[person.sex]
        aged = _AGE_PITCH[person.sex] * (person.age - 20) / 65
        abroad = split == "train" and rng.random() < _FOREIGN_SHARE
        voice = Voice(
            language=rng.choice(foreign if abroad else ENGLISH_ACCENTS),
            variant=names[taken[person.sex] % len(names)],
            rate=round(rng.uniform(135, 175) - 15 * max(0.0, person.age - 60) / 25),
            pitch=round(rng.uniform(low, high) + aged),
            pitch_range=rng.randint(40, 80),
        )
        taken[person.sex] += 1
        if voice not in voices:
            voices.append(voice)
    return voices


def training_texts(language: str) -> list[str]:
    """Hand-written texts of a language other than English that may be learned from; none of English."""
    kinds = {} if language == "en" else sentences().get(language, {})
    return [text for texts in kinds.values() for text in texts if not is_held_out_text(text)]


def _shuffled_variants(sex: str, genders: Mapping[str, str], split: Split, rng: random.Random) -> list[str]:
    names = [
        name
        for name, gender in genders.items()
        if gender == sex
        and is_held_out_variant(name) == (split != "train")
        and not any(part in name for part in _UNNATURAL)
    ]
    if not names:
        raise ValueError(f"there is no {sex} voice for the split {split}")
    rng.shuffle(names)
    return names


def fit_rate(voice: Voice, duration_s: float, wanted_s: float) -> Voice:
    """The voice at the rate that turns a speech of `duration_s` at its own rate into about `wanted_s`."""
    rate = round(voice.rate * duration_s / wanted_s)
    return replace(voice, rate=min(max(rate, _SLOWEST), _FASTEST))


def speak_clip(synthesizer: SpeechSynthesizer, text: str, voice: Voice, clip_s: float) -> Utterance | None:
    """Speak a text so that it fills a clip, with silence before and after.

    Args:
        synthesizer: A running espeak-ng.
        text: What is said.
        voice: The person's voice; its rate is changed within 100 to 200 words a minute.
        clip_s: Length of the clip.

    Returns:
        The utterance, exactly `clip_s` long; None when the text does not fit at the fastest rate.
    """
    trial = synthesizer.speak(text, voice)
    utterance = synthesizer.speak(text, fit_rate(voice, trial.duration, _FILL * clip_s))
    rest_s = clip_s - LEAD_S - utterance.duration
    return utterance.padded(LEAD_S, rest_s) if rest_s >= TAIL_S else None
