"""A motion as the folder that drives PERSONA (mks0601/PERSONA_RELEASE, avatar/main/animate.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from baselines.motion.anchor import Anchor, PinholeCamera, place, read_persona_anchor
from baselines.motion.canvas import centred_canvas
from baselines.motion.layout import SmplxModel, read_smplx_model
from baselines.motion.parameters import frames_of_motion, motion_of_frames
from baselines.motion.smplx_motion import SmplxMotion, with_hand_mean
from baselines.motion.stages import find_smplx_model, generated_motion, translation_mode

if TYPE_CHECKING:
    from baselines.external.declaration import Job

__all__ = ["persona_anchor", "read_folder", "smplx_model", "write_anchored", "write_folder", "write_motion"]

_EXPRESSION = 50


def write_motion(job: Job) -> None:
    """MotionCraft's motion, anchored where PERSONA's preprocessing sees the reference picture."""
    model = smplx_model(job)
    write_anchored(job, generated_motion(job, model), persona_anchor(job), model)


def persona_anchor(job: Job) -> Anchor:
    """The anchor from the stage `captured`."""
    captured = job.done["captured"]
    parameters, lens = captured / "smplx_params" / "0.json", captured / "cam_params" / "0.json"
    return read_persona_anchor(parameters, lens, job.identity.width, job.identity.height)


def write_anchored(job: Job, motion: SmplxMotion, anchor: Anchor, model: SmplxModel) -> None:
    """`motion/` and `canvas.json` of a motion on the sample's grid."""
    canvas = centred_canvas(anchor.camera)
    placed = place(motion, anchor, translation_mode(job))
    write_folder(job.folder / "motion", placed, canvas.camera(anchor.camera.focal), model.hand_mean)
    canvas.write(job.folder / "canvas.json")


def smplx_model(job: Job) -> SmplxModel:
    """The model file of the user's parameter or of the PERSONA checkout, whose layer is male."""
    folder = "avatar/common/utils/human_model_files/smplx"
    return read_smplx_model(find_smplx_model(job, folder, "MALE"))


def write_folder(folder: Path, motion: SmplxMotion, camera: PinholeCamera, hand_mean: np.ndarray) -> None:
    """Write parameters and cameras as `0.json` and on, and the picture whose size is the size of the render.

    Hands count from the mean hand (PERSONA's layer is built with `flat_hand_mean=False`). The first 50 coefficients of
    the expression are used, on FLAME 2020's basis.
    """
    for name in ("smplx/params", "cam_params", "images"):
        (folder / name).mkdir(parents=True)
    lens = {
        "R": np.eye(3).tolist(),
        "t": [0.0, 0.0, 0.0],
        "focal": list(camera.focal),
        "princpt": list(camera.principal),
    }
    relative = replace(motion, rotations=with_hand_mean(motion.rotations, hand_mean, -1))
    for i, frame in enumerate(frames_of_motion(relative, _EXPRESSION)):
        (folder / "smplx" / "params" / f"{i}.json").write_text(json.dumps(frame), encoding="utf-8")
        (folder / "cam_params" / f"{i}.json").write_text(json.dumps(lens), encoding="utf-8")
    blank = np.full((camera.height, camera.width, 3), 255, np.uint8)
    cv2.imwrite(str(folder / "images" / "0.png"), blank)


def read_folder(folder: Path, fps: float, hand_mean: np.ndarray) -> SmplxMotion:
    """A motion back from such a folder."""
    paths = sorted((folder / "smplx" / "params").glob("*.json"), key=lambda path: int(path.stem))
    motion = motion_of_frames([json.loads(path.read_text(encoding="utf-8")) for path in paths], fps)
    return replace(motion, rotations=with_hand_mean(motion.rotations, hand_mean, 1))
