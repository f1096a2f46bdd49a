"""Fragments to light: skin, cloth, hair and eyes under one key, one fill and one rim light and a sky.

All colours are linear light. Per-vertex visibility (`mesh_raster.directional_visibility`) carries the soft
shadows; the kernels here only evaluate materials, so that one pass costs about a tenth of a second.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from reference_model.corpus.mesh_raster import Fragments

__all__ = ["Lighting", "Material", "SkinChart", "VertexData", "shade"]


class Material(IntEnum):
    """What a triangle is made of; the row of `_SURFACE`."""

    SKIN = 0
    CLOTH = 1
    HAIR = 2
    EYE_LEFT = 3
    EYE_RIGHT = 4
    TEETH = 5
    MOUTH = 6


class Lighting(NamedTuple):
    """Three lights and a sky."""

    directions: np.ndarray  # [3, 3] float32 unit vectors towards key, fill and rim
    colours: np.ndarray  # [3, 3] float32 linear RGB of key, fill and rim
    sky: np.ndarray  # [2, 3] float32 linear RGB from above and from below


class SkinChart(NamedTuple):
    """A painted chart of the head: azimuth about a vertical axis against height, in canonical coordinates."""

    texels: np.ndarray  # [H, W, 4] float32 albedo factor RGB and gloss; row 0 is the top
    axis_y: float  # y of the axis (x = 0), metres
    bottom: float  # height of the lower edge, metres; no paint below it
    top: float  # height of the upper edge, metres


class VertexData(NamedTuple):
    """What the shader interpolates over a triangle."""

    position: np.ndarray  # [V, 3] world, metres
    normal: np.ndarray  # [V, 3] unit; the strand's tangent for hair
    colour: np.ndarray  # [V, 3] linear albedo
    light: np.ndarray  # [V, 4] visibility of key, fill, rim and sky
    canonical: np.ndarray  # [V, 3] place on the mean template, metres
    edge: np.ndarray  # [V, 1] metres to the nearest hem (cloth), gloss (skin)

    def packed(self) -> np.ndarray:
        """All attributes side by side, [V, 17] float32."""
        return np.ascontiguousarray(np.concatenate(self, axis=1), dtype=np.float32)


_POSITION, _NORMAL, _COLOUR, _LIGHT, _CANONICAL, _EDGE, _N_ATTRIBUTES = 0, 3, 6, 9, 13, 16, 17

# specular strength, roughness, wrap of light round the form, sheen at grazing angles
_SURFACE = np.array(
    [
        [0.55, 0.46, 0.32, 0.30],  # skin
        [0.18, 0.75, 0.10, 0.30],  # cloth
        [0.35, 0.00, 0.00, 0.00],  # hair
        [1.00, 0.09, 0.20, 0.00],  # eyes: a wet sphere
        [1.00, 0.09, 0.20, 0.00],
        [0.90, 0.28, 0.25, 0.10],  # teeth
        [0.60, 0.40, 0.20, 0.00],  # mouth cavity and tongue
    ],
    np.float32,
)
_WRAP_BY_CHANNEL = np.array([1.0, 0.40, 0.25], np.float32)  # red travels furthest under the skin
_HEM = 0.020  # metres of ribbed border at hems and necklines


def shade(
    fragments: Fragments,
    faces: np.ndarray,  # [F, 3] int32
    materials: np.ndarray,  # [F] int8
    vertices: VertexData,
    chart: SkinChart,
    eyes: np.ndarray,  # [2, EYE_PARAMETERS] float32, see eyes.py
    lighting: Lighting,
    viewpoint: np.ndarray,  # [3] float32 world, metres
) -> np.ndarray:
    """Light every fragment.

    Args:
        fragments: The picture's fragments, [H, W].
        faces: Corner indices, [F, 3].
        materials: `Material` of each triangle, [F].
        vertices: Attributes of the vertices.
        chart: The head's painted chart.
        eyes: Analytic eyeballs, left then right (`eyes.eye_parameters`), [2, P].
        lighting: Lights in world space.
        viewpoint: The camera's centre, [3] metres.

    Returns:
        Linear RGB and coverage, [H, W, 4] float32; zero where nothing is.
    """
    out = np.zeros((*fragments.face.shape, 4), np.float32)
    frame = np.array([chart.axis_y, chart.bottom, chart.top], np.float32)
    lights = np.concatenate([lighting.directions, lighting.colours, lighting.sky]).astype(
        np.float32
    )  # [8, 3]
    _shade(
        fragments.face, fragments.barycentric, faces, materials, vertices.packed(), chart.texels, frame,
        eyes, lights, viewpoint.astype(np.float32), _SURFACE, _WRAP_BY_CHANNEL, out,
    )  # fmt: skip
    return out


@njit(inline="always")
def _smooth(low, high, x):  # pragma: no cover - compiled
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


@njit(inline="always")
def _normalise(s, at):  # pragma: no cover - compiled
    length = math.sqrt(s[at] * s[at] + s[at + 1] * s[at + 1] + s[at + 2] * s[at + 2] + 1e-12)
    for k in range(3):
        s[at + k] /= length


@njit(fastmath=True, cache=True)
def _paint_skin(s, texels, frame):  # pragma: no cover - compiled
    """Multiply the albedo by the head's chart, bilinearly."""
    x, y, z = s[_CANONICAL], s[_CANONICAL + 1] - frame[0], s[_CANONICAL + 2]
    if z <= frame[1] or z >= frame[2]:
        return
    height, width = texels.shape[0], texels.shape[1]
    u = (math.atan2(x, -y) / (2.0 * math.pi) + 0.5) * width - 0.5
    v = (frame[2] - z) / (frame[2] - frame[1]) * height - 0.5
    column, row = math.floor(u), math.floor(v)
    fu, fv = u - column, v - row
    c0, c1 = column % width, (column + 1) % width
    r0, r1 = max(0, row), min(height - 1, row + 1)
    for k in range(4):
        value = (1 - fv) * ((1 - fu) * texels[r0, c0, k] + fu * texels[r0, c1, k]) + fv * (
            (1 - fu) * texels[r1, c0, k] + fu * texels[r1, c1, k]
        )
        s[_COLOUR + k if k < 3 else _EDGE] *= value


