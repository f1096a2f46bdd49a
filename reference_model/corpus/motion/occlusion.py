"""Which points of a scene a camera sees past the body: a depth map of triangles and a test against it."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["depth_map", "visible"]


@njit(cache=True)
def _fill(points: np.ndarray, faces: np.ndarray, depth: np.ndarray) -> None:
    height, width = depth.shape
    for face in range(len(faces)):
        a, b, c = faces[face]
        ax, ay, az = points[a]
        bx, by, bz = points[b]
        cx, cy, cz = points[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9 or min(az, bz, cz) <= 0:
            continue
        first_x, last_x = max(0, int(min(ax, bx, cx))), min(width - 1, int(max(ax, bx, cx)))
        first_y, last_y = max(0, int(min(ay, by, cy))), min(height - 1, int(max(ay, by, cy)))
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                px, py = x + 0.5, y + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                w = 1.0 - u - v
                if u >= 0 and v >= 0 and w >= 0:
                    z = 1.0 / (u / az + v / bz + w / cz)
                    depth[y, x] = min(depth[y, x], z)


def depth_map(projected: np.ndarray, faces: np.ndarray, width: int, height: int) -> np.ndarray:
    """Depth of the nearest triangle at each pixel centre.

    Args:
        projected: Vertices in px, px and metres of depth, [V, 3].
        faces: [F, 3] int.
        width: Pixels.
        height: Pixels.

    Returns:
        [height, width] float32 metres, inf where there is none.
    """
    depth = np.full((height, width), np.inf, np.float32)
    _fill(np.ascontiguousarray(projected, np.float64), np.ascontiguousarray(faces, np.int32), depth)
    return depth


def visible(projected: np.ndarray, depth: np.ndarray, slack_m: np.ndarray | float) -> np.ndarray:
    """Whether points lie in the picture and nothing stands before them.

    Args:
        projected: Points in px, px and metres of depth, [N, 3]; NaN rows are not visible.
        depth: From `depth_map`, [H, W].
        slack_m: How far behind the surface a point may lie (a joint lies inside the body), metres, a number or [N].

    Returns:
        [N] bool.
    """
    height, width = depth.shape
    known = np.isfinite(projected).all(1)
    place = np.where(known[:, None], projected, -1.0)
    column, row = np.floor(place[:, 0]).astype(int), np.floor(place[:, 1]).astype(int)
    inside = known & (column >= 0) & (column < width) & (row >= 0) & (row < height) & (place[:, 2] > 0)
    nearest = depth[np.where(inside, row, 0), np.where(inside, column, 0)]
    return inside & (place[:, 2] <= nearest + slack_m)
