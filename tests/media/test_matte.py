"""`media.matte.refine_matte`: a coarse mask becomes an alpha on the picture's edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from media.matte import refine_matte


def figure(height: int = 512, width: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """A textured figure with an arm beside a torso and five fingers, and its true alpha.

    Returns:
        Image [H, W, 3] uint8 and alpha [H, W] float32.
    """
    s = height / 512
    shape = np.zeros((height * 4, width * 4), np.uint8)  # drawn four times too large, for a soft true edge

    def at(*xy: float) -> tuple[int, int]:
        return round(4 * s * xy[0]), round(4 * s * xy[1])

    cv2.circle(shape, at(192, 90), at(50, 0)[0], (255,), -1)
    cv2.rectangle(shape, at(150, 150), at(254, 511), (255,), -1)
    cv2.rectangle(shape, at(172, 120), at(212, 160), (255,), -1)
    cv2.line(shape, at(145, 170), at(90, 330), (255,), at(30, 0)[0])
    for k in range(5):
        cv2.line(shape, at(90, 330), at(40 + 22 * k, 400), (255,), at(9, 0)[0])
    alpha = cv2.resize(shape, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    random = np.random.default_rng(0)
    noise = cv2.GaussianBlur(random.normal(0, 40, (height, width, 3)), (0, 0), 2)
    person, room = np.array([190.0, 120.0, 90.0]) + noise, np.array([70.0, 90.0, 120.0]) - noise
    image = alpha[..., None] * person + (1 - alpha[..., None]) * room
    return np.clip(image, 0, 255).astype(np.uint8), alpha


def coarse(alpha: np.ndarray) -> np.ndarray:
    """The mask as a segmentation network of 256 px sees it: too wide by some px, blurred, in small steps."""
    side = max(alpha.shape)
    fat = cv2.dilate(alpha, np.ones((max(side // 100, 1),) * 2, np.uint8))
    small = cv2.resize(fat, (192, 256), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.0), alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("size", [(512, 384), (1024, 768)])
def test_error_of_the_coarse_mask_falls_to_under_a_third(size: tuple[int, int]) -> None:
    image, truth = figure(*size)
    mask = coarse(truth)
    refined = refine_matte(image, mask)
    assert refined.shape == size and refined.dtype == np.float32
    assert refined.min() >= 0 and refined.max() <= 1
    before, after = np.abs(mask - truth).mean(), np.abs(refined - truth).mean()
    assert after < before / 3


def test_gap_between_arm_and_torso_and_between_fingers_opens() -> None:
    image, truth = figure()
    mask = coarse(truth)
    refined = refine_matte(image, mask)
    for x, y in ((146, 225), (77, 385), (94, 385)):  # beside the arm, between fingers
        assert truth[y, x] == 0 and mask[y, x] > 0.05
        assert refined[y, x] < 0.05
    assert refined[385:392][truth[385:392] == 1].mean() > 0.9  # the fingers themselves stay


def test_only_the_largest_part_is_kept() -> None:
    image, truth = figure()
    mask = coarse(truth)
    mask[20:60, 320:360] = 1.0
    image[20:60, 320:360] = (200, 30, 30)
    refined = refine_matte(image, mask)
    assert refined[10:70, 310:370].max() == 0
    assert refined[90, 192] == 1


def test_the_same_bytes_come_out_whatever_ran_before() -> None:
    image, truth = figure()
    first = refine_matte(image, coarse(truth))
    cv2.setRNGSeed(7)
    refine_matte(image[:, ::-1].copy(), coarse(truth[:, ::-1].copy()))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        np.testing.assert_array_equal(refine_matte(image, coarse(truth)), first)
    finally:
        cv2.setNumThreads(threads)


def test_nobody_and_nothing_but_person_are_served() -> None:
    image, truth = figure()
    assert refine_matte(image, np.zeros_like(truth)).max() == 0
    assert refine_matte(image, np.ones_like(truth)).min() == 1
