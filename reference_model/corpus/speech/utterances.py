"""Texts for the synthetic voices: hand-written sentences, template sentences, and words that mean nothing.

Templates and pseudo-words give the network far more phoneme neighbourhoods than a list can. A text belongs to
the held-out split by its own hash, so that every program agrees on the split without a list.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable
from importlib.resources import files

from reference_model.corpus.speech.synthesis import Voice

__all__ = [
    "ENGLISH_ACCENTS",
    "LATIN_LANGUAGES",
    "draw_language",
    "draw_text",
    "draw_voice",
    "is_held_out_text",
    "is_held_out_variant",
    "pseudo_words",
    "sentences",
    "talk_texts",
    "template_sentence",
]

ENGLISH_ACCENTS = ("en-us", "en-us", "en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
"""American English thrice: the voices of the benchmark's own clips mostly speak it."""

LATIN_LANGUAGES = (
    *("de", "fr", "es", "it", "pt-br", "nl", "sv", "pl", "tr", "fi"),
    *("id", "sw", "ro", "hu", "cs", "ca", "da", "nb", "hr", "sk"),
)
"""Languages whose letter-to-sound rules read pseudo-words."""

_HELD_OUT_PERCENT = 12

_WORDS = {
    "subject": "I|you|we|they|my sister|the old man|our teacher|the whole team|everybody|some people|"
    "a young woman|your father|the mayor|both of them|those boys|Bob|Pamela|Victor|the doctor|"
    "half of us|nobody|the baker|women and men|few families|this museum|whoever came",
    "modal": "wanted to|had to|would never|might|could|should probably|began to|loved to|will always|used to|"
    "hoped to|promised to|may|cannot|forgot to|decided to|managed to",
    "verb": "buy|move|make|keep|bring|watch|find|push|visit|choose|fix|cover|improve|share|burn|open|finish|"
    "throw|wash|measure|follow|remember|understand|paint|believe in|support|talk about|vote for|"
    "look after|pay for|jump over|bump into|wrap up|build",
    "determiner": "the|this|our|my|some|that|your|every",
    "adjective": "big|small|beautiful|public|warm|broken|smooth|yellow|purple|strange|cheap|healthy|thin|"
    "huge|whole|beige|perfect|famous|quick|wonderful|poor|modern|vague|bumpy|pale|foggy",
    "noun": "map|bubble|house|problem|river|mushroom|vision|apple|book|moon|pharmacy|camera|bath|wheel|job|"
    "path|voice|thing|shop|judge|garage|family|future|farm|baby|lamp|boat|paper|window|mouth|foot|"
    "church|game|pepper|climate|worker|community|beam|moth|fable|puppet|zebra",
    "ending": "because of the weather|in the morning|by the way|from above|for a while|at the beach|"
    "before Monday|with my mother|as far as I know|on television|without asking|over there|"
    "in the winter|if possible|you know what I mean|right now|for the first time|together|"
    "every single day|more than ever|at home|after all these years|in front of the whole club",
    "joint": "but|and|so|because|although|while|whenever",
}
_WORD_LISTS = {slot: choices.split("|") for slot, choices in _WORDS.items()}

_ONSETS = [*"p b m f v t d n l s z k g r h w j sh ch th br pl fl st sp tr kr".split(), ""]
_NUCLEI = "a e i o u a e i o u oo ee ai ou oi au ea".split()
_CODAS = [*"m n l s p t k b f r".split(), *[""] * 10]


@functools.cache
def sentences() -> dict[str, dict[str, tuple[str, ...]]]:
    """The hand-written texts: language -> kind -> texts.

    The shipped networks were trained on draws from this list, so it does not grow: `talk_texts` has more.
    """
    return _read_sections("sentences.txt")


@functools.cache
def talk_texts() -> dict[str, dict[str, tuple[str, ...]]]:
    """English texts of the made people: list ("train", "mini" or "heldout") -> kind -> texts.

    No text of "mini" or "heldout" is in another list.
    """
    return _read_sections("talk.txt")


