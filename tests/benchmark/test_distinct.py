"""Which items of a clip are equal to the byte."""

from __future__ import annotations

import numpy as np

from benchmark.distinct import Distinct


def test_items_are_numbered_by_first_appearance():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 4, 5, 3), np.uint8)
    distinct = Distinct()
    assert [distinct.is_new(item) for item in (a, b, a.copy(), a, b)] == [True, True, False, False, False]
    assert distinct.numbers == [0, 1, 0, 0, 1]


def test_one_changed_value_makes_another_item_and_memory_order_does_not():
    item = np.random.default_rng(1).integers(0, 256, (4, 5, 3), np.uint8)
    distinct = Distinct()
    assert distinct.is_new(item)
    assert not distinct.is_new(np.asfortranarray(item))
    changed = item.copy()
    changed[3, 4, 2] ^= 1
    assert distinct.is_new(changed)
