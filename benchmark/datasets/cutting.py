"""Cutting a recording to clips in which the person speaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["LONGEST_S", "SHORTEST_S", "Cut", "Span", "Word", "cut_to_speech", "words_within"]

Span = tuple[float, float]
"""(start, end) in seconds."""

SHORTEST_S, LONGEST_S = 2.0, 10.0
"""A clip lasts at least and at most so long, seconds."""
LONGEST_PAUSE_S = 0.5
"""Within a clip the person is silent for at most so long, seconds."""

# Whole milliseconds inside, so that no rounding makes a clip a little too long or two clips overlap.
_Milliseconds = tuple[int, int]
_SHORTEST, _LONGEST, _LONGEST_PAUSE = (round(1000 * s) for s in (SHORTEST_S, LONGEST_S, LONGEST_PAUSE_S))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a transcript with its times."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The clips of a recording and what is left over."""

    clips: tuple[Span, ...]
    """In order and apart; to the millisecond."""
    unused_s: float
    """Seconds of speech in no clip: utterances shorter than a clip may be."""


def cut_to_speech(speech: Iterable[Span], duration_s: float) -> Cut:
    """Cut a recording at the pauses of its speech.

    Spans of speech are taken in order. A clip takes in the next span as long as the pause before it is at most
    0.5 s and the clip stays within 10 s; a span that is longer than 10 s on its own is first divided into equal
    parts. Clips under 2 s are left out.

    Args:
        speech: (start, end) of speech in seconds, in any order; they may overlap.
        duration_s: Length of the recording; what lies beyond is cut off.

    Returns:
        The clips; the same for the same speech, whatever its order.
    """
    spans = _merge(speech, duration_s)
    groups: list[_Milliseconds] = []
    for part in itertools.chain.from_iterable(_equal_parts(span) for span in spans):
        before = groups[-1] if groups else None
        if before and part[0] - before[1] <= _LONGEST_PAUSE and part[1] - before[0] <= _LONGEST:
            groups[-1] = (before[0], part[1])
        else:
            groups.append(part)
    clips = [group for group in groups if group[1] - group[0] >= _SHORTEST]
    spoken = sum(end - start for start, end in spans)
    used = sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in spans for b in clips)
    return Cut(tuple((start / 1000, end / 1000) for start, end in clips), (spoken - used) / 1000)


def words_within(words: Sequence[Word], clip: Span) -> str | None:
    """The words that are said in a clip: those whose middle lies in it; None where there is none."""
    said = [word.text for word in words if clip[0] <= (word.start_s + word.end_s) / 2 < clip[1]]
    return " ".join(said) or None


def _merge(spans: Iterable[Span], duration_s: float) -> list[_Milliseconds]:
    """The union of the spans within [0, duration], in order."""
    merged: list[_Milliseconds] = []
    last = int(duration_s * 1000)
    for start, end in sorted((max(0, round(a * 1000)), min(round(b * 1000), last)) for a, b in spans):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _equal_parts(span: _Milliseconds) -> Iterable[_Milliseconds]:
    start, end = span
    count = -(-(end - start) // _LONGEST)
    return itertools.pairwise(start + (end - start) * step // count for step in range(count + 1))
