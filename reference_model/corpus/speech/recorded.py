"""Voices made of recordings of people, with the times of their phonemes and words.

espeak-ng computes its voices from formants. Networks that have heard those alone carry over to people less well
than those that have heard recorded voices, too (docs/model_card.md). flite and Festival are programs of most
distributions (see docs/model.md); their voices are diphones, units or models made of one speaker's recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple, Self

import numpy as np
from scipy.signal import resample_poly

from media.errors import AvatarBenchError
from reference_model.corpus.speech.festival import Festival
from reference_model.corpus.speech.flite import Flite
from reference_model.corpus.speech.segments import Segment, Spoken
from reference_model.corpus.speech.synthesis import SAMPLE_RATE, Utterance, Voice
from reference_model.corpus.speech.visemes import VOWEL_CLASSES, phoneme_classes

__all__ = [
    "HELD_OUT_VOICES",
    "RECORDED_VOICES",
    "RecordedVoice",
    "RecordedVoices",
    "as_utterance",
    "phoneme_set",
]


class RecordedVoice(NamedTuple):
    """A speaker."""

    engine: Literal["flite", "festival"]
    name: str
    """As the engine calls it."""
    language: str
    """espeak-ng's name of the language."""
    phonemes: str
    """Which of the phoneme sets it uses."""
    encoding: str = "latin-1"


RECORDED_VOICES = {
    "awb": RecordedVoice("flite", "awb", "en-us", "english"),
    "kal": RecordedVoice("flite", "kal16", "en-us", "english"),
    "rms": RecordedVoice("flite", "rms", "en-us", "english"),
    "slt": RecordedVoice("flite", "slt", "en-us", "english"),
    "ked": RecordedVoice("festival", "ked_diphone", "en-us", "english"),
    "slt_hts": RecordedVoice("festival", "cmu_us_slt_arctic_hts", "en-us", "english"),
    "pc": RecordedVoice("festival", "pc_diphone", "it", "italian"),
    "lp": RecordedVoice("festival", "lp_diphone", "it", "italian"),
    "dita": RecordedVoice("festival", "czech_dita", "cs", "czech", "iso-8859-2"),
    "machac": RecordedVoice("festival", "czech_machac", "cs", "czech", "iso-8859-2"),
    "ph": RecordedVoice("festival", "czech_ph", "cs", "czech", "iso-8859-2"),
    "lj": RecordedVoice("festival", "suo_fi_lj_diphone", "fi", "finnish"),
    "mv": RecordedVoice("festival", "hy_fi_mv_diphone", "fi", "finnish"),
    "nsh": RecordedVoice("festival", "msu_ru_nsh_clunits", "ru", "russian", "utf-8"),
    "ona": RecordedVoice("festival", "upc_ca_ona_hts", "ca", "catalan"),
}
"""By our name. kal and ked are Americans, rms and slt (twice) too, awb is a Scot."""

HELD_OUT_VOICES = ("ked", "lj")
"""Never trained on: an American man and a Finnish woman."""

_SETS = {
    "english": "aa:ɑː ae:æ ah:ʌ ao:ɔː aw:aʊ ax:ə axr:ɚ ay:aɪ b:b ch:tʃ d:d dh:ð dx:ɾ eh:ɛ el:l em:m en:n er:ɚ ey:eɪ "
    "f:f g:ɡ hh:h hv:h ih:ɪ iy:iː jh:dʒ k:k l:l m:m n:n ng:ŋ nx:n ow:oʊ oy:ɔɪ p:p r:ɹ s:s sh:ʃ t:t th:θ "
    "uh:ʊ uw:uː v:v w:w y:j z:z zh:ʒ pau: h#: brth:",
    "italian": "i:i e:e E:ɛ a:a o:o O:ɔ u:u j:j w:w p:p t:t k:k b:b d:d g:ɡ f:f s:s S:ʃ v:v z:z Z:ʒ ts:ts tS:tʃ "
    "dz:dz dZ:dʒ m:m n:n J:ɲ ng:ŋ nf:ɱ l:l L:ʎ r:r #:",
    "czech": "a:a b:b c:ts c~:tʃ ch:x d:d d~:ɟ dz:dz dz~:dʒ e:ɛ f:f g:ɡ h:ɦ i:ɪ j:j k:k l:l m:m n:n n*:ŋ n~:ɲ o:o "
    "p:p r:r r~:ʒ r~*:ʃ s:s s~:ʃ t:t t~:c u:u v:v z:z z~:ʒ #: _:",
    "finnish": "a:ɑ e:e i:i o:o u:u y:y @:æ 7:ø &:ə p:p t:t k:k b:b d:d g:ɡ f:f T:θ D:ð s:s S:ʃ z:z Z:ʒ h:h v:ʋ m:m "
    "n:n N:ŋ l:l L:l r:r j:j w:w #: ##:",
    "russian": "ii:i yy:ɨ uu:u ee:ɛ oo:o aa:a a:a e:e i:i y:ɨ u:u ae:ɪ ay:ə ur:ʊ c:ts ch:tɕ sh:ʂ sch:ɕ zh:ʐ h:x j:j "
    "b:b p:p t:t d:d k:k g:ɡ f:f v:v s:s z:z m:m n:n l:l r:r pau:",
    "catalan": "ax:ə a:a e:e E:ɛ i:i o:o O:ɔ u:u b:b d:d f:f g:ɡ j:j J:ɲ k:k l:l L:ʎ m:m n:n p:p r:ɾ rr:r s:s S:ʃ "
    "t:t w:w z:z Z:ʒ pau: _: #:",
}

