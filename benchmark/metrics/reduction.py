"""From values of samples to one value of the data set."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

__all__ = ["mean_over_identities"]


def mean_over_identities(values: Mapping[str, list[float]]) -> float:
    """Mean over a person's clips, then over persons: a person with many clips does not weigh more.

    Args:
        values: Values of the clips by identity; none of the lists is empty.
    """
    means = [fsum(clips) / len(clips) for _, clips in sorted(values.items())]
    return fsum(means) / len(means)
