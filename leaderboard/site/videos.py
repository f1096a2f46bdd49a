"""Predicted videos on the site: only those whose bytes are the ones that were scored."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.hashing import sha256_file
from leaderboard.entries import LoadedEntry
from leaderboard.folders import MAX_VIDEO_BYTES
from leaderboard.site.model import Clip
from media.errors import AvatarBenchError

__all__ = ["TRUTH_METHOD", "VIDEOS", "copy_videos"]

VIDEOS = "videos"
"""Folder of an entry, and of the site."""
TRUTH_METHOD = "ground_truth"
"""The control whose videos are the true ones."""
_POSTER_WIDTH = 480
_MAX_SIDE = 4096


def copy_videos(
    loaded: LoadedEntry, truths: Mapping[str, Clip], site: Path, problems: list[AvatarBenchError]
) -> tuple[Clip, ...]:
    """Copy an entry's videos into the site and draw a poster of each.

    Args:
        loaded: The entry.
        truths: The true videos that the site has, by sample id.
        site: The site's folder.
        problems: Takes what was left out, and why.
    """
    clips = []
    for sample_id, sha256, source in _own_videos(loaded, problems):
        name = f"{VIDEOS}/{loaded.entry.entry_id}/{sample_id}"
        try:
            width, height = _draw_poster(source, site / f"{name}.jpg")
        except AvatarBenchError as error:
            problems.append(error)
            continue
        shutil.copyfile(source, site / f"{name}.mp4")
        truth = truths.get(sample_id)
        clips.append(Clip(sample_id, f"{name}.mp4", f"{name}.jpg", width, height, sha256, truth))
    return tuple(clips)


def _own_videos(loaded: LoadedEntry, problems: list[AvatarBenchError]) -> Iterator[tuple[str, str, Path]]:
    for prediction in loaded.entry.predictions:
        path = loaded.folder / VIDEOS / f"{prediction.sample_id}.mp4"
        if not path.exists() and not path.is_symlink():
            continue
        if any(part.is_symlink() for part in (path, path.parent)) or not path.is_file():
            problems.append(AvatarBenchError("E801", "a video is no regular file", where=path))
        elif path.stat().st_size > MAX_VIDEO_BYTES:
            problems.append(
                AvatarBenchError(
                    "E802", "a video is too large", where=path, expected=f"at most {MAX_VIDEO_BYTES} bytes"
                )
            )
        elif sha256_file(path) != prediction.sha256:
            problems.append(
                AvatarBenchError(
                    "E811", "a video is not the one that was scored, and is not shown", where=path
                )
            )
        else:
            yield prediction.sample_id, prediction.sha256 or "", path


def _draw_poster(video: Path, poster: Path) -> tuple[int, int]:
    """Write the middle frame as JPEG; returns the video's width and height in pixels."""
    from PIL import Image

    from media.video import probe, read_frames

    info = probe(video)
    if max(info.width, info.height) > _MAX_SIDE:
        raise AvatarBenchError(
            "E802",
            "the pictures of a video are too large",
            where=video,
            expected=f"at most {_MAX_SIDE} pixels a side",
            got=f"{info.width} x {info.height}",
        )
    frames = read_frames(video, start_s=info.duration_s / 2)
    frame = next(iter(frames), None)
    if frame is None:
        raise AvatarBenchError("E206", "the video has no frame in its middle", where=video)
    image = Image.fromarray(frame)
    image.thumbnail((_POSTER_WIDTH, _POSTER_WIDTH * 2))
    poster.parent.mkdir(parents=True, exist_ok=True)
    image.save(poster, quality=82)
    return info.width, info.height
