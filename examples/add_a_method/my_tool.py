"""A method that is somebody's program: data, and the little code that writes its inputs and reads its video.

`baselines/external/declaration.py` explains every field; `baselines/omniavatar.py` is a real one.
"""

from __future__ import annotations

import json
import shutil

from baselines.external.declaration import (
    ExternalMethod,
    Job,
    Licence,
    Limit,
    Output,
    Requirement,
    Stage,
    Tool,
    Video,
    method_spec,
)

TOOL = Tool(
    id="my_tool",
    title="My tool",
    repository="me/my_tool",
    commit="0" * 40,  # the commit that you read its source at
    paper="",
    licence=Licence("MIT", "none"),
    requirement=Requirement("3.11", ("numpy", "av"), "none"),
    files=("infer.py",),
)

ROW = ExternalMethod(
    id="my_tool_row",
    version="1",
    title="My tool",
    stages=(
        Stage(
            id="my_tool",
            scope="sample",
            parameters=("strength",),
            write="my_tool:write_inputs",
            tool=TOOL,
            command=("python", "infer.py", "--job", "{inputs}/job.json", "--strength", "{strength}"),
            outputs=(Output("video.mp4", "{inputs}/video.mp4"),),
            sources=("my_tool/my_tool.py",),
            limit=Limit(base_s=60, per_second_s=10),
        ),
    ),
    read="my_tool:read_video",
    sources=("my_tool/my_tool.py",),
    parameters=(("strength", 100.0),),
)

SPEC = method_spec(ROW, "my_tool:ROW")


def write_inputs(job: Job) -> None:
    """What the command needs, in `job.folder`."""
    clip = job.clip
    for source, name in ((clip.reference_image, "picture.png"), (clip.audio, "sound.wav")):
        shutil.copyfile(source, job.folder / name)
    (job.folder / "job.json").write_text(
        json.dumps(
            {
                "picture": str(job.folder / "picture.png"),
                "sound": str(job.folder / "sound.wav"),
                "n_frames": clip.n_frames,
                "fps": clip.fps,
                "out": str(job.folder / "video.mp4"),
            }
        )
    )


def read_video(job: Job) -> Video:
    """What the tool's own rules say of its video; anything else is an error, never a silent repair."""
    clip = job.clip
    return Video(
        path=job.done["my_tool"] / "video.mp4",
        size=(clip.width, clip.height),
        n_frames=clip.n_frames,
        fps=clip.fps,
        container_fps=clip.fps,
    )
