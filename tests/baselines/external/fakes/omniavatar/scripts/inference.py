"""Stands for `scripts/inference.py` of Omni-Avatar/OmniAvatar at 1536bf31abaec74364fb7d5883470d5b23ffa7f8.

Options as in `OmniAvatar/utils/args_config.py` there: --config, --exp_path, --debug, --infer, -hp/--hparams,
--input_file. `--hparams` is split at "," and "=". Frame 0 is the reference picture; there are
ceil((T + silence) * 25) + 1 frames; the folder's name ends with the time.
"""

import argparse
import math
import time
from pathlib import Path

from fake_tool import fail_early, numbered, picture_of, seconds_of, write

FPS = 25
BUCKETS = [[400, 720], [720, 720], [720, 400]]  # height, width

parser = argparse.ArgumentParser()
parser.add_argument("--config", type=str, required=True)
parser.add_argument("--exp_path", type=str)
parser.add_argument("--debug", action="store_true")
parser.add_argument("--infer", action="store_true")
parser.add_argument("-hp", "--hparams", type=str, default="")
parser.add_argument("--input_file", type=str)
args = parser.parse_args()
known = {
    "sp_size",
    "seed",
    "num_steps",
    "guidance_scale",
    "max_tokens",
    "overlap_frame",
    "silence_duration_s",
}
known |= {"use_fsdp", "num_persistent_param_in_dit", "audio_scale", "tea_cache_l1_thresh"}
hparams = dict(pair.split("=") for pair in args.hparams.split(",") if pair)
assert set(hparams) <= known, hparams
assert Path(args.config).is_file(), args.config

mode = fail_early(Path.cwd())
silence = float(hparams["silence_duration_s"])
settings = f"seed{hparams['seed']}_step{hparams['num_steps']}_cfg{hparams['guidance_scale']}"
settings += (
    f"_ovlp{hparams['overlap_frame']}_{hparams['max_tokens']}_{FPS}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
)
folder = Path("demo_out") / "OmniAvatar-14B" / f"res_{Path(args.input_file).stem}_{settings}"
for index, line in enumerate(Path(args.input_file).read_text().splitlines()):
    prompt, image, audio = line.split("@@")
    picture = picture_of(image)
    assert list(picture.shape[:2]) in BUCKETS, f"would be cropped: {picture.shape}"
    n_frames = math.ceil((seconds_of(audio) + silence) * FPS) + 1
    frames = [picture, *numbered(picture, n_frames - 1, start=1)]
    if mode == "wrong_start":
        frames = [255 - picture, *frames[1:]]
    write(folder / f"result_{index:03d}_000_wav.mp4", frames, FPS, mode)
