"""Motion from 30 to 25 frames a second and back: where it is exact, and how large the error can become."""

from __future__ import annotations

import numpy as np
import pytest
from made_smplx import random_motion
from scipy.spatial.transform import Rotation, Slerp

from baselines.motion.smplx_motion import SmplxMotion
from media.errors import AvatarBenchError


def swinging(times: np.ndarray, hertz: float, amplitude: float) -> SmplxMotion:
    """All joints swing about axes of their own, the pelvis about pi; an analytic motion."""
    rng = np.random.default_rng(3)
    axes = rng.normal(size=(55, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    phase = rng.uniform(0, 2 * np.pi, 55)
    angle = amplitude * np.sin(2 * np.pi * hertz * times[:, None] + phase)  # [T, 55]
    start = Rotation.from_rotvec(
        np.where(np.arange(55)[:, None] == 0, np.array([np.pi, 0, 0]), 0.4 * axes[::-1])
    )
    turns = [(Rotation.from_rotvec(a[:, None] * axes) * start).as_rotvec() for a in angle]
    way = 0.1 * np.sin(2 * np.pi * hertz * times)[:, None] * axes[0]
    return SmplxMotion(np.stack(turns), way, np.repeat(way, 10, 1), 30.0)


def angular_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    first, second = (Rotation.from_rotvec(r.reshape(-1, 3)) for r in (a, b))
    return (first.inv() * second).magnitude().reshape(a.shape[:-1])


@pytest.mark.parametrize(("hertz", "amplitude"), [(0.5, 0.8), (2.0, 0.5), (4.0, 0.15)])
def test_30_to_25_frames_a_second_errs_by_less_than_a_linear_interpolation_must(
    hertz: float, amplitude: float
):
    at_30, at_25 = (
        swinging(np.arange(121) / 30, hertz, amplitude),
        swinging(np.arange(100) / 25, hertz, amplitude),
    )
    resampled = at_30.resampled(25.0, 100)
    acceleration = amplitude * (2 * np.pi * hertz) ** 2
    error = angular_distance(resampled.rotations, at_25.rotations)
    assert error.max() <= acceleration / (8 * 30**2) * 1.0001
    assert error[::5].max() < 1e-12  # every fifth time is a frame of both
    bound = 0.1 * (2 * np.pi * hertz) ** 2 / (8 * 30**2)
    assert np.linalg.norm(resampled.translation - at_25.translation, axis=1).max() <= bound * 1.0001


def test_slerp_is_scipys():
    motion = random_motion(12)
    resampled = motion.resampled(25.0, 10)
    for joint in (0, 7, 30):
        reference = Slerp(np.arange(12) / 30, Rotation.from_rotvec(motion.rotations[:, joint]))(
            np.arange(10) / 25
        )
        assert angular_distance(resampled.rotations[:, joint], reference.as_rotvec()).max() < 1e-12


def test_a_turn_across_pi_takes_the_short_way():
    rotations = np.zeros((2, 55, 3))
    rotations[0, 0], rotations[1, 0] = (np.pi - 0.1, 0, 0), (-np.pi + 0.1, 0, 0)
    motion = SmplxMotion(rotations, np.zeros((2, 3)), np.zeros((2, 10)), 30.0)
    middle = motion.resampled(60.0, 3).rotations[1, 0]
    assert np.isclose(np.abs(middle[0]), np.pi, atol=1e-12)


def test_30_to_25_and_back_stays_within_the_two_bounds():
    hertz, amplitude = 2.0, 0.5
    motion = swinging(np.arange(121) / 30, hertz, amplitude)
    back = motion.resampled(25.0, 100).resampled(30.0, 118)
    bound = amplitude * (2 * np.pi * hertz) ** 2 / 8 * (1 / 30**2 + 1 / 25**2)
    assert angular_distance(back.rotations, motion.rotations[:118]).max() <= bound


def test_the_same_grid_is_the_same_to_the_bit():
    motion = random_motion(7)
    same = motion.resampled(30.0, 7)
    assert np.array_equal(same.rotations, motion.rotations)
    assert np.array_equal(same.translation, motion.translation)


def test_a_motion_is_never_frozen_to_fill_a_clip():
    motion = random_motion(30)
    assert motion.resampled(25.0, 25).n_frames == 25
    with pytest.raises(AvatarBenchError, match="E742") as raised:
        motion.resampled(25.0, 26)
    assert raised.value.expected == "31 frames at 30 a second"
