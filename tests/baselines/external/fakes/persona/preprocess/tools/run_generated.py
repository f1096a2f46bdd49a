"""Stands for `run_generated.py` of mks0601/PERSONA_RELEASE at 91fa553d730d339e779c8f559e556359c4af050b."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--root_path", type=str, dest="root_path")
args = parser.parse_args()
assert (Path(args.root_path) / "captured" / "smplx_optimized" / "shape_param.json").is_file()
for split in ("generated_0", "generated_1"):
    folder = Path(args.root_path) / split
    (folder / "smplx_optimized").mkdir(parents=True)
    (folder / "frame_idx_list.txt").write_text("0\n1\n")
    (folder / "smplx_optimized" / "smplx_texture_inpaint.png").write_bytes(b"texture")
