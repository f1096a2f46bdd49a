"""The inner-lip gap of the template: how far apart the lips look from the front, and how to set it.

Facial actions move vertices linearly, but the visible gap is not linear in them: it is the lowest point of
the upper lip minus the highest point of the lower lip in each upright column of the mouth.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from reference_model.body.template import BodyTemplate, load_template

__all__ = ["LipGap", "lip_gap"]

_COLUMN_M = (-0.012, -0.006, 0.0, 0.006, 0.012)
"""Columns of the mesh; the inner three are about where mediapipe has its points 82/87, 13/14 and 312/317."""
_COLUMN_HALF_WIDTH_M = 0.002
_SLACK_MM = 0.3
"""Closed lips overlap by this much, so that rounding and blending leave no slit."""


class LipGap:
    """Measures and solves the gap between the template's lips.

    Args:
        template: The body template.
    """

    def __init__(self, template: BodyTemplate) -> None:
        jaw = template.actions[template.action("jawOpen"), :, 2]  # [V] metres
        lips = np.flatnonzero((template.lip > 0.3) & (np.abs(template.vertices[:, 0]) < 0.012))
        lower = jaw[lips] < 0.5 * jaw[lips].min()
        self._lips = lips
        self._height_mm = template.vertices[lips, 2] * 1000  # [n]
        self._motion_mm = template.actions[:, lips, 2].astype(np.float64) * 1000  # [52, n]
        across = template.vertices[lips, 0]
        self._columns: list[tuple[np.ndarray, np.ndarray]] = []
        """Upper- and lower-lip vertices of each column, as positions in `lips`."""
        for centre in _COLUMN_M:
            near = np.abs(across - centre) < _COLUMN_HALF_WIDTH_M
            self._columns.append((np.flatnonzero(near & ~lower), np.flatnonzero(near & lower)))

    def signed_mm(self, actions: np.ndarray) -> np.ndarray:
        """Gap in each column; negative where the lips overlap.

        Args:
            actions: Facial actions, [..., 52].

        Returns:
            Millimetres, [..., 5] from the person's right to left.
        """
        return self._gaps(self._height_mm + actions @ self._motion_mm)

    def of_vertices_mm(self, vertices: np.ndarray) -> np.ndarray:
        """Gap in each column of any body's mouth.

        Args:
            vertices: Vertices of a body whose head is upright, [..., V, 3] metres.

        Returns:
            Millimetres, [..., 5] from the person's right to left; negative where the lips overlap.
        """
        return self._gaps(vertices[..., self._lips, 2].astype(np.float64) * 1000)

    def _gaps(self, height: np.ndarray) -> np.ndarray:
        """Gaps [..., 5] of lips whose vertices have these heights, [..., n] millimetres."""
        gaps = [height[..., upper].min(-1) - height[..., lower].max(-1) for upper, lower in self._columns]
        return np.stack(gaps, -1)

    def millimetres(self, actions: np.ndarray) -> np.ndarray:
        """The visible gap, mean of the three inner columns, [...] >= 0."""
        return np.clip(self.signed_mm(actions), 0.0, None)[..., 1:4].mean(-1)

    def solve(self, path: np.ndarray, target_mm: np.ndarray) -> np.ndarray:
        """Find the mouth on a path of ever more open mouths whose gap is as wished.

        Args:
            path: Facial actions of the corners of the path, [P, T, 52]; at the first the lips touch.
            target_mm: Wished gap, [T]; where it is 0 all columns close, not only their mean. Wider gaps than the
                path has end at its last corner.

        Returns:
            Facial actions between two neighbouring corners, [T, 52].
        """
        closed = target_mm <= 0
        frames = np.arange(path.shape[1])
        low, high = np.zeros(len(frames)), np.full(len(frames), path.shape[0] - 1.0)

        def mouth(place: np.ndarray) -> np.ndarray:
            corner = np.minimum(place.astype(int), path.shape[0] - 2)
            share = (place - corner)[:, None]
            return (1 - share) * path[corner, frames] + share * path[corner + 1, frames]

        for _ in range(14):  # 2^-14 of the path is far under a pixel
            middle = 0.5 * (low + high)
            gaps = self.signed_mm(mouth(middle))  # [T, 5]
            too_open = np.where(closed, gaps.max(1) > -_SLACK_MM, gaps[:, 1:4].mean(1) > target_mm)
            high = np.where(too_open, middle, high)
            low = np.where(too_open, low, middle)
        return mouth(low)


@lru_cache(maxsize=1)
def lip_gap() -> LipGap:
    """The gap of the shipped template."""
    return LipGap(load_template())
