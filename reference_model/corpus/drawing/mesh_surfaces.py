"""Materials under light: what one fragment looks like, for the CPU and for CUDA from the same source.

The functions are plain Python that numba compiles (`compiled.compile_together`). `s` is a scratch array that
holds the interpolated attributes of the fragment (offsets below); painters change them in place. `shade_picture`
drives them on the CPU, `mesh_cuda` on a GPU. All colours are linear light.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numba import njit, prange

from reference_model.compiled import compile_together, cpu

__all__ = [
    "N_ATTRIBUTES",
    "N_PAINT",
    "PAINTS_SHIFT",
    "SHADING",
    "SURFACES",
    "WRAP_BY_CHANNEL",
    "Material",
    "shade_picture",
]


class Material(IntEnum):
    """What a triangle is made of; the row of `SURFACES`.

    A triangle's code is `material + PAINTS_SHIFT * row`: `row` picks the numbers of the painter (`paints`).
    """

    SKIN = 0
    CLOTH = 1
    HAIR = 2
    EYE_LEFT = 3
    EYE_RIGHT = 4
    TEETH = 5
    MOUTH = 6
    FRAME = 7


PAINTS_SHIFT = 16
"""Codes 0..15 have row 0 of the paints, 16..31 row 1 and so on up to row 7."""
N_PAINT = 16
"""Numbers in a row of `paints`; each painter says what they mean."""

POSITION, NORMAL, COLOUR, LIGHT, CANONICAL, EDGE, N_ATTRIBUTES = 0, 3, 6, 9, 13, 16, 17
_IS_SKIN, _IS_CLOTH, _IS_HAIR = int(Material.SKIN), int(Material.CLOTH), int(Material.HAIR)
_IS_LEFT_EYE, _IS_RIGHT_EYE = int(Material.EYE_LEFT), int(Material.EYE_RIGHT)

# specular strength, roughness, wrap of light round the form, sheen at grazing angles
SURFACES = np.array(
    [
        [0.55, 0.46, 0.32, 0.30],  # skin
        [0.18, 0.75, 0.10, 0.30],  # cloth
        [0.35, 0.00, 0.00, 0.00],  # hair
        [1.00, 0.09, 0.20, 0.00],  # eyes: a wet sphere
        [1.00, 0.09, 0.20, 0.00],
        [0.90, 0.28, 0.25, 0.10],  # teeth
        [0.60, 0.40, 0.20, 0.00],  # mouth cavity and tongue
        [0.80, 0.30, 0.05, 0.00],  # frame of glasses
    ],
    np.float32,
)
WRAP_BY_CHANNEL = np.array([1.0, 0.40, 0.25], np.float32)  # red travels furthest under the skin


def smooth(low, high, x):
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


def normalise(s, at):
    length = math.sqrt(s[at] * s[at] + s[at + 1] * s[at + 1] + s[at + 2] * s[at + 2] + 1e-12)
    for k in range(3):
        s[at + k] /= length


def paint_skin(s, texels, frame):
    """Multiply the albedo by the head's chart, bilinearly."""
    x, y, z = s[CANONICAL], s[CANONICAL + 1] - frame[0], s[CANONICAL + 2]
    if z <= frame[1] or z >= frame[2]:
        return
    height, width = texels.shape[0], texels.shape[1]
    u = (math.atan2(x, -y) / (2.0 * math.pi) + 0.5) * width - 0.5
    v = (frame[2] - z) / (frame[2] - frame[1]) * height - 0.5
    column, row = np.int64(math.floor(u)), np.int64(math.floor(v))
    fu, fv = u - column, v - row
    c0, c1 = column % width, (column + 1) % width
    r0, r1 = max(0, row), min(height - 1, row + 1)
    for k in range(4):
        value = (1 - fv) * ((1 - fu) * texels[r0, c0, k] + fu * texels[r0, c1, k]) + fv * (
            (1 - fu) * texels[r1, c0, k] + fu * texels[r1, c1, k]
        )
        s[COLOUR + k if k < 3 else EDGE] *= value


