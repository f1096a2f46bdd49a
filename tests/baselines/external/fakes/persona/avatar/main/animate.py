"""Stands for `avatar/main/animate.py` of mks0601/PERSONA_RELEASE at 91fa553d730d339e779c8f559e556359c4af050b.

Each frame is the reference picture and the render side by side, with the frame's number in red; mp4v at 30 frames a
second whatever the motion's rate is.

A render shows the reference picture in its middle, and the number of millimetres that the person moved, in steps of a
25th of a second.
"""

import argparse
import json
from glob import glob
from pathlib import Path

import numpy as np
from fake_tool import fail_early, numbered, picture_of, write
from PIL import Image, ImageDraw

parser = argparse.ArgumentParser()
parser.add_argument("--subject_id", type=str, dest="subject_id")
parser.add_argument("--test_epoch", type=str, dest="test_epoch")
parser.add_argument("--motion_path", type=str, dest="motion_path")
parser.add_argument("--use_bkg", dest="use_bkg", action="store_true")
args = parser.parse_args()
mode = fail_early(Path("../.."))
snapshot = Path("..") / "output" / "model_dump" / args.subject_id / f"snapshot_{args.test_epoch}.pth"
assert snapshot.read_bytes() == args.subject_id.encode()
numbers = sorted(int(Path(path).stem) for path in glob(args.motion_path + "/smplx/params/*.json"))
assert numbers == list(range(len(numbers)))
height, width = picture_of(f"{args.motion_path}/images/{numbers[0]}.png").shape[:2]
reference = picture_of(Path("..") / "data" / "subjects" / args.subject_id / "captured" / "images" / "0.png")
panel = int(reference.shape[1] / reference.shape[0] * height)
left_panel = np.asarray(Image.fromarray(reference).resize((panel, height)))
render = np.full((height, width, 3), 255, np.uint8)
top, left = (height - reference.shape[0]) // 2, (width - reference.shape[1]) // 2
render[top : top + reference.shape[0], left : left + reference.shape[1]] = reference
frames, first = [], None
for number in numbers:
    motion = json.loads(Path(f"{args.motion_path}/smplx/params/{number}.json").read_text())
    lens = json.loads(Path(f"{args.motion_path}/cam_params/{number}.json").read_text())
    assert len(motion["expr"]) == 50 and np.allclose(lens["R"], np.eye(3))
    assert np.allclose(lens["princpt"], [width / 2, height / 2])
    first = motion["trans"][0] if first is None else first
    shown = next(iter(numbered(render, 1, start=round((motion["trans"][0] - first) / 0.0012))))
    whole = Image.fromarray(np.concatenate([left_panel, shown], axis=1))
    place = (int(0.025 * whole.width), int(0.1 * whole.height) - 20)
    ImageDraw.Draw(whole).text(place, str(number), fill=(255, 0, 0), font_size=28)
    frames.append(np.asarray(whole))
name = args.motion_path.rstrip("/").split("/")[-1]
write(Path(f"{args.subject_id}_{name}.mp4"), frames, 30, mode, codec="mpeg4")
