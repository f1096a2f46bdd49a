"""How a method fares with different people: its values by the attributes of those who were filmed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum

from benchmark.statistics import mean_interval
from leaderboard.schema import Entry
from leaderboard.site.model import Breakdown, Cell, Column, Group
from leaderboard.site.scores import Scores

__all__ = ["break_down"]

_MOST_NUMBERS = 4
"""A number with more different values is cut into thirds of the people."""
Value = str | int | float | bool


def break_down(entry: Entry, columns: Sequence[Column], scores: Scores) -> tuple[Breakdown, ...]:
    """One table for each attribute that tells something: people differ in it, and some share a value.

    The unit is the person, as everywhere. A person whose clips disagree about an attribute is left out of it. Metrics
    of a whole set are not broken down: their value depends on the number of clips.

    Args:
        entry: The entry, with the facts about its clips.
        columns: The table's columns.
        scores: Values of the entry's clips.
    """
    people: dict[str, list[str]] = defaultdict(list)
    for prediction in entry.predictions:
        people[prediction.identity_id].append(prediction.sample_id)
    names = dict.fromkeys(name for facts in entry.attributes.values() for name in facts)
    found = []
    for name in names:
        value_of = {person: _value(entry, clips, name) for person, clips in people.items()}
        groups = _groups({person: value for person, value in value_of.items() if value is not None})
        if len(groups) > 1 and any(len(members) > 1 for members in groups.values()):
            cells = {value: _cells(members, columns, scores) for value, members in groups.items()}
            found.append(
                Breakdown(
                    name.replace("_", " "),
                    tuple(
                        Group(
                            value, len(members), sum(len(people[person]) for person in members), cells[value]
                        )
                        for value, members in groups.items()
                    ),
                )
            )
    return tuple(found)


def _value(entry: Entry, clips: Sequence[str], name: str) -> Value | None:
    """The person's value; None where the clips do not agree on one."""
    values = {entry.attributes.get(clip, {}).get(name) for clip in clips}
    return values.pop() if len(values) == 1 else None


def _groups(value_of: Mapping[str, Value]) -> dict[str, list[str]]:
    """People by the text of their value, in the order of the values."""
    numbers = [v for v in value_of.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(value_of) and len(set(numbers)) > _MOST_NUMBERS:
        return _thirds({person: float(value) for person, value in value_of.items()})
    groups: dict[str, list[str]] = defaultdict(list)
    for person, value in sorted(value_of.items(), key=lambda item: (_key(item[1]), item[0])):
        groups[_text(value)].append(person)
    return dict(groups)


def _thirds(value_of: Mapping[str, float]) -> dict[str, list[str]]:
    ordered = sorted(value_of, key=lambda person: (value_of[person], person))
    groups: dict[str, list[str]] = {}
    cuts = [round(len(ordered) * i / 3) for i in range(4)]
    for begin, end in pairwise(cuts):
        members = ordered[begin:end]
        if members:
            low, high = value_of[members[0]], value_of[members[-1]]
            label = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            groups.setdefault(label, []).extend(members)
    return groups


def _cells(members: Sequence[str], columns: Sequence[Column], scores: Scores) -> tuple[Cell, ...]:
    return tuple(_cell(members, column, scores) for column in columns if column.kind == "sample")


def _cell(members: Sequence[str], column: Column, scores: Scores) -> Cell:
    means = scores.person_means(column.id)
    values = [means[person] for person in members if person in means]
    if not values:
        return Cell(None, "-")
    value, bounds = fsum(values) / len(values), mean_interval(values)
    note = f"{len(values)} of {len(members)} people" if len(values) < len(members) else ""
    return column.cell(value, bounds, note)


def _key(value: Value) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, value)


def _text(value: Value) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