def paint_cloth(s, paint):  # noqa: C901 - one branch a weave
    """A fabric: threads, a woven or printed pattern, ribs, seams and stitches along the edges, buttons.

    `paint` holds (`fabric.paint_row`): fabric 0 jersey, 1 heather, 2 stripes, 3 pinstripe, 4 check, 5 knit, 6 denim,
    7 twill, 8 leather; second colour (3); period, hem width in metres; whether buttons run down the front.
    """
    u, v, trunk = s[CANONICAL], s[CANONICAL + 1], s[CANONICAL + 2]
    fabric, period, hem, border = int(paint[0] + 0.5), paint[4], paint[5], s[EDGE]
    across, down = 6.2831853 * u / period, 6.2831853 * v / period
    factor, share = 1.0, 0.0
    mottle = math.sin(u * 730.0 + 3.0 * math.sin(v * 410.0)) * math.sin(v * 610.0 + 3.0 * math.sin(u * 530.0))
    if fabric <= 4:  # threads too fine to see leave a faint grain
        factor += 0.03 * math.sin(u * 2100.0 + 40.0 * math.sin(v * 31.0)) * math.sin(v * 1900.0)
    if fabric == 1:
        share = 0.22 * smooth(-0.2, 0.9, mottle)
    elif fabric == 2:
        share = smooth(-0.15, 0.15, math.cos(down) - 0.25)
    elif fabric == 3:
        share = 0.7 * smooth(0.80, 0.95, math.cos(across))
    elif fabric == 4:
        share = 0.36 * smooth(-0.2, 0.2, math.cos(across)) + 0.36 * smooth(-0.2, 0.2, math.cos(down))
    elif fabric == 5:
        factor += 0.10 * math.cos(across) + 0.04 * math.sin(2.0 * down + 2.0 * math.cos(across))
    elif fabric == 6:  # a white weft under a blue warp, worn pale in blotches
        factor += 0.10 * math.sin((u + v) * 3300.0) + 0.10 * mottle
        factor += 0.16 * math.sin(u * 23.0 + 1.7 * math.sin(v * 9.0)) * math.sin(v * 7.0)
    elif fabric == 7:
        factor += 0.035 * math.sin((u + 0.6 * v) * 2600.0) + 0.025 * mottle
    elif fabric == 8:
        share = 1.0 if v < 0.020 else 0.0
        factor -= 0.25 * math.exp(-(((v - 0.021) / 0.002) ** 2))
    if border < hem:
        share *= 0.25 if fabric != 8 else 1.0
        ribs = 0.10 * math.sin(6.2831853 * u / 0.0045) if fabric == 5 else 0.0
        factor *= (0.95 + ribs) if border > 0.0018 else 0.78
        factor *= 1.0 - 0.30 * math.exp(-(((border - hem + 0.001) / 0.0012) ** 2))
        if fabric == 6:
            share = 0.8 * math.exp(-(((border - hem + 0.004) / 0.0011) ** 2))
    if paint[6] > 0.5 and trunk > 0.95 and u < 0.026:
        factor *= 1.0 - 0.30 * math.exp(-(((u - 0.016) / 0.0010) ** 2))
        row = v - 0.085 * math.floor(v / 0.085 + 0.5)
        button = math.sqrt(u * u + row * row)
        if button < 0.0062:
            share = 0.75
            factor *= 0.6 if button > 0.0052 else 1.0
    for k in range(3):
        s[COLOUR + k] = factor * (s[COLOUR + k] * (1.0 - share) + paint[1 + k] * share)


