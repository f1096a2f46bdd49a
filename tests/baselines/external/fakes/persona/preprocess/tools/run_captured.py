"""Stands for `preprocess/tools/run_captured.py` of mks0601/PERSONA_RELEASE at 91fa553d730d339e779c8f559e556359c4af050b.

When one of its steps fails it says so and ends with exit code 0.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from fake_tool import mode_of, picture_of, say

parser = argparse.ArgumentParser()
parser.add_argument("--root_path", type=str, dest="root_path")
args = parser.parse_args()
assert args.root_path and os.path.isabs(args.root_path)
captured = Path(args.root_path) / "captured"
height, width = picture_of(captured / "images" / "0.png").shape[:2]
if mode_of(Path("../..")) == "captured":
    say("something bad happened when running DECA (run_captured.py). terminate the script.")
    sys.exit()
fitted = captured / "smplx_optimized"
(fitted / "smplx_params").mkdir(parents=True)
(captured / "cam_params").mkdir()
zeros = {
    "jaw_pose": 3,
    "leye_pose": 3,
    "reye_pose": 3,
    "body_pose": 63,
    "lhand_pose": 45,
    "rhand_pose": 45,
    "expr": 50,
}
fit = {name: [0.0] * size for name, size in zeros.items()}
fit |= {"root_pose": [3.14159265, 0.0, 0.0], "trans": [0.0, 0.3, 3.0]}
(fitted / "smplx_params" / "0.json").write_text(json.dumps(fit))
lens = {"R": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], "t": [0.0] * 3}
lens |= {"focal": [2000.0, 2000.0], "princpt": [width / 2, height / 2]}
(captured / "cam_params" / "0.json").write_text(json.dumps(lens))
for name in ("shape_param.json", "face_offset.json", "joint_offset.json"):
    (fitted / name).write_text("[]")
for name in ("smplx_texture_inpaint.png", "smplx_seg_inpaint.png", "smplx_texture_mask.png"):
    (fitted / name).write_bytes(b"texture")
