"""The statistics that judge motion must tell signal from chance, and a person from a still."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.stats import pearsonr

from reference_model.evaluation.curves import (
    blink_rate,
    closure_rates,
    lag_correlation,
    shift_control,
    travel_per_second,
)


@pytest.fixture()
def speech_like() -> np.ndarray:
    return gaussian_filter1d(np.random.default_rng(1).normal(size=500), 3)


def test_lag_zero_equals_scipy(speech_like: np.ndarray) -> None:
    noisy = speech_like + np.random.default_rng(2).normal(size=500) * 0.1
    assert lag_correlation(noisy, speech_like, max_lag=0).r == pytest.approx(
        pearsonr(noisy, speech_like).statistic
    )


@pytest.mark.parametrize("lag", [-2, 0, 2])
def test_the_lag_of_a_delayed_copy_is_found(speech_like: np.ndarray, lag: int) -> None:
    found = lag_correlation(np.roll(speech_like, lag)[5:-5], speech_like[5:-5])
    assert found.lag_frames == lag
    assert found.r > 0.999


def test_a_true_pair_stands_above_its_shifts_and_an_unrelated_pair_does_not(speech_like: np.ndarray) -> None:
    other = gaussian_filter1d(np.random.default_rng(3).normal(size=500), 3)
    related = speech_like + other
    chance = shift_control(related, speech_like)
    assert lag_correlation(related, speech_like).r > np.quantile(chance, 0.99)
    unrelated = shift_control(other, speech_like)
    assert lag_correlation(other, speech_like).r < np.quantile(unrelated, 0.99)


def test_a_constant_curve_has_no_correlation(speech_like: np.ndarray) -> None:
    assert lag_correlation(np.ones(500), speech_like).r == 0.0


def test_closures_are_recalled_where_the_gap_shuts_and_missed_where_it_does_not() -> None:
    gap = np.full(100, 1.0)
    gap[20:24] = 0.02
    closures = [(20 / 25, 24 / 25), (60 / 25, 64 / 25)]
    recall, false_closure = closure_rates(gap, 25, closures, vowels_s=[(1.6, 1.9), (20 / 25, 24 / 25)])
    assert recall == 0.5
    assert false_closure == 0.5


def test_a_still_mouth_recalls_nothing() -> None:
    assert closure_rates(np.full(50, 0.3), 25, [(0.5, 0.6)], [(1.0, 1.2)])[0] == 0.0


def test_five_blinks_in_twenty_seconds_are_fifteen_a_minute() -> None:
    opening = np.ones(500)
    for start in (40, 140, 240, 340, 440):
        opening[start : start + 5] = 0.1
    assert blink_rate(opening, 25) == 15.0
    assert blink_rate(np.ones(500), 25) == 0.0


def test_eyes_that_stay_shut_are_not_a_blink() -> None:
    opening = np.ones(500)
    opening[100:160] = 0.1
    assert blink_rate(opening, 25) == 0.0


def test_travel_of_a_circle_is_its_circumference() -> None:
    angle = np.linspace(0, 2 * np.pi, 251)
    circle = 100 * np.stack([np.cos(angle), np.sin(angle)], -1)
    travelled = travel_per_second(circle, scale=100.0, fps=25, smooth_frames=1)
    assert travelled == pytest.approx(2 * np.pi / (251 / 25), rel=1e-3)
    assert travel_per_second(np.zeros((50, 2)), 1.0, 25) == 0.0
