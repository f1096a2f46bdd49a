"""Drawing for playback: uint8 out, no gradient and no torch arithmetic, the same picture as `render`."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from reference_model.render.binning import ROW, sort_and_bin
from reference_model.render.camera import Camera
from reference_model.render.kernels import blend_uint8
from reference_model.render.projection import ALPHA_MIN, AREA_RATIO_MIN, FIELD_MARGIN, LOW_PASS, NEAR_PLANE

__all__ = ["FrameRenderer"]

_LOW_PASS, _NEAR_PLANE = np.float32(LOW_PASS), np.float32(NEAR_PLANE)
_FIELD_MARGIN, _ALPHA_MIN = np.float32(FIELD_MARGIN), np.float32(ALPHA_MIN)
_AREA_RATIO_MIN = np.float32(AREA_RATIO_MIN)
_ONE, _TWO = np.float32(1), np.float32(2)


class FrameRenderer:
    """Draws frame after frame over one still background.

    Args:
        background: uint8 sRGB `[H, W, 3]`; its size is the size of the frames.
    """

    def __init__(self, background: NDArray[np.uint8]) -> None:
        if background.dtype != np.uint8 or background.ndim != 3 or background.shape[2] != 3:
            raise ValueError(
                f"background must be uint8 [H, W, 3], got {background.dtype} {tuple(background.shape)}"
            )
        self._background = np.ascontiguousarray(background)
        self._rows = np.empty((0, ROW), np.float32)

    def draw(
        self,
        means: NDArray[np.float32],
        quats: NDArray[np.float32],
        scales: NDArray[np.float32],
        opacities: NDArray[np.float32],
        colors: NDArray[np.float32],
        camera: Camera,
        *,
        visible: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw one frame; the arrays are the parts of `Gaussians`, float32.

        Args:
            means: `[N, 3]` metres.
            quats: `[N, 4]` wxyz.
            scales: `[N, 3]` metres.
            opacities: `[N]` in [0, 1].
            colors: `[N, 3]` sRGB in [0, 1].
            camera: The view; its size must be the background's.
            visible: `[N]` bool, None for all.

        Returns:
            rgb `[H, W, 3]` over the background and alpha `[H, W]`, new uint8 arrays.
        """
        height, width = self._background.shape[:2]
        if (camera.height, camera.width) != (height, width):
            raise ValueError(
                f"the camera's picture is {camera.width}x{camera.height}, the background {width}x{height}"
            )
        n = len(means)
        if len(self._rows) != n:
            self._rows = np.empty((n, ROW), np.float32)
        visible = np.ones(n, np.bool_) if visible is None else np.ascontiguousarray(visible)
        intrinsics = np.array((camera.focal, camera.cx, camera.cy, width, height), np.float32)
        finite = _project(
            _float32(means),
            _float32(quats),
            _float32(scales),
            _float32(opacities),
            _float32(colors),
            _float32(camera.rotation.detach().numpy()),
            _float32(camera.translation.detach().numpy()),
            intrinsics,
            self._rows,
        )
        if not finite.all():
            broken = np.flatnonzero(~finite)
            raise ValueError(f"{len(broken)} Gaussians are not finite, the first is number {broken[0]}")
        _, ordered, starts, entries = sort_and_bin(self._rows, visible, width, height)
        rgb = np.empty((height, width, 3), np.uint8)
        alpha = np.empty((height, width), np.uint8)
        blend_uint8(starts, entries, ordered, self._background, rgb, alpha)
        return rgb, alpha


