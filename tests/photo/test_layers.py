from __future__ import annotations

import numpy as np
import pytest

from reference_model.photo.layers import extend_foreground, paint_out


@pytest.fixture
def red_disc_on_green() -> tuple[np.ndarray, np.ndarray]:
    """A red disc with a soft rim on a green ground, and its matte."""
    y, x = np.mgrid[:256, :192]
    alpha = np.clip((70 - np.hypot(x - 96, y - 128)) / 6 + 0.5, 0, 1).astype(np.float32)
    red, green = np.array([210.0, 30, 30]), np.array([30.0, 160, 40])
    image = alpha[..., None] * red + (1 - alpha[..., None]) * green
    return image.astype(np.uint8), alpha


def test_the_persons_colours_reach_past_the_rim_without_a_trace_of_the_background(
    red_disc_on_green: tuple[np.ndarray, np.ndarray],
) -> None:
    image, alpha = red_disc_on_green
    extended = extend_foreground(image, alpha)

    assert np.abs(extended.astype(int) - [210, 30, 30]).max() <= 2
    assert np.array_equal(extended[128, 96], image[128, 96])


def test_the_person_is_painted_over_by_the_surroundings(
    red_disc_on_green: tuple[np.ndarray, np.ndarray],
) -> None:
    image, alpha = red_disc_on_green
    background = paint_out(image, alpha)

    assert background.shape == image.shape and background.dtype == np.uint8
    assert np.abs(background.astype(int) - [30, 160, 40]).max() <= 12
    far = np.zeros(alpha.shape, bool)
    far[:20] = True
    assert np.abs(background[far].astype(int) - image[far]).max() <= 1


def test_a_person_who_fills_the_picture_leaves_a_plain_ground() -> None:
    image = np.full((64, 48, 3), (90, 60, 30), np.uint8)
    background = paint_out(image, np.ones((64, 48), np.float32))

    assert np.abs(background.astype(int) - image).max() <= 1