@njit(fastmath=True, cache=True)
def _paint_cloth(s):  # pragma: no cover - compiled
    """A jersey: a faint knit, and a ribbed border with a seam along the hems."""
    x, y, z = s[_CANONICAL], s[_CANONICAL + 1], s[_CANONICAL + 2]
    knit = math.sin(x * 2100.0 + 40.0 * math.sin(z * 31.0)) * math.sin(z * 1900.0 + 37.0 * math.sin(y * 29.0))
    factor = 1.0 + 0.035 * knit
    border = s[_EDGE]
    if border < _HEM:
        factor *= 0.93 if border > 0.0018 else 0.75
        factor *= 1.0 - 0.35 * math.exp(-(((border - _HEM + 0.001) / 0.0012) ** 2))
    for k in range(3):
        s[_COLOUR + k] *= factor


@njit(fastmath=True, cache=True)
def _paint_eye(s, eye):  # pragma: no cover - compiled
    """Iris, pupil, limbus and veins by the angle from the gaze axis, on an exact sphere."""
    for k in range(3):
        s[_NORMAL + k] = s[_POSITION + k] - eye[k]
    _normalise(s, _NORMAL)
    nx, ny, nz = s[_NORMAL], s[_NORMAL + 1], s[_NORMAL + 2]
    cosine = nx * eye[3] + ny * eye[4] + nz * eye[5]
    angle = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    around = math.atan2(nz - eye[5] * cosine, nx * -eye[4] + ny * eye[3])
    iris, pupil = eye[12], eye[13]
    sclera_share = _smooth(iris - 0.8, iris + 1.4, angle)
    fibres = (
        0.5 + 0.25 * math.sin(around * 23 + 3 * math.sin(around * 7)) + 0.18 * math.sin(around * 41 + 1.3)
        + 0.15 * math.sin(around * 71 + angle)
    )  # fmt: skip
    limbus = 1.0 - 0.75 * min(1.0, max(0.0, (angle - iris * 0.72) / (iris * 0.28))) ** 2
    open_pupil = min(1.0, max(0.0, (angle - pupil) / 1.5))
    collarette = 0.8 + 0.5 * math.exp(-(((angle - pupil - 3.0) / 4.0) ** 2))
    veins = min(1.0, max(0.0, (angle - iris - 5.0) / 45.0))
    lid_shadow = 1.0 - 0.60 * _smooth(0.08, 0.40, nz + 0.02)
    for k in range(3):
        inside = eye[6 + k] * (0.55 + 0.8 * fibres) * limbus * open_pupil * collarette + 0.002
        outside = eye[9 + k] * (1.0 - veins * (0.10 if k == 0 else 0.34))
        s[_COLOUR + k] = (inside * (1.0 - sclera_share) + outside * sclera_share) * lid_shadow
    s[_EDGE] = 1.0


@njit(fastmath=True, cache=True)
def _specular(s, view, light, surface):  # pragma: no cover - compiled
    """GGX times pi, so that strengths compare with the diffuse part; 0 for a light behind the surface."""
    nx, ny, nz = s[_NORMAL], s[_NORMAL + 1], s[_NORMAL + 2]
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


