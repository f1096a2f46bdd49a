"""PSNR, SSIM, HKC and HKV against outside references and known answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmark.extractors import GaussianSsim, Networks, PixelError
from benchmark.metrics.definition import Observations
from benchmark.metrics.hands import hkc, hkv_std, hkv_var, track_hands
from benchmark.metrics.reconstruction import psnr, ssim
from benchmark.metrics.reduction import mean_over_identities


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Three frames of smooth noise and noisier copies, [3, 64, 48, 3] uint8."""
    rng = np.random.default_rng(0)
    truth = np.stack(
        [cv2.GaussianBlur(rng.integers(0, 256, (64, 48, 3), np.uint8), (0, 0), 1.5) for _ in range(3)]
    )
    noise = rng.normal(0, np.array([2, 6, 12])[:, None, None, None], truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth


def observed(pair: tuple[np.ndarray, np.ndarray]) -> Observations:
    extractors = {"pixel_error": PixelError(Networks()), "ssim_gauss11": GaussianSsim(Networks())}
    for extractor in extractors.values():
        for prediction, truth in zip(*pair, strict=True):
            extractor.add(prediction, truth)
    arrays = {name: extractor.arrays() for name, extractor in extractors.items()}
    return Observations(prediction={}, truth={}, pair=arrays, width=48, height=64)


def test_psnr_is_the_mean_of_the_frames_psnr_of_skimage(pair):
    expected = np.mean([peak_signal_noise_ratio(t, p, data_range=255) for p, t in zip(*pair, strict=True)])
    measured = psnr(observed(pair))
    assert measured.value == pytest.approx(expected, abs=1e-10)
    assert (measured.n_valid, measured.n_total) == (3, 3)


def test_psnr_of_equal_videos_is_null_and_says_why(pair):
    measured = psnr(observed((pair[1], pair[1])))
    assert (measured.value, measured.status, measured.reason) == (None, "ok", "identical")


def test_equal_frames_do_not_raise_psnr(pair):
    prediction, truth = pair[0].copy(), pair[1]
    prediction[0] = truth[0]
    measured = psnr(observed((prediction, truth)))
    assert measured.value is not None
    assert (measured.n_valid, measured.n_total) == (2, 3)


def test_ssim_equals_torchmetrics_on_the_full_frame(pair):
    prediction, truth = (torch.from_numpy(video).permute(0, 3, 1, 2).double() / 255 for video in pair)
    expected = structural_similarity_index_measure(prediction, truth, sigma=1.5, data_range=1.0)
    assert ssim(observed(pair)).value == pytest.approx(float(expected), abs=1e-9)


def test_ssim_equals_skimage_where_the_border_plays_no_part(pair):
    truth = pair[1][0]
    prediction = truth.copy()
    centre = (
        slice(16, -16),
        slice(16, -16),
    )  # SSIM is 1 further out than the window reaches, whatever the border
    prediction[centre] = pair[0][2][centre]
    expected = structural_similarity(
        truth.astype(float),
        prediction.astype(float),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
        full=True,
    )[1].mean()
    assert expected < 0.95
    assert ssim(observed((prediction[None], truth[None]))).value == pytest.approx(expected, abs=1e-9)


def hands(score: list[list[float]], points: np.ndarray | None = None) -> dict[str, dict[str, np.ndarray]]:
    array = np.array(score, np.float32)
    where = np.zeros((*array.shape, 21, 2), np.float32) if points is None else points.astype(np.float32)
    return {"hands_mp": {"score": array, "points": np.where(np.isnan(array)[..., None, None], np.nan, where)}}


def hand_observations(prediction: dict, truth: dict, side: int = 512) -> Observations:
    return Observations(prediction=prediction, truth=truth, pair={}, width=side, height=side)


NONE = float("nan")


def test_hkc_counts_a_missed_hand_as_zero_and_ignores_surplus_hands():
    truth = hands([[0.9, 0.9], [0.9, NONE], [NONE, NONE]])  # 2 + 1 + 0 hands expected
    seen = hands([[NONE, 0.8], [0.6, 0.7], [0.9, 0.9]])
    measured = hkc(hand_observations(seen, truth))
    assert measured.value == pytest.approx((0.8 + 0.0 + 0.7) / 3)
    assert (measured.n_valid, measured.n_total) == (2, 3)


def test_hkc_of_hands_that_vanish_is_zero_and_without_true_hands_it_does_not_apply():
    nobody = hands([[NONE, NONE]] * 4)
    both = hands([[0.9, 0.9]] * 4)
    assert hkc(hand_observations(nobody, both)).value == 0.0
    measured = hkc(hand_observations(both, nobody))
    assert (measured.value, measured.status, measured.reason) == (None, "not_applicable", "no_hands")


def swinging(amplitude: float, n_frames: int = 200) -> np.ndarray:
    """Two hands, the left one swinging in x by a whole number of sine periods, [T, 2, 21, 2] px."""
    rest = np.array([[150.0, 300.0], [350.0, 300.0]])[None, :, None] + np.zeros((n_frames, 2, 21, 2))
    rest[:, 0, :, 0] += amplitude * np.sin(2 * np.pi * np.arange(n_frames) / 50)[:, None]
    return rest


@pytest.mark.parametrize("side", [512, 384])
def test_hkv_of_a_sine_is_half_its_squared_amplitude_at_short_side_512(side: int):
    amplitude = 20.0
    seen = hands([[0.9, 0.9]] * 200, swinging(amplitude) * side / 512)
    observations = hand_observations(seen, seen, side)
    assert hkv_var(observations).value == pytest.approx((amplitude**2 / 2 + 0) / 2, rel=1e-4)
    assert hkv_std(observations).value == pytest.approx(amplitude / np.sqrt(2) / 2, rel=1e-4)


def test_hkv_does_not_change_when_the_detector_swaps_or_drops_hands():
    points = swinging(20.0)
    rng = np.random.default_rng(0)
    shuffled, score = points.copy(), np.full((200, 2), 0.9)
    for frame in range(200):
        if rng.random() < 0.5:
            shuffled[frame] = shuffled[frame, ::-1]
        if rng.random() < 0.2:
            score[frame, rng.integers(2)] = NONE
    steady = hands([[0.9, 0.9]] * 200, points)
    wild = hands(score.tolist(), shuffled)
    expected = hkv_std(hand_observations(steady, steady)).value
    assert hkv_std(hand_observations(wild, wild)).value == pytest.approx(expected, rel=0.05)


def test_tracks_follow_hands_that_change_places_slowly():
    n = 100
    left_to_right = np.linspace(100, 400, n)
    points = np.zeros((n, 2, 21, 2))
    points[:, 0, :, 0], points[:, 1, :, 0] = left_to_right[:, None], left_to_right[::-1, None]
    points[:, 1, :, 1] = 80  # they pass above each other
    tracks = track_hands(points, np.ones((n, 2), bool))
    assert np.allclose(tracks[:, 0, 0, 0], left_to_right)


def test_hkv_needs_hands_in_half_of_the_frames():
    rare = hands([[0.9, NONE]] * 40 + [[NONE, NONE]] * 60)
    steady = hands([[0.9, NONE]] * 100)
    measured = hkv_std(hand_observations(rare, steady))
    assert (measured.value, measured.status, measured.reason) == (None, "undetected", "no_hands")
    assert (measured.n_valid, measured.n_total) == (40, 100)


def test_a_person_with_many_clips_does_not_weigh_more():
    assert mean_over_identities({"a": [1.0, 1.0, 1.0, 1.0], "b": [3.0]}) == 2.0
