"""The attribute dictionary of the made people (appendix C of the paper): what may vary, drawn in strata.

Every attribute is drawn by a stratified design, not independently: over any corpus the values of an attribute are
as equal in number as its shares allow, and attributes are paired at random. Nothing here is a label of ethnicity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

__all__ = [
    "AGES",
    "BUILDS",
    "FRAMINGS",
    "HAIR_COLOURS",
    "HAIR_STYLES",
    "SEXES",
    "SKIN_TONES",
    "SPLITS",
    "TOPS",
    "UNSEEN_HAIR_STYLES",
    "UNSEEN_LIGHTS",
    "Attributes",
    "Bottom",
    "Framing",
    "HairStyle",
    "Split",
    "Top",
    "attribute_tables",
    "sample_attributes",
]

Sex = Literal["female", "male"]
SEXES: tuple[Sex, ...] = ("female", "male")

AGES = ("20-35", "35-50", "50-65", "65-85")
"""Years."""

BUILDS = ("slim", "average", "heavy", "muscular")

SKIN_TONES = (1, 2, 3, 4, 5, 6)
"""Sixths of the melanin scale of `skin.py`, 1 the lightest."""

HairStyle = Literal[
    "bald",
    "buzz",
    "short_parted",
    "crop",
    "slicked_back",
    "curly_short",
    "afro",
    "bob",
    "long",
    "long_wavy",
    "bun",
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


Split = Literal["train", "mini", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "mini", "heldout")

UNSEEN_HAIR_STYLES: tuple[HairStyle, ...] = ("curly_short", "bun")
UNSEEN_LIGHTS = ("evening", "side_window")
"""Hair styles and light rigs of `Attributes.unseen_material`; no person of the split "train" has them."""

_UNSEEN_SHARE: dict[Split, float] = {"train": 0.0, "mini": 0.25, "heldout": 0.5}
"""Half of the held-out people differ in material too, so that new person and new material can be told apart."""
_SEEN_LIGHTS = ("studio", "window", "overcast", "warm_lamp", "ring", "office")
_USUAL_HAIR: dict[Sex, tuple[HairStyle, ...]] = {
    "female": ("bob", "long", "long_wavy"),
    "male": ("short_parted", "crop", "buzz", "slicked_back", "bald"),
}
_OTHER_HAIR: dict[Sex, tuple[HairStyle, ...]] = {
    "female": ("short_parted", "crop", "slicked_back", "afro"),
    "male": ("afro", "bob", "long", "long_wavy"),
}
_USUAL_SHARE = 0.7
_UNSEEN_HAIR: dict[Sex, dict[HairStyle, float]] = {
    "female": {"bun": 0.7, "curly_short": 0.3},
    "male": {"bun": 0.3, "curly_short": 0.7},
}
_HAIR_COLOUR_SHARES: dict[str, tuple[float, ...]] = {
    "20-35": (0.22, 0.22, 0.18, 0.14, 0.12, 0.12, 0.0, 0.0),
    "35-50": (0.20, 0.20, 0.17, 0.11, 0.10, 0.10, 0.12, 0.0),
    "50-65": (0.12, 0.13, 0.10, 0.07, 0.07, 0.06, 0.37, 0.08),
    "65-85": (0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.42, 0.37),
}
"""In the order of `HAIR_COLOURS`; drawn without regard to the skin."""
_BEARDS = {"none": 0.75, "stubble": 0.125, "full": 0.125}
_FRAMING_SHARES: dict[Framing, float] = {"half": 0.60, "three_quarter": 0.25, "full": 0.15}
_BOTTOMS: dict[Sex, dict[Bottom, float]] = {
    "female": {"trousers": 0.35, "jeans": 0.35, "skirt": 0.30},
    "male": {"trousers": 0.5, "jeans": 0.5},
}

_Draft = dict[str, Any]
_Value = TypeVar("_Value")


def sample_attributes(n: int, seed: int, *, split: Split) -> list[Attributes]:
    """Draw the attributes of `n` people, balanced for any `n`.

    The counts of an attribute's values differ from its shares times `n` by less than one (hair style, hair colour,
    bottom, beard and light: within their condition). Each value then goes to the person whose combination with the
    attributes drawn before is the rarest so far, so that pairs of attributes are about balanced, too.

    Args:
        n: Number of people, at least 1.
        seed: Seed; another split gives other people with the same seed.
        split: "train", "mini" or "heldout"; only the last two show unseen material.

    Returns:
        Attributes, [n], in random order.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), n])
    people: list[_Draft] = [{} for _ in range(n)]
    crossed = ("sex", "skin_tone", "stratum")
    for name, values in (("sex", SEXES), ("skin_tone", SKIN_TONES), ("stratum", AGES), ("build", BUILDS)):
        _deal(people, name, _equal(values), crossed, rng)
    unseen = _UNSEEN_SHARE[split]
    _deal(people, "unseen_material", {True: unseen, False: 1 - unseen}, crossed, rng)
    _deal(people, "framing", _FRAMING_SHARES, ("sex", "stratum"), rng)
    _deal(people, "glasses", {True: 0.12, False: 0.88}, ("sex",), rng)
    _deal(people, "top", _equal(TOPS), ("sex", "framing"), rng)
    _deal(people, "background", _equal(("wall", "gradient", "room")), ("framing",), rng)
    _deal_within(
        people, "unseen_material", "light", lambda new: _equal(UNSEEN_LIGHTS if new else _SEEN_LIGHTS), rng
    )
    _deal_within(people, "sex", "bottom", lambda sex: _BOTTOMS[sex], rng)
    _deal_within(people, "sex", "beard", lambda sex: _BEARDS if sex == "male" else {"none": 1.0}, rng)
    for sex in SEXES:
        group = [person for person in people if person["sex"] == sex]
        _deal_within(group, "unseen_material", "hair_style", lambda new, sex=sex: _hair_shares(sex, new), rng)
    _deal_within(
        people,
        "stratum",
        "hair_colour",
        lambda stratum: dict(zip(HAIR_COLOURS, _HAIR_COLOUR_SHARES[stratum], strict=True)),
        rng,
    )
    return [_finished(person, rng) for person in people]


