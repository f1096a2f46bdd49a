"""Skin painted in canonical coordinates: a vertex colour for the body and a chart for the head.

Every feature is a small function of its distance to a point of the face mesh, so the paint follows the template's
landmarks and not constants of one mesh. All colours are linear albedo.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from reference_model.body.template import BodyTemplate
from reference_model.corpus.head_chart import CHIN, HeadChart, landmark_positions, noise
from reference_model.corpus.mesh_shade import SkinChart

__all__ = ["SkinLook", "hairline", "linear", "paint_body", "paint_head", "smoothstep"]

_MELANIN = (
    (0.0, (243, 209, 190)),
    (0.2, (232, 187, 160)),
    (0.4, (208, 155, 122)),
    (0.6, (166, 115, 86)),
    (0.8, (112, 74, 55)),
    (1.0, (70, 46, 36)),
)  # sRGB of skin at keys of the melanin scale

# points of the mediapipe face mesh, the person's right side and its mirror image
_BROWS = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))  # lower edge from the temple inwards
_BROWS_UPPER = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
_LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_CHEEKS, _NOSE_TIP, _FOREHEAD = (50, 280), 4, 10
_NOSE_WINGS, _UNDER_EYES = (129, 358), (230, 450)
_JAW = ((172, 136, 150, 149, 176, 148, 152), (397, 365, 379, 378, 400, 377, 152))


@dataclass(frozen=True, slots=True)
class SkinLook:
    """The free choices of a person's skin; colours are sRGB 0..255."""

    melanin: float
    """0 (lightest) .. 1 (darkest)."""
    undertone: float = 0.0
    """-1 (pink) .. 1 (golden)."""
    blush: float = 1.0
    """Strength of the blood under cheeks, nose, ears and knuckles."""
    freckles: float = 0.0
    stubble: float = 0.0
    """Share of hair colour on the beard field, 0..1."""
    lipstick: float = 0.0
    lip_colour: tuple[int, int, int] = (170, 80, 84)
    brow_colour: tuple[int, int, int] = (52, 36, 26)
    brow_weight: float = 1.0
    """Thickness of the brows relative to the template's."""
    lashes: float = 0.8
    """Darkness of the line along the upper lid, 0..1."""
    hair_colour: tuple[int, int, int] = (52, 34, 22)


def linear(srgb: tuple[int, int, int] | np.ndarray) -> np.ndarray:
    """SRGB 0..255 to linear 0..1 (IEC 61966-2-1)."""
    c = np.asarray(srgb, np.float32) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between (also for low > high, falling)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def skin_albedo(look: SkinLook) -> np.ndarray:
    """Linear RGB of the plain skin, [3]."""
    keys, colours = zip(*_MELANIN, strict=True)
    ramp = np.stack([linear(colour) for colour in colours])
    base = np.array([np.interp(look.melanin, keys, ramp[:, k]) for k in range(3)], np.float32)
    return base * np.array([1.03, 0.97 + 0.06 * look.undertone, 0.95 - 0.12 * look.undertone], np.float32)


def hairline(points: np.ndarray, template: BodyTemplate, recession: float = 0.0) -> np.ndarray:
    """How far inside the hairy scalp points of the mean template are.

    Args:
        points: Canonical positions, [..., 3] metres.
        template: The body template.
        recession: 0 (none) .. 1 (front and crown bald).

    Returns:
        Signed distance, roughly metres, positive inside, [...].
    """
    eyes = landmark_positions(template)[[33, 133, 263, 362]]
    centre = np.array([0.0, eyes[:, 1].mean() + 0.075, eyes[:, 2].mean()])
    offset = points - centre
    azimuth = np.degrees(np.arctan2(np.abs(offset[..., 0]), -offset[..., 1]))  # 0 is straight ahead
    elevation = np.degrees(np.arctan2(offset[..., 2], np.hypot(offset[..., 0], offset[..., 1])))
    azimuths = [0, 20, 40, 55, 66, 76, 90, 112, 125, 145, 180]
    line = np.array([34, 34, 31, 18, 2, -6, 12, 6, -22, -36, -40], float)
    line[:4] += recession * np.array([32, 36, 22, 18])
    return (elevation - np.interp(azimuth, azimuths, line)) * 0.0017


