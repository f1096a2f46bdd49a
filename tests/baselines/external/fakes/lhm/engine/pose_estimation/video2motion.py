"""Stands for `engine/pose_estimation/video2motion.py` of aigc3d/LHM at b31e76aab0982e01c90bc9ebf8646c746c0ae97b."""

import argparse
import json
from pathlib import Path

import av

parser = argparse.ArgumentParser()
parser.add_argument("--video_path", type=str, required=True)
parser.add_argument("--output_path", type=str, required=True)
parser.add_argument("--model_path", type=str, default="./pretrained_models/human_model_files")
parser.add_argument("--pad_ratio", type=float, default=0.2)
parser.add_argument("--fitting_steps", type=int, nargs="+", default=[100, 0])
args = parser.parse_args()
assert (Path(args.model_path) / "pose_estimate" / "multiHMR_896_L.pt").exists()
with av.open(args.video_path) as container:
    frames = [frame.width for frame in container.decode(video=0)]
    stream = container.streams.video[0]
    width, height = stream.width, stream.height
folder = Path(args.output_path) / Path(args.video_path).stem / "smplx_params"
folder.mkdir(parents=True)
zeros = {"betas": 10, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
for number in range(1, len(frames) + 1):
    found = {name: [0.0] * size for name, size in zeros.items()}
    found |= {"root_pose": [3.14159265, 0.0, 0.0], "trans": [0.0, 0.3, 3.0], "pad_ratio": args.pad_ratio}
    found |= {"body_pose": [[0.0] * 3] * 21, "lhand_pose": [[0.0] * 3] * 15, "rhand_pose": [[0.0] * 3] * 15}
    found |= {"focal": [float(max(width, height))] * 2, "princpt": [0.55 * width, 0.48 * height]}
    found |= {"img_size_wh": [width, height]}
    (folder / f"{number:05d}.json").write_text(json.dumps(found))
