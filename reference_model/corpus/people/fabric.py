"""Fabrics: what the cloth painter of `mesh_surfaces` needs to know, and how colours are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from reference_model.corpus.drawing.mesh_surfaces import N_PAINT
from reference_model.corpus.people.skin import linear

__all__ = [
    "FABRICS",
    "SEEN_PATTERNS",
    "UNSEEN_PATTERNS",
    "Fabric",
    "FabricLook",
    "draw_colour",
    "luminance",
    "paint_row",
]

Fabric = Literal["jersey", "heather", "stripes", "pinstripe", "check", "knit", "denim", "twill", "leather"]
FABRICS: tuple[Fabric, ...] = Fabric.__args__
"""By the number in the painter's row."""
SEEN_PATTERNS: tuple[Fabric, ...] = ("jersey", "jersey", "stripes", "pinstripe")
"""Of tops in training corpora."""
UNSEEN_PATTERNS: tuple[Fabric, ...] = ("check", "heather")
"""Of tops that no training corpus shows."""

_LEAST_CONTRAST = 0.10
_PALETTE = (
    (226, 224, 218), (198, 196, 192), (44, 48, 58), (52, 70, 104), (122, 50, 52), (92, 112, 92), (176, 152, 122),
    (122, 150, 182), (188, 136, 140), (98, 82, 112), (204, 176, 96), (74, 102, 116), (150, 156, 160), (214, 190, 176),
    (48, 86, 78), (168, 98, 66), (132, 140, 108), (84, 84, 90),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FabricLook:
    """A fabric in its colours; lengths in metres."""

    fabric: Fabric
    colour: tuple[int, int, int]
    """sRGB 0..255."""
    second: tuple[int, int, int] = (230, 228, 222)
    """Of stripes, checks, threads and soles, sRGB."""
    period: float = 0.024
    """Of a printed or woven pattern; under 4 cm, or the landmark detectors lose the hands."""
    hem: float = 0.020
    """Width of the seam allowance or the ribs at edges."""
    front: Literal["none", "buttons"] = "none"


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of an sRGB colour, 0..1."""
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def draw_colour(rng: np.random.Generator, skin: float, *, darkest: float = 0.0) -> tuple[int, int, int]:
    """Draw a colour for cloth that hands are seen before.

    Args:
        rng: Source of the choice.
        skin: Luminance of the person's skin.
        darkest: Least luminance.

    Returns:
        sRGB; its luminance differs from the skin's by at least 0.10.
    """
    usable = [
        c for c in _PALETTE if abs(luminance(c) - skin) >= _LEAST_CONTRAST + 0.02 and luminance(c) >= darkest
    ]
    r, g, b = usable[rng.integers(len(usable))]
    return r, g, b


def paint_row(look: FabricLook) -> np.ndarray:
    """The numbers of the cloth painter.

    Args:
        look: The fabric.

    Returns:
        [N_PAINT] float32: fabric, second colour (3, linear), period, hem, buttons.
    """
    row = np.zeros(N_PAINT, np.float32)
    row[0] = FABRICS.index(look.fabric)
    row[1:4] = linear(look.second)
    row[4:7] = look.period, look.hem, look.front == "buttons"
    return row
