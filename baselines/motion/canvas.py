"""The picture that an external renderer is asked for, and where in it the sample's picture lies."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from baselines.motion.anchor import PinholeCamera

__all__ = ["Canvas", "centred_canvas", "read_canvas"]

_BLOCK = 16  # px: video writers of the tools rescale pictures that are not multiples of it


@dataclass(frozen=True, slots=True)
class Canvas:
    """A render of `width` x `height` whose rectangle (`x`, `y`, `w`, `h`), px, is the sample's whole picture."""

    width: int
    height: int
    x: float
    y: float
    w: float
    h: float

    def camera(self, focal: tuple[float, float]) -> PinholeCamera:
        """The camera of the whole canvas."""
        return PinholeCamera(focal, (self.width / 2, self.height / 2), self.width, self.height)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_canvas(path: Path) -> Canvas:
    """Read what `Canvas.write` wrote."""
    return Canvas(**json.loads(path.read_text(encoding="utf-8")))


def centred_canvas(camera: PinholeCamera) -> Canvas:
    """The smallest canvas that has the principal point in its middle and the whole picture in it.

    LHM renders `int(2 cx)` x `int(2 cy)` px whatever the picture's size is.
    """
    cx, cy = camera.principal
    width = _multiple(2 * max(cx, camera.width - cx))
    height = _multiple(2 * max(cy, camera.height - cy))
    return Canvas(width, height, width / 2 - cx, height / 2 - cy, camera.width, camera.height)


def _multiple(length: float) -> int:
    return max(1, -int(-length // _BLOCK)) * _BLOCK
