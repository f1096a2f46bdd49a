"""The mesh renderer's kernels on an NVIDIA GPU: the CPU's own functions, compiled for CUDA and run for many frames.

The z-buffer keeps depth and triangle in one 64-bit number and takes minima: the nearest fragment wins, of equally
near ones the lower triangle, as on the CPU, in whatever order the threads run. Pixels are lit in a second pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from torch import Tensor

from reference_model.compiled import compile_together
from reference_model.corpus.drawing.mesh_raster import (
    RASTERIZING,
    SHADOWING,
    flat_box,
    flat_weights,
    kept,
    seen_from,
    triangle_box,
    triangle_edges,
    weights_at,
)
from reference_model.corpus.drawing.mesh_surfaces import N_ATTRIBUTES, SHADING, shade_fragment
from reference_model.cuda_kernels import cuda, launch

__all__ = [
    "EMPTY",
    "FAR",
    "Lamps",
    "SurfaceArrays",
    "draw_depth_maps",
    "draw_z_buffer",
    "measure_light",
    "shade_pixels",
]

_DEPTH_STEPS = 2.0**26  # per metre: finer than float32 beyond 12 cm, and 32 m fit into 31 bits
_FLAT_STEPS = 2.0**29  # per metre of the depth maps, which lie within 4 m of the middle
_FACES = 2**32
EMPTY = 2**63 - 1
"""Value of a pixel of the z-buffer where nothing is."""
FAR = 2**31 - 1
"""Value of a texel of a depth map where nothing is."""

_device = compile_together(cuda.jit(device=True), [*RASTERIZING, *SHADOWING, *SHADING])


def _depth_maps(vertices, faces, directions, rights, ups, centre, scale, middle, maps):  # pragma: no cover
    """One thread a frame, direction and triangle."""
    n_faces, n_directions = faces.shape[0], directions.shape[0]
    index = cuda.grid(1)  # pyright: ignore[reportCallIssue]
    f, k = index % n_faces, (index // n_faces) % n_directions
    frame = index // (n_faces * n_directions)
    if frame >= vertices.shape[0]:
        return
    flat = cuda.local.array((3, 3), numba.float32)
    for corner in range(3):
        i = faces[f, corner]
        x = vertices[frame, i, 0] - centre[0]
        y = vertices[frame, i, 1] - centre[1]
        z = vertices[frame, i, 2] - centre[2]
        flat[corner, 0] = (x * rights[k, 0] + y * rights[k, 1] + z * rights[k, 2]) * scale + middle
        flat[corner, 1] = (x * ups[k, 0] + y * ups[k, 1] + z * ups[k, 2]) * scale + middle
        flat[corner, 2] = -(x * directions[k, 0] + y * directions[k, 1] + z * directions[k, 2])
    ax, ay, bx, by, cx, cy = flat[0, 0], flat[0, 1], flat[1, 0], flat[1, 1], flat[2, 0], flat[2, 1]
    top, bottom, left, right, area = flat_box(ax, ay, bx, by, cx, cy, maps.shape[3])
    if bottom < top or right < left or abs(area) < 1e-12:
        return
    z, slope1, slope2 = flat[0, 2], flat[1, 2] - flat[0, 2], flat[2, 2] - flat[0, 2]
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            w1, w2 = flat_weights(x, y, ax, ay, bx, by, cx, cy, area)
            if w1 >= 0 and w2 >= 0 and w1 + w2 <= 1:
                depth = numba.float32(z + w1 * slope1 + w2 * slope2)
                cuda.atomic.min(maps, (frame, k, y, x), numba.int32(depth * _FLAT_STEPS))


def _measure_light(
    points, normals, wraps, directions, rights, ups, owners, centre, scale, middle, bias, maps, light
):  # pragma: no cover
    """One thread a frame and query: key, fill, rim are means over their directions, the sky is weighted by facing."""
    n_points = points.shape[1]
    index = cuda.grid(1)  # pyright: ignore[reportCallIssue]
    i, frame = index % n_points, index // n_points
    if frame >= points.shape[0]:
        return
    nx, ny, nz = normals[frame, i, 0], normals[frame, i, 1], normals[frame, i, 2]
    x = points[frame, i, 0] - centre[0] + nx * bias
    y = points[frame, i, 1] - centre[1] + ny * bias
    z = points[frame, i, 2] - centre[2] + nz * bias
    total = cuda.local.array(4, numba.float32)
    weight = cuda.local.array(4, numba.float32)
    for lamp in range(4):
        total[lamp] = 0.0
        weight[lamp] = 0.0
    for k in range(directions.shape[0]):
        seen = seen_from(x, y, z, rights[k], ups[k], directions[k], maps[frame, k], scale, middle, bias)
        lamp = owners[k]
        share = numba.float32(1.0)
        if lamp == 3:
            facing = nx * directions[k, 0] + ny * directions[k, 1] + nz * directions[k, 2] + wraps[i]
            share = min(numba.float32(1.0), max(numba.float32(0.0), facing)) + numba.float32(0.02)
        total[lamp] += share * seen
        weight[lamp] += share
    for lamp in range(4):
        light[frame, i, lamp] = total[lamp] / weight[lamp]


def _z_buffer(points, faces, cuts, keys):  # pragma: no cover
    """One thread a frame and triangle."""
    n_faces = faces.shape[0]
    index = cuda.grid(1)  # pyright: ignore[reportCallIssue]
    f, frame = index % n_faces, index // n_faces
    if frame >= points.shape[0]:
        return
    corners = points[frame]
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    top, bottom, left, right = triangle_box(corners, cuts, a, b, c, keys.shape[1], keys.shape[2])
    if bottom < top:
        return
    edges = triangle_edges(corners, a, b, c)
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            z, w1, w2 = weights_at(x, y, edges)
            if z > 0:
                key = numba.int64(numba.int64(z * _DEPTH_STEPS) * _FACES + f)
                if key < keys[frame, y, x] and kept(cuts, a, b, c, numba.float32(1.0) - w1 - w2, w1, w2):
                    cuda.atomic.min(keys, (frame, y, x), key)


def _shade_pixels(
    keys, points, faces, codes, packed, texels, chart, eyes, lights, viewpoint, surfaces, wraps, paints, samples,
    out,
):  # pragma: no cover  # fmt: skip
    """One thread a frame and pixel of the final picture: its samples are lit and averaged."""
    height, width = out.shape[1], out.shape[2]
    index = cuda.grid(1)  # pyright: ignore[reportCallIssue]
    column, row, frame = index % width, (index // width) % height, index // (width * height)
    if frame >= out.shape[0]:
        return
    s = cuda.local.array(N_ATTRIBUTES, numba.float32)
    view = cuda.local.array(3, numba.float32)
    highlight = cuda.local.array(3, numba.float32)
    pixel = cuda.local.array(4, numba.float32)
    total = cuda.local.array(4, numba.float32)
    for k in range(4):
        total[k] = 0.0
    for sample in range(samples * samples):
        y, x = row * samples + sample // samples, column * samples + sample % samples
        key = keys[frame, y, x]
        if key != EMPTY:
            f = key % _FACES
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            _, w1, w2 = weights_at(x, y, triangle_edges(points[frame], a, b, c))
            shade_fragment(
                a, b, c, w1, w2, codes[f], packed[frame], texels, chart, eyes[frame], lights, viewpoint,
                surfaces, wraps, paints, s, view, highlight, pixel,
            )  # fmt: skip
            for k in range(4):
                total[k] += pixel[k]
    for k in range(4):
        out[frame, row, column, k] = total[k] / numba.float32(samples * samples)


_kernels = compile_together(cuda.jit, [_depth_maps, _measure_light, _z_buffer, _shade_pixels], known=_device)


def _run(kernel: str, threads: int, *arguments: Any) -> None:
    """Launch a kernel with one thread for each of `threads` items; tensors are passed without a copy."""
    launch(_kernels[kernel], threads, *arguments)


class Lamps(NamedTuple):
    """Directions of the soft light, on the device."""

    directions: Tensor  # [K, 3] float32 unit, towards the light
    rights: Tensor  # [K, 3] float32 unit, across
    ups: Tensor  # [K, 3] float32 unit, across both
    owners: Tensor  # [K] int32: 0 key, 1 fill, 2 rim, 3 sky
    centre: Tensor  # [3] float32 middle of the maps' volume, metres
    scale: float  # texels a metre
    bias: float  # metres


def draw_depth_maps(vertices: Tensor, faces: Tensor, lamps: Lamps, maps: Tensor) -> None:
    """Orthographic depth from every direction.

    Args:
        vertices: Occluders, [B, V, 3] float32 metres.
        faces: Corner indices, [F, 3] int32.
        lamps: The directions.
        maps: [B, K, R, R] int32, filled with `FAR`; gets the least depth in units of 2**-29 m.
    """
    threads = len(faces) * len(lamps.directions) * len(vertices)
    _run(
        "_depth_maps", threads, vertices, faces, lamps.directions, lamps.rights, lamps.ups, lamps.centre,
        np.float32(lamps.scale), np.float32(maps.shape[3] / 2), maps,
    )  # fmt: skip


def measure_light(
    points: Tensor, normals: Tensor, wraps: Tensor, lamps: Lamps, maps: Tensor, light: Tensor
) -> None:
    """How much of each light reaches each point.

    Args:
        points: [B, Q, 3] float32 metres.
        normals: Unit normals, [B, Q, 3] float32.
        wraps: How far behind its horizon a point takes sky light, [Q] float32.
        lamps: The directions.
        maps: Depth maps in metres, [B, K, R, R] float32.
        light: Gets key, fill, rim and sky in 0..1, [B, Q, 4] float32.
    """
    _run(
        "_measure_light", points.shape[0] * points.shape[1], points, normals, wraps, lamps.directions, lamps.rights,
        lamps.ups, lamps.owners, lamps.centre, np.float32(lamps.scale), np.float32(maps.shape[3] / 2),
        np.float32(lamps.bias), maps, light,
    )  # fmt: skip


def draw_z_buffer(projected: Tensor, faces: Tensor, cuts: Tensor, keys: Tensor) -> None:
    """The nearest triangle of every pixel.

    Args:
        projected: Vertices in pixels with depth in metres (under 32), [B, V, 3] float32.
        faces: Corner indices, [F, 3] int32.
        cuts: Fields that must be positive, [V, N_CUTS] float32.
        keys: [B, H, W] int64, filled with `EMPTY`; gets the depth in its upper, the triangle in its lower 32 bits.
    """
    _run("_z_buffer", projected.shape[0] * len(faces), projected, faces, cuts, keys)


class SurfaceArrays(NamedTuple):
    """What lights a fragment and does not change within a clip, on the device."""

    faces: Tensor  # [F, 3] int32
    codes: Tensor  # [F] int8
    texels: Tensor  # [H, W, 4] float32 the head's chart
    chart: Tensor  # [3] float32 its place
    lights: Tensor  # [8, 3] float32
    viewpoint: Tensor  # [3] float32 metres
    surfaces: Tensor  # [M, 4] float32
    wraps: Tensor  # [3] float32
    paints: Tensor  # [R, N_PAINT] float32


def shade_pixels(
    keys: Tensor,
    projected: Tensor,
    packed: Tensor,
    eyes: Tensor,
    arrays: SurfaceArrays,
    samples: int,
    out: Tensor,
) -> None:
    """Light the samples of a z-buffer and average them over pixels.

    Args:
        keys: From `draw_z_buffer`, [B, H * samples, W * samples] int64.
        projected: The vertices it was drawn from, [B, V, 3] float32.
        packed: Attributes of the vertices, [B, V, N_ATTRIBUTES] float32.
        eyes: [B, 2, EYE_PARAMETERS] float32.
        arrays: Everything else.
        samples: Samples along an edge of a pixel.
        out: Gets linear RGB premultiplied by coverage, and coverage, [B, H, W, 4] float32.
    """
    a = arrays
    _run(
        "_shade_pixels", out.shape[0] * out.shape[1] * out.shape[2], keys, projected, a.faces, a.codes, packed,
        a.texels, a.chart, eyes, a.lights, a.viewpoint, a.surfaces, a.wraps, a.paints, np.int32(samples), out,
    )  # fmt: skip
