"""Square windows of an image, resampled for a detector, and the way back to the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["View"]


@dataclass(frozen=True, slots=True)
class View:
    """A square window of an image at a chosen resolution.

    Coordinates are continuous: pixel `i` covers [i, i + 1].
    """

    x0: int
    """Left edge of the window, px of the image; may lie outside."""
    y0: int
    """Upper edge, px of the image."""
    side: int
    """Side of the window, px of the image."""
    size: int
    """Side of the resampled picture, px."""
    mirrored: bool = False
    """Whether the picture is flipped left to right."""

    @classmethod
    def around(cls, centre: np.ndarray, side: float, size: int, mirrored: bool = False) -> View:
        """The window of about `side` px about `centre` [2]."""
        whole = max(round(float(side)), 2)
        corner = np.round(np.asarray(centre[:2], dtype=np.float64) - whole / 2).astype(int)
        return cls(int(corner[0]), int(corner[1]), whole, size, mirrored)

    def take(self, image: np.ndarray) -> np.ndarray:
        """The picture [size, size, C]; what lies outside `image` repeats its edge."""
        height, width = image.shape[:2]
        x1, y1 = self.x0 + self.side, self.y0 + self.side
        # At least one row and column of the image, also for a window that lies outside altogether.
        left, right = np.clip([self.x0, x1], [0, 1], [width - 1, width])
        top, bottom = np.clip([self.y0, y1], [0, 1], [height - 1, height])
        inside = image[top:bottom, left:right]
        border = (max(top - self.y0, 0), max(y1 - bottom, 0), max(left - self.x0, 0), max(x1 - right, 0))
        if any(border):
            inside = cv2.copyMakeBorder(inside, *border, borderType=cv2.BORDER_REPLICATE)
            inside = inside[: self.side, : self.side]
        method = cv2.INTER_AREA if self.size < self.side else cv2.INTER_CUBIC
        picture = cv2.resize(inside, (self.size, self.size), interpolation=method)
        return np.ascontiguousarray(picture[:, ::-1] if self.mirrored else picture)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2 or more] of the picture in px of the image; a third coordinate is scaled alike."""
        mapped = np.array(points, dtype=np.float64)
        if self.mirrored:
            mapped[..., 0] = self.size - mapped[..., 0]
        mapped[..., :3] *= self.side / self.size
        mapped[..., 0] += self.x0
        mapped[..., 1] += self.y0
        return mapped

    def from_image(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] of the image in px of the picture."""
        mapped = (np.asarray(points, dtype=np.float64)[..., :2] - (self.x0, self.y0)) * (
            self.size / self.side
        )
        if self.mirrored:
            mapped[..., 0] = self.size - mapped[..., 0]
        return mapped

    def paste_back(self, mask: np.ndarray, height: int, width: int) -> np.ndarray:
        """A mask [size, size] float32 of the picture on the image's canvas [height, width]; 0 outside."""
        if self.mirrored:
            mask = mask[:, ::-1]
        window = cv2.resize(mask, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        canvas = np.zeros((height, width), np.float32)
        left, right = np.clip([self.x0, self.x0 + self.side], 0, width)
        top, bottom = np.clip([self.y0, self.y0 + self.side], 0, height)
        canvas[top:bottom, left:right] = window[
            top - self.y0 : bottom - self.y0, left - self.x0 : right - self.x0
        ]
        return canvas
