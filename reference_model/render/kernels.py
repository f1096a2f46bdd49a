"""numba kernels of the CPU renderer: blend the ellipses of each tile, and the gradient of that.

Tiles are independent and every sum is taken in one fixed order, so the result is the same bit for bit with any number
of threads. `reference_model.render.binning` makes the lists that are blended here.

Two habits keep the inner loops fast, worth a factor of about four together: a tile's planes live in one flat array
that is sliced at the start of a run of pixels (with constant distances and indices that start at zero LLVM proves the
stores apart and vectorises, with anything cleverer it does not), and rounding is by truncation of non-negative numbers
(`math.floor` is a library call in numba).
"""

from __future__ import annotations

import numba
import numpy as np

from reference_model.render.binning import TILE
from reference_model.render.projection import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN

__all__ = ["GRADIENT", "blend", "blend_backward", "blend_uint8", "scatter_gradients"]

GRADIENT = 9
"""mean x, mean y, conic a, b, c, opacity, red, green, blue."""

_PIXELS = TILE * TILE
_LANES = 8  # pixels of a row are done in runs of a multiple of 8, the float32 width of AVX2
_CHECK_EVERY = 16  # ellipses between two looks whether a tile is opaque

_ZERO, _HALF, _ONE, _EDGE = np.float32(0), np.float32(0.5), np.float32(1), np.float32(TILE)
_ALPHA_MIN, _ALPHA_MAX = np.float32(ALPHA_MIN), np.float32(ALPHA_MAX)
_TRANSMITTANCE_MIN = np.float32(TRANSMITTANCE_MIN)
_SLACK = np.float32(
    1e-3
)  # px by which runs of pixels are widened against rounding; `ALPHA_MIN` decides in the end

# exp(r) on [-0.75, 0] as a polynomial with a relative error of 1.4e-7 (least squares, reweighted towards minimax).
# exp(p) = exp(p / 8)^8 then serves p >= -6, which is beyond log(ALPHA_MIN) = -5.54.
_E1, _E2, _E3, _E4, _E5 = (
    np.float32(c) for c in (0.99999266, 0.49986942, 0.16589214, 0.03960778, 0.00573932)
)
_R_MIN = np.float32(-0.75)
_EIGHTH = np.float32(0.125)


@numba.njit(fastmath=True, inline="always")
def _exp8(r):
    """exp(8 r) for r <= 0; below -0.75 the value of -0.75."""
    r = max(r, _R_MIN)
    e = _ONE + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * _E5))))
    e = e * e
    e = e * e
    return e * e


@numba.njit(fastmath=True, inline="always")
def _run(row, x0, y0):
    """Mean in the tile's own pixels, and the rows and columns of pixels that the ellipse may touch in it.

    The columns are given as the first pixel and the number of pixels, both multiples of `_LANES`.
    """
    mean_x, mean_y = row[0] - np.float32(x0), row[1] - np.float32(y0)
    reach_x, reach_y = row[9] + _SLACK, row[10] + _SLACK
    # Pixel centres are at +0.5: the first inside is ceil(low - 0.5), written as a truncation of low + 0.5.
    first_y = np.int64(min(_EDGE, max(_ZERO, mean_y - reach_y + _HALF)))
    end_y = np.int64(min(_EDGE, max(_ZERO, mean_y + reach_y + _HALF)))
    first_x = np.int64(min(_EDGE, max(_ZERO, mean_x - reach_x + _HALF)))
    end_x = np.int64(min(_EDGE, max(_ZERO, mean_x + reach_x + _HALF)))
    first_x = first_x // _LANES * _LANES
    return mean_x, mean_y, first_y, end_y, first_x, (end_x + _LANES - 1 - first_x) // _LANES * _LANES


@numba.njit(fastmath=True, inline="always")
def _open_pixels(planes, transmittance):
    """How many pixels of a tile still take Gaussians; `transmittance` is where that plane starts."""
    plane = planes[transmittance:]
    count = _ZERO
    for i in range(_PIXELS):
        count += _ONE if plane[i] >= _TRANSMITTANCE_MIN else _ZERO
    return count


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _blend_tile(x0, y0, entries, ordered):
    """Blend the listed ellipses into one tile.

    Returns:
        Four planes of `_PIXELS` float32 in one array: red, green, blue (premultiplied) and transmittance.
    """
    planes = np.zeros(4 * _PIXELS, np.float32)
    planes[3 * _PIXELS :] = _ONE
    since_check = 0
    for rank in entries:
        row = ordered[rank]
        mean_x, mean_y, first_y, end_y, first_x, length = _run(row, x0, y0)
        a, b, c, opacity = row[2], row[3], row[4], row[5]
        red, green, blue = row[6], row[7], row[8]
        xx = -_HALF * _EIGHTH * a
        left = np.float32(first_x) + _HALF - mean_x
        for y in range(first_y, end_y):
            dy = np.float32(y) + _HALF - mean_y
            xy, yy = -_EIGHTH * b * dy, -_HALF * _EIGHTH * c * dy * dy
            run = planes[y * TILE + first_x :]
            for i in range(length):
                dx = np.float32(np.int32(i)) + left
                alpha = min(opacity * _exp8(dx * (dx * xx + xy) + yy), _ALPHA_MAX)
                light = run[3 * _PIXELS + i]
                drawn = (alpha >= _ALPHA_MIN) & (light >= _TRANSMITTANCE_MIN)
                weight = alpha * light if drawn else _ZERO
                run[i] += weight * red
                run[_PIXELS + i] += weight * green
                run[2 * _PIXELS + i] += weight * blue
                run[3 * _PIXELS + i] = light - weight
        since_check += 1
        if since_check == _CHECK_EVERY:
            since_check = 0
            if _open_pixels(planes, 3 * _PIXELS) == _ZERO:
                break
    return planes


