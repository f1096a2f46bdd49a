"""What the Python steps of external methods share: their parameters and the generated motion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baselines.motion.smplx_motion import SmplxMotion, read_motion_npz
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from baselines.external.declaration import Job, Value
    from baselines.motion.anchor import Translation
    from baselines.motion.layout import SmplxModel

__all__ = ["find_smplx_model", "generated_motion", "translation_mode"]


def generated_motion(job: Job, model: SmplxModel) -> SmplxMotion:
    """MotionCraft's motion on the sample's grid.

    Raises:
        AvatarBenchError: E741, not a motion; E742, too short.
    """
    motion = read_motion_npz(job.done["motioncraft"] / "motion.npz", model.hand_mean)
    return motion.resampled(job.clip.fps, job.clip.n_frames)


def translation_mode(job: Job) -> Translation:
    """The parameter `translation`.

    Raises:
        AvatarBenchError: E504, another value than there is.
    """
    value = job.parameters.get("translation", "anchor_relative")
    modes: dict[Value, Translation] = {"anchor_relative": "anchor_relative", "locked": "locked"}
    if value in modes:
        return modes[value]
    raise AvatarBenchError(
        "E504",
        "translation has a value that is not allowed",
        expected="anchor_relative or locked",
        got=str(value),
    )


def find_smplx_model(job: Job, folder: str, gender: str) -> Path:
    """The model file that the user names, or the checkout's own.

    Args:
        job: Its parameter `smplx_model` is a path, or "" to look in the checkout.
        folder: Where the checkout keeps its model files.
        gender: Part of the file's name, "NEUTRAL" or "MALE"; any other model there is second best, for the mean hands
            and the skeleton of all of them are close.

    Raises:
        AvatarBenchError: E744, there is none.
    """
    named = str(job.parameters.get("smplx_model", ""))
    if named:
        return Path(named).expanduser()
    assert job.checkout is not None
    found = sorted((job.checkout / folder).glob("SMPLX_*.npz"))
    if not found:
        raise AvatarBenchError(
            "E744",
            "the checkout has no SMPL-X model file",
            where=job.checkout / folder,
            expected=f"SMPLX_{gender}.npz",
            fix="put it there, or name one with the parameter smplx_model; see docs/baselines.md",
        )
    return next((path for path in found if gender in path.stem), found[0])