def _finished(person: _Draft, rng: np.random.Generator) -> Attributes:
    low, high = (float(edge) for edge in person["stratum"].split("-"))
    values = {name: value for name, value in person.items() if name != "stratum"}
    return Attributes(age=round(float(rng.uniform(low, high - 0.05)), 1), **values)


def _hair_shares(sex: Sex, unseen: bool) -> dict[HairStyle, float]:
    if unseen:
        return _UNSEEN_HAIR[sex]
    groups = ((_USUAL_HAIR[sex], _USUAL_SHARE), (_OTHER_HAIR[sex], 1 - _USUAL_SHARE))
    return {style: share / len(styles) for styles, share in groups for style in styles}


def _equal(values: Sequence[_Value]) -> dict[_Value, float]:
    return {value: 1 / len(values) for value in values}


def _counts(shares: Mapping[Any, float], n: int, rng: np.random.Generator) -> dict[Any, int]:
    """How often each value comes among `n`: shares rounded by the largest remainders, ties by chance."""
    exact = {value: share * n for value, share in shares.items()}
    counts = {value: int(wanted + 1e-9) for value, wanted in exact.items()}
    tie = dict(zip(exact, rng.permutation(len(exact)), strict=True))
    by_rest = sorted(exact, key=lambda value: (-round(exact[value] - counts[value], 9), tie[value]))
    for value in by_rest[: n - sum(counts.values())]:
        counts[value] += 1
    return counts


def _deal(
    people: Sequence[_Draft],
    name: str,
    shares: Mapping[Any, float],
    against: Sequence[str],
    rng: np.random.Generator,
) -> None:
    """Give each person a value of the attribute `name`, balanced within each value of the attributes `against`."""
    left = _counts(shares, len(people), rng)
    together: Counter[tuple[str, Any, Any]] = Counter()
    known = [other for other in against if people and other in people[0]]
    for index in rng.permutation(len(people)):
        person = people[index]
        tie = dict(zip(left, rng.permutation(len(left)), strict=True))

        def crowd(value: Any, person: _Draft = person, tie: dict[Any, Any] = tie) -> tuple[float, ...]:
            pairs = [together[other, person[other], value] for other in known]
            return (sum(pairs) / shares[value], -left[value], tie[value])

        value = min((value for value, count in left.items() if count), key=crowd)
        left[value] -= 1
        person[name] = value
        together.update((other, person[other], value) for other in known)


def _deal_within(
    people: Sequence[_Draft],
    condition: str,
    name: str,
    shares_of: Callable[[Any], Mapping[Any, float]],
    rng: np.random.Generator,
) -> None:
    """Give each person a value of `name` with shares that depend on their value of `condition`."""
    for value in dict.fromkeys(person[condition] for person in people):
        _deal(
            [person for person in people if person[condition] == value],
            name,
            shares_of(value),
            ("stratum",),
            rng,
        )


def attribute_tables(people: Sequence[Attributes]) -> str:
    """The published table in Markdown: counts of every attribute, and sex x age x skin tone."""
    names = (
        "sex",
        "age_stratum",
        "build",
        "skin_tone",
        "hair_style",
        "hair_colour",
        "beard",
        "glasses",
        "top",
    )
    names += ("bottom", "light", "background", "framing", "unseen_material")
    lines = [f"{len(people)} people.", "", "| attribute | value: people |", "|---|---|"]
    for name in names:
        counts = Counter(getattr(person, name) for person in people)
        told = ", ".join(f"{value}: {counts[value]}" for value in sorted(counts, key=str))
        lines.append(f"| {name} | {told} |")
    cells = Counter((person.sex, person.age_stratum, person.skin_tone) for person in people)
    lines += ["", "| sex, age | " + " | ".join(f"tone {tone}" for tone in SKIN_TONES) + " |"]
    lines.append("|---" * (1 + len(SKIN_TONES)) + "|")
    for sex in SEXES:
        for age in AGES:
            row = " | ".join(str(cells[sex, age, tone]) for tone in SKIN_TONES)
            lines.append(f"| {sex}, {age} | {row} |")
    return "\n".join(lines) + "\n"
