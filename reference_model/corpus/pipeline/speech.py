"""The stage "speech": the sound of each clip, with the times of its phonemes and words."""

from __future__ import annotations

import wave
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.pipeline.content_cache import write_json
from reference_model.corpus.pipeline.external import output_of_command, time_like
from reference_model.corpus.pipeline.plan import Corpus
from reference_model.corpus.pipeline.texts import VOICE_SEED, read_utterances
from reference_model.corpus.speech.synthesis import (
    MAX_RANDOM_VARIANTS,
    SAMPLE_RATE,
    SpeechSynthesizer,
    Utterance,
    Voice,
)
from reference_model.corpus.speech.voices import LEAD_S, TAIL_S, speak_clip

__all__ = ["load_speech", "make_speech"]


def make_speech(corpus: Corpus, clips: Sequence[str], advance: Callable[[str], None]) -> None:
    """Write `speech/CLIP.wav` and `speech/CLIP.json` for some clips.

    With `--tts-command` another program speaks; its times are espeak-ng's, stretched, and marked "estimated".

    Raises:
        AvatarBenchError: E203, E606 when the command's sound is silent, too long or missing.
    """
    from media.audio import write_wav

    rows = read_utterances(corpus)
    (corpus.folder / "speech").mkdir(exist_ok=True)
    with SpeechSynthesizer(MAX_RANDOM_VARIANTS, VOICE_SEED) as synthesizer:
        for clip in clips:
            row = rows[clip]
            if corpus.spec.tts_command is None:
                utterance, times = (
                    speak_clip(synthesizer, row["text"], row["voice"], corpus.spec.clip_s),
                    "espeak-ng",
                )
                if utterance is None:
                    raise ValueError(f"{clip}: {row['text']!r} was chosen because it fits, and does not")
            else:
                utterance, times = _spoken_by_command(corpus, synthesizer, row), "estimated"
            write_wav(corpus.path("speech", clip, "wav"), utterance.samples)
            write_json(corpus.path("speech", clip, "json"), _description(utterance, times))
            advance(clip)


def _spoken_by_command(corpus: Corpus, synthesizer: SpeechSynthesizer, row: dict[str, Any]) -> Utterance:
    from media.audio import load_audio

    command, clip_s = corpus.spec.tts_command, corpus.spec.clip_s
    assert command is not None
    with output_of_command("--tts-command", command, ".wav", text=row["text"]) as out:
        samples = load_audio(out)
    rest_s = clip_s - LEAD_S - len(samples) / SAMPLE_RATE
    if rest_s < TAIL_S:
        raise AvatarBenchError(
            "E606",
            f"the speech of {row['clip']} does not fit into its clip",
            where="--tts-command",
            expected=f"at most {clip_s - LEAD_S - TAIL_S:.2f} s",
            got=f"{len(samples) / SAMPLE_RATE:.2f} s for {row['text']!r}",
            fix="give more with --seconds, or let the command speak faster",
        )
    return time_like(synthesizer.speak(row["text"], row["voice"]), samples).padded(LEAD_S, rest_s)


def _description(utterance: Utterance, times: str) -> dict[str, Any]:
    voice = utterance.voice
    return {
        "text": utterance.text,
        "language": voice.language,
        "voice": {
            "name": voice.name,
            "rate": voice.rate,
            "pitch": voice.pitch,
            "pitch_range": voice.pitch_range,
        },
        "times": times,
        "phonemes": [[round(start, 4), ipa] for start, ipa in utterance.phonemes],
        "words": [[round(start, 4), word] for start, word in utterance.words],
    }


def load_speech(corpus: Corpus, clip: str) -> Utterance:
    """The utterance of a clip as its files have it; the samples are 16-bit, so that every run has the same."""
    told = corpus.read_json("speech", clip)
    with wave.open(str(corpus.path("speech", clip, "wav")), "rb") as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    voice = told["voice"]
    language, _, variant = voice["name"].partition("+")
    return Utterance(
        samples=(pcm / 32767.0).astype(np.float32),
        phonemes=[(start, ipa) for start, ipa in told["phonemes"]],
        words=[(start, word) for start, word in told["words"]],
        text=told["text"],
        voice=Voice(language, variant, voice["rate"], voice["pitch"], voice["pitch_range"]),
    )
