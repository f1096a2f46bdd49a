"""A chart of the head in canonical coordinates: where texels lie, and how far they are from facial landmarks."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from scipy.spatial import KDTree

from reference_model.body.template import BodyTemplate

__all__ = ["CHIN", "HeadChart", "landmark_positions", "noise"]

_WIDTH, _HEIGHT = 1280, 640  # texels; about 0.45 mm and 0.5 mm
_RADIUS = 0.09  # metres: turns azimuth into metres near the face
CHIN = 152
"""Point of the mediapipe face mesh."""


def landmark_positions(template: BodyTemplate, vertices: np.ndarray | None = None) -> np.ndarray:
    """The face-mesh points on a body, by default the mean template, [468, 3] metres; NaN where one has no place."""
    corners = (template.vertices if vertices is None else vertices)[template.faces[template.landmark_face]]
    points = (corners * template.landmark_barycentric[..., None]).sum(1)  # [468, 3]
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
        self._template = template

    def place(self, points: np.ndarray) -> np.ndarray:
        """Chart coordinates of canonical points, [..., 2] metres."""
        azimuth = np.arctan2(points[..., 0], -(points[..., 1] - self.axis_y))
        return np.stack([azimuth * _RADIUS, points[..., 2]], -1)

    def landmarks(self, indices: tuple[int, ...]) -> np.ndarray:
        """Chart coordinates of face-mesh points, [N, 2] metres."""
        placed = self.place(self.points[list(indices)])
        return placed[np.isfinite(placed).all(-1)]

    def surface(self) -> np.ndarray:
        """About where on the mean template each texel lies, [H, W, 3] metres (ears and face smoothed away)."""
        template = self._template
        shell = template.region_vertices("head") & (template.ear < 0.1)
        placed = template.vertices[shell] - [0, self.axis_y, 0]
        radius = np.hypot(placed[:, 0], placed[:, 1])
        tree = KDTree(self.place(template.vertices[shell]))
        step = 8
        x, z = self.x[::step, ::step], self.z[::step, ::step]
        gap, nearest = tree.query(np.stack([x, z], -1), k=6)
        weight = 1 / (gap + 0.002) ** 2
        coarse = (radius[nearest] * weight).sum(-1) / weight.sum(-1)
        smooth = cv2.resize(coarse.astype(np.float32), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
        azimuth = self.x / _RADIUS
        return np.stack([smooth * np.sin(azimuth), self.axis_y - smooth * np.cos(azimuth), self.z], -1)

    def sample(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The texel of a field [H, W] at canonical points [..., 3]; the edge's beyond it, [...]."""
        placed = self.place(points)
        column = np.floor((placed[..., 0] / (2 * np.pi * _RADIUS) + 0.5) * _WIDTH).astype(int) % _WIDTH
        row = np.floor((self.top - placed[..., 1]) / (self.top - self.bottom) * _HEIGHT).astype(int)
        return field[np.clip(row, 0, _HEIGHT - 1), column]

    def strokes(self, starts: np.ndarray, ends: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Thin lines from `starts` to `ends` [N, 2] metres, each as dark as its `strength` in 0..1, [H, W]."""
        scale = np.array([_WIDTH / (2 * np.pi * _RADIUS), -_HEIGHT / (self.top - self.bottom)])
        offset = np.array([_WIDTH / 2, self.top / (self.top - self.bottom) * _HEIGHT]) - 0.5
        mask = np.zeros(self.x.shape, np.uint8)
        order = np.argsort(strength, kind="stable")  # darker over lighter
        pixels = np.round(np.stack([starts, ends], 1)[order] * scale * 16 + offset * 16).astype(np.int32)
        for (start, end), dark in zip(pixels, strength[order], strict=True):
            ink = (int(255 * np.clip(dark, 0, 1)),)
            cv2.line(mask, start.tolist(), end.tolist(), ink, 1, cv2.LINE_AA, shift=4)
        return mask.astype(np.float32) / 255

    def spot(self, indices: tuple[int, ...], width: float, height: float, drop: float = 0.0) -> np.ndarray:
        """Sum of Gaussian spots at the landmarks, lowered by `drop` metres, [H, W]."""
        return sum(
            np.exp(-(((self.x - x) / width) ** 2) - ((self.z - z + drop) / height) ** 2)
            for x, z in self.landmarks(indices)
        )  # type: ignore[return-value]

    def along(self, line: np.ndarray, reach: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
        """Distance to a polyline [N, 2] in metres and the place along it in 0..1, each [H, W].

        The distance is 1e3 further than `reach` from the line's bounding box: paint is local, and charts are large.
        """
        best = np.full(self.x.shape, 1e3, np.float32)
        where = np.zeros(self.x.shape, np.float32)
        low, high = line.min(0) - reach, line.max(0) + reach
        columns = slice(*np.searchsorted(self.x[0], [low[0], high[0]]))
        rows = slice(*np.searchsorted(-self.z[:, 0], [-high[1], -low[1]]))
        x, z = self.x[rows, columns], self.z[rows, columns]
        near, place = best[rows, columns], where[rows, columns]
        n_segments = len(line) - 1
        for i, (start, end) in enumerate(itertools.pairwise(line)):
            step = end - start
            t = ((x - start[0]) * step[0] + (z - start[1]) * step[1]) / (step @ step + 1e-12)
            t = np.clip(t, 0, 1)
            distance = np.hypot(x - start[0] - t * step[0], z - start[1] - t * step[1])
            nearer = distance < near
            near[nearer] = distance[nearer]
            place[nearer] = (i + t[nearer]) / n_segments
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
