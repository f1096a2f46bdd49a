"""The script that shows how the cost of scoring grows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.extractors import Networks
from benchmark.scoring_cost import growth_exponent, make_tasks, measure


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_a_power_law(power: float):
    counts = np.array([10, 30, 100])
    assert growth_exponent(counts, 0.26 * counts**power) == pytest.approx(power)


def test_each_count_starts_from_an_empty_store_and_leaves_the_users_cache_alone(
    tmp_path: Path, own_cache: Path
):
    tasks = make_tasks(tmp_path, 3)
    with Networks() as networks:
        for n_clips in (2, 3, 2):
            timing = measure(tmp_path, tasks[:n_clips], networks)
            assert (timing.n_clips, timing.decodes) == (n_clips, 2 * n_clips)
            assert timing.seconds > timing.seconds_from_store > 0
    assert os.environ["AVATARBENCH_CACHE"] == str(own_cache)
    assert list(own_cache.iterdir()) == []
