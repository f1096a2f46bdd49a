"""Stands for `avatar/main/train.py` of mks0601/PERSONA_RELEASE at 91fa553d730d339e779c8f559e556359c4af050b."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--subject_id", type=str, dest="subject_id")
parser.add_argument("--fit_pose_to_test", dest="fit_pose_to_test", action="store_true")
args = parser.parse_args()
subject = Path("..") / "data" / "subjects" / args.subject_id
assert (subject / "generated_1" / "frame_idx_list.txt").is_file()
model = Path("..") / "output" / "model_dump" / args.subject_id
model.mkdir(parents=True)
for epoch in range(5):
    (model / f"snapshot_{epoch}.pth").write_bytes(args.subject_id.encode())
