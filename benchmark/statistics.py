"""Uncertainty and significance when persons, not clips, are what was sampled.

Clips of one person resemble each other, so every interval and every test here takes the person (identity) as its
unit. With few persons the intervals are wide and no test can reach significance; both are said, not hidden.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from media.errors import AvatarBenchError

__all__ = [
    "ALPHA",
    "LEVEL",
    "Bounds",
    "holm",
    "identities_needed",
    "jackknife_interval",
    "jackknife_variance",
    "mean_interval",
    "sign_flip_test",
    "smallest_p",
    "swap_test",
    "too_few_identities",
]

LEVEL = 0.95
"""Level of every interval."""
ALPHA = 0.05
"""A difference counts as found when its p, corrected by Holm, is not above this."""
EXACT_FLIPS = 1 << 16
"""Up to so many sign patterns are all tried; a pattern and its mirror image count as one."""
RANDOM_FLIPS = 99_999
EXACT_SWAPS = 1 << 8
"""The same for set metrics, where each pattern costs two distances."""
RANDOM_SWAPS = 499
_ENOUGH_EXTREMES = 20
"""Random exchanges stop when so many were as extreme as the observed one: the methods are alike."""
_TIE = 1e-9
"""Statistics that differ by less, relative to the observed one, are ties that rounding has split."""
_CHUNK = 4096


class Bounds(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Bounds | None:
    """Student's t interval of the mean of the identities' means.

    The headline number is the plain mean over identities, and these are independent where clips are not. Its
    variance is therefore s^2 / n over identities however many clips each has (the cluster-robust variance for
    clusters of equal weight), and t with n - 1 degrees of freedom accounts for s being estimated from few.

    Args:
        values: One mean an identity.
        level: Coverage.

    Returns:
        None for fewer than two identities. With two the t factor is 12.7, and the interval says little.
    """
    n = len(values)
    if n < 2:
        return None
    half = _t_factor(n, level) * float(np.std(values, ddof=1)) / math.sqrt(n)
    centre = math.fsum(values) / n
    return Bounds(centre - half, centre + half)


def jackknife_variance(value: float, left_out: Sequence[float], sizes: Sequence[int]) -> float:
    """Variance of a statistic by leaving out one identity at a time, for identities of unequal size.

    The delete-m_j jackknife of Busing, Meijer and van der Leeden (Statistics and Computing 9, 1999). Its
    pseudo-values are free of a bias in 1/n, which a Frechet distance has and which would else count as variance
    when one identity brings more features than another. With equal sizes it is the usual delete-one jackknife,
    (g - 1)/g * sum((t_j - mean t)^2).

    Args:
        value: The statistic of all identities.
        left_out: The statistic without identity j, for each j.
        sizes: Features that identity j brings, each above 0.
    """
    t, h = np.asarray(left_out, np.float64), sum(sizes) / np.asarray(sizes, np.float64)
    pseudo = h * value - (h - 1) * t
    centre = len(t) * value - np.sum((1 - 1 / h) * t)
    return float(np.mean((pseudo - centre) ** 2 / (h - 1)))


def jackknife_interval(
    value: float, left_out: Sequence[float], sizes: Sequence[int], level: float = LEVEL
) -> Bounds | None:
    """Student's t interval about `value` with the jackknife's variance; arguments as `jackknife_variance`.

    It stands about the value itself and not about a bias-corrected one: the correction is far noisier than the
    value. The bootstrap is no alternative: repeated rows lower the rank of the covariance, so that its replicates
    of a Frechet distance lie wholly beside the value.

    Returns:
        None for fewer than two identities.
    """
    if len(left_out) < 2:
        return None
    half = _t_factor(len(left_out), level) * math.sqrt(jackknife_variance(value, left_out, sizes))
    return Bounds(value - half, value + half)


def sign_flip_test(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p of "A and B are alike" by flipping the signs of the identities' differences.

    If the methods were alike, exchanging them within a person would only flip that person's difference. The
    statistic is the absolute mean. All patterns are tried up to `EXACT_FLIPS`, else `RANDOM_FLIPS` random ones
    and the observed one (Phipson and Smyth 2010), so that p is never 0.

    Args:
        differences: Mean of A minus mean of B, one an identity.
        seed: Of the random patterns.
    """
    values = np.asarray(differences, np.float64)
    if not len(values):
        raise ValueError("a sign-flip test needs at least one identity")
    observed = abs(values.sum())
    extreme = total = 0
    for swapped in _patterns(len(values), EXACT_FLIPS, RANDOM_FLIPS, seed):  # [P, n] bool
        sums = np.abs(np.where(swapped, -values, values).sum(axis=1))
        extreme += int(np.count_nonzero(sums >= observed * (1 - _TIE)))
        total += len(swapped)
    return extreme / total


