"""EchoMimicV2: a picture, speech and a sequence of hand poses to a video.

The hands do not come from the sound: the method takes them as an input. This row gives it the template that ships with
it (`assets/halfbody_demo/pose`), played to and fro, moved and scaled so that its shoulders meet those of the reference.
Poses of the true clip would leak the answer and are not offered.

Written from `infer.py` of the pinned commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from baselines.external.pictures import Framing, frame_picture, write_framed
from baselines.external.sounds import write_padded
from benchmark.contract import Sample
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ECHOMIMIC_V2", "SPEC", "TOOL"]

_FPS, _SIDE = 24, 768
_TAIL_S = 0.2  # Whisper's pieces can end early
_SHOULDERS = {"right": 2, "left": 5}  # of OpenPose's 18 points
_SHOULDERS_FOUND = {"right": 12, "left": 11}  # of BlazePose's 33
_POSES = "assets/halfbody_demo/pose"
_SOURCE = "huggingface BadToBest/EchoMimicV2"

TOOL = Tool(
    id="echomimic_v2",
    title="EchoMimicV2",
    repository="antgroup/echomimic_v2",
    commit="a312dec05ec7f9b3e0e2c2802e4a1a5d3788cfb3",
    paper="arxiv.org/abs/2411.10061",
    licence=Licence(
        "Apache-2.0", "not stated with the weights; sd-image-variations under an OpenRAIL-type licence"
    ),
    requirement=Requirement(
        "3.10",
        (
            "torch==2.5.1",
            "torchvision==0.20.1",
            "xformers==0.0.28.post3",
            "diffusers==0.31.0",
            "numpy==1.26.4",
        ),
        "tested by its authors with 16 GB (V100), 24 GB (4090D) and 80 GB (A100)",
    ),
    files=("infer.py", "configs/prompts/infer.yaml", f"{_POSES}/01/0.npy"),
    weights=(
        Weight("pretrained_weights/denoising_unet.pth", _SOURCE),
        Weight("pretrained_weights/reference_unet.pth", _SOURCE),
        Weight("pretrained_weights/motion_module.pth", _SOURCE),
        Weight("pretrained_weights/pose_encoder.pth", _SOURCE),
        Weight("pretrained_weights/sd-vae-ft-mse", "huggingface stabilityai/sd-vae-ft-mse"),
        Weight(
            "pretrained_weights/sd-image-variations-diffusers",
            "huggingface lambdalabs/sd-image-variations-diffusers",
        ),
        Weight("pretrained_weights/audio_processor/tiny.pt", "the Whisper release, tiny.pt"),
    ),
    faults=(
        Rule(
            r"No such file or directory: '.*\.npy'",
            "E715",
            "looked for more poses than there are",
            "this is an error of the adapter: please report it.",
        ),
        Rule(
            r"need at least one array to concatenate",
            "E715",
            "found no speech in the sound",
            "Whisper gives no features for silence; leave this clip out.",
        ),
    ),
)

ECHOMIMIC_V2 = ExternalMethod(
    id="echomimic_v2",
    version="1",
    title="EchoMimicV2, hands of its own template pose",
    stages=(
        Stage(
            id="inputs",
            scope="sample",
            parameters=("pose",),
            write="baselines.echomimic_v2:write_inputs",
            tool=TOOL,
            sources=("baselines/echomimic_v2.py",),
        ),
        Stage(
            id="echomimic",
            scope="sample",
            needs=("inputs",),
            parameters=("cfg", "steps"),
            write="baselines.echomimic_v2:name_inputs",
            tool=TOOL,
            command=(
                "python",
                "infer.py",
                "--config",
                "./configs/prompts/infer.yaml",
                "-W",
                str(_SIDE),
                "-H",
                str(_SIDE),
                "-L",
                "{length}",
                "--seed",
                "{seed}",
                "--context_frames",
                "12",
                "--context_overlap",
                "3",
                "--cfg",
                "{cfg}",
                "--steps",
                "{steps}",
                "--sample_rate",
                "16000",
                "--fps",
                str(_FPS),
                "--device",
                "cuda",
                "--ref_images_dir",
                "{done_inputs}",
                "--refimg_name",
                "ref/{name}.png",  # it takes the last but one part of this path
                "--audio_dir",
                "{done_inputs}/audio",
                "--audio_name",
                "{name}.wav",
                "--pose_dir",
                "{done_inputs}/pose",
                "--pose_name",
                "{name}",
            ),
            outputs=(
                Output(
                    "video.mp4",
                    "{checkout}/outputs/*-seed*/ref.{name}.png/{name}/{name}-a-{name}.wav-i0_sig.mp4",
                ),
            ),
            sources=("baselines/echomimic_v2.py",),
            limit=Limit(900, 300),
        ),
    ),
    read="baselines.echomimic_v2:read_video",
    sources=("baselines/echomimic_v2.py",),
    parameters=(("pose", "01"), ("cfg", 2.5), ("steps", 30)),
    reported=reported_row(3.37, 1.98, 4.12, 10.2, 0.836, 0.458, 0.66, 15.9, 22.8, 420.0),
)

SPEC = method_spec(ECHOMIMIC_V2, "baselines.echomimic_v2:ECHOMIMIC_V2")


def write_inputs(job: Job) -> None:
    """The picture in a square, the sound with a silent tail, and a pose for every frame."""
    for name in ("ref", "audio", "pose"):
        (job.folder / name).mkdir()
    write_framed(job.folder / "ref" / f"{job.run}.png", job.clip.reference_image, _framing(job.clip))
    write_padded(job.folder / "audio" / f"{job.run}.wav", job.clip.audio, _TAIL_S)
    poses = job.folder / "pose" / job.run
    poses.mkdir()
    assert job.checkout is not None
    _write_poses(poses, job.checkout / _POSES / str(job.parameters["pose"]), _length(job.clip), job.clip)


def name_inputs(job: Job) -> Mapping[str, str]:
    """Under which name the inputs stand, and how many frames to make."""
    [poses] = (job.done["inputs"] / "pose").iterdir()
    return {"name": poses.name, "length": str(_length(job.clip))}


def read_video(job: Job) -> Video:
    """Frame 0 is time 0; the nearest of 24 frames a second is shown."""
    return Video(
        path=job.done["echomimic"] / "video.mp4",
        size=(_SIDE, _SIDE),
        n_frames=_length(job.clip),
        fps=_FPS,
        container_fps=_FPS,
        region=_framing(job.clip).region,
        tolerance=3,
        notes=(
            f"hands: template pose {job.parameters['pose']} to and fro, fitted to the reference's shoulders",
        ),
    )


def _framing(clip: Sample) -> Framing:
    return frame_picture(clip.width, clip.height, _SIDE, _SIDE)


def _length(clip: Sample) -> int:
    """Frames to make: those of the sound with its tail."""
    return int((clip.n_frames / clip.fps + _TAIL_S) * _FPS + 1e-6)


def _write_poses(folder: Path, template: Path, length: int, clip: Sample) -> None:
    """Write `0.npy`, `1.npy`, ...: the template's files, to and fro, with all coordinates moved."""
    import numpy as np

    n_poses = len(list(template.glob("*.npy")))
    if n_poses < 2:
        raise AvatarBenchError(
            "E702",
            "the checkout has no such pose",
            where=template,
            expected="a folder of numbered .npy files",
        )
    first = _load(template / "0.npy")
    scale, shift = _fit(np.asarray(first["bodies"]["candidate"], float), _shoulders(clip))
    for number in range(length):
        step = number % (2 * n_poses - 2)
        pose = _load(template / f"{min(step, 2 * n_poses - 2 - step)}.npy")
        pose["bodies"]["candidate"] = np.asarray(pose["bodies"]["candidate"], float) * scale + shift
        for part in ("hands", "faces"):
            pose[part] = np.asarray(pose[part], float) * scale + shift
        np.save(folder / f"{number}.npy", np.array(pose, dtype=object), allow_pickle=True)


def _load(path: Path) -> dict[str, Any]:
    """A pose as the checkout ships it, a pickled dictionary: as trustworthy as the code that is run beside it."""
    import numpy as np

    return np.load(path, allow_pickle=True).tolist()


def _shoulders(clip: Sample) -> np.ndarray:
    """The reference's right and left shoulder in the square, 0..1, [2, 2]."""
    import numpy as np

    from media.image import load_image
    from media.landmarks import detect_person

    framing = _framing(clip)
    pose = detect_person(load_image(clip.reference_image)).pose
    found = pose[[_SHOULDERS_FOUND["right"], _SHOULDERS_FOUND["left"]], :2]
    inner = found * (framing.inner_width / clip.width, framing.inner_height / clip.height)
    return (inner + np.array([framing.left, framing.top])) / _SIDE


def _fit(template: np.ndarray, shoulders: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and shift that bring the template's shoulders to the reference's: same width, same middle."""
    import numpy as np

    own = template[[_SHOULDERS["right"], _SHOULDERS["left"]]]
    scale = float(np.linalg.norm(shoulders[1] - shoulders[0]) / np.linalg.norm(own[1] - own[0]))
    return scale, shoulders.mean(axis=0) - scale * own.mean(axis=0)
