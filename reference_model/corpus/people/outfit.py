"""What a person wears: one look for each garment, from the skin outwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.fabric import SEEN_PATTERNS, UNSEEN_PATTERNS, FabricLook, draw_colour
from reference_model.corpus.people.garment_cut import GarmentLook

__all__ = ["draw_outfit"]

_LONG_SLEEVE = 0.468
_DENIM = ((58, 72, 98), (40, 50, 72), (92, 110, 138), (34, 36, 44))
_TROUSERS = ((46, 48, 54), (66, 62, 58), (118, 106, 88), (52, 58, 74), (88, 90, 92), (140, 126, 102))
_LEATHER = ((38, 30, 26), (24, 24, 26), (92, 60, 40), (214, 210, 204))
_SOLES = ((30, 28, 28), (226, 222, 214))


def draw_outfit(attributes: Attributes, rng: np.random.Generator, skin: float) -> tuple[GarmentLook, ...]:
    """Draw the clothes of a person.

    Args:
        attributes: Names the top and the bottom, and whether the top's fabric is one that training never shows.
        rng: Source of cuts, fabrics and colours.
        skin: Luminance of the person's skin; tops differ from it by at least 0.10.

    Returns:
        Looks in the order in which the garments are put on.
    """
    bottom = _bottom(attributes, rng)
    shoes = GarmentLook(
        "shoes", FabricLook("leather", _choice(rng, _LEATHER), second=_choice(rng, _SOLES), hem=0.004)
    )
    return shoes, bottom, *_tops(attributes, rng, skin)


def _choice(rng: np.random.Generator, colours: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
    return colours[rng.integers(len(colours))]


def _bottom(attributes: Attributes, rng: np.random.Generator) -> GarmentLook:
    if attributes.bottom == "skirt":
        fabric = FabricLook("twill", _choice(rng, _TROUSERS), hem=0.022)
        return GarmentLook("skirt", fabric, hem=-0.44, looseness=0.008, taper=-0.06 - 0.10 * rng.random())
    if attributes.bottom == "jeans":
        fabric = FabricLook("denim", _choice(rng, _DENIM), second=(176, 128, 70), hem=0.014)
        return GarmentLook("trousers", fabric, hem=-0.765, looseness=0.008, taper=rng.uniform(0.055, 0.08))
    fabric = FabricLook("twill", _choice(rng, _TROUSERS), hem=0.030)
    return GarmentLook("trousers", fabric, hem=-0.770, looseness=0.012, taper=rng.uniform(0.03, 0.05))


def _print(attributes: Attributes, rng: np.random.Generator, skin: float) -> FabricLook:
    """A fabric with its colours, the second lighter or darker than the first."""
    patterns = UNSEEN_PATTERNS if attributes.unseen_material else SEEN_PATTERNS
    colour = draw_colour(rng, skin)
    second = draw_colour(rng, skin)
    period = float(rng.uniform(0.012, 0.034))
    return FabricLook(patterns[rng.integers(len(patterns))], colour, second=second, period=period)


def _tops(attributes: Attributes, rng: np.random.Generator, skin: float) -> list[GarmentLook]:
    cloth = _print(attributes, rng, skin)
    hem, loose = float(rng.uniform(-0.03, 0.02)), float(rng.uniform(0.010, 0.020))
    short = float(rng.uniform(0.15, 0.21))
    basic = GarmentLook("top", cloth, hem=hem, looseness=loose, sleeve=short, sleeve_width=0.014)
    if attributes.top == "t_shirt":
        return [basic]
    if attributes.top == "v_neck":
        return [replace(basic, neckline="v", v_depth=float(rng.uniform(0.03, 0.05)), neck_radius=0.088)]
    if attributes.top == "long_sleeve":
        return [replace(basic, sleeve=_LONG_SLEEVE, sleeve_width=0.004)]
    if attributes.top == "sweater":
        fabric = replace(cloth, fabric="knit", period=0.006, hem=0.045)
        wide = loose + 0.008
        return [
            replace(
                basic, fabric=fabric, sleeve=_LONG_SLEEVE, sleeve_width=0.005, looseness=wide, underlay=0.004
            )
        ]
    if attributes.top == "shirt":
        pattern = "jersey" if cloth.fabric == "heather" else cloth.fabric
        fabric = replace(
            cloth, fabric="pinstripe" if pattern == "stripes" else pattern, front="buttons", hem=0.012
        )
        shirt = replace(
            basic, fabric=fabric, neckline="shirt", v_depth=float(rng.uniform(0.0, 0.04)),
            sleeve=_LONG_SLEEVE if rng.random() < 0.65 else 0.24, sleeve_width=0.006, looseness=loose + 0.003,
        )  # fmt: skip
        leaf = replace(fabric, front="none", hem=0.005)
        return [shirt, replace(shirt, part="collar", fabric=leaf)]
    plain = replace(cloth, fabric="jersey", colour=draw_colour(rng, skin))
    jacket = FabricLook(
        ("denim", "twill", "knit")[rng.integers(3)], draw_colour(rng, skin), hem=0.022, period=0.007
    )
    return [
        replace(basic, fabric=plain, looseness=0.008),
        GarmentLook("top", jacket, hem=hem - 0.05, looseness=loose + 0.006, taper=0.2, neckline="open",
                    neck_radius=0.092, sleeve=_LONG_SLEEVE, sleeve_width=0.008, underlay=0.007),
    ]  # fmt: skip