def swap_test(difference: Callable[[np.ndarray], float], n_identities: int, *, seed: int = 0) -> float:
    """Two-sided p of "A and B are alike" for a set metric, by exchanging the features of A and B by identity.

    All patterns are tried up to `EXACT_SWAPS`. Beyond, random ones are drawn until 20 were as extreme as the
    observed one (Besag and Clifford 1991: p is their share of the drawn), and `RANDOM_SWAPS` at most.

    Args:
        difference: Takes [n_identities] bool (exchanged or not) and gives distance of A minus that of B; its
            sign must flip when all are exchanged.
        n_identities: Number of identities.
        seed: Of the random patterns.
    """
    if n_identities < 1:
        raise ValueError("a swap test needs at least one identity")
    patterns = itertools.chain.from_iterable(_patterns(n_identities, EXACT_SWAPS, RANDOM_SWAPS, seed))
    sampled = 2 ** (n_identities - 1) > EXACT_SWAPS
    observed = abs(difference(next(patterns)))  # the first exchanges nobody
    extreme = total = 1
    for pattern in patterns:
        extreme += abs(difference(pattern)) >= observed * (1 - _TIE)
        total += 1
        if sampled and extreme > _ENOUGH_EXTREMES:
            return _ENOUGH_EXTREMES / (total - 1)
    return extreme / total


def smallest_p(n_identities: int, *, of_set: bool = False) -> float:
    """The smallest p that `sign_flip_test` (or `swap_test`) can give for so many identities."""
    exact, random = (EXACT_SWAPS, RANDOM_SWAPS) if of_set else (EXACT_FLIPS, RANDOM_FLIPS)
    patterns = 2 ** (n_identities - 1)
    return 1 / patterns if patterns <= exact else 1 / (random + 1)


def identities_needed(n_tests: int, alpha: float = ALPHA) -> int:
    """Identities without which no test of a family of `n_tests` can reach `alpha` after Holm's correction."""
    return 1 + math.ceil(math.log2(n_tests / alpha))


def too_few_identities(n_identities: int, n_tests: int, what: str) -> AvatarBenchError:
    """The refusal (E506) of a test that could not reach significance whatever the data say.

    Args:
        n_identities: Identities that both methods have, fewer than `identities_needed(n_tests)`.
        n_tests: Tests in the family that Holm corrects.
        what: What is compared, for the message.
    """
    needed = identities_needed(n_tests)
    reachable = min(1.0, n_tests * smallest_p(n_identities))
    return AvatarBenchError(
        "E506",
        f"too few people to test {what}: no difference could reach significance",
        expected=f"at least {needed} identities for {n_tests} tests at p <= {ALPHA} after Holm's correction",
        got=f"{n_identities} identities, which reach p = {reachable:.3g} at best",
        fix="compare on a data set or split with more people (--dataset, --split)",
    )


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for testing all of them at once (Holm 1979), in the order given."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return corrected.tolist()


def _t_factor(n: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.5 + level / 2))


def _patterns(n: int, exact: int, random: int, seed: int) -> Iterator[np.ndarray]:
    """Which identities are exchanged, [P, n] bool a chunk; the first pattern exchanges none.

    The last identity is never exchanged when all patterns are tried: the mirror image has the same absolute value.
    """
    count = 2 ** (n - 1)
    if count <= exact:
        for begin in range(0, count, _CHUNK):
            codes = np.arange(begin, min(begin + _CHUNK, count))
            yield (codes[:, None] >> np.arange(n) & 1).astype(bool)
        return
    yield np.zeros((1, n), bool)
    rng = np.random.default_rng(seed)
    for begin in range(0, random, _CHUNK):
        yield rng.integers(0, 2, (min(_CHUNK, random - begin), n)).astype(bool)