def _read_sections(name: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """A text file with headings "[group kind]": group -> kind -> lines."""
    texts: dict[str, dict[str, list[str]]] = {}
    section: list[str] = []
    for line in files("reference_model.corpus.speech").joinpath(name).read_text("utf-8").splitlines():
        if line.startswith("["):
            group, kind = line.strip("[]").split()
            section = texts.setdefault(group, {}).setdefault(kind, [])
        elif line and not line.startswith("#"):
            section.append(line)
    return {group: {kind: tuple(t) for kind, t in kinds.items()} for group, kinds in texts.items()}


def template_sentence(rng: random.Random) -> str:
    """An English sentence put together at random; grammatical, seldom sensible."""

    def clause() -> str:
        slots = ("subject", "modal", "verb", "determiner", "adjective", "noun")
        return " ".join(rng.choice(_WORD_LISTS[slot]) for slot in slots)

    text = clause()
    if rng.random() < 0.6:
        text += rng.choice([" ", ", "]) + rng.choice(_WORD_LISTS["ending"])
    if rng.random() < 0.35:
        text += f", {rng.choice(_WORD_LISTS['joint'])} {clause()}"
    text = text[0].upper() + text[1:] + rng.choice("...?!")
    return f"{text} {template_sentence(rng)}" if rng.random() < 0.2 else text


def pseudo_words(rng: random.Random) -> str:
    """Five to eleven pronounceable words without meaning."""

    def syllable() -> str:
        return rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS)

    words = ("".join(syllable() for _ in range(rng.choice([1, 2, 2, 3]))) for _ in range(rng.randint(5, 11)))
    return " ".join(words) + "."


def is_held_out_text(text: str) -> bool:
    """Whether a text is kept from training: one in eight, by hash."""
    return _percentile(text) < _HELD_OUT_PERCENT


def is_held_out_variant(variant: str) -> bool:
    """Whether a voice variant is kept from training: one in eight; a language's own voice never is."""
    return variant != "" and _percentile(f"voice {variant}") < _HELD_OUT_PERCENT


def _percentile(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 100


def draw_language(rng: random.Random, *, held_out: bool) -> str:
    """Draw a language with texts in one split, by espeak-ng's name; six in ten are accents of English."""
    kind = rng.random()
    if kind < 0.60:
        return rng.choice(ENGLISH_ACCENTS)
    if kind < 0.75:
        return rng.choice(LATIN_LANGUAGES)
    foreign = [language for language in sentences() if language != "en" and _texts(language, held_out)]
    # Mandarin has sounds that no Latin-script voice makes.
    return rng.choice([*foreign, "cmn", "cmn", "cmn"])


def _texts(language: str, held_out: bool) -> list[str]:
    kinds = sentences().get(language, {})
    return [text for kind in kinds.values() for text in kind if is_held_out_text(text) == held_out]


def draw_text(rng: random.Random, language: str, *, held_out: bool) -> str:
    """Draw a text of one split.

    Args:
        rng: Source of chance.
        language: espeak-ng's name of one of `draw_language`'s languages.
        held_out: The split.

    Returns:
        A hand-written sentence, one from templates (English only), or pseudo-words.
    """
    if language in ENGLISH_ACCENTS:
        return _draw_split(rng, held_out, _english)
    texts = _texts(language, held_out)
    # Short lists would repeat themselves; other scripts have no pseudo-words to offer.
    if texts and (language not in LATIN_LANGUAGES or rng.random() < 0.5):
        return rng.choice(texts)
    return _draw_split(rng, held_out, pseudo_words)


def _english(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice([text for texts in sentences()["en"].values() for text in texts])
    return pseudo_words(rng) if kind < 0.5 else template_sentence(rng)


def _draw_split(rng: random.Random, held_out: bool, draw: Callable[[random.Random], str]) -> str:
    while True:
        text = draw(rng)
        if is_held_out_text(text) == held_out:
            return text


def draw_voice(rng: random.Random, language: str, variants: list[str], *, held_out: bool) -> Voice:
    """Draw a voice of one split for a language.

    Args:
        rng: Source of chance.
        language: espeak-ng's name.
        variants: Names of `SpeechSynthesizer.variants`, random ones called "random..".
        held_out: The split; held-out voices share no variant with training ones.

    Returns:
        A voice: rarely the language's own, often a stock variant, mostly a random one.
    """
    allowed = [name for name in variants if is_held_out_variant(name) == held_out]
    stock = [name for name in allowed if not name.startswith("random")]
    random_ones = [name for name in allowed if name.startswith("random")]
    kind = rng.random()
    if kind < 0.08 and not held_out:
        variant = ""
    elif kind < 0.45 or not random_ones:
        variant = rng.choice(stock)
    else:
        variant = rng.choice(random_ones)
    return Voice(language, variant, rng.randint(115, 215), rng.randint(25, 75), rng.randint(25, 90))