def paint_eye(s, eye):
    """Iris, pupil, limbus and veins by the angle from the gaze axis, on an exact sphere."""
    for k in range(3):
        s[NORMAL + k] = s[POSITION + k] - eye[k]
    normalise(s, NORMAL)
    nx, ny, nz = s[NORMAL], s[NORMAL + 1], s[NORMAL + 2]
    cosine = nx * eye[3] + ny * eye[4] + nz * eye[5]
    angle = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    around = math.atan2(nz - eye[5] * cosine, nx * -eye[4] + ny * eye[3])
    iris, pupil = eye[12], eye[13]
    sclera_share = smooth(iris - 0.8, iris + 1.4, angle)
    fibres = (
        0.5 + 0.25 * math.sin(around * 23 + 3 * math.sin(around * 7)) + 0.18 * math.sin(around * 41 + 1.3)
        + 0.15 * math.sin(around * 71 + angle)
    )  # fmt: skip
    limbus = 1.0 - 0.75 * min(1.0, max(0.0, (angle - iris * 0.72) / (iris * 0.28))) ** 2
    open_pupil = min(1.0, max(0.0, (angle - pupil) / 1.5))
    collarette = 0.8 + 0.5 * math.exp(-(((angle - pupil - 3.0) / 4.0) ** 2))
    veins = min(1.0, max(0.0, (angle - iris - 5.0) / 45.0))
    # the lids shade the ball: most below the upper one, a little towards the corners
    lid_shadow = (1.0 - 0.72 * smooth(0.02, 0.36, nz)) * (1.0 - 0.35 * smooth(0.45, 0.95, abs(nx)))
    for k in range(3):
        inside = eye[6 + k] * (0.55 + 0.8 * fibres) * limbus * open_pupil * collarette + 0.002
        outside = eye[9 + k] * (1.0 - veins * (0.10 if k == 0 else 0.34))
        s[COLOUR + k] = (inside * (1.0 - sclera_share) + outside * sclera_share) * lid_shadow
    s[EDGE] = 1.0


def specular(s, view, light, surface):
    """GGX times pi, so that strengths compare with the diffuse part; 0 for a light behind the surface."""
    nx, ny, nz = s[NORMAL], s[NORMAL + 1], s[NORMAL + 2]
    facing = nx * light[0] + ny * light[1] + nz * light[2]
    if facing <= 0:
        return 0.0
    hx, hy, hz = light[0] + view[0], light[1] + view[1], light[2] + view[2]
    inverse = 1.0 / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
    half = max(0.0, (nx * hx + ny * hy + nz * hz) * inverse)
    grazing = max(0.0, (view[0] * hx + view[1] * hy + view[2] * hz) * inverse)
    toward = max(0.02, nx * view[0] + ny * view[1] + nz * view[2])
    roughness = surface[1]
    alpha2 = roughness**4
    distribution = alpha2 / (half * half * (alpha2 - 1.0) + 1.0) ** 2
    k = (roughness + 1.0) ** 2 / 8.0
    masking = 1.0 / ((facing * (1.0 - k) + k) * (toward * (1.0 - k) + k))
    fresnel = 0.028 + 0.972 * (1.0 - grazing) ** 5
    return surface[0] * distribution * masking * fresnel * 0.25 * facing


def light_surface(s, view, lights, surface, wraps, highlight, pixel):
    """Wrapped Lambert with red shadow edges, GGX highlights and sky light with coloured occlusion."""
    toward = s[NORMAL] * view[0] + s[NORMAL + 1] * view[1] + s[NORMAL + 2] * view[2]
    if toward < 0:  # the inside of a sleeve, of a lip
        for k in range(3):
            s[NORMAL + k] = -s[NORMAL + k]
    upward = 0.5 + 0.5 * s[NORMAL + 2]
    occlusion = s[LIGHT + 3]
    sheen = surface[3] * (1.0 - min(1.0, abs(toward))) ** 4 * occlusion
    for k in range(3):
        highlight[k] = 0.0
    for i in range(3):
        strength = specular(s, view, lights[i], surface) * s[LIGHT + i]
        for k in range(3):
            highlight[k] += lights[3 + i, k] * strength
    for k in range(3):
        albedo, wrap = s[COLOUR + k], surface[2] * wraps[k]
        # light that leaves an occluded place has met the same colour several times
        ambient = occlusion / (occlusion + (1.0 - occlusion) * (1.0 - 0.75 * albedo))
        total = albedo * (lights[6, k] * upward + lights[7, k] * (1.0 - upward)) * ambient
        for i in range(3):
            facing = s[NORMAL] * lights[i, 0] + s[NORMAL + 1] * lights[i, 1] + s[NORMAL + 2] * lights[i, 2]
            wrapped = max(0.0, (facing + wrap) / (1.0 + wrap) ** 2)
            total += albedo * lights[3 + i, k] * s[LIGHT + i] ** (1.0 - 0.35 * wrap) * wrapped
        pixel[k] = total + s[EDGE] * highlight[k] + sheen * 0.5 * lights[6, k]


