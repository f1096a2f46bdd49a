"""Detectors whose last answers are at hand."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from benchmark.recent import LatestPair, RecentFrames


def frame(seed: int, side: int = 90) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_equal_frames_are_looked_at_once_and_frames_that_differ_in_one_value_are_not_equal():
    seen = RecentFrames(nullcontext(), lambda picture: int(picture.sum()))
    first, changed = frame(1), frame(1)
    changed[7, 7, 1] ^= 1  # off the sparse grid that is compared first
    assert [seen(first), seen(frame(1)), seen(changed), seen(first[:89])] == [
        int(one.sum()) for one in (first, first, changed, first[:89])
    ]
    assert seen.n_forwards == 3


def test_old_frames_are_forgotten():
    seen = RecentFrames(nullcontext(), lambda picture: int(picture.sum()))
    for seed in range(30):
        seen(frame(seed, 16))
    seen(frame(29, 16))
    assert seen.n_forwards == 30
    seen(frame(0, 16))
    assert seen.n_forwards == 31


def test_a_pair_is_compared_once_and_the_other_way_round_again():
    calls = []
    compare = LatestPair(lambda one, other: calls.append(1) or one - other)
    one, other = frame(1), frame(2)
    assert compare(one, other) is compare(one, other)
    np.testing.assert_array_equal(compare(other, one), other - one)
    assert len(calls) == 2
