import numpy as np
import pytest
from scipy import stats

from leaderboard.site.ranking import MIN_PEOPLE, paired_p, rank_ranges, unpaired_p


def test_paired_p_is_scipys_paired_t_test_over_the_people_that_both_have():
    means = np.random.default_rng(0).normal(size=(12, 4)) + np.array([0, 0.5, 1, 1])
    means[3, 1] = means[7, 2] = np.nan
    p = paired_p(means)
    for i in range(4):
        for j in range(i + 1, 4):
            expected = stats.ttest_rel(means[:, i], means[:, j], nan_policy="omit").pvalue
            assert p[i, j] == p[j, i] == pytest.approx(expected, rel=1e-9)


def test_fewer_than_six_common_people_are_never_told_apart():
    means = np.zeros((MIN_PEOPLE, 2)) + np.array([0.0, 5.0])
    assert paired_p(means)[0, 1] == 0  # every person says the same
    means[0, 0] = np.nan
    assert paired_p(means)[0, 1] == 1
    assert MIN_PEOPLE == 6


def test_equal_methods_have_p_one():
    means = np.repeat(np.random.default_rng(0).normal(size=(10, 1)), 3, axis=1)
    assert (paired_p(means) == 1).all()


def test_unpaired_p_is_the_t_test_of_two_independent_values_with_known_errors():
    n, halves = 12, [1.0, 2.0]
    errors = np.array(halves) / stats.t.ppf(0.975, n - 1)
    expected = 2 * stats.t.sf(3.0 / np.hypot(*errors), n - 1)
    assert unpaired_p([10.0, 13.0], halves, [n, n], [0, 0])[0, 1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("halves", "people", "sizes"),
    [([None, 0.1], [12, 12], [9, 9]), ([0.1, 0.1], [5, 12], [9, 9]), ([0.1, 0.1], [12, 12], [9, 8])],
    ids=["no interval", "few people", "clouds of different size"],
)
def test_sets_that_do_not_compare_are_never_told_apart(halves, people, sizes):
    assert unpaired_p([10.0, 99.0], halves, people, sizes)[0, 1] == 1


def test_ranks_follow_the_direction():
    p = 1e-9 + np.eye(3)
    assert rank_ranges([3.0, 1.0, 2.0], p, "higher") == [(1, 1), (3, 3), (2, 2)]
    assert rank_ranges([3.0, 1.0, 2.0], p, "lower") == [(3, 3), (1, 1), (2, 2)]
    assert rank_ranges([], np.ones((0, 0)), "higher") == []
    assert rank_ranges([7.0], np.ones((1, 1)), "higher") == [(1, 1)]


def test_a_tie_with_two_that_are_told_apart_spans_both():
    p = np.array([[1, 0.9, 1e-6], [0.9, 1, 0.9], [1e-6, 0.9, 1]])
    assert rank_ranges([3.0, 2.0, 1.0], p, "higher") == [(1, 2), (1, 3), (2, 3)]


def test_methods_that_are_not_told_apart_always_share_places():
    rng = np.random.default_rng(5)
    pairs = list(zip(*np.triu_indices(9, 1), strict=True))
    ties = 0
    for _ in range(50):
        p = np.ones((9, 9))
        for i, j in pairs:
            p[i, j] = p[j, i] = rng.choice([1e-6, 0.5])
        ranges = rank_ranges(rng.normal(size=9).tolist(), p, "higher")
        for i, j in pairs:
            if p[i, j] > 0.05:
                ties += 1
                assert max(ranges[i][0], ranges[j][0]) <= min(ranges[i][1], ranges[j][1])
    assert ties > 500


def test_among_equal_methods_hardly_any_column_tells_two_apart():
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        means = rng.normal(size=(12, 8)) + rng.normal(size=(12, 1))
        values = means.mean(axis=0).tolist()
        wrong += any(found != (1, 8) for found in rank_ranges(values, paired_p(means), "higher"))
    assert wrong <= stats.binom.ppf(0.999, 300, 0.05)


def test_methods_far_apart_get_places_of_their_own():
    rng = np.random.default_rng(2)
    means = 0.1 * rng.normal(size=(12, 4)) + rng.normal(size=(12, 1)) + np.arange(4, 0, -1)
    assert rank_ranges(means.mean(axis=0).tolist(), paired_p(means), "higher") == [
        (i, i) for i in (1, 2, 3, 4)
    ]
