"""`lhm+gt_pose` and `persona+gt_pose`: their avatars, moved by the true video's pose instead of MotionCraft's.

Beside `ours+gt_pose` these rows compare avatars and renderers under the same motion. They see the truth, so they are
oracles. The motion is our own track converted to SMPL-X (`baselines/motion/retarget.py` says what that approximates),
unless the parameter `smplx_tracks` names a folder of `<sample_id>.npz` from an SMPL-X tracker.
"""

from __future__ import annotations

from dataclasses import replace

from baselines.external.declaration import ExternalMethod, Job, Stage, Video, method_spec
from baselines.lhm import LHM
from baselines.motion.true_pose import TRACKING_SOURCES
from baselines.persona import PERSONA

__all__ = ["LHM_GT_POSE", "LHM_SPEC", "PERSONA_GT_POSE", "PERSONA_SPEC"]

_SOURCES = (
    "baselines/gt_pose_external.py",
    "baselines/lhm.py",
    "baselines/motion",
    "baselines/motioncraft.py",
    "baselines/persona.py",
)
_PARAMETERS = ("translation", "smplx_model", "smplx_tracks")


def _with_true_pose(method: ExternalMethod, title: str, write: str, read: str) -> ExternalMethod:
    """The method without its speech-to-motion stage, its stage `motion` made from the true video."""
    stages = tuple(
        replace(
            stage,
            scope="truth",
            needs=tuple(name for name in stage.needs if name != "motioncraft"),
            parameters=_PARAMETERS,
            write=write,
            sources=(*TRACKING_SOURCES, "baselines/motion"),
        )
        if stage.id == "motion"
        else _after_the_truth(stage)
        for stage in method.stages
        if stage.id != "motioncraft"
    )
    parameters = tuple(
        (name, value) for name, value in method.parameters if name not in ("pre_frames", "textgrids")
    )
    return replace(
        method,
        id=f"{method.id}+gt_pose",
        version=f"{method.version}.1",
        title=title,
        stages=stages,
        read=read,
        sources=tuple(sorted({*method.sources, *TRACKING_SOURCES, *_SOURCES})),
        parameters=(*parameters, ("smplx_tracks", "")),
        privileged=True,
        reported=(),
    )


def _after_the_truth(stage: Stage) -> Stage:
    """What is made of the true motion sees the truth, too."""
    return replace(stage, scope="truth") if stage.scope == "sample" else stage


LHM_GT_POSE = _with_true_pose(
    LHM,
    "LHM 1B, driven by the pose of the true video",
    "baselines.motion.truth:write_lhm_motion",
    "baselines.gt_pose_external:read_lhm_video",
)
PERSONA_GT_POSE = _with_true_pose(
    PERSONA,
    "PERSONA, driven by the pose of the true video",
    "baselines.motion.truth:write_persona_motion",
    "baselines.gt_pose_external:read_persona_video",
)
LHM_SPEC = method_spec(LHM_GT_POSE, "baselines.gt_pose_external:LHM_GT_POSE")
PERSONA_SPEC = method_spec(PERSONA_GT_POSE, "baselines.gt_pose_external:PERSONA_GT_POSE")


def read_lhm_video(job: Job) -> Video:
    """LHM's video; the notes name the true motion."""
    from baselines.lhm import read_video

    return _noted(job, read_video(job))


def read_persona_video(job: Job) -> Video:
    """PERSONA's video; the notes name the true motion."""
    from baselines.persona import read_video

    return _noted(job, read_video(job))


def _noted(job: Job, video: Video) -> Video:
    source = (
        "the user's SMPL-X tracks" if job.parameters["smplx_tracks"] else "our track, converted to SMPL-X"
    )
    notes = tuple(
        note.replace("motion: MotionCraft", f"motion: the true video's, {source}") for note in video.notes
    )
    return replace(video, notes=notes)
