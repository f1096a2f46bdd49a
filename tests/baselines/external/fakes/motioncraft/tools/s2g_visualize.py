"""Stands for `tools/s2g_visualize.py` of cure-lab/MotionCraft at 347250638c44daaf5f7ade66e3eaeee9202741a0.

Options as in its `parse_args`. Motions come out in windows of `pose_length` frames that overlap by `pre_frames`; what
is left over is lost. The film of the motion is drawn after the motion has been written, and needs OSMesa.

The made motion stands upright and moves to the left by 1 mm a frame, so that its frames can be told apart.
"""

import argparse
import csv
import os
import sys
import wave
from pathlib import Path

import numpy as np
import yaml
from fake_tool import fail_early
from mogen.models.utils.vis import SMPLX_Skeleton

parser = argparse.ArgumentParser(description="mogen evaluation")
parser.add_argument("config")
parser.add_argument("checkpoint")
parser.add_argument("--out")
parser.add_argument("--beats2_args")
parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
parser.add_argument("--local_rank", type=int, default=0)
parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
parser.add_argument("--repaint", action="store_true")
parser.add_argument("--overlap_len", type=int, default=0)
parser.add_argument("--fix_very_first", action="store_true")
parser.add_argument("--same_overlap_noisy", action="store_true")
parser.add_argument("--no_resample", action="store_true")
parser.add_argument("--timestep_respacing", type=str, default="ddim1000")
parser.add_argument("--jump_n_sample", type=int, default=5)
parser.add_argument("--jump_length", type=int, default=3)
parser.add_argument("--addBlend", type=bool, default=True)
parser.add_argument("--no_repaint", action="store_true")
args = parser.parse_args()

mode = fail_early(Path.cwd())
SMPLX_Skeleton()
assert Path(args.config).is_file() and Path(args.checkpoint).is_file()
settings = yaml.safe_load(Path(args.beats2_args).read_text())
assert settings["new_cache"] and settings["root_path"] == "" and settings["pose_length"] == 64
data = settings["data_path"]
assert Path(settings["data_path_1"] + "smplx_models/smplx/SMPLX_NEUTRAL_2020.npz").is_file()
assert Path(data + "weights/vocab.pkl").is_file()
assert np.isfinite(np.load("./data/datasets/beats2/PantoMatrix/mean.npy")).all()
with open(data + "test.csv", newline="") as stream:
    [row] = csv.DictReader(stream)
name = row["id"]
assert Path(data + f"textgrid/{name}.TextGrid").read_text().startswith('File type = "ooTextFile"')
with wave.open(data + f"wave16k/{name}.wav") as sound:
    seconds = sound.getnframes() // sound.getframerate()
sequence = np.load(data + f"smplxflame_30/{name}.npz")
n = min(len(sequence["poses"]), 30 * seconds)
n -= n % 8
step = settings["pose_length"] - settings["pre_frames"]
rounds = (n - settings["pre_frames"]) // step
length = (rounds - 1) * step + settings["pose_length"]
if mode == "short":
    length = 8
trans = np.zeros((length, 3))
trans[:, 0], trans[:, 1] = 0.001 * np.arange(length), 1.3
prefix = args.checkpoint.split("/")[-2] + "_" + args.checkpoint.split("/")[-1]
np.savez(
    args.out + prefix + "_res_" + name + ".npz",
    betas=sequence["betas"],
    poses=np.zeros((length, 165)),
    expressions=np.zeros((length, 100)),
    trans=trans,
    model="smplx2020",
    gender="neutral",
    mocap_frame_rate=30,
)
if not os.environ.get("OSMESA"):
    sys.exit("OSError: cannot load library 'OSMesa'")
