"""Which clips are tested: `identity-holdout-10`, the paper's split (section 4.1)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.manifest import Clip, Dataset
from media.errors import AvatarBenchError

__all__ = ["SPLITS", "Split", "identity_holdout_10"]

HELD_OUT_SHARE = 0.10
"""Paper, section 4.1: 10% of the videos of each identity are held out as the test set."""


@dataclass(frozen=True, slots=True)
class Split:
    """Clips to test and clips to train on."""

    id: str
    test: tuple[Clip, ...]
    train: tuple[Clip, ...]
    notes: tuple[str, ...]
    """What a reader of the results should know about the split."""


def identity_holdout_10(dataset: Dataset) -> Split:
    """Hold out 10% of the clips of each identity, at least one.

    A clip is tested when the hash of its name falls into the lowest tenth; where no clip of an identity does,
    the one with the lowest hash is. A clip's side therefore hangs on its own name alone: clips that are
    added never turn a train clip into a test clip, nor the reverse, except that the stand-in of an identity
    without a clip in the lowest tenth makes room once a lower hash arrives.

    Raises:
        AvatarBenchError: E403 when bytes of a test clip also stand in train.
    """
    by_identity: dict[str, list[Clip]] = defaultdict(list)
    for clip in dataset.clips:
        by_identity[clip.identity].append(clip)
    test: list[Clip] = []
    train: list[Clip] = []
    notes: list[str] = []
    for identity in sorted(by_identity):
        clips = by_identity[identity]
        held_out = [clip for clip in clips if _unit_hash(clip) < HELD_OUT_SHARE] or [
            min(clips, key=_unit_hash)
        ]
        test += held_out
        train += [clip for clip in clips if clip not in held_out]
        if len(clips) == 1:
            notes.append(
                f"'{identity}' has a single clip: it is the test clip, and nothing is left to train on."
            )
    _refuse_leaks(test, train)
    return Split("identity-holdout-10", tuple(test), tuple(train), tuple(notes))


SPLITS = {"identity-holdout-10": identity_holdout_10}


def _unit_hash(clip: Clip) -> float:
    digest = hashlib.sha256(f"{clip.identity}/{clip.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _refuse_leaks(test: Iterable[Clip], train: Iterable[Clip]) -> None:
    train_by_bytes: dict[str, list[Clip]] = defaultdict(list)
    for clip in train:
        train_by_bytes[clip.sha256].append(clip)
    for clip in test:
        for other in train_by_bytes[clip.sha256]:
            if _overlap(clip, other):
                raise AvatarBenchError(
                    "E403",
                    f"the clips '{clip.id}' (test) and '{other.id}' (train) are the same bytes",
                    where=clip.media,
                    fix=f"remove '{other.media}' or the line '{other.id}' of the manifest",
                )


def _overlap(one: Clip, other: Clip) -> bool:
    """Whether two clips of one file share a stretch of time; one without a duration has no end."""
    ends = [clip.start_s + clip.duration_s if clip.duration_s else float("inf") for clip in (one, other)]
    return one.start_s < ends[1] and other.start_s < ends[0]
