"""Which clips are tested: `identity-holdout-10`, the paper's split (section 4.1), and `unseen-identity`."""

from __future__ import annotations

import difflib
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.manifest import Clip, Dataset
from media.errors import AvatarBenchError

__all__ = ["SPLITS", "Split", "identity_holdout_10", "split_dataset", "unseen_identity"]

HELD_OUT_SHARE = 0.10
"""Paper, section 4.1: 10% of the videos of each identity are held out as the test set."""
_NAMES_TOLD = 5


@dataclass(frozen=True, slots=True)
class Split:
    """Clips to test and clips to train on."""

    id: str
    test: tuple[Clip, ...]
    train: tuple[Clip, ...]
    notes: tuple[str, ...]
    """What a reader of the results should know about the split."""


def identity_holdout_10(dataset: Dataset) -> Split:
    """Hold out 10% of the videos of each identity, at least one.

    A video is tested when the hash of its name falls into the lowest tenth; where no video of an identity does,
    the one with the lowest hash is. A video's side therefore hangs on its own name alone: clips that are added
    never turn a train clip into a test clip, nor the reverse, except that the stand-in of an identity without a
    video in the lowest tenth makes room once a lower hash arrives. All clips that are cut from one recording are
    one video: they stand on the same side.

    Raises:
        AvatarBenchError: E403 when bytes of a test clip also stand in train.
    """
    test: list[Clip] = []
    train: list[Clip] = []
    single: list[str] = []
    emptied: list[str] = []
    for identity, clips in sorted(_grouped(dataset.clips, lambda clip: clip.identity).items()):
        held_out = _held_out({clip.source: _unit_hash(f"{identity}/{clip.source}") for clip in clips})
        test += [clip for clip in clips if clip.source in held_out]
        train += [clip for clip in clips if clip.source not in held_out]
        if len(clips) == 1:
            single.append(identity)
        elif held_out == {clip.source for clip in clips}:
            emptied.append(identity)
    _refuse_leaks(test, train)
    notes = _note(
        single,
        "'{}' has a single clip: it is the test clip, and nothing is left to train on.",
        "{} identities have a single clip: it is the test clip, and nothing is left to train on: {}.",
    ) + _note(
        emptied,
        "all clips of '{}' are tested, and nothing is left to train on.",
        "{} identities have nothing left to train on, because all their clips are tested: {}.",
    )
    return Split("identity-holdout-10", tuple(test), tuple(train), notes)


def unseen_identity(dataset: Dataset) -> Split:
    """Hold out 10% of the identities with all their clips, at least one identity.

    An identity is tested when the hash of its name falls into the lowest tenth; where none does, the one with the
    lowest hash is. Its side hangs on its own name alone: neither clips nor identities that are added ever move
    another one, except that the stand-in makes room once a lower hash arrives.

    Raises:
        AvatarBenchError: E403 when bytes of a test clip also stand in train, under another identity.
    """
    by_identity = _grouped(dataset.clips, lambda clip: clip.identity)
    held_out = _held_out({identity: _unit_hash(identity) for identity in by_identity})
    test = [clip for identity in sorted(held_out) for clip in by_identity[identity]]
    train = [clip for identity in sorted(set(by_identity) - held_out) for clip in by_identity[identity]]
    _refuse_leaks(test, train)
    notes = _note(
        sorted(identity for identity in held_out if len(by_identity[identity]) == 1),
        "'{}' is tested on its single clip.",
        "{} of the tested identities have a single clip: {}.",
    )
    if not train:
        notes += ("the data set has a single identity: it is tested, and nothing is left to train on.",)
    return Split("unseen-identity", tuple(test), tuple(train), notes)


SPLITS: dict[str, Callable[[Dataset], Split]] = {
    "identity-holdout-10": identity_holdout_10,
    "unseen-identity": unseen_identity,
}


def split_dataset(dataset: Dataset, name: str) -> Split:
    """The split called `name` of a data set.

    Raises:
        AvatarBenchError: E504 for an unknown name, E403 when bytes of a test clip also stand in train.
    """
    if name not in SPLITS:
        near = difflib.get_close_matches(name, SPLITS, n=1, cutoff=0.3)
        raise AvatarBenchError(
            "E504",
            f"unknown split '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            where="--split",
            expected=f"one of {', '.join(SPLITS)}",
        )
    return SPLITS[name](dataset)


def _grouped(clips: Sequence[Clip], key: Callable[[Clip], str]) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[key(clip)].append(clip)
    return groups


def _held_out(hashes: dict[str, float]) -> set[str]:
    """The names whose hash is in the lowest tenth, else the one with the lowest hash."""
    chosen = {name for name, value in hashes.items() if value < HELD_OUT_SHARE}
    return chosen or set(sorted(hashes, key=lambda name: (hashes[name], name))[:1])


def _unit_hash(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _note(names: list[str], one: str, many: str) -> tuple[str, ...]:
    """A note for each of a few names, or one for many."""
    if len(names) <= _NAMES_TOLD:
        return tuple(one.format(name) for name in names)
    return (many.format(len(names), ", ".join(names[:_NAMES_TOLD]) + ", ..."),)


def _refuse_leaks(test: Sequence[Clip], train: Sequence[Clip]) -> None:
    """Refuse files, of pictures or of sound, that stand on both sides under whatever names."""
    train_by_bytes: dict[str, tuple[Clip, str]] = {}
    for clip in train:
        for path, sha256 in clip.files.items():
            train_by_bytes.setdefault(sha256, (clip, path))
    leaks = [
        (clip, path, *train_by_bytes[sha256])
        for clip in test
        for path, sha256 in clip.files.items()
        if sha256 in train_by_bytes
    ]
    if not leaks:
        return
    clip, path, other, other_path = leaks[0]
    more = f", and so are {len(leaks) - 1} more" if len(leaks) > 1 else ""
    one_file = path == other_path and clip.identity == other.identity
    fix = (
        f'write the same name into both lines, such as "recording": "{other.identity}_1": clips of one recording '
        "stand on one side"
        if one_file
        else f"remove '{other_path}' or the line '{other.id}' of the manifest"
    )
    raise AvatarBenchError(
        "E403",
        f"the clips '{clip.id}' (test) and '{other.id}' (train) are the same bytes{more}",
        where=path,
        got=f"{path} and {other_path}",
        fix=fix,
    )
