"""A reference picture in the shape that a tool takes, with nothing of it cut away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Framing", "choose_frame", "frame_picture", "write_framed"]


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a picture stands in a frame of another shape, px."""

    width: int
    """Of the frame."""
    height: int
    left: int
    """Of the picture in it."""
    top: int
    inner_width: int
    inner_height: int

    @property
    def region(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the picture: `Video.region`."""
        return (float(self.left), float(self.top), float(self.inner_width), float(self.inner_height))


def frame_picture(width: int, height: int, frame_width: int, frame_height: int) -> Framing:
    """Fit a picture whole into a frame, in its middle."""
    scale = min(frame_width / width, frame_height / height)
    inner_width = min(frame_width, round(width * scale))
    inner_height = min(frame_height, round(height * scale))
    left, top = (frame_width - inner_width) // 2, (frame_height - inner_height) // 2
    return Framing(frame_width, frame_height, left, top, inner_width, inner_height)


def choose_frame(width: int, height: int, frames: Sequence[tuple[int, int]]) -> Framing:
    """The frame, of several (width, height), that the picture fills best."""
    framings = [frame_picture(width, height, *frame) for frame in frames]
    return max(framings, key=lambda f: f.inner_width * f.inner_height / (f.width * f.height))


def write_framed(path: Path, picture: Path, framing: Framing) -> None:
    """Write the picture in its frame as a PNG; around it, its edge is continued."""
    import cv2

    from media.image import load_image

    image = load_image(picture)
    shrinks = framing.inner_width <= image.shape[1]
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    inner = cv2.resize(image, (framing.inner_width, framing.inner_height), interpolation=kind)
    right = framing.width - framing.left - framing.inner_width
    bottom = framing.height - framing.top - framing.inner_height
    framed = cv2.copyMakeBorder(inner, framing.top, bottom, framing.left, right, cv2.BORDER_REPLICATE)
    if not cv2.imwrite(str(path), cv2.cvtColor(framed, cv2.COLOR_RGB2BGR)):
        raise RuntimeError(f"OpenCV could not write {path}")
