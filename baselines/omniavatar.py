"""OmniAvatar: a text prompt, a picture and speech to a video, by a 14B diffusion model.

Written from `scripts/inference.py` and `OmniAvatar/utils/args_config.py` of the pinned commit.
"""

from __future__ import annotations

import math
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
    Value,
    Video,
    Weight,
    method_spec,
    reported_row,
)
from baselines.external.pictures import Framing, choose_frame, write_framed
from benchmark.contract import Sample
from media.errors import AvatarBenchError

__all__ = ["OMNIAVATAR", "SPEC", "TOOL"]

_FPS = 25
_BUCKETS = ((720, 400), (720, 720), (400, 720))
"""Width and height of what it generates; a picture of exactly such a shape is not cropped."""

TOOL = Tool(
    id="omniavatar",
    title="OmniAvatar",
    repository="Omni-Avatar/OmniAvatar",
    commit="1536bf31abaec74364fb7d5883470d5b23ffa7f8",
    paper="arxiv.org/abs/2506.18866",
    licence=Licence("Apache-2.0", "not stated with the weights; Wan2.1 Apache-2.0"),
    requirement=Requirement(
        "3.10",
        (
            "torch==2.4.0",
            "torchvision==0.19.0",
            "transformers==4.52.3",
            "peft==0.15.1",
            "xfuser==0.4.1",
            "numpy==1.26.4",
        ),
        "36 GB (14B); 21 GB or 8 GB with parameters kept in main memory, slower",
    ),
    files=("scripts/inference.py", "configs/inference.yaml", "OmniAvatar/utils/args_config.py"),
    weights=(
        Weight("pretrained_models/Wan2.1-T2V-14B", "huggingface Wan-AI/Wan2.1-T2V-14B"),
        Weight("pretrained_models/OmniAvatar-14B/config.json", "huggingface OmniAvatar/OmniAvatar-14B"),
        Weight("pretrained_models/OmniAvatar-14B/pytorch_model.pt", "huggingface OmniAvatar/OmniAvatar-14B"),
        Weight("pretrained_models/wav2vec2-base-960h", "huggingface facebook/wav2vec2-base-960h"),
    ),
    programs=("/usr/bin/ffmpeg", "ffmpeg"),  # the path stands in its source
    faults=(
        Rule(
            r"/usr/bin/ffmpeg: (not found|No such file)|No such file or directory: '/usr/bin/ffmpeg'",
            "E706",
            "does not find /usr/bin/ffmpeg, a path that stands in its source",
            "install ffmpeg, or make that link.",
        ),
    ),
)

_HPARAMS = (
    "sp_size=1,seed={seed},num_steps={num_steps},guidance_scale={guidance_scale},max_tokens={max_tokens},"
    "overlap_frame={overlap_frame},silence_duration_s={silence_s}"
)

OMNIAVATAR = ExternalMethod(
    id="omniavatar",
    version="1",
    title="OmniAvatar 14B",
    stages=(
        Stage(
            id="omniavatar",
            scope="sample",
            parameters=(
                "prompt",
                "config",
                "num_steps",
                "guidance_scale",
                "max_tokens",
                "overlap_frame",
                "silence_s",
                "more_hparams",
            ),
            write="baselines.omniavatar:write_inputs",
            tool=TOOL,
            command=(
                "torchrun",
                "--standalone",
                "--nproc_per_node=1",
                "scripts/inference.py",
                "--config",
                "{config}",
                "--input_file",
                "{inputs}/{run}.txt",
                f"--hp={_HPARAMS}{{more_hparams}}",
            ),
            # There is no option for its output folder: the name of the input file makes it ours.
            outputs=(
                Output("video.mp4", "{checkout}/demo_out/*/res_{run}_seed*/result_000_000_wav.mp4"),
                Output("reference.png", "{inputs}/reference.png"),
            ),
            sources=("baselines/omniavatar.py",),
            limit=Limit(1800, 900),
        ),
    ),
    read="baselines.omniavatar:read_video",
    sources=("baselines/omniavatar.py",),
    parameters=(
        (
            "prompt",
            "A person faces the camera, both hands in sight - The person talks and gestures calmly while speaking"
            " - The background stays still",
        ),
        ("config", "configs/inference.yaml"),
        ("num_steps", 50),
        ("guidance_scale", 4.5),
        ("max_tokens", 30000),
        ("overlap_frame", 13),
        ("silence_s", 0.32),  # whole frames; the published 0.3 is 7.5
        ("more_hparams", ""),  # such as ",use_fsdp=True,num_persistent_param_in_dit=0"
    ),
    reported=reported_row(3.99, 2.64, 6.4, 7.6, 0.858, 0.525, 0.705, 17.2, 18.6, 350.0),
)

SPEC = method_spec(OMNIAVATAR, "baselines.omniavatar:OMNIAVATAR")


def write_inputs(job: Job) -> Mapping[str, str]:
    """The picture in the shape of a bucket, and the list with the one line `prompt@@picture@@sound`."""
    prompt = str(job.parameters["prompt"])
    if "@@" in prompt or "\n" in prompt:
        raise AvatarBenchError(
            "E702",
            "the prompt would break the input list",
            where="prompt",
            expected="one line without @@",
            got=prompt,
        )
    _silent_frames(job.parameters)
    picture, sound = job.folder / "reference.png", job.folder / "audio.wav"
    write_framed(picture, job.clip.reference_image, _framing(job.clip))
    shutil.copyfile(job.clip.audio, sound)
    line = f"{prompt}@@{picture}@@{sound}"
    (job.folder / f"{job.run}.txt").write_text(line + "\n", encoding="utf-8")
    return {}


def read_video(job: Job) -> Video:
    """Frame 0 is the reference picture; the sound begins after it and after the silence."""
    clip, framing = job.clip, _framing(job.clip)
    silent = _silent_frames(job.parameters)
    seconds = clip.n_frames / clip.fps + silent / _FPS
    folder = job.done["omniavatar"]
    return Video(
        path=folder / "video.mp4",
        size=(framing.width, framing.height),
        n_frames=math.ceil(round(seconds * _FPS, 6)) + 1,
        fps=_FPS,
        container_fps=_FPS,
        lead_frames=1 + silent,
        region=framing.region,
        first_frame=folder / "reference.png",
        notes=(f"prompt: {job.parameters['prompt']}",),
    )


def _framing(clip: Sample) -> Framing:
    return choose_frame(clip.width, clip.height, _BUCKETS)


def _silent_frames(parameters: Mapping[str, Value]) -> int:
    """Frames of the silence that it puts before the sound."""
    silence = float(parameters["silence_s"])
    frames = silence * _FPS
    if silence < 0 or abs(frames - round(frames)) > 1e-6:
        raise AvatarBenchError(
            "E702",
            "the silence before the sound must last whole frames",
            where="silence_s",
            expected=f"a multiple of {1 / _FPS:g}",
            got=f"{silence:g}",
        )
    return round(frames)
