"""Who can be told apart on one column of a table, and the ranks that follow.

Two methods are told apart when p, corrected by Holm for all pairs of the column, is not above `ALPHA`. Not being
told apart is not transitive: A may tie with B and B with C while A is better than C. So a rank is a range of places:
from the best to the worst place by value among the methods that one cannot be told apart from. Two methods that are
not told apart then always share places, both of their own among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.statistics import ALPHA, LEVEL, holm, identities_needed

__all__ = ["MIN_PEOPLE", "paired_p", "rank_ranges", "unpaired_p"]

MIN_PEOPLE = identities_needed(1)
"""With fewer persons in common two methods are never told apart, as in `bench compare`."""


def paired_p(means: np.ndarray) -> np.ndarray:
    """Two-sided p of each pair of methods by a t test over the persons' differences.

    The same interval over persons as `bench compare` shows. Its permutation test is not used here: with the dozens
    of persons that a data set has, no permutation p survives the correction for all pairs of a long board.

    Args:
        means: [P, M] mean of each person's clips for each method; NaN where a method has no value for a person.

    Returns:
        [M, M], symmetric, ones on the diagonal and where fewer than `MIN_PEOPLE` persons are common.
    """
    from scipy.special import stdtr

    n_methods = means.shape[1]
    p = np.ones((n_methods, n_methods))
    for i in range(n_methods - 1):
        difference = means[:, i, None] - means[:, i + 1 :]  # [P, M - i - 1]
        known = ~np.isnan(difference)
        n = known.sum(axis=0)
        degrees = np.maximum(n - 1, 1)
        centre = np.where(known, difference, 0.0).sum(axis=0) / np.maximum(n, 1)
        spread = np.where(known, difference - centre, 0.0)
        error = np.sqrt((spread**2).sum(axis=0) / degrees / np.maximum(n, 1))
        found = 2 * stdtr(degrees, -np.abs(_ratio(centre, error)))
        p[i, i + 1 :] = p[i + 1 :, i] = np.where(n >= MIN_PEOPLE, found, 1.0)
    return p


def unpaired_p(
    values: Sequence[float],
    half_widths: Sequence[float | None],
    n_identities: Sequence[int],
    n_features: Sequence[int],
) -> np.ndarray:
    """Two-sided p of each pair of methods from the intervals alone, for metrics of a whole set (FID, FVD).

    The values of two methods on the same persons vary together; taking them as independent errs towards a tie.

    Args:
        values: The metric's value of each method.
        half_widths: Half of its interval at `LEVEL`; None where there is none.
        n_identities: Persons that the interval rests on.
        n_features: Size of the cloud of features; the same number for all where it does not matter.

    Returns:
        [M, M], symmetric; ones where an interval is absent, persons are too few, or the clouds differ in size.
    """
    from scipy.special import stdtr, stdtrit

    people = np.asarray(n_identities, np.float64)
    usable = np.array([half is not None for half in half_widths]) & (people >= MIN_PEOPLE)
    halves = np.array([0.0 if half is None else half for half in half_widths])
    errors = halves / stdtrit(np.maximum(people - 1, 1), 0.5 + LEVEL / 2)
    value, size = np.asarray(values, np.float64), np.asarray(n_features)
    degrees = np.maximum(np.minimum(people[:, None], people[None, :]) - 1, 1)
    ratio = _ratio(value[:, None] - value[None, :], np.hypot(errors[:, None], errors[None, :]))
    comparable = usable[:, None] & usable[None, :] & (size[:, None] == size[None, :])
    np.fill_diagonal(comparable, False)
    return np.where(comparable, 2 * stdtr(degrees, -np.abs(ratio)), 1.0)


def rank_ranges(values: Sequence[float], p: np.ndarray, direction: str) -> list[tuple[int, int]]:
    """The best and the worst place that each method shares.

    Args:
        values: [M] the column.
        p: [M, M] uncorrected, of each pair.
        direction: `higher` or `lower`: which way is better.
    """
    n_methods = len(values)
    above = np.triu_indices(n_methods, k=1)
    corrected = np.ones((n_methods, n_methods))
    corrected[above] = holm(p[above].tolist())
    corrected = np.minimum(corrected, corrected.T)
    sign = -1 if direction == "higher" else 1
    places = np.empty(n_methods, np.int64)
    places[np.argsort(sign * np.asarray(values, np.float64), kind="stable")] = np.arange(1, n_methods + 1)
    alike = corrected > ALPHA  # [M, M], True on the diagonal
    best = np.where(alike, places, n_methods + 1).min(axis=1, initial=n_methods + 1)
    worst = np.where(alike, places, 0).max(axis=1, initial=0)
    return list(zip(best.tolist(), worst.tolist(), strict=True))


def _ratio(difference: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Difference over its error: 0 for no difference, infinite for a difference without any error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = difference / error
    return np.where(difference == 0, 0.0, ratio)