@njit(fastmath=True, cache=True)
def _light_surface(s, view, lights, surface, wraps, highlight, pixel):  # pragma: no cover - compiled
    """Wrapped Lambert with red shadow edges, GGX highlights and sky light with coloured occlusion."""
    toward = s[_NORMAL] * view[0] + s[_NORMAL + 1] * view[1] + s[_NORMAL + 2] * view[2]
    if toward < 0:  # the inside of a sleeve, of a lip
        for k in range(3):
            s[_NORMAL + k] = -s[_NORMAL + k]
    upward = 0.5 + 0.5 * s[_NORMAL + 2]
    occlusion = s[_LIGHT + 3]
    sheen = surface[3] * (1.0 - min(1.0, abs(toward))) ** 4 * occlusion
    highlight[:] = 0.0
    for i in range(3):
        strength = _specular(s, view, lights[i], surface) * s[_LIGHT + i]
        for k in range(3):
            highlight[k] += lights[3 + i, k] * strength
    for k in range(3):
        albedo, wrap = s[_COLOUR + k], surface[2] * wraps[k]
        # light that leaves an occluded place has met the same colour several times
        ambient = occlusion / (occlusion + (1.0 - occlusion) * (1.0 - 0.75 * albedo))
        total = albedo * (lights[6, k] * upward + lights[7, k] * (1.0 - upward)) * ambient
        for i in range(3):
            facing = s[_NORMAL] * lights[i, 0] + s[_NORMAL + 1] * lights[i, 1] + s[_NORMAL + 2] * lights[i, 2]
            wrapped = max(0.0, (facing + wrap) / (1.0 + wrap) ** 2)
            total += albedo * lights[3 + i, k] * s[_LIGHT + i] ** (1.0 - 0.35 * wrap) * wrapped
        pixel[k] = total + s[_EDGE] * highlight[k] + sheen * 0.5 * lights[6, k]


@njit(fastmath=True, cache=True)
def _light_hair(s, view, lights, surface, pixel):  # pragma: no cover - compiled
    """Kajiya-Kay: the normal slot carries the strand's tangent."""
    tx, ty, tz = s[_NORMAL], s[_NORMAL + 1], s[_NORMAL + 2]
    for k in range(3):
        pixel[k] = s[_COLOUR + k] * (lights[6, k] * 0.5 + lights[7, k] * 0.3) * s[_LIGHT + 3]
    for i in range(3):
        along = tx * lights[i, 0] + ty * lights[i, 1] + tz * lights[i, 2]
        diffuse = math.sqrt(max(0.0, 1.0 - along * along))
        hx, hy, hz = lights[i, 0] + view[0], lights[i, 1] + view[1], lights[i, 2] + view[2]
        half = (tx * hx + ty * hy + tz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
        sine = math.sqrt(max(0.0, 1.0 - half * half))
        for k in range(3):
            base = s[_COLOUR + k]
            gleam = surface[0] * (0.17 * sine**90 + 1.2 * base * sine**22)
            pixel[k] += lights[3 + i, k] * s[_LIGHT + i] * (0.65 * base * diffuse + gleam)


@njit(parallel=True, fastmath=True, cache=True)
def _shade(
    face, barycentric, faces, materials, packed, texels, frame, eyes, lights, viewpoint, surfaces, wraps, out
):  # pragma: no cover - compiled
    height, width = face.shape
    for y in prange(height):
        s = np.empty(_N_ATTRIBUTES, np.float32)
        view = np.empty(3, np.float32)
        highlight = np.empty(3, np.float32)
        for x in range(width):
            f = face[y, x]
            if f < 0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            w1, w2 = barycentric[y, x, 0], barycentric[y, x, 1]
            for k in range(_N_ATTRIBUTES):
                s[k] = (1 - w1 - w2) * packed[a, k] + w1 * packed[b, k] + w2 * packed[c, k]
            for k in range(_LIGHT, _LIGHT + 4):  # rounding may leave 0..1, and a power of -1e-9 is no number
                s[k] = min(np.float32(1.0), max(np.float32(0.0), s[k]))
            _normalise(s, _NORMAL)
            for k in range(3):
                view[k] = viewpoint[k] - s[_POSITION + k]
            _normalise(view, 0)
            material = materials[f]
            if material == Material.HAIR:
                _light_hair(s, view, lights, surfaces[material], out[y, x])
            else:
                if material == Material.SKIN:
                    _paint_skin(s, texels, frame)
                elif material == Material.CLOTH:
                    _paint_cloth(s)
                    s[_EDGE] = 1.0
                elif material == Material.EYE_LEFT or material == Material.EYE_RIGHT:
                    _paint_eye(s, eyes[material - Material.EYE_LEFT])
                _light_surface(s, view, lights, surfaces[material], wraps, highlight, out[y, x])
            out[y, x, 3] = 1.0
