"""Words and their times, as the TextGrid files that MotionCraft reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["Word", "spread_words", "write_textgrid"]

_HOP_S = 0.01
_SPEECH_DB = -35.0  # below the loud parts (95th percentile); pauses between words stay above it


class Word(NamedTuple):
    """One word of the transcript."""

    text: str
    start_s: float
    end_s: float


def spread_words(transcript: str, samples: np.ndarray, sample_rate: int) -> list[Word]:
    """Times of the words, for transcripts that nobody aligned.

    The words share the time in which the sound is louder than 35 dB below its loud parts, by their number of letters.
    That is a guess: MotionCraft takes the words of windows of 2 s as a bag, so that some hundred milliseconds matter
    little. A forced aligner's TextGrid is better where there is one.

    Args:
        transcript: What is said.
        samples: The sound, [S] in [-1, 1].
        sample_rate: Samples a second.
    """
    words = transcript.split()
    if not words:
        return []
    hop = round(_HOP_S * sample_rate)
    n = len(samples) // hop
    power = np.square(samples[: n * hop].astype(np.float64)).reshape(n, hop).mean(1)
    loud = power > np.percentile(power, 95) * 10 ** (_SPEECH_DB / 10) if n else np.zeros(0, bool)
    if not loud.any():
        return []
    spoken = np.concatenate([[0.0], np.cumsum(loud) * _HOP_S])  # seconds of speech until each hop's edge
    letters = np.array([sum(c.isalnum() for c in word) or 1 for word in words])
    edges = np.concatenate([[0.0], np.cumsum(letters) / letters.sum()]) * spoken[-1]
    clock = np.arange(n + 1) * _HOP_S
    rises = np.concatenate(
        [[True], np.diff(spoken) > 0]
    )  # a word ends before a pause and the next begins after it
    ends = np.interp(edges[1:], spoken[rises], clock[rises])
    begins = [clock[np.searchsorted(spoken, edge + 1e-9) - 1] for edge in edges[:-1]]
    begins = [max(begin, before) for begin, before in zip(begins, [0.0, *ends[:-1]], strict=True)]
    return [Word(w, float(a), float(b)) for w, a, b in zip(words, begins, ends, strict=True)]


def write_textgrid(path: Path, words: Sequence[Word], duration_s: float) -> None:
    """Write one tier of words, with empty intervals in between, over `duration_s` seconds.

    Raises:
        ValueError: Words that overlap or leave the sound.
    """
    rows: list[Word] = []
    now = 0.0
    for word in words:
        if word.start_s < now - 1e-9 or word.end_s <= word.start_s or word.end_s > duration_s + 1e-9:
            raise ValueError(f"{word} does not follow {now:g} s within {duration_s:g} s")
        if word.start_s > now + 1e-9:
            rows.append(Word("", now, word.start_s))
        rows.append(word._replace(start_s=max(now, word.start_s)))
        now = word.end_s
    if now < duration_s - 1e-9:
        rows.append(Word("", now, duration_s))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {duration_s!r}",
    ]
    lines += ["tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"']
    lines += ['        name = "words"', "        xmin = 0", f"        xmax = {duration_s!r}"]
    lines.append(f"        intervals: size = {len(rows)}")
    for number, (text, start_s, end_s) in enumerate(rows, start=1):
        mark = text.replace('"', '""')
        lines += [f"        intervals [{number}]:", f"            xmin = {start_s!r}"]
        lines += [f"            xmax = {end_s!r}", f'            text = "{mark}"']
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
