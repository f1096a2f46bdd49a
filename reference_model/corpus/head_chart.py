"""A chart of the head in canonical coordinates: where texels lie, and how far they are from facial landmarks."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from reference_model.body.template import BodyTemplate

__all__ = ["CHIN", "HeadChart", "landmark_positions", "noise"]

_WIDTH, _HEIGHT = 1280, 640  # texels; about 0.45 mm and 0.5 mm
_RADIUS = 0.09  # metres: turns azimuth into metres near the face
CHIN = 152
"""Point of the mediapipe face mesh."""


def landmark_positions(template: BodyTemplate) -> np.ndarray:
    """The face-mesh points on the mean template, [468, 3] metres; NaN where a point has no place."""
    corners = template.vertices[template.faces[template.landmark_face]]  # [468, 3, 3]
    points = (corners * template.landmark_barycentric[..., None]).sum(1)
    points[template.landmark_face < 0] = np.nan
    return points


class HeadChart:
    """Coordinates of the chart's texels and distances to landmarks in them."""

    def __init__(self, template: BodyTemplate) -> None:
        self.points = landmark_positions(template)
        head = template.vertices[template.region_vertices("head")]
        self.axis_y = float(np.nanmean(self.points[[127, 356], 1]))  # in front of the ears
        self.bottom = float(self.points[CHIN, 2] - 0.035)
        self.top = float(head[:, 2].max() + 0.005)
        column = (np.arange(_WIDTH) + 0.5) / _WIDTH - 0.5
        row = (np.arange(_HEIGHT) + 0.5) / _HEIGHT
        self.x, self.z = np.meshgrid(
            (column * 2 * np.pi * _RADIUS).astype(np.float32),
            (self.top - row * (self.top - self.bottom)).astype(np.float32),
        )  # [H, W] metres; x > 0 on the person's left

    def place(self, points: np.ndarray) -> np.ndarray:
        """Chart coordinates of canonical points, [..., 2] metres."""
        azimuth = np.arctan2(points[..., 0], -(points[..., 1] - self.axis_y))
        return np.stack([azimuth * _RADIUS, points[..., 2]], -1)

    def landmarks(self, indices: tuple[int, ...]) -> np.ndarray:
        """Chart coordinates of face-mesh points, [N, 2] metres."""
        placed = self.place(self.points[list(indices)])
        return placed[np.isfinite(placed).all(-1)]

    def spot(self, indices: tuple[int, ...], width: float, height: float, drop: float = 0.0) -> np.ndarray:
        """Sum of Gaussian spots at the landmarks, lowered by `drop` metres, [H, W]."""
        return sum(
            np.exp(-(((self.x - x) / width) ** 2) - ((self.z - z + drop) / height) ** 2)
            for x, z in self.landmarks(indices)
        )  # type: ignore[return-value]

    def along(self, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance to a polyline [N, 2] in metres and the place along it in 0..1, each [H, W]."""
        best = np.full(self.x.shape, 1e3, np.float32)
        where = np.zeros(self.x.shape, np.float32)
        n_segments = len(line) - 1
        for i, (start, end) in enumerate(itertools.pairwise(line)):
            step = end - start
            t = ((self.x - start[0]) * step[0] + (self.z - start[1]) * step[1]) / (step @ step + 1e-12)
            t = np.clip(t, 0, 1)
            distance = np.hypot(self.x - start[0] - t * step[0], self.z - start[1] - t * step[1])
            nearer = distance < best
            best = np.where(nearer, distance, best)
            where = np.where(nearer, (i + t) / n_segments, where)
        return best, where

    def inside(self, outline: np.ndarray, blur: float) -> np.ndarray:
        """1 inside a closed polygon [N, 2], blurred by `blur` texels, [H, W]."""
        column = (outline[:, 0] / (2 * np.pi * _RADIUS) + 0.5) * _WIDTH - 0.5
        row = (self.top - outline[:, 1]) / (self.top - self.bottom) * _HEIGHT - 0.5
        mask = np.zeros(self.x.shape, np.uint8)
        pixels = np.round(np.stack([column, row], -1) * 16).astype(np.int32)
        cv2.fillPoly(mask, [pixels], (255,), lineType=cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), blur)


def noise(rng: np.random.Generator, cell: float, stretch: float = 1.0) -> np.ndarray:
    """Smooth unit noise on the chart with cells of `cell` texels, `stretch` times as tall, [H, W]."""
    rows, columns = int(_HEIGHT / (cell * stretch)) + 2, int(_WIDTH / cell) + 2
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    return cv2.resize(grid, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
