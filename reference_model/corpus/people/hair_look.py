"""How a made person's hair looks: eleven styles as parameters of one growth, natural colours, grey and recession."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from reference_model.corpus.people.attributes import Attributes, HairStyle

__all__ = ["GREY", "HAIR_SRGB", "HairKind", "HairLook", "draw_hair"]

HairKind = Literal["none", "short", "forward", "upright", "back", "long", "bun"]
"""How strands are combed, see `hair_growth.py`."""

HAIR_SRGB: dict[str, tuple[int, int, int]] = {
    "black": (24, 20, 19),
    "dark_brown": (48, 33, 25),
    "brown": (84, 58, 40),
    "auburn": (78, 48, 36),
    "dark_blond": (128, 103, 76),
    "blond": (172, 147, 111),
    "grey": (132, 129, 126),
    "white": (180, 177, 172),
}
"""Colours of `attributes.HAIR_COLOURS`, sRGB 0..255."""

GREY = (150, 147, 143)
"""Colour of a strand that has lost its pigment, sRGB 0..255."""


@dataclass(frozen=True, slots=True)
class HairLook:
    """A style; lengths in metres."""

    kind: HairKind
    colour: tuple[int, int, int]
    """sRGB 0..255."""
    length: float
    side_length: float = 0.012
    """Length at the temples of a short cut."""
    parting: float = 0.02
    """Where the parting lies, towards the person's left."""
    lift: float = 0.011
    """How far the strands stand off the scalp."""
    mess: float = 0.5
    curl: float = 0.0
    """Radius of the curls."""
    curl_period: float = 0.06
    clumping: float = 0.4
    recession: float = 0.0
    grey: float = 0.0
    """Share of strands without pigment, 0..1."""
    n_strands: int = 6_000
    n_points: int = 9
    strand_width: float = 0.0015
    """Half-width of a ribbon, which stands for a lock of some dozen hairs."""


class _Shape(TypedDict, total=False):
    """The fields of `HairLook` that a style fixes."""

    kind: HairKind
    length: float
    side_length: float
    lift: float
    mess: float
    curl: float
    curl_period: float
    clumping: float
    n_strands: int
    n_points: int
    strand_width: float


_STYLES: dict[HairStyle, _Shape] = {
    "bald": {"kind": "none", "length": 0.0, "n_strands": 0, "n_points": 5},
    "buzz": {"kind": "upright", "length": 0.006, "side_length": 0.004, "lift": 0.003, "mess": 0.5, "clumping": 0.0,
             "n_strands": 13_000, "n_points": 3, "strand_width": 0.0006},
    "short_parted": {"kind": "short", "length": 0.050, "side_length": 0.016, "lift": 0.011, "mess": 0.40,
                     "clumping": 0.45, "n_strands": 7_000, "n_points": 8, "strand_width": 0.0013},
    "crop": {"kind": "forward", "length": 0.036, "side_length": 0.010, "lift": 0.010, "mess": 0.75, "clumping": 0.40,
             "n_strands": 7_500, "n_points": 6, "strand_width": 0.0012},
    "slicked_back": {"kind": "back", "length": 0.085, "side_length": 0.040, "lift": 0.009, "mess": 0.20,
                     "clumping": 0.40, "n_strands": 7_000, "n_points": 10, "strand_width": 0.0013},
    "curly_short": {"kind": "upright", "length": 0.055, "side_length": 0.030, "lift": 0.013, "mess": 0.9,
                    "curl": 0.0065, "curl_period": 0.026, "clumping": 0.45, "n_strands": 6_000, "n_points": 13,
                    "strand_width": 0.0012},
    "afro": {"kind": "upright", "length": 0.072, "side_length": 0.058, "lift": 0.02, "mess": 0.8, "curl": 0.0042,
             "curl_period": 0.013, "clumping": 0.20, "n_strands": 9_000, "n_points": 12, "strand_width": 0.0012},
    "bob": {"kind": "long", "length": 0.168, "lift": 0.010, "mess": 0.30, "curl": 0.002, "curl_period": 0.09,
            "clumping": 0.45, "n_strands": 6_500, "n_points": 11, "strand_width": 0.0017},
    "long": {"kind": "long", "length": 0.34, "lift": 0.009, "mess": 0.28, "curl": 0.002, "curl_period": 0.12,
             "clumping": 0.50, "n_strands": 6_500, "n_points": 14, "strand_width": 0.0018},
    "long_wavy": {"kind": "long", "length": 0.34, "lift": 0.013, "mess": 0.45, "curl": 0.0055, "curl_period": 0.095,
                  "clumping": 0.45, "n_strands": 7_500, "n_points": 24, "strand_width": 0.0014},
    "bun": {"kind": "bun", "length": 0.16, "lift": 0.007, "mess": 0.16, "clumping": 0.35, "n_strands": 6_500,
            "n_points": 12, "strand_width": 0.0013},
}  # fmt: skip


def _grey_share(age: float, rng: np.random.Generator) -> float:
    """Share of hairs without pigment, 0..1.

    Half of all people have about half their hair grey at 50 to 60 years, with a wide spread between people (Panhard
    et al., Br. J. Dermatol. 2012, is the survey this ramp follows loosely).
    """
    onset = rng.normal(56, 8)
    return float(1 / (1 + np.exp(-(age - onset) / 5.5)))


def _hair_colour(attributes: Attributes, rng: np.random.Generator) -> tuple[int, int, int]:
    """The named colour with a little of the spread that it has between people, sRGB 0..255."""
    base = np.array(HAIR_SRGB[attributes.hair_colour], float)
    varied = base * rng.uniform(0.88, 1.12) + rng.normal(0, 2.0, 3)
    r, g, b = (int(c) for c in np.clip(np.round(varied), 8, 235))
    return r, g, b


def draw_hair(attributes: Attributes, rng: np.random.Generator) -> HairLook:
    """Draw the hair of a person.

    The style fixes how hair grows; length, parting, volume and tidiness vary round it. Curl comes with the style, which
    the attributes pair with skin tones at random.

    Args:
        attributes: Style, colour, age and sex.
        rng: Source of everything else.

    Returns:
        The look; of kind "none" for a bald head.
    """
    shape = _STYLES[attributes.hair_style].copy()
    colour, grey = _hair_colour(attributes, rng), _grey_share(attributes.age, rng)
    if attributes.hair_colour in ("grey", "white"):
        grey = 0.0  # the named colour is already the mixture
    elif rng.random() < (0.5 if attributes.sex == "female" else 0.1):
        grey *= 0.15  # dyed
    for name, low, high in (("length", 0.88, 1.15), ("lift", 0.85, 1.2), ("mess", 0.8, 1.25)):
        shape[name] = shape.get(name, 0.0) * rng.uniform(low, high)
    years = np.clip((attributes.age - 25) / 45, 0, 1)
    recession = years * (rng.beta(1.6, 1.8) * 0.8 if attributes.sex == "male" else rng.beta(1.5, 4) * 0.25)
    parting = rng.choice([-1.0, 1.0]) * rng.uniform(0.010, 0.036)
    return HairLook(**shape, colour=colour, parting=float(parting), recession=float(recession), grey=grey)
