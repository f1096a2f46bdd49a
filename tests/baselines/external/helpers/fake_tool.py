"""What the fake checkouts share: they write videos whose frames show their numbers, and fail on demand.

How to fail stands in the file `.fake_mode` of the checkout; without it all goes well.
"""

from __future__ import annotations

import subprocess
import sys
import time
import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from barcode import stamp
from PIL import Image


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def mode_of(checkout: Path) -> str:
    path = checkout / ".fake_mode"
    return path.read_text().strip() if path.is_file() else "ok"


def fail_early(checkout: Path) -> str:
    """Fail as real tools do before they write anything; returns the mode."""
    mode = mode_of(checkout)
    say("loading weights")
    if mode == "hang":
        child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", child])
        time.sleep(600)
    if mode == "oom":
        raise RuntimeError(
            "CUDA out of memory. Tried to allocate 20.00 GiB (GPU 0; 23.65 GiB total capacity)"
        )
    if mode == "crash":
        raise AssertionError("the wheel came off")
    if mode == "rc0":
        say("something bad happened")
        sys.exit()
    return mode


def picture_of(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def seconds_of(path: str | Path) -> float:
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getsampwidth()) == (1, 16000, 2)
        return sound.getnframes() / sound.getframerate()


def numbered(picture: np.ndarray, n_frames: int, start: int = 0) -> Iterable[np.ndarray]:
    return (stamp(picture, number) for number in range(start, start + n_frames))


def write(
    path: Path, frames: Iterable[np.ndarray], fps: float, mode: str = "ok", codec: str = "libx264"
) -> None:
    """Encode frames, spoilt as `mode` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = list(frames)
    if mode == "short":
        pictures = pictures[: len(pictures) // 2]
    if mode == "wrong_size":
        pictures = [picture[:, : picture.shape[1] // 2 // 2 * 2] for picture in pictures]
    if mode == "black":
        pictures = [np.zeros_like(picture) for picture in pictures]
    if mode == "still":
        pictures = [pictures[-1]] * len(pictures)
    rate = Fraction(fps if mode != "wrong_fps" else 2 * fps).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": "8"} if codec == "libx264" else {"qscale": "2"}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec != "libx264":
            stream.bit_rate = 20_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))))
        container.mux(stream.encode(None))
    if mode == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    if mode == "crash_late":
        raise AssertionError("the wheel came off")
