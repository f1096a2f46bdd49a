"""Intervals and tests over identities, against scipy, full enumeration, closed forms and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.statistics import (
    ALPHA,
    holm,
    identities_needed,
    jackknife_interval,
    jackknife_variance,
    mean_interval,
    sign_flip_test,
    smallest_p,
    swap_test,
    too_few_identities,
)


def test_the_interval_of_a_mean_is_students_t_of_scipy():
    means = [0.31, 0.42, 0.37, 0.55, 0.29]
    expected = stats.t.interval(0.95, df=4, loc=np.mean(means), scale=stats.sem(means))
    assert mean_interval(means) == pytest.approx(expected, rel=1e-12)


def test_one_identity_has_no_interval_and_two_have_a_very_wide_one():
    assert mean_interval([0.5]) is None
    low, high = mean_interval([0.4, 0.6])
    assert (high - low) / 2 == pytest.approx(12.706 * 0.1, rel=1e-4)  # t of one degree of freedom


def test_intervals_over_identities_hold_the_truth_as_often_as_they_say_and_intervals_over_clips_do_not():
    """Clips of a person share the person's level: 8 people with 6 clips, person sd 1, clip sd 0.5, truth 0."""
    rng = np.random.default_rng(0)
    over_people = over_clips = 0
    for _ in range(2000):
        clips = rng.normal(size=(8, 1)) + 0.5 * rng.normal(size=(8, 6))
        low, high = mean_interval(clips.mean(axis=1))
        over_people += low <= 0 <= high
        low, high = mean_interval(clips.ravel())
        over_clips += low <= 0 <= high
    assert over_people / 2000 == pytest.approx(0.95, abs=0.06)
    assert over_clips / 2000 < 0.75


def test_the_jackknife_of_a_mean_over_equal_groups_is_its_squared_standard_error():
    groups = np.random.default_rng(1).normal(size=(7, 3))
    left_out = [np.delete(groups, index, axis=0).mean() for index in range(7)]
    variance = jackknife_variance(groups.mean(), left_out, [3] * 7)
    assert variance == pytest.approx(np.var(groups.mean(axis=1), ddof=1) / 7, rel=1e-10)
    assert jackknife_interval(groups.mean(), left_out, [3] * 7) == pytest.approx(
        mean_interval(groups.mean(axis=1)), rel=1e-10
    )


def test_a_bias_in_one_over_n_adds_no_variance_when_identities_differ_in_size():
    """A statistic that is only its bias, 10 / n, does not vary; the plain jackknife says that it does."""
    sizes = np.array([1, 2, 5, 9])
    n = sizes.sum()
    left_out = 10 / (n - sizes)
    plain = 3 / 4 * np.sum((left_out - left_out.mean()) ** 2)
    assert jackknife_variance(10 / n, left_out, sizes) == pytest.approx(0, abs=1e-20)
    assert plain > 0.1


def test_fewer_than_two_identities_have_no_jackknife_interval():
    assert jackknife_interval(1.0, [1.2], [3]) is None


def test_p_is_the_share_of_all_sign_patterns_that_are_as_extreme():
    differences = np.array([0.3, -0.1, 0.5, 0.2, 0.4, 0.05])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=6)]
    expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    assert sign_flip_test(differences) == pytest.approx(expected, abs=1e-15)


def test_p_equals_scipys_permutation_test_of_paired_samples():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=10), rng.normal(0.5, size=10)
    expected = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_test(a - b) == pytest.approx(expected, abs=1e-12)


def test_many_identities_are_sampled_and_the_seed_decides():
    differences = np.random.default_rng(3).normal(0.35, size=40)
    p = sign_flip_test(differences, seed=1)
    assert p == sign_flip_test(differences, seed=1) != sign_flip_test(differences, seed=2)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=0.15)


def test_equal_methods_are_found_different_no_more_often_than_alpha():
    rng = np.random.default_rng(4)
    found = [sign_flip_test(rng.standard_cauchy(8)) <= ALPHA for _ in range(2000)]
    assert np.mean(found) == pytest.approx(ALPHA, abs=0.012)  # exact for any symmetric distribution


def test_no_difference_at_all_has_p_one_and_a_clear_one_has_the_smallest():
    assert sign_flip_test([0.0] * 8) == 1.0
    assert sign_flip_test([1.0] * 8) == smallest_p(8) == 2 / 2**8


def test_patterns_that_only_rounding_tells_apart_are_ties():
    tenths = [1, 2, -3, 1, 2]  # 0.1 + 0.2 - 0.3 is not 0 in binary
    sums = [abs(np.dot(signs, tenths)) for signs in itertools.product((1, -1), repeat=5)]
    expected = np.mean(np.array(sums) >= abs(sum(tenths)))
    assert sign_flip_test([tenth / 10 for tenth in tenths]) == expected
    assert swap_test(lambda swapped: sum(np.where(swapped, -1, 1) * tenths / 10), 5) == expected


def test_exchanging_within_identities_gives_the_p_of_flipping_signs():
    def change(values: np.ndarray):
        return lambda swapped: float(np.where(swapped, -values, values).sum())

    few = np.random.default_rng(5).normal(0.3, size=8)
    assert swap_test(change(few), 8) == sign_flip_test(few)
    many = np.random.default_rng(3).normal(0.35, size=40)
    assert swap_test(change(many), 40) == pytest.approx(sign_flip_test(many), abs=0.06)


def test_random_exchanges_stop_early_when_the_methods_are_alike_and_the_p_stays_honest():
    rng = np.random.default_rng(6)
    calls: list[int] = []
    found = []
    for _ in range(300):
        differences = rng.normal(size=12)

        def change(swapped: np.ndarray, values: np.ndarray = differences) -> float:
            calls.append(1)
            return float(np.where(swapped, -values, values).sum())

        found.append(swap_test(change, 12, seed=len(calls)))
    assert len(calls) / 300 < 250  # of 500
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.1)


def test_random_exchanges_never_give_p_zero():
    assert swap_test(lambda swapped: float(np.sum(~swapped) - np.sum(swapped)), 40) == smallest_p(
        40, of_set=True
    )
    assert smallest_p(40, of_set=True) == 1 / 500


def test_holm_corrects_as_published():
    """Holm 1979: the k-th smallest of m is multiplied by m - k + 1, and the order is kept."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("n_tests", "needed"), [(1, 6), (2, 7), (5, 8), (10, 9), (16, 10)])
def test_the_number_of_identities_needed_is_the_smallest_that_can_reach_significance(
    n_tests: int, needed: int
):
    assert identities_needed(n_tests) == needed
    assert n_tests * smallest_p(needed) <= ALPHA < n_tests * smallest_p(needed - 1)


def test_a_hopeless_test_is_refused_with_what_it_would_take():
    error = too_few_identities(2, 5, "PSNR, SSIM")
    assert error.code == "E506"
    assert "at least 8 identities for 5 tests" in str(error)
    assert "2 identities" in str(error) and "PSNR, SSIM" in str(error)