def _tint(albedo: np.ndarray, share: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Blend [H, W, 3] towards a colour [3] or [H, W, 3] by share [H, W]."""
    weight = np.clip(share, 0, 1)[..., None]
    return albedo * (1 - weight) + colour * weight


def paint_head(template: BodyTemplate, look: SkinLook, rng: np.random.Generator) -> SkinChart:
    """Paint the chart of a head: blood, freckles, stubble, lips, brows and lashes.

    Args:
        template: The body template (paint is placed on its mean shape).
        look: The person's skin.
        rng: Source of the mottling.

    Returns:
        The chart; its RGB are factors of the plain skin's albedo.
    """
    chart = HeadChart(template)
    base = skin_albedo(look)
    coarse, middle, fine = noise(rng, 90), noise(rng, 18), noise(rng, 3)
    blood = (
        0.9 * chart.spot(_CHEEKS, 0.022, 0.018) + 0.8 * chart.spot((_NOSE_TIP,), 0.013, 0.011)
        + 0.3 * chart.spot(_NOSE_WINGS, 0.008, 0.008) + 0.3 * chart.spot((CHIN,), 0.02, 0.012, -0.015)
        + 0.10 * coarse + 0.06 * middle
    ) * look.blush * (1 - 0.55 * look.melanin)  # fmt: skip
    albedo = base * np.stack([1 - 0.03 * blood, 1 - 0.22 * blood, 1 - 0.20 * blood], -1)
    tired = 0.30 * chart.spot(_UNDER_EYES, 0.016, 0.006, 0.001)
    spots = np.clip(noise(rng, 4) - 1.3, 0, 1) * look.freckles * (
        chart.spot(_CHEEKS, 0.035, 0.022) + 0.7 * chart.spot((_NOSE_TIP,), 0.02, 0.02)
    )  # fmt: skip
    dark = np.clip(1 - 0.02 * coarse - 0.02 * fine - 0.9 * spots - 0.35 * tired, 0.2, 1.2)
    albedo *= np.stack([dark**0.8, dark**1.05, dark**1.1], -1)
    gloss = 0.75 + 0.25 * chart.spot((_NOSE_TIP, _FOREHEAD), 0.02, 0.04) + 0.05 * middle
    lips = chart.inside(chart.landmarks(_OUTER_LIPS), 1.3)
    albedo = _paint_stubble(albedo, chart, look, lips, fine, base)
    albedo = _paint_lips(albedo, chart, look, lips, noise(rng, 3, 5.0))
    albedo = _paint_brows(albedo, chart, look, noise(rng, 2.5, 4.0))
    albedo = _paint_lashes(albedo, chart, look)
    factor = np.clip(albedo, 0.002, 0.95) / base
    fade = smoothstep(chart.bottom, chart.bottom + 0.02, chart.z)[..., None]
    texels = np.concatenate([1 + fade * (factor - 1), (gloss + 0.5 * lips)[..., None]], -1)
    texels[..., 3] = 1 + fade[..., 0] * (texels[..., 3] - 1)
    return SkinChart(np.ascontiguousarray(texels, np.float32), chart.axis_y, chart.bottom, chart.top)


def _paint_stubble(
    albedo: np.ndarray,
    chart: HeadChart,
    look: SkinLook,
    lips: np.ndarray,
    fine: np.ndarray,
    base: np.ndarray,
) -> np.ndarray:
    """Shade the beard field: below a line from the ear over the mouth's corner, and above the upper lip."""
    mouth = chart.landmarks((61, 291))
    mouth_z, half = mouth[:, 1].mean(), np.abs(mouth[:, 0]).mean()
    rise = np.clip((np.abs(chart.x) - half) / 0.075, 0, 1.3)
    jaw = smoothstep(0.012, -0.010, chart.z - (mouth_z - 0.004 + 0.055 * rise**1.5))
    nose_z = chart.landmarks((2,))[0, 1]
    upper = np.exp(-(((chart.z - (mouth_z + nose_z) / 2 - 0.001 + 0.12 * np.abs(chart.x)) / 0.0065) ** 2))
    upper *= smoothstep(half + 0.010, half - 0.004, np.abs(chart.x))
    field = (
        np.maximum(jaw, upper) * smoothstep(0.115, 0.095, np.abs(chart.x)) * (1 - np.clip(1.6 * lips, 0, 1))
    )
    share = cv2.GaussianBlur(field, (0, 0), 6) * (1 - np.clip(1.6 * lips, 0, 1)) * look.stubble
    share *= 0.8 + 0.2 * np.clip(fine, -1, 1)
    colour = 0.35 * base * np.array([0.8, 0.9, 1.0], np.float32) + 0.4 * linear(look.hair_colour)
    return _tint(albedo, share, colour)


def _paint_lips(
    albedo: np.ndarray, chart: HeadChart, look: SkinLook, lips: np.ndarray, creases: np.ndarray
) -> np.ndarray:
    red = albedo * np.array([0.92, 0.58, 0.58], np.float32) * (1 - 0.12 * look.melanin)
    red = red * (1 - look.lipstick) + look.lipstick * linear(look.lip_colour)
    red = red * (1 + 0.05 * np.clip(creases, -1.5, 1.5))[..., None]
    albedo = _tint(albedo, 0.9 * lips, red)
    seam, _ = chart.along(chart.landmarks(_INNER_LIPS))
    return albedo * (1 - 0.35 * np.exp(-((seam / 0.0012) ** 2)) * lips)[..., None]


def _paint_brows(albedo: np.ndarray, chart: HeadChart, look: SkinLook, streaks: np.ndarray) -> np.ndarray:
    for lower, upper in zip(_BROWS, _BROWS_UPPER, strict=True):
        line = 0.4 * chart.landmarks(lower) + 0.6 * chart.landmarks(upper)
        line[-1, 1] += 0.0007  # the inner end of the landmarks dips, which looks like anger
        distance, where = chart.along(_rounded(line))
        half = np.interp(where, [0, 0.3, 0.8, 1], [0.0008, 0.0021, 0.0027, 0.0022]) * look.brow_weight
        hair = np.clip(1.15 - (distance / half) ** 2 + 0.16 * streaks, 0, 1) * (distance < 2.5 * half)
        albedo = _tint(albedo, 0.85 * hair, linear(look.brow_colour))
    return albedo


def _rounded(line: np.ndarray) -> np.ndarray:
    """A polyline with its corners cut twice (Chaikin), [N, 2]."""
    for _ in range(2):
        cut = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1).reshape(
            -1, 2
        )
        line = np.concatenate([line[:1], cut, line[-1:]])
    return line