def light_hair(s, view, lights, surface, pixel):
    """Kajiya-Kay: the normal slot carries the strand's tangent."""
    tx, ty, tz = s[NORMAL], s[NORMAL + 1], s[NORMAL + 2]
    for k in range(3):
        pixel[k] = s[COLOUR + k] * (lights[6, k] * 0.5 + lights[7, k] * 0.3) * s[LIGHT + 3]
    for i in range(3):
        along = tx * lights[i, 0] + ty * lights[i, 1] + tz * lights[i, 2]
        diffuse = math.sqrt(max(0.0, 1.0 - along * along))
        hx, hy, hz = lights[i, 0] + view[0], lights[i, 1] + view[1], lights[i, 2] + view[2]
        half = (tx * hx + ty * hy + tz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
        sine = math.sqrt(max(0.0, 1.0 - half * half))
        for k in range(3):
            base = s[COLOUR + k]
            gleam = surface[0] * (0.17 * sine**90 + 1.2 * base * sine**22)
            pixel[k] += lights[3 + i, k] * s[LIGHT + i] * (0.65 * base * diffuse + gleam)


def shade_fragment(
    a, b, c, w1, w2, code, packed, texels, frame, eyes, lights, viewpoint, surfaces, wraps, paints,
    s, view, highlight, pixel,
):  # fmt: skip
    """Light one fragment of the triangle (a, b, c) at weights w1, w2 of b and c into `pixel` [4].

    `s` [N_ATTRIBUTES], `view` [3] and `highlight` [3] are scratch.
    """
    for k in range(N_ATTRIBUTES):
        s[k] = (1 - w1 - w2) * packed[a, k] + w1 * packed[b, k] + w2 * packed[c, k]
    for k in range(LIGHT, LIGHT + 4):  # rounding may leave 0..1, and a power of -1e-9 is no number
        s[k] = min(np.float32(1.0), max(np.float32(0.0), s[k]))
    normalise(s, NORMAL)
    for k in range(3):
        view[k] = viewpoint[k] - s[POSITION + k]
    normalise(view, 0)
    material, paint = code % PAINTS_SHIFT, paints[code // PAINTS_SHIFT]
    if material == _IS_HAIR:
        light_hair(s, view, lights, surfaces[material], pixel)
    else:
        if material == _IS_SKIN:
            paint_skin(s, texels, frame)
        elif material == _IS_CLOTH:
            paint_cloth(s, paint)
            s[EDGE] = 1.0
        elif material == _IS_LEFT_EYE or material == _IS_RIGHT_EYE:
            paint_eye(s, eyes[material - _IS_LEFT_EYE])
        light_surface(s, view, lights, surfaces[material], wraps, highlight, pixel)
    pixel[3] = 1.0


SHADING = (
    smooth, normalise, paint_skin, paint_cloth, paint_eye, specular, light_surface, light_hair, shade_fragment,
)  # fmt: skip
"""All functions that a compiler needs, callees first: a new helper goes in before its first caller."""


def _shade_picture(
    face, barycentric, faces, materials, packed, texels, frame, eyes, lights, viewpoint, surfaces, wraps, paints,
    out,
):  # fmt: skip
    height, width = face.shape
    for y in prange(height):
        s = np.empty(N_ATTRIBUTES, np.float32)
        view = np.empty(3, np.float32)
        highlight = np.empty(3, np.float32)
        for x in range(width):
            f = face[y, x]
            if f >= 0:
                shade_fragment(
                    faces[f, 0], faces[f, 1], faces[f, 2], barycentric[y, x, 0], barycentric[y, x, 1],
                    materials[f], packed, texels, frame, eyes, lights, viewpoint, surfaces, wraps, paints,
                    s, view, highlight, out[y, x],
                )  # fmt: skip


shade_picture = compile_together(
    njit(parallel=True, fastmath=True, cache=True), [_shade_picture], known=cpu(*SHADING)
)["_shade_picture"]
"""Light every fragment of a picture on the CPU: arguments as `shade_fragment`, arrays of the whole picture."""
