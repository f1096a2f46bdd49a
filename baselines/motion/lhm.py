"""A motion as the folder that drives LHM (aigc3d/LHM, `prepare_motion_seqs` of LHM/runners/infer/utils.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.motion.anchor import Anchor, PinholeCamera, place, read_lhm_anchor
from baselines.motion.canvas import centred_canvas
from baselines.motion.layout import SmplxModel, read_smplx_model
from baselines.motion.parameters import frames_of_motion, motion_of_frames
from baselines.motion.smplx_motion import SmplxMotion
from baselines.motion.stages import find_smplx_model, generated_motion, translation_mode

if TYPE_CHECKING:
    from baselines.external.declaration import Job

__all__ = ["lhm_anchor", "read_folder", "smplx_model", "write_anchored", "write_folder", "write_motion"]

# LHM reads so many and uses neither: the shape is the picture's own, the expression zero.
_BETAS, _EXPRESSION = 10, 100


def write_motion(job: Job) -> None:
    """MotionCraft's motion, anchored where LHM's tracker sees the reference picture."""
    write_anchored(job, generated_motion(job, smplx_model(job)), lhm_anchor(job))


def lhm_anchor(job: Job) -> Anchor:
    """The anchor from the stage of that name."""
    return read_lhm_anchor(job.done["anchor"] / "smplx_params" / "00001.json")


def write_anchored(job: Job, motion: SmplxMotion, anchor: Anchor) -> None:
    """`motion/smplx_params/` and `canvas.json` of a motion on the sample's grid."""
    canvas = centred_canvas(anchor.camera)
    placed = place(motion, anchor, translation_mode(job))
    write_folder(job.folder / "motion" / "smplx_params", placed, canvas.camera(anchor.camera.focal))
    canvas.write(job.folder / "canvas.json")


def smplx_model(job: Job) -> SmplxModel:
    """The model file of the user's parameter or of the LHM checkout."""
    return read_smplx_model(find_smplx_model(job, "pretrained_models/human_model_files/smplx", "NEUTRAL"))


def write_folder(folder: Path, motion: SmplxMotion, camera: PinholeCamera) -> None:
    """Write `00001.json` and on: one file a frame, read in the order of their names.

    Hands as they act (LHM's layer is built with `flat_hand_mean=True`). The expression never reaches LHM's renderer.
    """
    folder.mkdir(parents=True)
    fixed = {
        "focal": list(camera.focal),
        "princpt": list(camera.principal),
        "img_size_wh": [camera.width, camera.height],
        "pad_ratio": 0.0,
        "betas": [0.0] * _BETAS,
    }
    for i, frame in enumerate(frames_of_motion(motion, _EXPRESSION), start=1):
        (folder / f"{i:05d}.json").write_text(json.dumps(fixed | frame), encoding="utf-8")


def read_folder(folder: Path, fps: float) -> SmplxMotion:
    """A motion back from such a folder, of LHM's own tracker, too."""
    frames = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return motion_of_frames(frames, fps)
