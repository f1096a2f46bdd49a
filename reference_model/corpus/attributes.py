"""The attribute dictionary of the made people (appendix C of the paper): what may vary, drawn in strata.

Every attribute is drawn by a stratified design, not independently: over any corpus the values of an attribute are
as equal in number as its shares allow, and attributes are paired at random. Nothing here is a label of ethnicity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AGES",
    "BUILDS",
    "FRAMINGS",
    "HAIR_COLOURS",
    "HAIR_STYLES",
    "SEXES",
    "SKIN_TONES",
    "TOPS",
    "Attributes",
    "Bottom",
    "Framing",
    "HairStyle",
    "Top",
]

Sex = Literal["female", "male"]
SEXES: tuple[Sex, ...] = ("female", "male")

AGES = ("20-35", "35-50", "50-65", "65-85")
"""Years."""

BUILDS = ("slim", "average", "heavy", "muscular")

SKIN_TONES = (1, 2, 3, 4, 5, 6)
"""Sixths of the melanin scale of `skin.py`, 1 the lightest."""

HairStyle = Literal[
    "bald", "buzz", "short_parted", "crop", "slicked_back", "curly_short", "afro", "bob", "long", "long_wavy", "bun"
]
HAIR_STYLES: tuple[HairStyle, ...] = HairStyle.__args__

HAIR_COLOURS = ("black", "dark_brown", "brown", "auburn", "dark_blond", "blond", "grey", "white")

Top = Literal["t_shirt", "v_neck", "long_sleeve", "shirt", "sweater", "jacket"]
TOPS: tuple[Top, ...] = Top.__args__

Bottom = Literal["trousers", "jeans", "skirt"]

Framing = Literal["half", "three_quarter", "full"]
FRAMINGS: tuple[Framing, ...] = Framing.__args__
"""What the picture shows: to below the hips, to the knees, or the whole person."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a data sheet says about one made person; everything else about the person follows from it and a seed."""

    sex: Sex
    age: float
    """Years, 20 to 85."""
    build: str
    skin_tone: int
    """1 (lightest) to 6."""
    hair_style: HairStyle
    hair_colour: str
    beard: Literal["none", "stubble", "full"]
    glasses: bool
    top: Top
    bottom: Bottom
    light: str
    """Name of a light rig of `scene.py`."""
    background: Literal["wall", "gradient", "room"]
    framing: Framing
    unseen_material: bool
    """Drawn from the fifth of hair styles, fabrics and light rigs that no training corpus shows."""

    @property
    def age_stratum(self) -> str:
        """The name in `AGES` that holds the person's age."""
        for name in AGES:
            low, high = (float(edge) for edge in name.split("-"))
            if low <= self.age < high:
                return name
        return AGES[-1]