def _float32(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(
        array, np.float32
    )  # one layout and type, or numba compiles once more for each


@numba.njit(parallel=True, cache=True)
def _project(means, quats, scales, opacities, colors, rotation, translation, intrinsics, rows):
    """`reference_model.render.projection.project`, into `rows` `[N, ROW]`; returns which rows are finite."""
    finite = np.empty(means.shape[0], np.bool_)
    for i in numba.prange(means.shape[0]):
        _project_one(means[i], quats[i], scales[i], opacities[i], rotation, translation, intrinsics, rows[i])
        rows[i, 6:9] = colors[i]
        total = np.float32(0)
        for column in range(ROW):
            total += rows[i, column] * np.float32(0)  # NaN if any number is NaN or infinite
        finite[i] = total == np.float32(0)
    return finite


@numba.njit(error_model="numpy", cache=True)
def _project_one(mean, quat, scale, opacity, rotation, translation, intrinsics, row):
    """Fill in a row but for the colour."""
    focal, cx, cy, width, height = intrinsics
    x = rotation[0, 0] * mean[0] + rotation[0, 1] * mean[1] + rotation[0, 2] * mean[2] + translation[0]
    y = rotation[1, 0] * mean[0] + rotation[1, 1] * mean[1] + rotation[1, 2] * mean[2] + translation[1]
    depth = rotation[2, 0] * mean[0] + rotation[2, 1] * mean[1] + rotation[2, 2] * mean[2] + translation[2]
    z = max(depth, _NEAR_PLANE)
    slope_x, slope_y = x / z, y / z
    margin_x, margin_y = _FIELD_MARGIN * width, _FIELD_MARGIN * height
    held_x = min(max(slope_x, -(cx + margin_x) / focal), (width - cx + margin_x) / focal)
    held_y = min(max(slope_y, -(cy + margin_y) / focal), (height - cy + margin_y) / focal)
    xx, xy, yy, area = _covariance(rotation, quat, scale, held_x, held_y, focal / z)
    determinant = area + _LOW_PASS * (xx + yy) + _LOW_PASS * _LOW_PASS
    row[0], row[1] = focal * slope_x + cx, focal * slope_y + cy
    row[2], row[3], row[4] = (yy + _LOW_PASS) / determinant, -xy / determinant, (xx + _LOW_PASS) / determinant
    row[5] = opacity * np.sqrt(max(area / determinant, _AREA_RATIO_MIN))
    if row[5] < _ALPHA_MIN:
        row[9], row[10] = -_ONE, -_ONE
    else:
        reach = _TWO * np.log(row[5] / _ALPHA_MIN)
        row[9], row[10] = np.sqrt((xx + _LOW_PASS) * reach), np.sqrt((yy + _LOW_PASS) * reach)
    row[11] = depth


@numba.njit(error_model="numpy", cache=True)
def _covariance(rotation, quat, scale, held_x, held_y, per_z):
    """Entries xx, xy, yy of `M M^T` and its determinant, for `M = J W R diag(s)`."""
    norm = _ONE / np.sqrt(quat[0] ** 2 + quat[1] ** 2 + quat[2] ** 2 + quat[3] ** 2)
    w, x, y, z = quat[0] * norm, quat[1] * norm, quat[2] * norm, quat[3] * norm
    frame = (
        (_ONE - _TWO * (y * y + z * z), _TWO * (x * y - w * z), _TWO * (x * z + w * y)),
        (_TWO * (x * y + w * z), _ONE - _TWO * (x * x + z * z), _TWO * (y * z - w * x)),
        (_TWO * (x * z - w * y), _TWO * (y * z + w * x), _ONE - _TWO * (x * x + y * y)),
    )
    # Rows of J W: what one step along a world axis moves in the picture.
    jx = (
        per_z * (rotation[0, 0] - held_x * rotation[2, 0]),
        per_z * (rotation[0, 1] - held_x * rotation[2, 1]),
        per_z * (rotation[0, 2] - held_x * rotation[2, 2]),
    )
    jy = (
        per_z * (rotation[1, 0] - held_y * rotation[2, 0]),
        per_z * (rotation[1, 1] - held_y * rotation[2, 1]),
        per_z * (rotation[1, 2] - held_y * rotation[2, 2]),
    )
    u0 = scale[0] * (jx[0] * frame[0][0] + jx[1] * frame[1][0] + jx[2] * frame[2][0])
    u1 = scale[1] * (jx[0] * frame[0][1] + jx[1] * frame[1][1] + jx[2] * frame[2][1])
    u2 = scale[2] * (jx[0] * frame[0][2] + jx[1] * frame[1][2] + jx[2] * frame[2][2])
    v0 = scale[0] * (jy[0] * frame[0][0] + jy[1] * frame[1][0] + jy[2] * frame[2][0])
    v1 = scale[1] * (jy[0] * frame[0][1] + jy[1] * frame[1][1] + jy[2] * frame[2][1])
    v2 = scale[2] * (jy[0] * frame[0][2] + jy[1] * frame[1][2] + jy[2] * frame[2][2])
    n0, n1, n2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
    return (
        u0 * u0 + u1 * u1 + u2 * u2,
        u0 * v0 + u1 * v1 + u2 * v2,
        v0 * v0 + v1 * v1 + v2 * v2,
        n0 * n0 + n1 * n1 + n2 * n2,
    )
