"""LHM, driven by MotionCraft: speech to motion, and the motion to the Gaussians that LHM makes of one picture.

LHM's renderer takes no expression: only the jaw opens. Written from `LHM/runners/infer/human_lrm.py`,
`LHM/runners/infer/utils.py` and `engine/pose_estimation/video2motion.py` of the pinned commit.
"""

from __future__ import annotations

import shutil

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

__all__ = ["LHM", "SPEC", "TOOL"]

_STILL_FRAMES = 8
_SOURCES = ("baselines/lhm.py", "baselines/motion", "baselines/motioncraft.py")
_PRIOR = "LHM_prior_model.tar, linked in its README"

TOOL = Tool(
    id="lhm",
    title="LHM",
    repository="aigc3d/LHM",
    commit="b31e76aab0982e01c90bc9ebf8646c746c0ae97b",
    paper="arxiv.org/abs/2503.10625",
    licence=Licence(
        "Apache-2.0",
        "CC-BY-NC-4.0; SMPL-X, FLAME, Multi-HMR and the Gaussian rasteriser have terms of their own",
        "LHM's weights are for research only (CC BY-NC 4.0).",
    ),
    requirement=Requirement(
        "3.10",
        (
            "torch==2.3.0",
            "torchvision==0.18.0",
            "xformers==0.0.26.post1",
            "numpy==1.23.0",
            "transformers==4.41.2",
        ),
        "22 GB (1B), 18 GB (500M), 16 GB (MINI); more for large pictures",
    ),
    files=("LHM/launch.py", "engine/pose_estimation/video2motion.py"),
    weights=(
        Weight("pretrained_models/human_model_files/pose_estimate/multiHMR_896_L.pt", _PRIOR),
        Weight("pretrained_models/human_model_files/smplx", _PRIOR),
        Weight("pretrained_models/sam2", _PRIOR),
        Weight("pretrained_models/sapiens/pretrained/checkpoints/sapiens_1b", _PRIOR),
        Weight("pretrained_models/voxel_grid", _PRIOR),
        Weight("pretrained_models/huggingface/models--3DAIGC--LHM-1B-HF", "huggingface 3DAIGC/LHM-1B-HF"),
    ),
    faults=(
        Rule(
            r"stack expects a non-empty TensorList",
            "E715",
            "was given no motion",
            "the tracker found nobody in the reference picture, or this is an error of the adapter.",
        ),
        Rule(
            r"missing 1 required positional argument: 'ratio'",
            "E715",
            "does not find exactly one person in the reference picture",
            "leave this clip out.",
        ),
        Rule(
            r"assert w < h",
            "E715",
            "takes only people who are higher than wide in the picture",
            "leave this clip out.",
        ),
        Rule(
            r"Tried to allocate \d{6,} GiB",
            "E706",
            "has libraries of other versions than it was published with",
            "install the versions of its README.",
        ),
    ),
)

LHM = ExternalMethod(
    id="lhm",
    version="1",
    title="LHM 1B, driven by MotionCraft",
    stages=(
        Stage(
            id="anchor",
            scope="identity",
            write="baselines.lhm:write_still",
            tool=TOOL,
            command=(
                "python",
                "./engine/pose_estimation/video2motion.py",
                "--video_path",
                "{inputs}/still.mp4",
                "--output_path",
                "{inputs}/track",
                "--model_path",
                "./pretrained_models/human_model_files",
                "--pad_ratio",
                "0",
                "--fitting_steps",
                "100",
                "0",
            ),
            outputs=(Output("smplx_params", "{inputs}/track/still/smplx_params"),),
            sources=("baselines/lhm.py",),
            limit=Limit(1800),
        ),
        STAGE,
        Stage(
            id="motion",
            scope="sample",
            needs=("anchor", "motioncraft"),
            parameters=("translation", "smplx_model"),
            write="baselines.motion.lhm:write_motion",
            tool=TOOL,
            sources=("baselines/motion",),
        ),
        Stage(
            id="lhm",
            scope="sample",
            needs=("motion",),
            parameters=("model_name",),
            write="baselines.lhm:write_picture",
            tool=TOOL,
            command=(
                "python",
                "-m",
                "LHM.launch",
                "infer.human_lrm",
                "model_name={model_name}",
                "image_input={inputs}/{run}.png",
                "export_video=True",
                "motion_seqs_dir={done_motion}/motion/smplx_params",
                "motion_img_dir=None",
                "vis_motion=false",
                "motion_img_need_mask=true",
                "render_fps={fps}",
                "motion_video_read_fps={fps}",
                "video_dump={inputs}/videos",
                "image_dump={inputs}/images",
                "mesh_dump={inputs}/mesh",
                "save_tmp_dump={inputs}/tmp",
            ),
            outputs=(Output("video.mp4", "{inputs}/videos/motion/{run}.mp4"),),
            sources=("baselines/lhm.py",),
            limit=Limit(900, 10),
        ),
    ),
    read="baselines.lhm:read_video",
    sources=_SOURCES,
    parameters=(
        ("model_name", "LHM-1B-HF"),  # the HF models and MINI are those for half bodies
        ("translation", "anchor_relative"),
        ("smplx_model", ""),
        *PARAMETERS,
    ),
    reported=reported_row(3.8, 2.5, 6.1, 7.0, 0.86, 0.5, 0.7, 16.9, 19.5, 365.0),
)

SPEC = method_spec(LHM, "baselines.lhm:LHM")


def write_still(job: Job) -> None:
    """The reference picture as a film, which is what the tracker takes."""
    from media.image import load_image
    from media.video import write_video

    picture = load_image(job.identity.reference_image)
    write_video(job.folder / "still.mp4", [picture] * _STILL_FRAMES, 25, crf=1)


def write_picture(job: Job) -> None:
    """The reference picture under the job's name, from which LHM makes the name of its video."""
    shutil.copyfile(job.clip.reference_image, job.folder / f"{job.run}.png")


def read_video(job: Job) -> Video:
    """One frame for each of the motion's, which is on the sample's grid; the canvas says where the picture lies."""
    from baselines.motion.canvas import read_canvas

    canvas = read_canvas(job.done["motion"] / "canvas.json")
    return Video(
        path=job.done["lhm"] / "video.mp4",
        size=(canvas.width, canvas.height),
        n_frames=job.clip.n_frames,
        fps=job.clip.fps,
        container_fps=job.clip.fps,
        region=(canvas.x, canvas.y, canvas.w, canvas.h),
        tolerance=0,
        notes=(f"motion: MotionCraft, translation {job.parameters['translation']}; white background",),
    )
