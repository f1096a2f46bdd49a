"""Motion files: small, exact to a tenth of a milliradian, the same bytes each time."""

from __future__ import annotations

import numpy as np
import pytest

from reference_model.corpus.motion.animator import Motion
from reference_model.corpus.motion.motion_file import STEP, load_motion, save_motion


def test_a_motion_comes_back_within_half_a_step_and_resting_joints_exactly(tmp_path) -> None:
    rng = np.random.default_rng(0)
    actions = np.zeros((30, 52), np.float32)
    actions[:, [3, 40]] = rng.random((30, 2))
    rotations = np.zeros((30, 9, 3), np.float32)
    rotations[:, 4] = np.cumsum(rng.normal(scale=0.05, size=(30, 3)), 0) - 2.5
    save_motion(tmp_path / "a.npz", Motion(actions, rotations))
    again = load_motion(tmp_path / "a.npz")
    np.testing.assert_allclose(again.actions, actions, atol=0.51 * STEP)
    np.testing.assert_allclose(again.rotations, rotations, atol=0.51 * STEP)
    assert not again.rotations[:, [0, 8]].any()
    save_motion(tmp_path / "b.npz", Motion(actions, rotations))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_rotation_beyond_the_range_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="rotations"):
        save_motion(tmp_path / "a.npz", Motion(np.zeros((2, 52), np.float32), np.full((2, 3, 3), 4.0)))
    assert not list(tmp_path.iterdir())
