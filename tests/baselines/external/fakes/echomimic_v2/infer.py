"""Stands for `infer.py` of antgroup/echomimic_v2 at a312dec05ec7f9b3e0e2c2802e4a1a5d3788cfb3: options and paths.

The picture is resized to W x H whatever its shape. Frames: min(L, int(T * fps), number of pose files).
"""

import argparse
import os
from pathlib import Path

import numpy as np
from fake_tool import fail_early, numbered, picture_of, seconds_of, write

parser = argparse.ArgumentParser()
parser.add_argument("--config", type=str, default="./configs/prompts/infer.yaml")
parser.add_argument("-W", type=int, default=768)
parser.add_argument("-H", type=int, default=768)
parser.add_argument("-L", type=int, default=240)
parser.add_argument("--seed", type=int, default=3407)
parser.add_argument("--context_frames", type=int, default=12)
parser.add_argument("--context_overlap", type=int, default=3)
parser.add_argument("--cfg", type=float, default=2.5)
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--sample_rate", type=int, default=16000)
parser.add_argument("--fps", type=int, default=24)
parser.add_argument("--device", type=str, default="cuda")
parser.add_argument("--ref_images_dir", type=str, default="./assets/halfbody_demo/refimag")
parser.add_argument("--audio_dir", type=str, default="./assets/halfbody_demo/audio")
parser.add_argument("--pose_dir", type=str, default="./assets/halfbody_demo/pose")
parser.add_argument("--refimg_name", type=str, default="natural_bk_openhand/0222.png")
parser.add_argument("--audio_name", type=str, default="chinese/echomimicv2_woman.wav")
parser.add_argument("--pose_name", type=str, default="01")
args = parser.parse_args()

mode = fail_early(Path.cwd())
assert Path(args.config).is_file() and args.W == args.H
image = Path(args.ref_images_dir) / args.refimg_name
ref_flag = f"{args.refimg_name.split('/')[-2]}.{args.refimg_name.split('/')[-1]}"
picture = picture_of(image)
assert picture.shape[:2] == (args.H, args.W), "would be stretched"
poses = Path(args.pose_dir) / args.pose_name
length = min(
    args.L, int(seconds_of(Path(args.audio_dir) / args.audio_name) * args.fps), len(os.listdir(poses))
)
for index in range(length):
    pose = np.load(poses / f"{index}.npy", allow_pickle=True).tolist()
    assert pose["draw_pose_params"] == [768, 768, 0, 768, 0, 768]
    assert np.shape(pose["hands"]) == (2, 21, 2) and np.shape(pose["hands_score"]) == (2, 21)
    assert np.shape(pose["bodies"]["candidate"]) == (18, 2) and np.isfinite(pose["hands"]).all()
model_flag = f"pretrained_weights-itermotion_module-seed{args.seed}"
save_dir = Path("outputs") / model_flag / ref_flag / args.pose_name
name = f"{args.refimg_name.split('/')[-1].split('.')[0]}-a-{args.audio_name}-i0_sig.mp4"
write(save_dir / name, numbered(picture, length), args.fps, mode)
