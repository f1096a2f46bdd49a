"""The stage "drawing"; alone, on a GPU machine: `python -m reference_model.corpus.pipeline.draw_stage --corpus DIR`.

Reads `corpus.json`, `people/`, `motion/`, `filters/` and `cache/`; writes silent videos. Needs neither espeak-ng, Anny
nor mediapipe, and no sound.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.motion.motion_file import load_motion
from reference_model.corpus.pipeline.clip_keys import draw_key
from reference_model.corpus.pipeline.plan import FPS, SIDE_VIEWS_DEG, Corpus, open_corpus

if TYPE_CHECKING:
    from reference_model.corpus.people.person import MadePerson

__all__ = ["PARTS", "Device", "draw_frames", "drawing_outputs", "load_person_of", "main", "make_drawing"]

Device = Literal["cpu", "cuda"]
PARTS = ("pictures", "alpha", "views")
"""Folders of the videos: the clip, its alpha as grey, and a test clip from the side."""

_ALPHA_CRF = 10
"""Alpha is truth, so it is stored finer than the pictures."""
_PRESET = "slow"
_log = logging.getLogger(__name__)

Frames = list[tuple[np.ndarray, np.ndarray]]
"""Pictures [H, W, 3] uint8 sRGB, each with its alpha [H, W] uint8."""


def _side_views(corpus: Corpus, clip: str) -> tuple[int, ...]:
    return SIDE_VIEWS_DEG if corpus.spec.side_views and corpus.clips[clip].is_test else ()


def drawing_outputs(corpus: Corpus, clip: str, part: str) -> list[Path]:
    """The videos of one part of a clip; no views unless it is a test clip."""
    if part == "views":
        return [corpus.path("views", f"{clip}_yaw{yaw}", "mp4") for yaw in _side_views(corpus, clip)]
    return [corpus.path(part, clip, "mp4")]


@functools.lru_cache(maxsize=1)
def _person(path: Path, _modified: int) -> MadePerson:
    from reference_model.corpus.people.person import load_person

    return load_person(path)


def load_person_of(corpus: Corpus, person: str) -> MadePerson:
    """The person of a corpus, ready to be posed; the last one stays in memory."""
    path = corpus.path("people", person, "npz")
    return _person(path, path.stat().st_mtime_ns)


def draw_frames(
    corpus: Corpus, clip: str, yaw_deg: float, device: Device
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw a clip.

    Args:
        corpus: The corpus.
        clip: Id of a clip whose person and motion stand.
        yaw_deg: Camera walked about the person, degrees.
        device: Where to draw.

    Yields:
        Picture [H, W, 3] uint8 sRGB and alpha [H, W] uint8.
    """
    from reference_model.corpus.drawing.draw import draw_clip
    from reference_model.corpus.drawing.setting import setting_from_json

    name = corpus.clips[clip].person
    motion = load_motion(corpus.path("motion", clip, "npz"))
    setting = setting_from_json(corpus.read_json("people", name)["setting"])
    yield from draw_clip(load_person_of(corpus, name), motion, setting, device=device, yaw_deg=yaw_deg)


def make_drawing(
    corpus: Corpus,
    clips: Sequence[str],
    advance: Callable[[str], None],
    *,
    device: Device = "cpu",
    parts: Sequence[str] = PARTS,
    encoders: int = 1,
) -> None:
    """Draw and encode what is missing of some clips; each part is recorded by itself, so it may come from elsewhere.

    Args:
        corpus: The corpus.
        clips: Ids.
        advance: Called with each finished clip.
        device: Where to draw.
        parts: Which of `PARTS`.
        encoders: Threads that encode while the next clip is drawn.
    """
    for part in parts:
        (corpus.folder / part).mkdir(exist_ok=True)
    waiting: deque[tuple[str, str, list[str], list[Future[None]]]] = deque()

    def finish_oldest() -> None:
        clip, key, drawn, encoded = waiting.popleft()
        for future in encoded:
            future.result()
        for part in drawn:
            corpus.cache.finish(part, clip, key, device=device)
        if all(corpus.cache.key_of(part, clip) == key for part in PARTS):  # made here or elsewhere
            corpus.cache.finish("drawing", clip, key)
        advance(clip)

    with ThreadPoolExecutor(encoders) as pool:
        for clip in clips:
            key = draw_key(corpus, clip)
            missing = [
                part
                for part in parts
                if not corpus.cache.is_done(part, clip, key, drawing_outputs(corpus, clip, part))
            ]
            waiting.append((clip, key, missing, _draw(corpus, clip, missing, device, pool)))
            while len(waiting) > encoders:  # whole clips wait in memory
                finish_oldest()
        while waiting:
            finish_oldest()


def _draw(
    corpus: Corpus, clip: str, parts: Sequence[str], device: Device, pool: ThreadPoolExecutor
) -> list[Future[None]]:
    encoded = []
    if "pictures" in parts or "alpha" in parts:
        frames = list(draw_frames(corpus, clip, 0.0, device))
        if "pictures" in parts:
            encoded.append(pool.submit(_encode, corpus, corpus.path("pictures", clip, "mp4"), frames))
        if "alpha" in parts:
            encoded.append(pool.submit(_encode_alpha, corpus.path("alpha", clip, "mp4"), frames))
    if "views" in parts:
        for yaw in _side_views(corpus, clip):
            frames = list(draw_frames(corpus, clip, yaw, device))
            encoded.append(
                pool.submit(_encode, corpus, corpus.path("views", f"{clip}_yaw{yaw}", "mp4"), frames)
            )
    return encoded


def _encode(corpus: Corpus, path: Path, frames: Frames) -> None:
    from media.video import write_video  # drawing alone needs no encoder

    write_video(path, (rgb for rgb, _ in frames), FPS, crf=corpus.spec.crf, preset=_PRESET)


def _encode_alpha(path: Path, frames: Frames) -> None:
    from media.video import write_video

    grey = (np.repeat(alpha[..., None], 3, axis=2) for _, alpha in frames)
    write_video(path, grey, FPS, crf=_ALPHA_CRF, preset=_PRESET)


def main(arguments: list[str] | None = None) -> int:
    """Draw from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--parts", default=",".join(PARTS), help="which videos, with commas between")
    parser.add_argument("--encoders", type=int, default=1, help="threads that encode")
    parser.add_argument("--clips", nargs="*", help="ids of clips; default: all")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parts = options.parts.split(",")
    try:
        corpus = open_corpus(options.corpus)
        for option, given, known in (
            ("--parts", parts, PARTS),
            ("--clips", options.clips or (), corpus.clips),
        ):
            unknown = sorted(set(given) - set(known))
            if unknown:
                raise AvatarBenchError("E504", "there is no such name", where=option, got=", ".join(unknown))
        chosen = options.clips or list(corpus.clips)
        make_drawing(corpus, chosen, _log.info, device=options.device, parts=parts, encoders=options.encoders)
    except AvatarBenchError as error:
        _log.error("%s", error)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
