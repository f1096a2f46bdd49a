"""What the pages show, already decided and already text: templates only lay it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from leaderboard.schema import Badge

__all__ = [
    "Breakdown",
    "Cell",
    "Clip",
    "Column",
    "Fact",
    "Group",
    "Line",
    "MethodPage",
    "Standing",
    "Table",
]

Standing = Literal["ranked", "privileged", "coverage", "test data seen", "findings"]
"""Ranked; or shown only: it sees the truth, it was measured on too few clips, it was trained on test clips, or its
verification found something wrong."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of a board."""

    id: str
    version: str
    title: str
    """Short name."""
    variant: str
    """The definition in one line."""
    unit: str
    """Empty for a pure number."""
    decimals: int
    direction: Literal["higher", "lower", "none"]
    kind: Literal["sample", "set"]

    @property
    def arrow(self) -> str:
        """Which way is better, as in the paper's tables."""
        return {"higher": "↑", "lower": "↓", "none": ""}[self.direction]

    @property
    def better(self) -> str:
        """The same in words."""
        return {"higher": "higher is better", "lower": "lower is better", "none": "not ranked"}[
            self.direction
        ]

    def text(self, value: float) -> str:
        """A value as it is shown."""
        return f"{value:.{self.decimals}f}".replace("-", "\N{MINUS SIGN}")

    def cell(self, value: float, bounds: tuple[float, float] | None, note: str = "") -> Cell:
        """A value with its interval, without rank and whisker."""
        if bounds is None:
            return Cell(value, self.text(value), note=note)
        ends = f"{self.text(bounds[0])} to {self.text(bounds[1])}"
        return Cell(value, self.text(value), (bounds[0], bounds[1]), ends, note=note)


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one method."""

    value: float | None
    text: str
    """The value, or why there is none."""
    interval: tuple[float, float] | None = None
    interval_text: str = ""
    rank: tuple[int, int] | None = None
    """Best and worst place that the method shares; None where nothing is ranked."""
    note: str = ""
    """Such as fewer people than the others have."""
    bar: tuple[float, float, float] | None = None
    """Low end, high end and value of the whisker, 0 to 100 across the column; None without a value."""

    @property
    def rank_text(self) -> str:
        """The places as they are shown."""
        if self.rank is None:
            return "–"
        best, worst = self.rank
        return str(best) if best == worst else f"{best}–{worst}"

    @property
    def leads(self) -> bool:
        """Not told apart from the best value."""
        return self.rank is not None and self.rank[0] == 1


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a list of facts."""

    name: str
    value: str
    mono: bool = False
    """A hash or an id."""


@dataclass(frozen=True, slots=True)
class Line:
    """One method on a board: the newest entry of it there."""

    slug: str
    """Of its page."""
    method_id: str
    entry_id: str
    title: str
    """What the submitter calls it; else its id."""
    about: str
    """What it is, in one line."""
    version: str
    licence: str
    submitter: str
    date: str
    """Day of packing, ISO 8601."""
    badge: Badge
    standing: Standing
    coverage: float
    cells: tuple[Cell, ...]
    provenance: tuple[Fact, ...]
    paper: str | None = None
    code: str | None = None
    note: str | None = None
    real_time_factor: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Entries whose numbers may stand beside each other: one protocol, one data set, one split."""

    slug: str
    protocol_id: str
    protocol_title: str
    protocol_sha256: str
    dataset_id: str
    dataset_sha256: str
    split: str
    n_samples: int
    n_identities: int
    min_coverage: float
    columns: tuple[Column, ...]
    ranked: tuple[Line, ...]
    """Sorted by the column `sort_column`."""
    shown: tuple[Line, ...]
    """Never ranked."""
    can_tell: bool
    """Enough persons to tell any two methods apart."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of them, the ranked ones first."""
        return self.ranked + self.shown

    @property
    def sort_column(self) -> int:
        """The column that decides the order at first; -1 where none has a direction."""
        return next((i for i, column in enumerate(self.columns) if column.direction != "none"), -1)


@dataclass(frozen=True, slots=True)
class Group:
    """Persons who share one value of an attribute."""

    value: str
    n_people: int
    n_clips: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One attribute of the data set's people."""

    attribute: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """A predicted video that was shown to be the one that was scored, and the truth where it may be shown."""

    sample_id: str
    video: str
    """Path within the site."""
    poster: str
    width: int
    height: int
    sha256: str
    truth: Clip | None = None
    """The true video of the same clip."""


@dataclass(frozen=True, slots=True)
class MethodPage:
    """A method: what it is, and how it stands on each board that it is on."""

    slug: str
    lines: tuple[tuple[Table, Line], ...]
    history: Mapping[str, tuple[Line, ...]]
    """All entries of it by the slug of the board, newest first."""
    breakdowns: Mapping[str, tuple[Breakdown, ...]] = field(default_factory=dict)
    clips: Mapping[str, tuple[Clip, ...]] = field(default_factory=dict)