def _paint_lashes(albedo: np.ndarray, chart: HeadChart, look: SkinLook) -> np.ndarray:
    for rows, strength, width in ((_UPPER_LIDS, 1.0, 0.0013), (_LOWER_LIDS, 0.45, 0.0009)):
        for lid in rows:
            distance, where = chart.along(chart.landmarks(lid))
            share = np.exp(-((distance / width) ** 2)) * np.clip(1.25 - where, 0.3, 1)
            albedo = _tint(
                albedo, look.lashes * strength * share, np.array([0.015, 0.010, 0.009], np.float32)
            )
    return albedo


def paint_body(
    template: BodyTemplate, look: SkinLook, normals: np.ndarray, *, recession: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex colours and gloss of the whole template, teeth, tongue and mouth included.

    Args:
        template: The body template.
        look: The person's skin.
        normals: Vertex normals of the mean template, [V, 3].
        recession: Hairline for the scalp's shade (see `hairline`); None for a bald head.

    Returns:
        Linear albedo [V, 3] and gloss [V, 1], float32.
    """
    base = skin_albedo(look)
    colour = np.tile(base, (template.n_vertices, 1))
    hand = template.region_vertices("hand_left", "hand_right")
    palm = hand * smoothstep(0.1, 0.6, -normals[:, 2])
    blood = look.blush * (1 - 0.5 * look.melanin) * (0.55 * template.ear + 0.30 * hand + 0.25 * palm)
    blood += 0.35 * template.eyelid * (1 - 0.5 * look.melanin)
    colour *= np.stack([1 - 0.03 * blood, 1 - 0.24 * blood, 1 - 0.20 * blood], -1)
    pale = (0.55 * look.melanin * palm)[:, None]
    colour = colour * (1 - pale) + pale * base**0.55 * np.array([0.75, 0.62, 0.58])
    nail = template.nail[:, None] * 0.8
    colour = colour * (1 - nail) + nail * (
        0.55 * colour + np.array([0.25, 0.16, 0.145]) * (1 - 0.5 * look.melanin)
    )
    gloss = (1.0 + 0.6 * template.nail)[:, None]
    if recession is not None:
        scalp = smoothstep(-0.001, 0.007, hairline(template.vertices, template, recession))
        scalp = (0.9 * scalp * template.region_vertices("head") * (1 - template.ear))[:, None]
        colour = colour * (1 - scalp) + scalp * 0.30 * linear(look.hair_colour)
        gloss = gloss * (1 - scalp)
    for regions, rgb, shine in (
        (("mouth_cavity",), (0.16, 0.035, 0.03), 0.8),
        (("tongue",), (0.40, 0.14, 0.12), 1.2),
        (("teeth_upper", "teeth_lower"), (0.60, 0.55, 0.46), 1.0),
        (("eye_cavity",), (0.30, 0.12, 0.10), 0.6),
    ):
        inside = template.region_vertices(*regions) & ~template.region_vertices("head")
        colour[inside], gloss[inside] = rgb, shine
    return colour.astype(np.float32), gloss.astype(np.float32)
