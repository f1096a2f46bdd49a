"""Stands for `hymm_sp/config.py` of Tencent-Hunyuan/HunyuanVideo-Avatar at fd59436af88e747c7e48055fd65df8233c4ff2eb."""

import argparse


def parse_args():
    parser = argparse.ArgumentParser()
    for name in ("--input", "--ckpt", "--save-path"):
        parser.add_argument(name, type=str, required=True)
    for name in ("--sample-n-frames", "--seed", "--image-size", "--infer-steps", "--use-deepcache"):
        parser.add_argument(name, type=int)
    for name in ("--cfg-scale", "--flow-shift-eval-video"):
        parser.add_argument(name, type=float)
    for name in ("--use-fp8", "--cpu-offload", "--infer-min"):
        parser.add_argument(name, action="store_true")
    return parser.parse_args()
