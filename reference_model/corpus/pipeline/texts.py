"""The stage "utterances": who says what, in which voice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.corpus.pipeline.external import ask_for_lines
from reference_model.corpus.pipeline.plan import Corpus
from reference_model.corpus.speech.synthesis import MAX_RANDOM_VARIANTS, SpeechSynthesizer, Voice
from reference_model.corpus.speech.utterances import ENGLISH_ACCENTS, is_held_out_text, sentences, talk_texts
from reference_model.corpus.speech.voices import assign_voices, speak_clip, training_texts

__all__ = ["KINDS", "VOICE_SEED", "make_utterances", "read_utterances", "text_lists"]

KINDS = ("greeting", "introduction", "transition", "engagement", "dialogue")
"""Of appendix C of the paper, and dialogue."""
VOICE_SEED = 0
"""Of espeak-ng's random variants, so that "random07" is one voice in all corpora and held out in all or none."""
_PROMPT = (
    "Write {n} different English sentences of kind '{kind}' as somebody would say them aloud to a camera: natural, "
    "varied in subject, 8 to 12 words each. Answer with one sentence a line and nothing else."
)
_MAX_TRIES = 40


def text_lists(corpus: Corpus) -> dict[str, list[str]]:
    """English texts by kind for the corpus's split.

    Raises:
        AvatarBenchError: E606 when the command of the user fails or answers too few usable sentences.
    """
    split, command = corpus.spec.split, corpus.spec.utterances_command
    if split != "train":
        return {kind: list(talk_texts()[split][kind]) for kind in KINDS}
    if command is None:
        lists = {kind: [*talk_texts()["train"][kind], *sentences()["en"][kind]] for kind in KINDS}
    else:
        wanted = -(-len(corpus.clips) // len(KINDS))
        lists = {
            kind: ask_for_lines("--utterances-command", command, _PROMPT.format(n=wanted, kind=kind))
            for kind in KINDS
        }
    return {kind: _for_training(kind, texts) for kind, texts in lists.items()}


def _for_training(kind: str, texts: list[str]) -> list[str]:
    reserved = {
        text for name in ("mini", "heldout") for group in talk_texts()[name].values() for text in group
    }
    kept = [text for text in texts if not is_held_out_text(text) and text not in reserved]
    if not kept:
        raise AvatarBenchError(
            "E606",
            f"no sentence of kind {kind!r} may be used for training",
            where="--utterances-command",
            expected="sentences that are not held out (one in eight is, by its hash)",
            got=f"{len(texts)} sentences",
            fix="let the command answer more sentences",
        )
    return kept


def make_utterances(corpus: Corpus, advance: Callable[[str], None]) -> None:
    """Write `utterances.jsonl`: one line a clip with person, text, kind and voice; every text fits its clip.

    Args:
        corpus: The corpus.
        advance: Called with the id of each clip that has its text.
    """
    rows: list[dict[str, Any]] = []
    lists = text_lists(corpus)
    rng = random.Random(f"texts {corpus.spec.split} {corpus.spec.seed}")
    english = {kind: _endless(texts, rng) for kind, texts in lists.items()}
    foreign: dict[str, Iterator[str]] = {}
    people = list(corpus.attributes)
    with SpeechSynthesizer(MAX_RANDOM_VARIANTS, VOICE_SEED) as synthesizer:
        drawn = assign_voices(
            list(corpus.attributes.values()), corpus.spec.seed, synthesizer.genders, corpus.spec.split
        )
        for clip in corpus.clips.values():
            voice = drawn[people.index(clip.person)]
            kind, texts = KINDS[clip.index % len(KINDS)], english[KINDS[clip.index % len(KINDS)]]
            if voice.language not in ENGLISH_ACCENTS:
                kind, texts = (
                    "talk",
                    foreign.setdefault(voice.language, _endless(training_texts(voice.language), rng)),
                )
            text = _fitting(synthesizer, texts, voice, corpus.spec.clip_s)
            rows.append(
                {"clip": clip.id, "person": clip.person, "kind": kind, "text": text, "voice": asdict(voice)}
            )
            advance(clip.id)
    with atomic_write(corpus.folder / "utterances.jsonl") as path:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _endless(texts: list[str], rng: random.Random) -> Iterator[str]:
    """All texts in random order, then all in another order, and so on."""
    while True:
        yield from rng.sample(texts, len(texts))


def _fitting(synthesizer: SpeechSynthesizer, texts: Iterator[str], voice: Voice, clip_s: float) -> str:
    for _ in range(_MAX_TRIES):
        text = next(texts)
        if speak_clip(synthesizer, text, voice, clip_s) is not None:
            return text
    raise AvatarBenchError(
        "E504",
        f"no text fits into {clip_s:g} s",
        where="--seconds",
        expected="about 4 s or more",
        got=f"{clip_s:g}",
    )


def read_utterances(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Lines of `utterances.jsonl` by clip; a voice is a `Voice`."""
    lines = (corpus.folder / "utterances.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["clip"]: row | {"voice": Voice(**row["voice"])} for row in rows}