@numba.njit(cache=True)
def _tile_origin(step, columns, n_tiles):
    """Spread neighbouring tiles over the threads: each thread gets one run of steps, and work clusters in space."""
    tile = (step * 487) % n_tiles if n_tiles % 487 else step
    return tile, (tile % columns) * TILE, (tile // columns) * TILE


@numba.njit(parallel=True, cache=True)
def blend(starts, entries, ordered, background, rgb, transmittance):
    """Draw into `rgb` `[H, W, 3]` and `transmittance` `[H, W]`, float32.

    `background` is `[H, W, 3]` or, for one colour, `[1, 1, 3]`, float32.
    """
    height, width = transmittance.shape
    columns, n_tiles = (width + TILE - 1) // TILE, starts.shape[0] - 1
    last_y, last_x = background.shape[0] - 1, background.shape[1] - 1
    for step in numba.prange(n_tiles):
        tile, x0, y0 = _tile_origin(np.int64(step), columns, n_tiles)
        planes = _blend_tile(x0, y0, entries[starts[tile] : starts[tile + 1]], ordered)
        for y in range(min(TILE, height - y0)):
            for x in range(min(TILE, width - x0)):
                i = y * TILE + x
                light = planes[3 * _PIXELS + i]
                behind = background[min(y0 + y, last_y), min(x0 + x, last_x)]
                transmittance[y0 + y, x0 + x] = light
                for channel in range(3):
                    rgb[y0 + y, x0 + x, channel] = planes[channel * _PIXELS + i] + light * behind[channel]


@numba.njit(parallel=True, cache=True)
def blend_uint8(starts, entries, ordered, background, rgb, alpha):
    """Draw into `rgb` `[H, W, 3]` over `background` `[H, W, 3]`, and into `alpha` `[H, W]`, all uint8."""
    height, width = alpha.shape
    columns, n_tiles = (width + TILE - 1) // TILE, starts.shape[0] - 1
    full = np.float32(255)
    for step in numba.prange(n_tiles):
        tile, x0, y0 = _tile_origin(np.int64(step), columns, n_tiles)
        planes = _blend_tile(x0, y0, entries[starts[tile] : starts[tile + 1]], ordered)
        for y in range(min(TILE, height - y0)):
            for x in range(min(TILE, width - x0)):
                i = y * TILE + x
                light = planes[3 * _PIXELS + i]
                behind = background[y0 + y, x0 + x]
                alpha[y0 + y, x0 + x] = np.uint8(full * (_ONE - light) + _HALF)
                for channel in range(3):
                    value = full * planes[channel * _PIXELS + i] + light * np.float32(behind[channel])
                    rgb[y0 + y, x0 + x, channel] = np.uint8(min(full, max(_ZERO, value)) + _HALF)


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _blend_tile_backward(x0, y0, entries, ordered, planes, gradients):
    """Gradient of one tile with respect to each of its ellipses.

    With the colours `c_i`, weights `w_i = alpha_i T_i` and `u` the gradient of a pixel's colour, what the pixel's loss
    owes to everything behind ellipse i is `rest_i = sum_{j > i} w_j c_j.u + T_end (background.u + u_T)`, and
    `dL/dalpha_i = T_i c_i.u - rest_i / (1 - alpha_i)`. Going front to back again, `rest` is what is left of the total.

    Args:
        x0: Left edge of the tile, px.
        y0: Upper edge of the tile, px.
        entries: `[E]` int32, ranks of the ellipses.
        ordered: `[K, ROW]` float32.
        planes: Five planes of `_PIXELS` float32: gradient of red, green and blue, transmittance (ones), rest (the
            total); the last two are used up.
        gradients: `[E, GRADIENT]` float32, zeros; receives sums over pixels of `d = dL/dpower` times 1, dx, dy,
            dx^2, dx dy, dy^2, and of the colour's gradient.
    """
    since_check = 0
    for e in range(entries.shape[0]):
        row, out = ordered[entries[e]], gradients[e]
        mean_x, mean_y, first_y, end_y, first_x, length = _run(row, x0, y0)
        a, b, c, opacity = row[2], row[3], row[4], row[5]
        red, green, blue = row[6], row[7], row[8]
        xx = -_HALF * _EIGHTH * a
        left = np.float32(first_x) + _HALF - mean_x
        for y in range(first_y, end_y):
            dy = np.float32(y) + _HALF - mean_y
            xy, yy = -_EIGHTH * b * dy, -_HALF * _EIGHTH * c * dy * dy
            run = planes[y * TILE + first_x :]
            d0 = d1 = d2 = r = g = bl = _ZERO
            for i in range(length):
                dx = np.float32(np.int32(i)) + left
                raw = opacity * _exp8(dx * (dx * xx + xy) + yy)
                light = run[3 * _PIXELS + i]
                drawn = (raw >= _ALPHA_MIN) & (light >= _TRANSMITTANCE_MIN)
                alpha = min(raw, _ALPHA_MAX) if drawn else _ZERO
                weight = alpha * light
                u_r, u_g, u_b = run[i], run[_PIXELS + i], run[2 * _PIXELS + i]
                u = red * u_r + green * u_g + blue * u_b
                rest = run[4 * _PIXELS + i] - weight * u
                run[4 * _PIXELS + i] = rest
                run[3 * _PIXELS + i] = light - weight
                d = alpha * (light * u - rest / (_ONE - alpha))
                d = d if raw <= _ALPHA_MAX else _ZERO  # a clamped alpha does not move
                d0 += d
                d1 += d * dx
                d2 += d * dx * dx
                r += weight * u_r
                g += weight * u_g
                bl += weight * u_b
            out[0] += d0
            out[1] += d1
            out[2] += dy * d0
            out[3] += d2
            out[4] += dy * d1
            out[5] += dy * dy * d0
            out[6] += r
            out[7] += g
            out[8] += bl
        since_check += 1
        if since_check == _CHECK_EVERY:
            since_check = 0
            if _open_pixels(planes, 3 * _PIXELS) == _ZERO:
                break


@numba.njit(parallel=True, cache=True)
def blend_backward(starts, entries, ordered, rgb, transmittance, grad_rgb, grad_transmittance):
    """Gradients of each entry of each tile, `[len(entries), GRADIENT]` float32, for `scatter_gradients`.

    `rgb` and `transmittance` are what `blend` drew, the gradients have their shapes.
    """
    height, width = transmittance.shape
    columns, n_tiles = (width + TILE - 1) // TILE, starts.shape[0] - 1
    gradients = np.zeros((entries.shape[0], GRADIENT), np.float32)
    for step in numba.prange(n_tiles):
        tile, x0, y0 = _tile_origin(np.int64(step), columns, n_tiles)
        first, end = starts[tile], starts[tile + 1]
        if first == end:
            continue
        planes = np.zeros(5 * _PIXELS, np.float32)
        for y in range(min(TILE, height - y0)):
            for x in range(min(TILE, width - x0)):
                i = y * TILE + x
                total = transmittance[y0 + y, x0 + x] * grad_transmittance[y0 + y, x0 + x]
                for channel in range(3):
                    u = grad_rgb[y0 + y, x0 + x, channel]
                    planes[channel * _PIXELS + i] = u
                    total += u * rgb[y0 + y, x0 + x, channel]
                planes[3 * _PIXELS + i] = _ONE
                planes[4 * _PIXELS + i] = total
        _blend_tile_backward(x0, y0, entries[first:end], ordered, planes, gradients[first:end])
    return gradients


@numba.njit(cache=True)
def scatter_gradients(entries, order, ordered, gradients, n):
    """Sum the entries of each ellipse, turn their moments into gradients and put these back in the caller's order.

    Returns:
        `[n, GRADIENT]` float32, zero for what was not drawn.
    """
    sums = np.zeros((order.shape[0], GRADIENT), np.float32)
    for e in range(entries.shape[0]):
        for column in range(GRADIENT):
            sums[entries[e], column] += gradients[e, column]
    result = np.zeros((n, GRADIENT), np.float32)
    for rank in range(order.shape[0]):
        s, out = sums[rank], result[order[rank]]
        a, b, c, opacity = ordered[rank, 2], ordered[rank, 3], ordered[rank, 4], ordered[rank, 5]
        out[0] = a * s[1] + b * s[2]
        out[1] = b * s[1] + c * s[2]
        out[2] = -_HALF * s[3]
        out[3] = -s[4]
        out[4] = -_HALF * s[5]
        out[5] = s[0] / opacity
        out[6:] = s[6:]
    return result
