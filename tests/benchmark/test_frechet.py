"""Frechet and kernel distances against scipy, torchmetrics and torch-fidelity, and their uncertainty."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from made_runs import FRECHET, KERNEL, people_features, set_metric
from scipy import linalg
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from benchmark.frechet import frechet_distance, kernel_distance
from benchmark.metrics.definition import SetMetric
from benchmark.set_metrics import by_identity, compare_sets, require_same_n, set_value
from media.errors import AvatarBenchError


def cloud(seed: int, n: int, d: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Correlated features with a decaying spectrum, [n, d]."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d)) * np.exp(-np.arange(d) / d * 4)[:, None]
    return shift + scale * rng.normal(size=(n, d)) @ mixing


def reference_frechet(x: np.ndarray, y: np.ndarray) -> float:
    """As pytorch-fid computes it: covariances over n - 1 and scipy's square root of a matrix."""
    root = linalg.sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False))
    offset = x.mean(axis=0) - y.mean(axis=0)
    spread = np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False))
    return float(offset @ offset + spread - 2 * np.trace(root).real)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 400, 32), (33, 200, 32), (500, 500, 100)])
def test_frechet_equals_scipys_square_root_when_n_is_above_d(n: int, m: int, d: int):
    x, y = cloud(0, n, d), cloud(1, m, d, shift=0.2, scale=1.1)
    assert frechet_distance(x, y) == pytest.approx(reference_frechet(x, y), rel=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 25, 64), (20, 200, 64), (200, 20, 64)])
def test_frechet_equals_scipys_square_root_when_n_is_below_d(n: int, m: int, d: int):
    x, y = cloud(0, n, d), cloud(1, m, d, shift=0.2, scale=1.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy says that the matrix is singular, as it is
        expected = reference_frechet(x, y)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_frechet_equals_torchmetrics():
    x, y = cloud(0, 300, 32), cloud(1, 300, 32, shift=0.3)
    moments = [(torch.from_numpy(f.mean(axis=0)), torch.from_numpy(np.cov(f, rowvar=False))) for f in (x, y)]
    expected = float(_compute_fid(*moments[0], *moments[1]))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_has_its_closed_form_for_scaled_and_shifted_clouds():
    """y = a x + b: |mean|^2 of the shift plus (a - 1)^2 tr S."""
    x = cloud(0, 50, 64)
    y = 1.5 * x + 0.25
    offset = y.mean(axis=0) - x.mean(axis=0)
    expected = offset @ offset + 0.25 * np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(40, 100), (400, 100)])
def test_frechet_of_equal_clouds_is_zero(n: int, d: int):
    x = cloud(0, n, d)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-10 * np.trace(np.cov(x, rowvar=False)))


def test_features_far_from_zero_lose_no_digits():
    x, y = cloud(0, 60, 32), cloud(1, 60, 32, shift=0.3)
    assert frechet_distance(x + 1e5, y + 1e5) == pytest.approx(frechet_distance(x, y), rel=1e-6)


def test_frechet_of_the_same_distributions_falls_with_n_and_the_kernel_distance_does_not():
    frechet, kernel = {}, {}
    for n in (50, 400):
        pairs = [(cloud(seed, n, 64), cloud(seed + 1000, n, 64)) for seed in range(12)]
        frechet[n] = np.mean([frechet_distance(x, y) for x, y in pairs])
        values = [kernel_distance(x, y) for x, y in pairs]
        kernel[n] = np.mean(values), np.std(values) / np.sqrt(len(values))
    assert frechet[50] > 4 * frechet[400]
    for mean, error in kernel.values():
        assert abs(mean) < 4 * error


def test_kernel_distance_equals_torchmetrics_on_all_features():
    x, y = cloud(0, 120, 32), cloud(1, 120, 32, shift=0.3)
    expected = float(poly_mmd(torch.from_numpy(y), torch.from_numpy(x)))
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_equals_torch_fidelity_with_one_subset_of_all_features():
    fidelity = pytest.importorskip("torch_fidelity.metric_kid", reason="needs torch-fidelity (extra paper)")
    x, y = cloud(0, 120, 32), cloud(1, 120, 32, shift=0.3)
    found = fidelity.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=120, verbose=False
    )
    assert kernel_distance(x, y) == pytest.approx(found["kernel_inception_distance_mean"], rel=1e-10)


def test_kernel_distance_is_what_random_subsets_estimate():
    fidelity = pytest.importorskip("torch_fidelity.metric_kid", reason="needs torch-fidelity (extra paper)")
    x, y = cloud(0, 300, 16), cloud(1, 300, 16, shift=0.5)
    found = fidelity.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=400, kid_subset_size=100, verbose=False
    )
    error = found["kernel_inception_distance_std"] / np.sqrt(400)
    assert abs(kernel_distance(x, y) - found["kernel_inception_distance_mean"]) < 4 * error


def test_kernel_distance_of_clouds_of_unequal_size_is_the_sum_over_pairs():
    x, y = cloud(0, 9, 4), cloud(1, 7, 4, shift=0.3)
    kernel = lambda a, b: (a @ b / 4 + 1) ** 3  # noqa: E731
    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-10)


@pytest.mark.parametrize("metric", [FRECHET, KERNEL], ids=lambda metric: metric.column)
def test_unions_of_groups_give_the_distance_of_the_joined_features(metric: SetMetric):
    groups = [cloud(seed, n, 16, shift=0.1 * seed) for seed, n in enumerate((5, 30, 8, 12))]
    between = metric.groups(groups)
    for first, second in (([0, 1], [2, 3]), ([3], [1, 0, 2]), ([1], [1])):
        joined = [np.concatenate([groups[index] for index in chosen]) for chosen in (first, second)]
        assert between(first, second) == pytest.approx(metric.distance(*joined), rel=1e-9, abs=1e-9)


