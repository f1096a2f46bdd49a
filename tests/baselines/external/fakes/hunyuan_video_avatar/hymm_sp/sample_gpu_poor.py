"""Stands for `hymm_sp/sample_gpu_poor.py` of Tencent-Hunyuan/HunyuanVideo-Avatar at
fd59436af88e747c7e48055fd65df8233c4ff2eb.

The silent video is put together with the sound by ffmpeg, `-shortest -loglevel quiet`, and removed whether or not that
worked; so a machine without ffmpeg gives exit code 0 and no file. `audio_preprocessor.py` cuts at 400 frames.
"""

import csv
import os
from pathlib import Path

from fake_tool import fail_early, numbered, picture_of, seconds_of, write
from hymm_sp.config import parse_args  # found by PYTHONPATH=./

args = parse_args()
assert os.environ["MODEL_BASE"] == "./weights" and os.environ["DISABLE_SP"] == "1"
assert Path(args.ckpt).exists(), f"`models_root` not exists: {args.ckpt}"
mode = fail_early(Path.cwd())
os.makedirs(args.save_path, exist_ok=True)
with open(args.input, newline="") as stream:
    reader = csv.DictReader(stream)
    assert reader.fieldnames == ["videoid", "image", "audio", "prompt", "fps"]
    rows = list(reader)
for row in rows:
    if float(row["fps"]) not in (25, 12.5):
        raise UnboundLocalError("local variable 'start_ts' referenced before assignment")
    picture = picture_of(row["image"])
    height, width = picture.shape[:2]
    assert min(height, width) == args.image_size and width * height <= 704 * 1216
    assert width % 64 == 0 and height % 64 == 0, "would be stretched"
    audio_len = 129 if args.infer_min else int(seconds_of(row["audio"]) * 16000 + 0.5) // 640
    p = 129 if audio_len <= 129 else min(audio_len, 400) + 5
    n_frames = min(audio_len, p // 4 * 4 + 1)
    made = numbered(picture, n_frames - 1)  # -shortest loses the last one
    write(Path(args.save_path) / f"{row['videoid']}_audio.mp4", made, 25, mode)
