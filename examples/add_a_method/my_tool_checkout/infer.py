"""Somebody's program: it knows nothing of the benchmark."""

import argparse
import json
import wave
from fractions import Fraction

import av
import numpy as np
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--job", required=True)
parser.add_argument("--strength", type=float, default=100.0)
args = parser.parse_args()
with open(args.job) as stream:
    job = json.load(stream)
picture = np.asarray(Image.open(job["picture"]).convert("RGB"))
with wave.open(job["sound"]) as sound:
    samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768
with av.open(job["out"], "w") as container:
    video = container.add_stream("libx264", rate=Fraction(job["fps"]).limit_denominator(1001))
    video.height, video.width = picture.shape[:2]
    video.pix_fmt = "yuv420p"
    for part in np.array_split(samples, job["n_frames"]):
        shift = min(40, round(args.strength * float(np.sqrt(np.square(part).mean()))))
        frame = np.concatenate([np.repeat(picture[:1], shift, axis=0), picture[: len(picture) - shift]])
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))))
    container.mux(video.encode(None))
