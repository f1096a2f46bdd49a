"""Stands for `LHM/launch.py` and `LHM/runners/infer/human_lrm.py` of aigc3d/LHM at
b31e76aab0982e01c90bc9ebf8646c746c0ae97b.

`KEY=VALUE` words over the settings. The render has `int(2 * princpt)` px of the first frame. Somebody whose body is too
little in sight is left out without a word, and the exit code is 0.

A render shows the reference picture where the made tracker saw its middle, at (0.55, 0.48), and the number of
millimetres that the person moved, in steps of a 25th of a second.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from fake_tool import fail_early, numbered, picture_of, write

KNOWN = {"model_name", "image_input", "export_video", "motion_seqs_dir", "motion_img_dir", "vis_motion"}
KNOWN |= {
    "motion_img_need_mask",
    "render_fps",
    "motion_video_read_fps",
    "video_dump",
    "image_dump",
    "mesh_dump",
}
KNOWN |= {"save_tmp_dump"}
SHAPES = {"root_pose": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "lhand_pose": 45}
SHAPES |= {"rhand_pose": 45, "trans": 3, "focal": 2, "princpt": 2, "img_size_wh": 2, "betas": 10, "expr": 100}
MODELS = ("LHM-MINI", "LHM-500M", "LHM-500M-HF", "LHM-1B", "LHM-1B-HF")

assert sys.argv[1] == "infer.human_lrm"
options = dict(word.split("=") for word in sys.argv[2:])
assert set(options) <= KNOWN, options
assert options["model_name"] in MODELS and options["export_video"] == "True"
assert not {"APP_INFER", "APP_MODEL_NAME"} & set(os.environ)
mode = fail_early(Path.cwd())
folder = Path(options["motion_seqs_dir"])
motions = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))][:3000]
if not motions:
    raise RuntimeError("stack expects a non-empty TensorList")
for motion in motions:
    for name, size in SHAPES.items():
        assert np.size(motion[name]) == size, name
image = Path(options["image_input"])
picture = picture_of(image)
width, height = (int(2 * value) for value in motions[0]["princpt"])
assert width % 16 == 0 and height % 16 == 0, "would be rescaled"
canvas = np.full((height, width, 3), 255, np.uint8)
left = round(width / 2 - 0.55 * picture.shape[1])
top = round(height / 2 - 0.48 * picture.shape[0])
canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
moved = [round((motion["trans"][0] - motions[0]["trans"][0]) / 0.0012) for motion in motions]
frames = [next(iter(numbered(canvas, 1, start=number))) for number in moved]
name = image.name.split(".")[0]
write(
    Path(options["video_dump"]) / folder.parent.name / f"{name}.mp4",
    frames,
    float(options["render_fps"]),
    mode,
)
