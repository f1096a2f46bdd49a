"""What the paper reports: its tables 2 and 3, and the percentages of its section 4.2, as data.

`tables.csv` has one line a value, as printed, with where it stands; `claims.csv` one line a percentage. A reported
value is no `Entry`: it has no rows, no protocol hash and no data set, so it never stands in a ranking of measured ones.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

__all__ = [
    "GROUPS",
    "PAPER",
    "Claim",
    "Group",
    "ReportedMethod",
    "ReportedTable",
    "ReportedValue",
    "load_claims",
    "load_reported",
]

_FOLDER = Path(__file__).parent

PAPER = "Audio-Driven 3D Conversational Full-Body Human Avatar Generation from a Single Image"
"""Title of the paper that all values come from; its authors are anonymous in the edition that was read."""

Group = Literal["avatar", "video", "ours", "ablation"]
GROUPS: dict[Group, str] = {
    "avatar": "single-image 3D avatar methods",
    "video": "audio-driven human video diffusion models",
    "ours": "the paper's method",
    "ablation": "the paper's method without a part",
}


@dataclass(frozen=True, slots=True)
class ReportedValue:
    """One cell of a printed table."""

    column: str
    """The metric as the paper calls it."""
    arrow: Literal["higher", "lower"]
    """Which way is better by the arrow in the table's head. CSIM's points down, though a higher cosine is better."""
    printed: str
    """The number as it is printed."""
    source: str
    """Table, row and column."""

    @property
    def value(self) -> float:
        """The number."""
        return float(self.printed)


@dataclass(frozen=True, slots=True)
class ReportedMethod:
    """One row of a printed table."""

    name: str
    group: Group
    citation: str | None
    """As in the paper."""
    values: dict[str, ReportedValue]
    """By column."""


@dataclass(frozen=True, slots=True)
class ReportedTable:
    """One printed table."""

    number: int
    columns: tuple[str, ...]
    methods: tuple[ReportedMethod, ...]

    def method(self, name: str) -> ReportedMethod:
        """The row of a method."""
        return next(method for method in self.methods if method.name == name)


@dataclass(frozen=True, slots=True)
class Claim:
    """One percentage of section 4.2."""

    column: str
    printed: str
    """Percent, with its sign."""
    stated_group: Group | None
    """Whom the sentence compares with; None where it does not say."""
    source: str
    quote: str
    """The sentence, without its citations."""


def load_reported() -> tuple[ReportedTable, ...]:
    """Tables 2 (comparisons) and 3 (ablation) of the paper."""
    tables: dict[int, dict[str, ReportedMethod]] = {}
    for line in _read("tables.csv"):
        methods = tables.setdefault(int(line["table"]), {})
        method = methods.setdefault(
            line["method"],
            ReportedMethod(line["method"], cast(Group, line["group"]), line["citation"] or None, {}),
        )
        arrow = cast(Literal["higher", "lower"], line["arrow"])
        method.values[line["column"]] = ReportedValue(line["column"], arrow, line["printed"], line["source"])
    return tuple(
        ReportedTable(number, tuple(next(iter(methods.values())).values), tuple(methods.values()))
        for number, methods in sorted(tables.items())
    )


def load_claims() -> tuple[Claim, ...]:
    """The nine percentages of section 4.2."""
    return tuple(
        Claim(
            line["column"],
            line["printed"],
            cast(Group, line["stated_group"]) if line["stated_group"] else None,
            line["source"],
            line["quote"],
        )
        for line in _read("claims.csv")
    )


def _read(name: str) -> list[dict[str, str]]:
    with open(_FOLDER / name, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
