"""The stage "clips": the drawn pictures with their sound, or the videos of a talking-video model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from media.errors import AvatarBenchError
from media.video import SPEECH, add_sound, read_frames, write_video
from reference_model.corpus.pipeline.external import output_of_command
from reference_model.corpus.pipeline.plan import FPS, Corpus
from reference_model.corpus.pipeline.speech import load_speech

__all__ = ["make_clips"]


def make_clips(corpus: Corpus, clips: Sequence[str], advance: Callable[[str], None]) -> None:
    """Write `clips/CLIP.mp4`, pictures with sound.

    Raises:
        AvatarBenchError: E206, E606 when a `--video-command` fails or its video is too short.
    """
    (corpus.folder / "clips").mkdir(exist_ok=True)
    for clip in clips:
        if corpus.spec.video_command is None:
            sound = load_speech(corpus, clip).samples
            add_sound(
                corpus.path("clips", clip, "mp4"), corpus.path("pictures", clip, "mp4"), sound, codec=SPEECH
            )
        else:
            _take_generated(corpus, clip)
        advance(clip)


def _take_generated(corpus: Corpus, clip: str) -> None:
    command, spec = corpus.spec.video_command, corpus.spec
    assert command is not None
    speech = load_speech(corpus, clip)
    values = {
        "image": str(corpus.path("portraits", corpus.clips[clip].person, "png").resolve()),
        "audio": str(corpus.path("speech", clip, "wav").resolve()),
        "text": speech.text,
    }
    with output_of_command("--video-command", command, ".mp4", **values) as out:
        frames = list(itertools.islice(read_frames(out, fps=FPS, duration_s=spec.clip_s), spec.n_frames))
        if len(frames) < spec.n_frames:
            raise AvatarBenchError(
                "E606",
                f"the video of {clip} is shorter than its sound",
                where="--video-command",
                expected=f"{spec.clip_s:g} s",
                got=f"{len(frames) / FPS:g} s",
            )
        pictures = (_covering(frame, spec.width, spec.height) for frame in frames)
        write_video(corpus.path("clips", clip, "mp4"), pictures, FPS, audio=speech.samples, crf=spec.crf)


def _covering(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture scaled to cover width x height, the rest cut off evenly."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
