"""A folder of one's own as recordings: `<root>/<identity>/<clip>.mp4`, with `<clip>.txt` and `<identity>.json`."""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets.recordings import Found, Recording
from benchmark.datasets.scan import find_videos

__all__ = ["find"]


def find(root: Path) -> Found:
    """The videos of a plain folder, under the names that they have without an import.

    Raises:
        AvatarBenchError: E401, E402 or E404 as `scan_folder`.
    """
    found = Found()
    for video in find_videos(root):
        found.recordings.append(
            Recording(
                name=video.clip_id,
                identity=video.identity,
                video=video.file,
                licence=None,
                attributes=video.attributes,
                transcript=video.transcript,
                keep_whole=True,
            )
        )
    return found
