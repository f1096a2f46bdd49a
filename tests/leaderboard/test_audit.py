"""How often an audit finds what it is said to find."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import pytest
from forgery import edit_rows, forge_whole, silent
from scipy.stats import binom

from leaderboard.audit import AuditOptions, detection_probability, draw, n_drawn, new_entropy
from leaderboard.entries import digest_of
from leaderboard.limits import load_limits
from leaderboard.verification import verify_entry

EDITED = "p07_clip"
N_AUDITS, SHARE = 200, 0.2


def test_a_single_edited_sample_is_found_as_often_as_stated(entry, crowd, predictions):
    edit_rows(
        entry,
        lambda row: (
            row.model_copy(update={"value": row.value + 0.5})
            if (row.sample_id, row.metric_id) == (EDITED, "psnr_rgb_full")
            else row
        ),
    )
    forge_whole(entry)
    limits = load_limits()
    found = 0
    for number in range(N_AUDITS):
        options = AuditOptions(predictions, SHARE, f"audit {number}")
        verification = verify_entry(entry, crowd, options, limits, silent)
        drawn = EDITED in {sample.sample_id for sample in verification.audit.samples}
        assert [f.code for f in verification.findings] == ["E812"] * drawn
        found += drawn
    stated = detection_probability(20, n_drawn(20, SHARE))
    assert stated == pytest.approx(0.2)
    low, high = binom.ppf([0.001, 0.999], N_AUDITS, stated)
    assert low <= found <= high


def test_the_stated_probability_is_the_share_of_all_draws_that_hit_an_edited_sample():
    for n, k, edited in ((8, 3, 1), (8, 3, 2), (9, 4, 3), (5, 5, 1), (5, 1, 5)):
        draws = list(combinations(range(n), k))
        hits = sum(any(sample < edited for sample in drawn) for drawn in draws)
        assert detection_probability(n, k, edited) == pytest.approx(hits / len(draws))


def test_each_sample_is_drawn_as_often_as_the_others():
    samples = [f"s{number}" for number in range(10)]
    counts = Counter(name for i in range(2000) for name in draw(samples, "d" * 64, str(i), 0.3))
    assert len(counts) == 10
    spread = 4 * math.sqrt(2000 * 0.3 * 0.7)
    assert all(abs(count - 600) < spread for count in counts.values())


def test_the_draw_hangs_on_the_digest_and_on_entropy_that_comes_after_it(entry):
    samples = [f"s{number}" for number in range(40)]
    before = digest_of(entry)
    drawn = draw(samples, before, "e", 0.25)
    assert len(drawn) == 10
    assert drawn == draw(list(reversed(samples)), before, "e", 0.25)
    assert drawn != draw(samples, before, "f", 0.25)
    edit_rows(entry, lambda row: row.model_copy(update={"n_valid": row.n_valid - 1}))
    assert drawn != draw(samples, digest_of(entry), "e", 0.25)
    assert len({new_entropy() for _ in range(100)}) == 100


def test_a_share_is_rounded_up_and_never_empty():
    assert [n_drawn(n, 0.2) for n in (1, 4, 5, 6, 10, 100)] == [1, 1, 1, 2, 2, 20]
    assert n_drawn(7, 1.0) == 7
