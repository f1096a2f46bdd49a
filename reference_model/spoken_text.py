"""A written text as speech, for `avatar drive --text`: by espeak-ng out of process, or by any program of the user's."""

from __future__ import annotations

from media.audio import load_audio
from media.errors import AvatarBenchError
from reference_model.corpus.pipeline.external import check_template, output_of_command, time_like
from reference_model.corpus.speech.synthesis import SpeechSynthesizer, Utterance, Voice

__all__ = ["LEAD_S", "TAIL_S", "check_text", "parse_voice", "speak_text", "with_times"]

LEAD_S, TAIL_S = 0.24, 0.64
"""Silence around the speech, so that the avatar is seen at rest before and after."""

_OPTION = "--tts-command"


def check_text(text: str, command: str | None) -> None:
    """Refuse a text or command that cannot work, before anything else is loaded.

    Raises:
        AvatarBenchError: E504.
    """
    if not any(letter.isalnum() for letter in text):
        raise AvatarBenchError("E504", "the text has nothing to say", where="--text", got=repr(text))
    if command is not None:
        check_template(_OPTION, command, ("text", "out"))


def parse_voice(name: str) -> Voice:
    """`en-us`, `de+f3`: a language of espeak-ng, perhaps with one of its variants."""
    language, _, variant = name.partition("+")
    return Voice(language=language, variant=variant)


def speak_text(text: str, voice: Voice | None = None, command: str | None = None) -> Utterance:
    """Speak a text, with silence around it.

    Args:
        text: What to say.
        voice: Who says it, for espeak-ng.
        command: A program that speaks instead, with `{text}` and `{out}`, the sound file that it writes.

    Returns:
        The utterance; of a command it has no phonemes and words, see `with_times`.

    Raises:
        AvatarBenchError: E203 silent, E504 no such voice, E603 espeakng-loader is missing, E606 the command failed.
    """
    voice = Voice() if voice is None else voice
    if command is None:
        with SpeechSynthesizer() as synthesizer:
            return synthesizer.speak(text, voice).padded(LEAD_S, TAIL_S)
    with output_of_command(_OPTION, command, ".wav", text=text) as out:
        samples = load_audio(out)
    return Utterance(samples, [], [], text, voice).padded(LEAD_S, TAIL_S)


def with_times(spoken: Utterance) -> Utterance:
    """The utterance with phonemes and words, for a model that reads them.

    No aligner comes with the package: of a sound that another program made the times are espeak-ng's, stretched over
    it, and can be off by some tenths of a second.

    Raises:
        AvatarBenchError: E603, espeakng-loader is missing.
    """
    if spoken.words:
        return spoken
    with SpeechSynthesizer() as synthesizer:
        return time_like(synthesizer.speak(spoken.text, spoken.voice), spoken.samples)
