"""PERSONA, driven by MotionCraft: an avatar optimised for hours on one picture, and a motion made of speech.

Written from `preprocess/tools/run_captured.py`, `run_generated.py`, `avatar/main/train.py` and `animate.py` of the
pinned commit. The first two end with exit code 0 when they fail, so that only their files count.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from baselines.external.declaration import (
    ExternalMethod,
    Job,
    Licence,
    Limit,
    Output,
    Requirement,
    Rule,
    Stage,
    Tool,
    Video,
    Weight,
    method_spec,
    reported_row,
)
from baselines.motioncraft import PARAMETERS, STAGE
from media.errors import AvatarBenchError

__all__ = ["PERSONA", "SPEC", "TOOL"]

_SUBJECTS = "preprocess/data/subjects"
_SUBJECT = "{checkout}/" + _SUBJECTS + "/{subject}"
_FITTED = _SUBJECT + "/captured/smplx_optimized"
_CONTAINER_FPS = 30  # whatever the motion's rate is
_DIGIT_PX, _TEXT_LEFT = 20, 0.025  # of the frame number that is drawn into each frame
_SOURCES = ("baselines/motion", "baselines/motioncraft.py", "baselines/persona.py")

TOOL = Tool(
    id="persona",
    title="PERSONA",
    repository="mks0601/PERSONA_RELEASE",
    commit="91fa553d730d339e779c8f559e556359c4af050b",
    paper="arxiv.org/abs/2508.09973",
    licence=Licence(
        "LicenseRef-none: the repository states no licence",
        "those of its parts: SMPL-X, FLAME, MANO, DECA, Stable Video Diffusion, Sapiens, SAM",
        "The repository has no licence file: all rights are reserved by default. Ask its authors before you use or "
        "pass on what it makes.",
    ),
    requirement=Requirement(
        "3.10",
        (
            "torch==2.6.0",
            "torchvision==0.21.0",
            "xformers==0.0.29.post3",
            "diffusers==0.27.0",
            "mmcv==2.1.0",
            "numpy<2",
        ),
        "not stated; Stable Video Diffusion and Sapiens-1B make 24 GB likely, and hours a person",
    ),
    files=(
        "preprocess/tools/run_captured.py",
        "preprocess/tools/run_generated.py",
        "avatar/main/train.py",
        "avatar/main/animate.py",
    ),
    weights=(Weight("avatar/common/utils/human_model_files/smplx", "human_model_files.zip of its README"),),
    faults=(
        Rule(
            r"something bad happened when",
            "E715",
            "stopped in one of its own steps, which its last lines name",
            "see the log: what the step printed stands above that sentence.",
        ),
    ),
)

PERSONA = ExternalMethod(
    id="persona",
    version="1",
    title="PERSONA, driven by MotionCraft",
    stages=(
        Stage(
            id="captured",
            scope="identity",
            write="baselines.persona:place_subject",
            tool=TOOL,
            command=("python", "run_captured.py", "--root_path", _SUBJECT),
            cwd="preprocess/tools",
            outputs=(
                Output("subject", "{inputs}/subject"),
                Output("smplx_params", _FITTED + "/smplx_params"),
                Output("cam_params", _SUBJECT + "/captured/cam_params"),
                *(
                    Output(name, f"{_FITTED}/{name}", copy=False)
                    for name in (
                        "shape_param.json",
                        "face_offset.json",
                        "joint_offset.json",
                        "smplx_texture_inpaint.png",
                        "smplx_seg_inpaint.png",
                        "smplx_texture_mask.png",
                    )
                ),
            ),
            sources=("baselines/persona.py",),
            limit=Limit(7200),
        ),
        Stage(
            id="generated",
            scope="identity",
            needs=("captured",),
            write="baselines.persona:name_subject",
            tool=TOOL,
            command=("python", "run_generated.py", "--root_path", _SUBJECT),
            cwd="preprocess/tools",
            outputs=tuple(
                Output(f"{split}-{name}", f"{_SUBJECT}/{split}/{path}", copy=False)
                for split in ("generated_0", "generated_1")
                for name, path in (
                    ("frames", "frame_idx_list.txt"),
                    ("texture", "smplx_optimized/smplx_texture_inpaint.png"),
                )
            ),
            sources=("baselines/persona.py",),
            limit=Limit(14400),
        ),
        Stage(
            id="avatar",
            scope="identity",
            needs=("captured", "generated"),
            write="baselines.persona:link_subject",
            tool=TOOL,
            command=("python", "train.py", "--subject_id", "{subject}"),
            cwd="avatar/main",
            outputs=(
                Output(
                    "snapshot", "{checkout}/avatar/output/model_dump/{subject}/snapshot_4.pth", copy=False
                ),
            ),
            sources=("baselines/persona.py",),
            limit=Limit(21600),
        ),
        STAGE,
        Stage(
            id="motion",
            scope="sample",
            needs=("captured", "motioncraft"),
            parameters=("translation", "smplx_model"),
            write="baselines.motion.persona:write_motion",
            tool=TOOL,
            sources=("baselines/motion",),
        ),
        Stage(
            id="persona",
            scope="sample",
            needs=("captured", "avatar", "motion"),
            write="baselines.persona:link_motion",
            tool=TOOL,
            command=(
                "python",
                "animate.py",
                "--subject_id",
                "{subject}",
                "--test_epoch",
                "4",
                "--motion_path",
                "{inputs}/{run}",
            ),
            cwd="avatar/main",
            outputs=(Output("video.mp4", "{checkout}/avatar/main/{subject}_{run}.mp4"),),
            sources=("baselines/persona.py",),
            limit=Limit(900, 30),
        ),
    ),
    read="baselines.persona:read_video",
    sources=_SOURCES,
    parameters=(("translation", "anchor_relative"), ("smplx_model", ""), *PARAMETERS),
    reported=reported_row(3.88, 2.58, 6.3, 6.8, 0.868, 0.51, 0.708, 17.2, 18.9, 345.0),
)

SPEC = method_spec(PERSONA, "baselines.persona:PERSONA")


def place_subject(job: Job) -> Mapping[str, str]:
    """The folder of a person where PERSONA looks for it, with the one picture; its name is ours alone."""
    assert job.checkout is not None
    subject = job.checkout / _SUBJECTS / job.run
    for leftover in (subject, job.checkout / "preprocess/output/result" / job.run):
        shutil.rmtree(leftover, ignore_errors=True)
    images = subject / "captured" / "images"
    images.mkdir(parents=True)
    shutil.copyfile(job.identity.reference_image, images / "0.png")
    (job.folder / "subject").write_text(job.run)
    return {"subject": job.run}


def name_subject(job: Job) -> Mapping[str, str]:
    """The person's name in PERSONA's folders."""
    return {"subject": (job.done["captured"] / "subject").read_text()}


def link_subject(job: Job) -> Mapping[str, str]:
    """The person's folder where the training looks for it; a former training that was cut off is removed."""
    assert job.checkout is not None
    subject = (job.done["captured"] / "subject").read_text()
    link = job.checkout / "avatar/data/subjects" / subject
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(job.checkout / _SUBJECTS / subject, target_is_directory=True)
    shutil.rmtree(job.checkout / "avatar/output/model_dump" / subject, ignore_errors=True)
    return {"subject": subject}


