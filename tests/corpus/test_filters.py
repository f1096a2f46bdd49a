"""Filters: planted faults are found, clips without fault pass."""

from __future__ import annotations

import numpy as np
import pytest

from reference_model.corpus.pipeline.filters import best_shift, face_exposure, judge, loudness

GOOD = {
    "faces": [1, 1, 1, 1, 1],
    "hands_frames": 4,
    "hands_share": 0.75,
    "lip_correlation": 0.9,
    "shift_frames": 1,
    "face_luminance": 0.3,
    "clipped_share": 0.0,
    "poke_share": 0.0,
}


def test_a_good_clip_passes() -> None:
    assert judge(GOOD) == []
    assert judge(GOOD | {"hands_share": None, "poke_share": None}) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"faces": [1, 1, 0, 1, 1]}, "not exactly one face"),
        ({"faces": [1, 2, 1, 1, 1]}, "not exactly one face"),
        ({"hands_share": 0.2}, "hands not found"),
        ({"lip_correlation": 0.1}, "lips do not follow"),
        ({"shift_frames": -3}, "sound and picture apart"),
        ({"face_luminance": 0.02}, "face too dark or too light"),
        ({"clipped_share": 0.2}, "face burnt out"),
        ({"poke_share": 0.05}, "skin pokes through cloth"),
    ],
)
def test_each_fault_is_named(fault: dict, reason: str) -> None:
    assert judge(GOOD | fault) == [reason]


@pytest.mark.parametrize("shift", [-5, -1, 0, 2, 4])
def test_a_planted_shift_is_found_in_noise(shift: int) -> None:
    rng = np.random.default_rng(0)
    wanted = np.convolve(rng.random(120), np.ones(3) / 3, "same")
    measured = np.roll(wanted, shift) * 0.2 + 0.01 * rng.standard_normal(120)
    found, correlation = best_shift(measured[:75], wanted, 6)
    assert found == shift
    assert correlation > 0.9


def test_still_lips_have_no_correlation() -> None:
    assert best_shift(np.zeros(50), np.random.default_rng(0).random(50), 6) == (0, 0.0)


def test_loudness_is_the_rms_of_each_picture() -> None:
    sine = np.sin(2 * np.pi * 100 * np.arange(640 * 3) / 16_000).astype(np.float32)
    np.testing.assert_allclose(
        loudness(np.concatenate([np.zeros(640), sine]), 5), [0, *[0.7071] * 3, 0], atol=1e-3
    )


def test_exposure_is_measured_in_linear_light_inside_the_face_only() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[30:70, 30:70] = 128  # sRGB 128 is 0.2159 in linear light (IEC 61966-2-1)
    square = np.array([[34, 34], [65, 34], [65, 65], [34, 65]], float)
    luminance, burnt = face_exposure(picture, square)
    assert luminance == pytest.approx(0.2159, abs=1e-3)
    assert burnt == 0.0
