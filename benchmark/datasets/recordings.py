"""What a layout finds in a folder: recordings of one person each, and what it had to leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.datasets.cutting import Span, Word
from benchmark.datasets.names import Attributes
from media.errors import AvatarBenchError

__all__ = ["Found", "Recording", "Skip", "Told", "wrong_layout"]


@dataclass(frozen=True, slots=True)
class Told:
    """What the data set itself tells about the speech of a recording."""

    speech: tuple[Span, ...]
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """One video of one person."""

    name: str
    """Id-like; made unique by the import where two are equal."""
    identity: str
    """Id-like name of the person."""
    video: Path
    licence: str | None
    attributes: Attributes
    audio: Path | None = None
    """The sound where it stands in a file of its own."""
    told: Callable[[], Told] | None = None
    """Reads where the person speaks; None where the data set does not tell and the sound must."""
    transcript: str | None = None
    """What is said in the whole recording, where no times are known."""
    keep_whole: bool = False
    """Whether a recording of 2 to 10 s is one clip as it stands, pauses and all."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A file that gave no clip."""

    file: str
    """Path as the data set names it."""
    reason: str
    """The same words for all files of one kind."""
    detail: str = ""
    """What is particular to this file."""


@dataclass(slots=True)
class Found:
    """All that a layout found, in the order of names."""

    recordings: list[Recording] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)


def wrong_layout(what: str, *, where: Path, expected: str, got: str) -> AvatarBenchError:
    """The error of a folder or label file that is not as published."""
    return AvatarBenchError(
        "E405",
        what,
        where=where,
        expected=expected,
        got=got,
        fix="name the folder that holds the data set as it was downloaded and unpacked, and the right layout",
    )