def test_the_number_of_threads_changes_no_bit_and_is_left_as_it_was():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 600, 400))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append((frechet_distance(x, y), kernel_distance(x, y)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5, 3))])
@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_clouds_that_cannot_be_compared_are_refused(distance, shapes):
    with pytest.raises(ValueError, match=r"must be \[n, d\]"):
        distance(*(np.zeros(shape) for shape in shapes))


# ---- Uncertainty: 24 people with 4 clips each, features of a person alike


def joined(features: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(list(features.values()))


def test_the_naive_bootstrap_interval_misses_the_frechet_distance_and_the_jackknifes_holds_it():
    """Drawing people with repetition repeats rows and so lowers the rank of the covariance.

    Each replicate is therefore further from the truth than the sample itself: all of them lie above the value.
    """
    method, truth = people_features(0, shift=0.1), people_features(1)
    value, interval = set_value(FRECHET, method, truth)
    rng = np.random.default_rng(2)
    replicates = []
    for _ in range(200):
        drawn = rng.choice(list(method), len(method))
        replicates.append(
            frechet_distance(joined({str(i): method[p] for i, p in enumerate(drawn)}), joined(truth))
        )
    low, high = np.percentile(replicates, [2.5, 97.5])
    assert value < min(replicates) < low < high
    assert interval.low < value < interval.high


def test_the_jackknife_error_is_of_the_order_of_the_true_one():
    def value_and_error(seed: int) -> tuple[float, float]:
        found = set_value(FRECHET, people_features(2 * seed, shift=0.1), people_features(2 * seed + 1))
        half = (found.interval.high - found.interval.low) / 2
        return found.value, half / 2.0687  # t of 23 degrees of freedom

    drawn = np.array([value_and_error(seed) for seed in range(30)])
    true_error, said = drawn[:, 0].std(ddof=1), drawn[:, 1].mean()
    assert 0.7 < said / true_error < 2.5


def test_two_people_have_an_interval_and_one_has_none():
    two = set_value(KERNEL, people_features(0, n_people=2), people_features(1, n_people=2))
    assert two.interval is not None and two.interval.low < two.value < two.interval.high
    assert set_value(KERNEL, people_features(0, n_people=1), people_features(1, n_people=1)).interval is None
    assert set_value(KERNEL, {"p00": np.zeros((1, 4))}, people_features(1, d=4)) is None


@pytest.mark.parametrize("metric", [FRECHET, KERNEL], ids=lambda metric: metric.column)
def test_a_worse_method_is_found_and_an_equally_good_one_is_not(metric: SetMetric):
    truth = people_features(0, n_people=8)
    good, bad, alike = (
        people_features(seed, shift, n_people=8) for seed, shift in ((1, 0.0), (2, 0.6), (3, 0.0))
    )
    worse = compare_sets(metric, good, bad, truth)
    assert worse.value_a < worse.value_b
    assert worse.interval.high < 0
    assert worse.test() == 2 / 2**8
    assert compare_sets(metric, good, alike, truth).test() > 0.1


def test_the_test_exchanges_the_features_of_whole_people():
    """p by hand: all 2^n exchanges, each distance from the features themselves."""
    truth, a, b = (
        people_features(0, n_people=5),
        people_features(1, n_people=5),
        people_features(2, 0.15, n_people=5),
    )
    changes = []
    for code in range(2**5):
        swapped = {person: bool(code >> index & 1) for index, person in enumerate(a)}
        first = joined({p: (b if swapped[p] else a)[p] for p in a})
        second = joined({p: (a if swapped[p] else b)[p] for p in a})
        changes.append(abs(frechet_distance(first, joined(truth)) - frechet_distance(second, joined(truth))))
    expected = np.mean(np.array(changes) >= changes[0] - 1e-9)
    assert compare_sets(FRECHET, a, b, truth).test() == pytest.approx(expected)


def test_a_metric_without_a_fast_path_gives_the_same():
    truth, a, b = (
        people_features(0, n_people=4),
        people_features(1, n_people=4),
        people_features(2, 0.3, n_people=4),
    )
    fast, plain = (compare_sets(set_metric("kd", groups=fast), a, b, truth) for fast in (True, False))
    assert fast[:2] == pytest.approx(plain[:2], rel=1e-9)
    assert fast.interval == pytest.approx(plain.interval, rel=1e-9)


def test_clouds_of_different_size_are_refused():
    a, b = people_features(0, n_people=3), people_features(1, n_people=3)
    require_same_n(FRECHET, a, b, ("ours", "other"))
    b["p01"] = b["p01"][:3]
    with pytest.raises(AvatarBenchError, match="E505") as refusal:
        require_same_n(FRECHET, a, b, ("ours", "other"))
    assert "ours has 12 in all, 4 of p01" in str(refusal.value)
    assert "other has 11 in all, 3 of p01" in str(refusal.value)


def test_clips_are_joined_by_person_in_one_order():
    samples = {
        "b_2": np.full((2, 3), 2.0),
        "a_1": np.ones((1, 3)),
        "b_1": np.zeros((1, 3)),
        "c": np.zeros((0, 3)),
    }
    found = by_identity(samples, {"a_1": "ann", "b_1": "bo", "b_2": "bo", "c": "cy"})
    assert list(found) == ["ann", "bo"]
    assert found["bo"][:, 0].tolist() == [0.0, 2.0, 2.0]
