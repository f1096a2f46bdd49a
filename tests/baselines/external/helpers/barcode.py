"""A number in the middle of a picture that survives codecs, scaling and cropping: a magenta frame around 12 squares."""

from __future__ import annotations

import numpy as np

__all__ = ["box_of", "read_number", "stamp"]

SHARE, EDGE, COLUMNS, ROWS = 0.3, 0.12, 4, 3
MAGENTA = (230, 0, 230)


def stamp(picture: np.ndarray, number: int) -> np.ndarray:
    """A copy of [H, W, 3] uint8 that shows `number`, 0..2047; the twelfth bit makes their sum even."""
    out = picture.copy()
    height, width = out.shape[:2]
    side = round(SHARE * min(width, height))
    left, top, edge = (width - side) // 2, (height - side) // 2, round(EDGE * side)
    out[top : top + side, left : left + side] = MAGENTA
    bits = [number >> bit & 1 for bit in range(11)]
    bits.append(sum(bits) % 2)
    inner = side - 2 * edge
    for index, bit in enumerate(bits):
        row, column = divmod(index, COLUMNS)
        x = left + edge + inner * column // COLUMNS, left + edge + inner * (column + 1) // COLUMNS
        y = top + edge + inner * row // ROWS, top + edge + inner * (row + 1) // ROWS
        out[y[0] : y[1], x[0] : x[1]] = 255 * bit
    return out


def box_of(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the magenta frame."""
    r, g, b = (picture[..., channel].astype(int) for channel in range(3))
    rows, columns = np.nonzero((r > 150) & (b > 150) & (g < 90))
    assert len(rows) > 50, "the picture shows no number"
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def read_number(picture: np.ndarray) -> int:
    """The number that `stamp` wrote."""
    left, top, right, bottom = box_of(picture)
    edge_x, edge_y = EDGE * (right - left), EDGE * (bottom - top)
    bits = []
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        x = left + edge_x + (right - left - 2 * edge_x) * (column + 0.5) / COLUMNS
        y = top + edge_y + (bottom - top - 2 * edge_y) * (row + 0.5) / ROWS
        bits.append(int(picture[round(y) - 2 : round(y) + 2, round(x) - 2 : round(x) + 2].mean() > 128))
    assert sum(bits) % 2 == 0, "the number is damaged"
    return sum(bit << place for place, bit in enumerate(bits[:11]))
