"""Figures as geometry: where dots, whiskers, labels and grid lines of a scatter plot stand; a template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leaderboard.site.model import Column, Line, Table

__all__ = ["Dot", "Figure", "Placed", "measured_dots", "place_figure"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 14.0, 44.0
_LETTER, _LINE = 6.8, 13.0
"""Width and height of a letter of a label, in the figure's units; the width errs on the wide side."""
_RADIUS = (4.5, 13.0)
_MOST_LABELS = 14
_QUALITY = ("iqa", "person_clarity_mini")
_SYNC = ("sync_c", "lipsync_c_mini")
_NATURALNESS = ("hkc_mp_handedness",)


@dataclass(frozen=True, slots=True)
class Dot:
    """One method of a figure."""

    name: str
    x: float
    y: float
    size: float | None = None
    """Third quantity, told by the dot's area; None draws the smallest."""
    kind: str = "other"
    """Style of the dot: `best`, `other` or `reference`."""
    x_bounds: tuple[float, float] | None = None
    y_bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A dot in the figure's units, with its label."""

    dot: Dot
    x: float
    y: float
    radius: float
    label_x: float
    label_y: float
    anchor: str
    """Of the label's text: `start`, `middle` or `end`; empty for a dot without a label."""
    whisker_x: tuple[float, float] | None
    whisker_y: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A scatter plot."""

    width: float
    height: float
    dots: tuple[Placed, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    left: float = _LEFT
    right: float = _RIGHT
    top: float = _TOP
    bottom: float = _BOTTOM


def measured_dots(table: Table) -> tuple[Column, Column, Column | None, list[Dot]] | None:
    """Sync against quality of a table's methods, the area telling how surely hands are recognised.

    Returns:
        The columns of x, y and area, and the dots; None where the table has no such columns or no two dots.
    """
    places = [_find(table, names) for names in (_QUALITY, _SYNC, _NATURALNESS)]
    quality, sync, natural = places
    if quality is None or sync is None:
        return None
    dots = [_dot(line, quality, sync, natural) for line in table.lines if _has(line, quality, sync)]
    if len(dots) < 2:
        return None
    return (
        table.columns[quality],
        table.columns[sync],
        None if natural is None else table.columns[natural],
        dots,
    )


def place_figure(dots: Sequence[Dot], width: float, height: float) -> Figure:
    """Scale dots into a figure, and put labels where they cover nothing.

    Args:
        dots: At least one.
        width: Of the figure, in units of about a pixel.
        height: Of the figure.
    """
    x_low, x_high, x_ticks = _axis([dot.x for dot in dots])
    y_low, y_high, y_ticks = _axis([dot.y for dot in dots])
    sizes = [dot.size for dot in dots if dot.size is not None]

    def to_x(value: float) -> float:
        share = min(1.0, max(0.0, (value - x_low) / (x_high - x_low)))
        return _LEFT + share * (width - _LEFT - _RIGHT)

    def to_y(value: float) -> float:
        share = min(1.0, max(0.0, (value - y_low) / (y_high - y_low)))
        return height - _BOTTOM - share * (height - _TOP - _BOTTOM)

    spots = [(to_x(dot.x), to_y(dot.y), _radius(dot.size, sizes)) for dot in dots]
    taken = [(x - r, y - r, x + r, y + r) for x, y, r in spots]
    placed = []
    for dot, (x, y, r) in zip(dots, spots, strict=True):
        label = _label(dot.name, x, y, r, taken, width, height) if len(placed) < _MOST_LABELS else None
        if label is not None:
            taken.append(label[3])
        label_x, label_y, anchor = label[:3] if label else (x, y, "")
        placed.append(
            Placed(
                *(dot, x, y, r, label_x, label_y, anchor),
                None if dot.x_bounds is None else (to_x(dot.x_bounds[0]), to_x(dot.x_bounds[1])),
                None if dot.y_bounds is None else (to_y(dot.y_bounds[0]), to_y(dot.y_bounds[1])),
            )
        )
    return Figure(
        width,
        height,
        tuple(placed),
        tuple((to_x(tick), text) for tick, text in x_ticks),
        tuple((to_y(tick), text) for tick, text in y_ticks),
    )


def _find(table: Table, names: Sequence[str]) -> int | None:
    ids = [column.id for column in table.columns]
    return next((ids.index(name) for name in names if name in ids), None)


def _has(line: Line, *places: int) -> bool:
    return all(line.cells[place].value is not None for place in places)


def _dot(line: Line, quality: int, sync: int, natural: int | None) -> Dot:
    x, y = line.cells[quality], line.cells[sync]
    best = x.leads or y.leads
    kind = "reference" if line.standing != "ranked" else "best" if best else "other"
    return Dot(
        name=line.title,
        x=x.value or 0.0,
        y=y.value or 0.0,
        size=None if natural is None else line.cells[natural].value,
        kind=kind,
        x_bounds=x.interval,
        y_bounds=y.interval,
    )


def _axis(values: Sequence[float]) -> tuple[float, float, list[tuple[float, str]]]:
    """Ends of an axis with air around the values, and round ticks within, with as many decimals as they need."""
    low, high = min(values), max(values)
    pad = (high - low) * 0.16 or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad
    step = _nice_step((high - low) / 6)
    decimals = next(n for n in range(12) if math.isclose(round(step, n), step))
    ticks = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return low, high, [(tick, f"{tick:.{decimals}f}".replace("-", "\N{MINUS SIGN}")) for tick in ticks]


def _nice_step(rough: float) -> float:
    power = 10 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)


def _radius(size: float | None, sizes: Sequence[float]) -> float:
    """Area grows evenly from the smallest to the largest size."""
    small, large = _RADIUS
    if size is None or not sizes:
        return small
    span = max(sizes) - min(sizes)
    share = (size - min(sizes)) / span if span else 0.5
    return math.sqrt(small**2 + share * (large**2 - small**2))


_Box = tuple[float, float, float, float]


def _label(
    name: str, x: float, y: float, r: float, taken: Sequence[_Box], width: float, height: float
) -> tuple[float, float, str, _Box] | None:
    """The first place around a dot where its name covers nothing; None where there is none."""
    length = len(name) * _LETTER
    for label_x, label_y, anchor, begin in _places(x, y, r, length):
        box = (begin, label_y - _LINE * 0.8, begin + length, label_y + _LINE * 0.3)
        inside = box[0] >= _LEFT and box[2] <= width - 2 and box[1] >= 2 and box[3] <= height - _BOTTOM
        if inside and not any(_overlap(box, other) for other in taken):
            return label_x, label_y, anchor, box
    return None


def _places(x: float, y: float, r: float, length: float) -> Iterator[tuple[float, float, str, float]]:
    gap = r + 5
    yield x + gap, y + 4, "start", x + gap
    yield x - gap, y + 4, "end", x - gap - length
    yield x, y - gap, "middle", x - length / 2
    yield x, y + gap + 9, "middle", x - length / 2
    for down in (-r - 6, r + 14):
        yield x + r / 2, y + down, "start", x + r / 2
        yield x - r / 2, y + down, "end", x - r / 2 - length


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
