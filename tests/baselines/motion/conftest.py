"""What the tests of motion conversion share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_smplx import write_model

from baselines.motion.layout import N_JOINTS
from baselines.motion.smplx_motion import SmplxMotion


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("human_model_files") / "smplx" / "SMPLX_NEUTRAL.npz")


def random_motion(n_frames: int = 5, fps: float = 30.0, seed: int = 0) -> SmplxMotion:
    rng = np.random.default_rng(seed)
    return SmplxMotion(
        rng.normal(0.0, 0.6, (n_frames, N_JOINTS, 3)),
        rng.normal((0.0, 1.3, 0.0), 0.3, (n_frames, 3)),
        rng.normal(0.0, 1.0, (n_frames, 100)),
        fps,
    )
