"""The free choices of a person's skin, drawn from attributes, and its plain colour on the melanin scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference_model.corpus.people.attributes import SKIN_TONES, Attributes
from reference_model.corpus.people.hair_look import GREY, HairLook

__all__ = ["SkinLook", "draw_skin", "linear", "skin_albedo", "smoothstep"]

_MELANIN = (
    (0.0, (230, 193, 171)),
    (0.2, (216, 173, 149)),
    (0.4, (191, 150, 126)),
    (0.6, (159, 122, 103)),
    (0.8, (112, 81, 67)),
    (1.0, (75, 57, 49)),
)  # sRGB of skin at keys of the melanin scale
_LIPSTICKS = ((176, 82, 86), (160, 60, 66), (186, 104, 100), (140, 52, 62), (150, 84, 74))


@dataclass(frozen=True, slots=True)
class SkinLook:
    """The free choices of a person's skin; colours are sRGB 0..255."""

    melanin: float
    """0 (lightest) .. 1 (darkest)."""
    undertone: float = 0.0
    """-1 (pink) .. 1 (golden)."""
    blush: float = 1.0
    """Strength of the blood under cheeks, nose, ears and knuckles."""
    freckles: float = 0.0
    stubble: float = 0.0
    """Share of hair colour on the beard field, 0..1."""
    lipstick: float = 0.0
    lip_colour: tuple[int, int, int] = (170, 80, 84)
    brow_colour: tuple[int, int, int] = (52, 36, 26)
    brow_weight: float = 1.0
    """Thickness of the brows relative to the template's."""
    lashes: float = 0.8
    """Darkness of the line along the upper lid, 0..1."""
    hair_colour: tuple[int, int, int] = (52, 34, 22)
    wrinkles: float = 0.0
    """Depth of forehead lines, crow's feet and nasolabial folds, 0..1."""
    bags: float = 0.3
    """Darkness and depth of the fold under the eyes, 0..1."""
    spots: float = 0.0
    """Age spots and uneven pigment, 0..1."""
    scalp: float = 0.0
    """Share of hair colour on the scalp below the hair, 0 (bald) .. 1."""
    recession: float = 0.0
    """Of the hairline, see `skin.hairline`."""


def linear(srgb: tuple[int, int, int] | np.ndarray) -> np.ndarray:
    """SRGB 0..255 to linear 0..1 (IEC 61966-2-1)."""
    c = np.asarray(srgb, np.float32) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between (also for low > high, falling)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def draw_skin(attributes: Attributes, rng: np.random.Generator, hair: HairLook) -> SkinLook:
    """Draw the skin of a person.

    Args:
        attributes: Skin tone, age, sex and beard.
        rng: Source of everything else.
        hair: The person's hair, whose colour brows and stubble share.

    Returns:
        The look; melanin lies in the sixth of its scale that the skin tone names.
    """
    years, female = attributes.age, attributes.sex == "female"
    melanin = (attributes.skin_tone - 1 + rng.uniform(0.1, 0.9)) / len(SKIN_TONES)
    # brows are darker than the hair and keep their pigment longer
    brow = np.array(hair.colour) * (0.75 if max(hair.colour) < 120 else 0.62)
    stubble = {"none": 0.0, "stubble": rng.uniform(0.45, 0.75), "full": 0.85}[attributes.beard]
    if attributes.beard == "none" and not female:
        stubble = rng.uniform(0.05, 0.22)  # a shaved beard still shades the skin
    shaved = rng.uniform(0.02, 0.16)  # a bald head shows where hair would still grow
    made_up = female and rng.random() < 0.6
    return SkinLook(
        melanin=float(melanin),
        undertone=float(np.clip(rng.normal(-0.1, 0.45), -1, 1)),
        blush=float(rng.uniform(0.7, 1.25)),
        freckles=float(rng.uniform(0.2, 0.9)) if melanin < 0.35 and rng.random() < 0.35 else 0.0,
        stubble=float(stubble),
        lipstick=float(rng.uniform(0.15, 0.5)) if made_up else 0.0,
        lip_colour=_LIPSTICKS[rng.integers(len(_LIPSTICKS))],
        brow_colour=_mixed(brow, GREY, 0.3 * hair.grey),
        brow_weight=float(rng.uniform(0.65, 0.9) if female else rng.uniform(0.9, 1.3)),
        lashes=float(rng.uniform(0.75, 1.0) if female else rng.uniform(0.45, 0.7)),
        hair_colour=_mixed(hair.colour, GREY, hair.grey),
        wrinkles=float(np.clip((years - 30) / 45, 0, 1) * rng.uniform(0.75, 1.1)),
        bags=float(np.clip(0.2 + 0.7 * (years - 30) / 45 + rng.normal(0, 0.12), 0.05, 1)),
        spots=float(np.clip((years - 45) / 35, 0, 1) * rng.uniform(0.4, 1.0)),
        scalp={"none": shaved, "upright": 0.80}.get(hair.kind, 0.97),
        recession=max(hair.recession, 0.8) if hair.kind == "none" else hair.recession,
    )


def _mixed(
    one: tuple[int, int, int] | np.ndarray, other: tuple[int, int, int], share: float
) -> tuple[int, int, int]:
    r, g, b = np.round(np.asarray(one, float) * (1 - share) + np.array(other) * share)
    return int(r), int(g), int(b)


def skin_albedo(look: SkinLook) -> np.ndarray:
    """Linear RGB of the plain skin, [3]."""
    keys, colours = zip(*_MELANIN, strict=True)
    ramp = np.stack([linear(colour) for colour in colours])
    base = np.array([np.interp(look.melanin, keys, ramp[:, k]) for k in range(3)], np.float32)
    return base * np.array([1.03, 0.97 + 0.03 * look.undertone, 0.96 - 0.09 * look.undertone], np.float32)
