"""A clip as the folder that MotionCraft's speech-to-gesture script reads.

MotionCraft (Bian et al. 2024) has no command for a sound of one's own: its BEAT2 visualiser is given a data set of one
sequence. Read from cure-lab/MotionCraft, `tools/s2g_visualize.py` and `dataloaders/beat_testonly_stmogen.py`.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from baselines.motion.textgrid import spread_words, write_textgrid
from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from baselines.external.declaration import Job

__all__ = ["FPS", "frames_needed", "frames_written", "write_sequence"]

FPS = 30
_WINDOW = 64  # frames of one call of the model
_CONFIG = Path("mogen/datasets/EMAGE_2024/configs/emage_test_stmogen.yaml")
_EMAGE = Path("data/datasets/beats2/PantoMatrix/EMAGE")
_VOCABULARY = _EMAGE / "test_sequences" / "weights" / "vocab.pkl"
_SPARE_S = 0.1  # of sound: the script resamples to 22.05 kHz and back, and counts whole seconds


def frames_needed(n_frames: int, fps: float) -> int:
    """Frames at 30 a second that cover the times of `n_frames` at `fps`."""
    return math.ceil((n_frames - 1) * FPS / fps - 1e-9) + 1


def frames_written(seconds: int, pre_frames: int) -> int:
    """Frames that the script makes of whole seconds: windows of 64 that overlap by `pre_frames`, the rest is lost."""
    n = FPS * seconds
    n -= n % 8
    step = _WINDOW - pre_frames
    rounds = (n - pre_frames) // step
    return (rounds - 1) * step + _WINDOW if rounds > 0 else 0


def write_sequence(job: Job) -> None:
    """Write the sequence of `job.sample` into `job.folder`.

    The sound is padded with silence until the frames that survive the windows cover the clip. Pose, translation and
    expression of the sequence are zeros: the script takes its length from them, and with `--fix_very_first` (never
    passed) it would start from them.

    Args:
        job: `parameters`: `pre_frames` (4 as published; 16 makes the overlap of the windows agree with
            `--overlap_len 16`, as published 12 frames are played twice at each seam) and `textgrids` (a folder of
            `<sample_id>.TextGrid` from a forced aligner, "" for none).

    Raises:
        AvatarBenchError: E741, the checkout lacks a file that the script reads; E745, a clip without its TextGrid.
    """
    sample, checkout = job.clip, job.checkout
    assert checkout is not None
    pre_frames = int(job.parameters["pre_frames"])
    needed, seconds = frames_needed(sample.n_frames, sample.fps), 1
    while frames_written(seconds, pre_frames) < needed:
        seconds += 1

    sequence = job.folder / "seq"
    for folder in ("smplxflame_30", "wave16k", "textgrid", "weights"):
        (sequence / folder).mkdir(parents=True)
    (job.folder / "out").mkdir()
    (job.folder / "cache").mkdir()
    sound = load_audio(sample.audio)
    padded = np.zeros(round((seconds + _SPARE_S) * SAMPLE_RATE), np.float32)
    padded[: len(sound)] = sound[: len(padded)]
    write_wav(sequence / "wave16k" / f"{job.run}.wav", padded)
    _write_words(job, sequence / "textgrid" / f"{job.run}.TextGrid", sound, len(padded) / SAMPLE_RATE)
    n = FPS * seconds
    np.savez(
        sequence / "smplxflame_30" / f"{job.run}.npz",
        poses=np.zeros((n, 165)),
        trans=np.zeros((n, 3)),
        expressions=np.zeros((n, 100)),
        betas=np.zeros(300),
    )
    (sequence / "test.csv").write_text(f"id\n{job.run}\n", encoding="utf-8")
    shutil.copyfile(_required(checkout, _VOCABULARY), sequence / "weights" / "vocab.pkl")
    _write_settings(job, checkout, pre_frames)
    shutil.copyfile(Path(__file__).with_name("motioncraft_driver.py"), job.folder / "driver.py")


def _write_words(job: Job, path: Path, sound: np.ndarray, duration_s: float) -> None:
    folder = str(job.parameters.get("textgrids", ""))
    if not folder:
        words = spread_words(job.clip.transcript or "", sound, SAMPLE_RATE)
        write_textgrid(path, words, duration_s)
        return
    aligned = Path(folder) / f"{job.clip.sample_id}.TextGrid"
    if not aligned.is_file():
        raise AvatarBenchError(
            "E745",
            f"there is no alignment of the clip '{job.clip.sample_id}'",
            where=aligned,
            expected="a TextGrid whose first tier has the words",
            fix="align this clip, too, or leave `textgrids` empty: the words are then spread over the sound",
        )
    shutil.copyfile(aligned, path)


def _write_settings(job: Job, checkout: Path, pre_frames: int) -> None:
    """The published settings with this job's paths; paths are joined as strings there and must end in a slash."""
    settings = yaml.safe_load(_required(checkout, _CONFIG).read_text(encoding="utf-8"))
    settings |= {
        "root_path": "",
        "data_path": f"{job.folder / 'seq'}/",
        "data_path_1": f"{checkout / _EMAGE}/",
        "cache_path": f"{job.folder / 'cache'}/",
        "new_cache": True,  # published as False: a second run would serve the first one's clip
        "pre_frames": pre_frames,
    }
    (job.folder / "args.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _required(checkout: Path, relative: Path) -> Path:
    path = checkout / relative
    if not path.is_file():
        raise AvatarBenchError(
            "E741",
            "the MotionCraft checkout lacks a file",
            where=path,
            fix="see docs/baselines.md for the files of BEAT2 and EMAGE that belong there",
        )
    return path
