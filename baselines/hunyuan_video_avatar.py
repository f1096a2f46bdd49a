"""HunyuanVideo-Avatar: a picture, speech and a text prompt to a video, by a 13B diffusion model.

Written from `hymm_sp/sample_gpu_poor.py`, `hymm_sp/config.py` and `hymm_sp/data_kits/audio_dataset.py` of the pinned
commit. The README's `--infer-min` is left out: it makes every clip 129 frames long.
"""

from __future__ import annotations

import csv
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
    Value,
    Video,
    Weight,
    method_spec,
    reported_row,
)
from baselines.external.pictures import Framing, choose_frame, write_framed
from baselines.external.sounds import write_padded
from benchmark.contract import Sample

__all__ = ["HUNYUAN_VIDEO_AVATAR", "SPEC", "TOOL"]

_FPS = 25
_SHAPES = ((704, 704), (1216, 704), (704, 1216))
"""Width and height that its own rules for `--image-size 704` leave as they are: multiples of 64 of that area."""
_MAX_FRAMES = 400  # sound after it is cut off: `num_frames = min(num_frames, 400)`
_TAIL_S = 0.2  # `-shortest` can lose the last frames
_CHECKPOINT = "./weights/ckpts/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states_fp8.pt"
_SOURCE = "huggingface tencent/HunyuanVideo-Avatar"

TOOL = Tool(
    id="hunyuan_video_avatar",
    title="HunyuanVideo-Avatar",
    repository="Tencent-Hunyuan/HunyuanVideo-Avatar",
    commit="fd59436af88e747c7e48055fd65df8233c4ff2eb",
    paper="arxiv.org/abs/2505.20156",
    licence=Licence(
        "LicenseRef-Tencent-Hunyuan-Community",
        "LicenseRef-Tencent-Hunyuan-Community",
        "The Tencent Hunyuan Community License does not apply in the European Union, the United Kingdom and South "
        "Korea, and its outputs may not be used to improve other AI models.",
    ),
    requirement=Requirement(
        "3.10",
        ("torch==2.4.0", "transformers==4.45.1", "diffusers==0.33.0", "numpy==1.24.4", "flash-attn==2.6.3"),
        "96 GB recommended, 24 GB the least (very slow; reports of out-of-memory at 80 GB)",
    ),
    files=("hymm_sp/sample_gpu_poor.py", "hymm_sp/config.py"),
    weights=(
        Weight(_CHECKPOINT.removeprefix("./"), _SOURCE),
        Weight("weights/ckpts/hunyuan-video-t2v-720p/vae", _SOURCE),
        Weight("weights/ckpts/llava_llama_image", _SOURCE),
        Weight("weights/ckpts/text_encoder_2", _SOURCE),
        Weight("weights/ckpts/whisper-tiny", _SOURCE),
        Weight("weights/ckpts/det_align/detface.pt", _SOURCE),
    ),
    programs=("ffmpeg",),
    environment=(("PYTHONPATH", "./"), ("MODEL_BASE", "./weights"), ("DISABLE_SP", "1")),
    faults=(
        Rule(
            r"UnboundLocalError.*start_ts|'start_ts' where it is not associated",
            "E715",
            "takes only 25 or 12.5 frames a second",
            "this is an error of the adapter: please report it.",
        ),
    ),
)

HUNYUAN_VIDEO_AVATAR = ExternalMethod(
    id="hunyuan_video_avatar",
    version="1",
    title="HunyuanVideo-Avatar, fp8",
    stages=(
        Stage(
            id="hunyuan",
            scope="sample",
            parameters=("prompt", "cfg_scale", "infer_steps", "flow_shift", "cpu_offload"),
            write="baselines.hunyuan_video_avatar:write_inputs",
            tool=TOOL,
            command=(
                "python",
                "hymm_sp/sample_gpu_poor.py",
                "--input",
                "{inputs}/job.csv",
                "--ckpt",
                _CHECKPOINT,
                "--sample-n-frames",
                "129",
                "--seed",
                "{seed}",
                "--image-size",
                "704",
                "--cfg-scale",
                "{cfg_scale}",
                "--infer-steps",
                "{infer_steps}",
                "--use-deepcache",
                "1",
                "--flow-shift-eval-video",
                "{flow_shift}",
                "--save-path",
                "{inputs}/out",
                "--use-fp8",
                "{offload}",
            ),
            outputs=(Output("video.mp4", "{inputs}/out/{run}_audio.mp4"),),
            sources=("baselines/hunyuan_video_avatar.py",),
            limit=Limit(3600, 1500),
        ),
    ),
    read="baselines.hunyuan_video_avatar:read_video",
    refuse="baselines.hunyuan_video_avatar:refuse",
    sources=("baselines/hunyuan_video_avatar.py",),
    parameters=(
        ("prompt", "A person faces the camera, talks and gestures with both hands."),
        ("cfg_scale", 7.5),
        ("infer_steps", 50),
        ("flow_shift", 5.0),
        ("cpu_offload", False),  # with variables = { CPU_OFFLOAD = "1" } of the tool, for little memory
    ),
    reported=reported_row(4.08, 2.71, 6.9, 7.12, 0.875, 0.539, 0.709, 17.55, 17.2, 320.0),
)

SPEC = method_spec(HUNYUAN_VIDEO_AVATAR, "baselines.hunyuan_video_avatar:HUNYUAN_VIDEO_AVATAR")


def refuse(sample: Sample, parameters: Mapping[str, Value]) -> str:
    """Clips whose sound the published code would cut off."""
    del parameters
    seconds = sample.n_frames / sample.fps
    longest = _MAX_FRAMES / _FPS
    return (
        f"it is {seconds:.1f} s long, and the published code stops at {longest:g} s"
        if seconds > longest
        else ""
    )


def write_inputs(job: Job) -> Mapping[str, str]:
    """The picture in a shape that its rules keep, the sound with a silent tail, and the table of one row."""
    picture, sound = job.folder / "reference.png", job.folder / "audio.wav"
    write_framed(picture, job.clip.reference_image, _framing(job.clip))
    write_padded(sound, job.clip.audio, _TAIL_S)
    (job.folder / "out").mkdir()
    with open(job.folder / "job.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("videoid", "image", "audio", "prompt", "fps"))
        writer.writerow((job.run, picture, sound, job.parameters["prompt"], _FPS))
    return {"offload": "--cpu-offload" if job.parameters["cpu_offload"] else ""}


def read_video(job: Job) -> Video:
    """Frame 0 is time 0; one frame for each 640 samples of sound, those of the tail as far as ffmpeg kept them."""
    clip, framing = job.clip, _framing(job.clip)
    heard = int((clip.n_frames / clip.fps + _TAIL_S) * _FPS + 1e-6)
    made = 129 if heard <= 129 else min(heard, _MAX_FRAMES) + 5
    return Video(
        path=job.done["hunyuan"] / "video.mp4",
        size=(framing.width, framing.height),
        n_frames=min(heard, made // 4 * 4 + 1),
        fps=_FPS,
        container_fps=_FPS,
        region=framing.region,
        tolerance=3,
        notes=(f"prompt: {job.parameters['prompt']}",),
    )


def _framing(clip: Sample) -> Framing:
    return choose_frame(clip.width, clip.height, _SHAPES)
