"""The attribute dictionary: balanced strata, seeds, and what training must not see."""

from __future__ import annotations

from collections import Counter

import pytest

from reference_model.corpus.people.attributes import (
    AGES,
    BUILDS,
    SEXES,
    SKIN_TONES,
    UNSEEN_HAIR_STYLES,
    UNSEEN_LIGHTS,
    attribute_tables,
    sample_attributes,
)


def test_mini_has_six_women_and_six_men_two_of_each_tone_and_three_of_each_age_and_build() -> None:
    people = sample_attributes(12, 0, split="mini")
    assert Counter(p.sex for p in people) == dict.fromkeys(SEXES, 6)
    assert Counter(p.skin_tone for p in people) == dict.fromkeys(SKIN_TONES, 2)
    assert Counter(p.age_stratum for p in people) == dict.fromkeys(AGES, 3)
    assert Counter(p.build for p in people) == dict.fromkeys(BUILDS, 3)


@pytest.mark.parametrize("n", [1, 7, 24, 100])
def test_counts_differ_from_their_shares_by_less_than_one(n: int) -> None:
    people = sample_attributes(n, 5, split="train")
    shares = {
        "sex": dict.fromkeys(SEXES, 1 / 2),
        "skin_tone": dict.fromkeys(SKIN_TONES, 1 / 6),
        "age_stratum": dict.fromkeys(AGES, 1 / 4),
        "build": dict.fromkeys(BUILDS, 1 / 4),
        "framing": {"half": 0.60, "three_quarter": 0.25, "full": 0.15},
        "glasses": {True: 0.12, False: 0.88},
    }
    for name, wanted in shares.items():
        counts = Counter(getattr(person, name) for person in people)
        assert all(abs(counts[value] - share * n) < 1 for value, share in wanted.items()), name


def test_sex_and_skin_tone_are_crossed() -> None:
    cells = Counter((p.sex, p.skin_tone) for p in sample_attributes(120, 1, split="train"))
    assert min(cells.values()) >= 8 and max(cells.values()) <= 12 and len(cells) == 12


def test_training_shows_no_unseen_material_and_held_out_people_do_in_half_of_the_cases() -> None:
    train = sample_attributes(200, 2, split="train")
    assert not {p.hair_style for p in train} & set(UNSEEN_HAIR_STYLES)
    assert not {p.light for p in train} & set(UNSEEN_LIGHTS)
    held_out = sample_attributes(24, 2, split="heldout")
    new = [p for p in held_out if p.unseen_material]
    assert len(new) == 12
    assert all(p.hair_style in UNSEEN_HAIR_STYLES and p.light in UNSEEN_LIGHTS for p in new)
    assert not any(p.hair_style in UNSEEN_HAIR_STYLES for p in held_out if not p.unseen_material)


def test_hair_depends_on_sex_only_softly_and_beards_grow_on_a_quarter_of_the_men() -> None:
    people = sample_attributes(400, 3, split="train")
    women, men = ([p for p in people if p.sex == sex] for sex in SEXES)
    assert sum(p.hair_style in ("bob", "long", "long_wavy") for p in women) / len(women) == pytest.approx(
        0.7, abs=0.02
    )
    assert sum(p.hair_style in ("bob", "long", "long_wavy") for p in men) / len(men) > 0.15
    assert sum(p.beard != "none" for p in men) / len(men) == pytest.approx(0.25, abs=0.02)
    assert all(p.beard == "none" for p in women)


def test_a_seed_and_a_split_decide_the_people() -> None:
    assert sample_attributes(9, 4, split="train") == sample_attributes(9, 4, split="train")
    assert sample_attributes(9, 4, split="train") != sample_attributes(9, 5, split="train")
    assert sample_attributes(9, 4, split="mini") != sample_attributes(9, 4, split="heldout")


def test_the_table_counts_everybody_in_the_cross_of_sex_age_and_tone() -> None:
    table = attribute_tables(sample_attributes(37, 6, split="train"))
    rows = [line for line in table.splitlines() if line.startswith(("| female,", "| male,"))]
    assert sum(int(cell) for row in rows for cell in row.strip("|").split("|")[1:]) == 37
