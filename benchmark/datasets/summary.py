"""What a data set holds, in numbers: clips, people, hours, and the values of its attributes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.manifest import Clip, Dataset
from benchmark.splits import Split
from media.video import probe

__all__ = ["AttributeSummary", "IdentityCount", "Summary", "count_sides", "summarise"]


@dataclass(frozen=True, slots=True)
class AttributeSummary:
    """One attribute over all clips."""

    name: str
    n_clips: int
    """Clips that have it."""
    n_values: int
    """Different values."""
    common: tuple[tuple[str, int, int], ...]
    """(value, clips, identities) of the most frequent values."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A data set in numbers."""

    n_clips: int
    n_identities: int
    n_recordings: int
    """Different videos."""
    hours: float
    n_transcripts: int
    licences: tuple[tuple[str, int], ...]
    """(licence, clips); "not stated" where a clip has none."""
    attributes: tuple[AttributeSummary, ...]


@dataclass(frozen=True, slots=True)
class IdentityCount:
    """Clips of one person on either side of a split."""

    identity: str
    n_test: int
    n_train: int


def summarise(dataset: Dataset, *, n_common: int = 5) -> Summary:
    """Count a data set. Videos whose clips state no duration are opened to measure it.

    Args:
        dataset: The data set.
        n_common: Most frequent values to name of each attribute.

    Raises:
        AvatarBenchError: E206 where such a video cannot be read.
    """
    lengths: dict[Path, float] = {}
    seconds = 0.0
    for clip in dataset.clips:
        if clip.duration_s is not None:
            seconds += clip.duration_s
            continue
        media = dataset.root / clip.media
        if media not in lengths:
            lengths[media] = probe(media).duration_s
        seconds += lengths[media] - clip.start_s
    licences = Counter(clip.licence or "not stated" for clip in dataset.clips)
    return Summary(
        n_clips=len(dataset.clips),
        n_identities=len({clip.identity for clip in dataset.clips}),
        n_recordings=len({clip.sha256 for clip in dataset.clips}),
        hours=seconds / 3600,
        n_transcripts=sum(clip.transcript is not None for clip in dataset.clips),
        licences=tuple(licences.most_common()),
        attributes=_attributes(dataset.clips, n_common),
    )


def count_sides(split: Split) -> tuple[IdentityCount, ...]:
    """Clips of each identity on either side, by identity."""
    test = Counter(clip.identity for clip in split.test)
    train = Counter(clip.identity for clip in split.train)
    return tuple(IdentityCount(name, test[name], train[name]) for name in sorted({*test, *train}))


def _attributes(clips: Sequence[Clip], n_common: int) -> tuple[AttributeSummary, ...]:
    clips_with: dict[str, Counter[str]] = defaultdict(Counter)
    people_with: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip in clips:
        for name, value in clip.attributes.items():
            clips_with[name][str(value)] += 1
            people_with[name, str(value)].add(clip.identity)
    return tuple(
        AttributeSummary(
            name=name,
            n_clips=values.total(),
            n_values=len(values),
            common=tuple(
                (value, count, len(people_with[name, value]))
                for value, count in sorted(values.items(), key=lambda item: (-item[1], item[0]))[:n_common]
            ),
        )
        for name, values in sorted(clips_with.items())
    )