def link_motion(job: Job) -> Mapping[str, str]:
    """The motion under the job's name, from which PERSONA makes the name of its video."""
    (job.folder / job.run).symlink_to(job.done["motion"] / "motion", target_is_directory=True)
    return name_subject(job)


def read_video(job: Job) -> Video:
    """Each frame is the reference picture and, right of it, the render; a red frame number is drawn on the left.

    Raises:
        AvatarBenchError: E722 where that number would reach into the render.
    """
    from baselines.motion.canvas import read_canvas

    canvas, clip = read_canvas(job.done["motion"] / "canvas.json"), job.clip
    panel = int(clip.width / clip.height * canvas.height)
    total = panel + canvas.width
    text_end = _TEXT_LEFT * total + _DIGIT_PX * len(str(clip.n_frames - 1))
    if text_end > panel:
        raise AvatarBenchError(
            "E722",
            "the frame number that PERSONA draws would reach into the render",
            expected=f"a reference panel of at least {text_end:.0f} px",
            got=f"{panel} px",
        )
    return Video(
        path=job.done["persona"] / "video.mp4",
        size=(total, canvas.height),
        n_frames=clip.n_frames,
        fps=clip.fps,
        container_fps=_CONTAINER_FPS,
        region=(panel + canvas.x, canvas.y, canvas.w, canvas.h),
        tolerance=0,
        notes=(
            f"motion: MotionCraft, translation {job.parameters['translation']}; white background",
            "the panel with the reference picture was cut away",
        ),
    )
