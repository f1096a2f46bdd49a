"""Stands for `hymm_sp/config.py` of Tencent-Hunyuan/HunyuanVideo-Avatar at fd59436af88e747c7e48055fd65df8233c4ff2eb."""

import argparse


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", type=str, required=True)
    parser.add_argument("--ckpt", type=str, required=True)
    parser.add_argument("--save-path", type=str, required=True)
    parser.add_argument("--sample-n-frames", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--infer-steps", type=int)
    parser.add_argument("--use-deepcache", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--flow-shift-eval-video", type=float)
    parser.add_argument("--use-fp8", action="store_true")
    parser.add_argument("--cpu-offload", action="store_true")
    parser.add_argument("--infer-min", action="store_true")
    return parser.parse_args()