_TRACT_STEPS = 100  # resampling by a hundredth at a time


class RecordedVoices:
    """Running flite and Festival processes; a context manager.

    Raises:
        AvatarBenchError: E603, a program or voice is not installed.
    """

    def __init__(self) -> None:
        of_engine: dict[str, list[str]] = {"flite": [], "festival": []}
        for voice in RECORDED_VOICES.values():
            of_engine[voice.engine].append(voice.name)
        self._flite, self._festival = Flite(of_engine["flite"]), Festival(of_engine["festival"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flite.close()
        self._festival.close()

    def speak(self, text: str, name: str, stretch: float = 1.0, tract: float = 1.0) -> Utterance:
        """Speak a text.

        Args:
            text: What to say, in the voice's language.
            name: Of `RECORDED_VOICES`.
            stretch: Length of the speech over the voice's own.
            tract: Length of the vocal tract over the voice's own: pitch and formants fall together as it grows.

        Returns:
            The utterance; its voice is a variant of the language.

        Raises:
            AvatarBenchError: E203, the voice cannot say the text.
        """
        voice = RECORDED_VOICES[name]
        # A longer tract is the same sound played more slowly, so it is asked for at a faster pace.
        pace = stretch / tract
        if voice.engine == "flite":
            spoken = self._flite.say(text, voice.name, pace)
        else:
            spoken = self._festival.say(text, voice.name, pace, voice.encoding)
        if not any(segment.word for segment in spoken.segments) or not spoken.samples.any():
            raise AvatarBenchError("E203", "the text makes no sound", where=name, got=repr(text))
        return as_utterance(spoken, text, name, tract)


def as_utterance(spoken: Spoken, text: str, name: str, tract: float = 1.0) -> Utterance:
    """What an engine said, at our rate, in IPA, and slower by `tract`; arguments as of `RecordedVoices.speak`."""
    voice = RECORDED_VOICES[name]
    steps = round(tract * _TRACT_STEPS)
    pcm = spoken.samples.astype(np.float32) / 32768.0
    samples = resample_poly(pcm, SAMPLE_RATE * steps, spoken.sample_rate * _TRACT_STEPS)
    slower = steps / _TRACT_STEPS
    phonemes = _phonemes(spoken.segments, phoneme_set(voice.phonemes))
    return Utterance(
        samples=np.clip(samples, -1.0, 1.0).astype(np.float32),
        phonemes=[(slower * at, ipa) for at, ipa in phonemes],
        words=[(slower * at, word) for at, word in _words(spoken.segments)],
        text=text,
        voice=Voice(voice.language, f"recorded-{name}"),
    )


@cache
def phoneme_set(name: str) -> dict[str, str]:
    """IPA of each phoneme of a set, as `RecordedVoice.phonemes` calls it; pauses are empty."""
    pairs = (pair.rpartition(":") for pair in _SETS[name].split())
    return {phoneme: ipa for phoneme, _, ipa in pairs}


def _plain(name: str, ipa: dict[str, str]) -> tuple[str, bool]:
    """IPA of a phoneme without its marks of length, stress and palatalisation, and whether it is marked as stressed."""
    stressed = name.endswith("1")
    name = name.removesuffix("1")
    for known in (name, name.removesuffix(":"), name[: len(name) // 2]):  # Russian writes "tt" for a soft t
        if known in ipa:
            return ipa[known], stressed
    raise KeyError(f"{name!r} is in no phoneme set")


def _phonemes(segments: list[Segment], ipa: dict[str, str]) -> Iterator[tuple[float, str]]:
    """Start and IPA of each phoneme; the vowel of a stressed syllable carries the mark, as espeak-ng's does."""
    plain = [_plain(segment.name, ipa) for segment in segments]
    vowel = [(phoneme_classes(sound)[0] or [""])[0] in VOWEL_CLASSES for sound, _ in plain]
    stressed = [
        is_vowel and (segment.stressed or marked)
        for is_vowel, segment, (_, marked) in zip(vowel, segments, plain, strict=True)
    ]
    with_stress = {segment.word_id for segment, mark in zip(segments, stressed, strict=True) if mark}
    starts = [0.0, *(segment.end_s for segment in segments)]
    for index, segment in enumerate(segments):
        if vowel[index] and segment.word and segment.word_id not in with_stress:
            with_stress.add(segment.word_id)  # Czech marks none: its words are stressed in front
            stressed[index] = True
        yield starts[index], ("ˈ" if stressed[index] else "") + plain[index][0]


def _words(segments: list[Segment]) -> Iterator[tuple[float, str]]:
    start, last = 0.0, ""
    for segment in segments:
        if segment.word and segment.word_id != last:
            yield start, segment.word
            last = segment.word_id
        start = segment.end_s
