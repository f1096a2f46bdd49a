"""The small features of a painted face: lids, lips, brows, wrinkles, spots and the beard field.

Every function takes and returns linear albedo [H, W, 3] on the texels of a `HeadChart`. Lines and spots lie at
points of the mediapipe face mesh, the person's right side first and then its mirror image.
"""

from __future__ import annotations

import cv2
import numpy as np

from reference_model.corpus.people.head_chart import CHIN, HeadChart, noise
from reference_model.corpus.people.skin_look import SkinLook, linear, smoothstep

__all__ = [
    "OUTER_LIPS",
    "beard_field",
    "paint_age",
    "paint_brows",
    "paint_lids",
    "paint_lips",
    "paint_stubble",
]

OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_MOUTH_CORNERS, _UNDER_NOSE = (61, 291), 2
_BROWS = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))  # lower edge from the temple inwards
_BROWS_UPPER = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
_LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_CREASES = ((247, 30, 29, 27, 28, 56, 190), (467, 260, 259, 257, 258, 286, 414))
_BAGS = ((228, 229, 230, 231, 232), (448, 449, 450, 451, 452))
_FOLDS = ((129, 203, 206, 216), (358, 423, 426, 436))  # from the wing of the nose past the mouth
_GLABELLA, _FOREHEAD_TOP = 9, 10
_TEMPLES = (54, 284, 162, 389)
_CHEEKS = (50, 280)
_BLACK = np.array([0.014, 0.010, 0.009], np.float32)


def _tint(albedo: np.ndarray, share: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Blend [H, W, 3] towards a colour [3] or [H, W, 3] by share [H, W]."""
    weight = np.clip(share, 0, 1)[..., None]
    return albedo * (1 - weight) + colour * weight


def _darken(albedo: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Darken as a fold does: blue and green fade before red."""
    left = np.clip(1 - share, 0.05, 1.3)
    return albedo * np.stack([left**0.8, left**1.05, left**1.1], -1)


def _ridge(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((distance / width) ** 2))


def beard_field(chart: HeadChart) -> np.ndarray:
    """Where a beard grows, [H, W] in 0..1: cheeks below a line from ear to mouth, jaw, chin and upper lip."""
    mouth = chart.landmarks(_MOUTH_CORNERS)
    mouth_z, half = mouth[:, 1].mean(), np.abs(mouth[:, 0]).mean()
    rise = np.clip((np.abs(chart.x) - half) / 0.075, 0, 1.3)
    jaw = smoothstep(0.012, -0.010, chart.z - (mouth_z - 0.004 + 0.055 * rise**1.5))
    chin_z = chart.landmarks((CHIN,))[0, 1]
    jaw *= smoothstep(chin_z - 0.034, chin_z - 0.018, chart.z)
    nose_z = chart.landmarks((_UNDER_NOSE,))[0, 1]
    upper = np.exp(-(((chart.z - (mouth_z + nose_z) / 2 - 0.001 + 0.12 * np.abs(chart.x)) / 0.0065) ** 2))
    upper *= smoothstep(half + 0.010, half - 0.004, np.abs(chart.x))
    lips = np.clip(1.6 * chart.inside(chart.landmarks(OUTER_LIPS), 1.3), 0, 1)
    field = np.maximum(jaw, upper) * smoothstep(0.115, 0.095, np.abs(chart.x)) * (1 - lips)
    return cv2.GaussianBlur(field.astype(np.float32), (0, 0), 6) * (1 - lips)


def paint_stubble(
    albedo: np.ndarray, chart: HeadChart, look: SkinLook, base: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Shade the beard field with the colour of cut hair."""
    patches = 0.75 + 0.2 * noise(rng, 1.6) + 0.12 * noise(rng, 24)
    share = beard_field(chart) * look.stubble * np.clip(patches, 0.25, 1.2)
    colour = 0.35 * base * np.array([0.80, 0.90, 1.0], np.float32) + 0.4 * linear(look.hair_colour)
    return _tint(albedo, share, colour)


def paint_lips(
    albedo: np.ndarray, chart: HeadChart, look: SkinLook, lips: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Colour the lips: red on pale skin, brown above and rosy below on dark skin."""
    creases = noise(rng, 3, 5.0)
    dark = np.float32(look.melanin)
    below = smoothstep(0.002, -0.004, chart.z - chart.landmarks(_MOUTH_CORNERS)[:, 1].mean())[..., None]
    pale_red = np.array([0.92, 0.60, 0.60], np.float32)
    dark_red = np.array([0.80, 0.70, 0.74], np.float32) + below * np.array([0.35, 0.14, 0.16], np.float32)
    red = albedo * (pale_red * (1 - dark) + dark_red * dark)
    stick = linear(look.lip_colour) * (1 - 0.55 * dark)
    red = red * (1 - look.lipstick) + look.lipstick * stick
    red = red * (1 + 0.05 * np.clip(creases, -1.5, 1.5))[..., None]
    albedo = _tint(albedo, 0.85 * lips, red)
    seam, _ = chart.along(chart.landmarks(_INNER_LIPS))
    return albedo * (1 - 0.35 * _ridge(seam, 0.0012) * lips)[..., None]


def paint_brows(albedo: np.ndarray, chart: HeadChart, look: SkinLook, rng: np.random.Generator) -> np.ndarray:
    """Draw brows hair by hair: upright at the inner end, along the brow further out."""
    shade = np.zeros(chart.x.shape, np.float32)
    for lower, upper in zip(_BROWS, _BROWS_UPPER, strict=True):
        line = 0.4 * chart.landmarks(lower) + 0.6 * chart.landmarks(upper)
        line[-1, 1] += 0.0007  # the inner end of the landmarks dips, which looks like anger
        line = _rounded(line)
        n = round(210 * look.brow_weight)
        place = rng.beta(1.25, 1.05, n)  # 0 at the temple, 1 at the nose
        at = place * (len(line) - 1)
        start = np.stack([np.interp(at, np.arange(len(line)), line[:, k]) for k in range(2)], -1)
        half = np.interp(place, [0, 0.3, 0.8, 1], [0.0006, 0.0019, 0.0027, 0.0024]) * look.brow_weight
        outward = np.sign(line[0, 0])
        start[:, 1] += half * rng.uniform(-1, 0.75, n)
        rise = np.radians(np.interp(place, [0, 0.5, 0.88, 1], [-28, 4, 42, 72]) + rng.normal(0, 9, n))
        length = np.interp(place, [0, 0.3, 1], [0.0045, 0.0065, 0.0050]) * rng.uniform(0.7, 1.15, n)
        end = start + length[:, None] * np.stack([outward * np.cos(rise), np.sin(rise)], -1)
        ink = rng.uniform(0.65, 1.0, n) * np.interp(place, [0, 0.12, 0.9, 1], [0.7, 1, 0.8, 0.35])
        # hairs too fine to draw fill the middle, which lies above the roots and thins out towards the nose
        distance, where = chart.along(line + np.array([0, 0.0011]))
        width = np.interp(where, [0, 0.3, 0.8, 1], [0.0008, 0.0020, 0.0030, 0.0026]) * look.brow_weight
        dense = np.interp(where, [0, 0.2, 0.6, 0.9, 1], [0.5, 0.72, 0.70, 0.35, 0.0])
        shade = np.maximum(shade, chart.strokes(start, end, ink))
        shade = np.maximum(shade, dense * np.exp(-((distance / width) ** 2)))
    return _tint(albedo, 0.96 * shade, linear(look.brow_colour))


def _rounded(line: np.ndarray) -> np.ndarray:
    """A polyline with its corners cut twice (Chaikin), [N, 2]."""
    for _ in range(2):
        cut = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1).reshape(
            -1, 2
        )
        line = np.concatenate([line[:1], cut, line[-1:]])
    return line


def paint_lids(
    albedo: np.ndarray, gloss: np.ndarray, chart: HeadChart, look: SkinLook
) -> tuple[np.ndarray, np.ndarray]:
    """Crease and shade of the upper lid, the lash lines, and the wet margin of the lower lid.

    Args:
        albedo: [H, W, 3].
        gloss: Factor on the highlight, [H, W].
        chart: Where the texels lie.
        look: Darkness of the lashes.

    Returns:
        Both, painted.
    """
    for lid, crease in zip(_UPPER_LIDS, _CREASES, strict=True):
        margin = chart.landmarks(lid)
        fold, _ = chart.along(_rounded(chart.landmarks(crease)))
        albedo = _darken(albedo, 0.30 * _ridge(fold, 0.0011) + 0.10 * _ridge(fold, 0.0035))
        distance, where = chart.along(_rounded(margin))
        share = np.clip(1.25 - where, 0.35, 1)
        albedo = _darken(albedo, 0.16 * _ridge(distance, 0.0035))
        lash, _ = chart.along(_rounded(margin) + np.array([0, 0.0005]))
        albedo = _tint(albedo, look.lashes * share * _ridge(lash, 0.0016), _BLACK)
        # lashes lengthen the line beyond the outer corner
        outward = margin[0] - margin[2]
        tail, _ = chart.along(np.stack([margin[0], margin[0] + 0.6 * outward]))
        albedo = _tint(albedo, 0.45 * look.lashes * _ridge(tail, 0.0008), _BLACK)
    for lid in _LOWER_LIDS:
        margin = _rounded(chart.landmarks(lid))
        distance, where = chart.along(margin)
        wet = _ridge(distance, 0.0007)
        rosy = albedo * np.array([1.12, 0.82, 0.80], np.float32) + 0.03
        albedo = _tint(albedo, 0.8 * wet, rosy)
        gloss = gloss * (1 + 2.5 * wet)
        lashes, _ = chart.along(margin - np.array([0, 0.0014]))
        albedo = _tint(
            albedo, 0.38 * look.lashes * np.clip(1.2 - where, 0.3, 1) * _ridge(lashes, 0.0008), _BLACK
        )
    return albedo, gloss


def paint_age(albedo: np.ndarray, chart: HeadChart, look: SkinLook, rng: np.random.Generator) -> np.ndarray:
    """Bags under the eyes, wrinkles and age spots.

    A wrinkle is a dark line with a faint light one below it, as light from above draws a fold.
    """
    uneven = 0.75 + 0.25 * noise(rng, 14)
    for bag in _BAGS:
        line = _rounded(chart.landmarks(bag))
        distance, _ = chart.along(line)
        hollow, _ = chart.along(line + np.array([0, 0.004]))
        albedo = _darken(
            albedo, look.bags * (0.13 * _ridge(distance, 0.0013) + 0.17 * _ridge(hollow, 0.0040))
        )
    depth = np.zeros(chart.x.shape, np.float32)
    for line, strength, width in _wrinkles(chart, rng):
        distance, where = chart.along(line)
        lit, _ = chart.along(line - np.array([0, 1.7 * width]))
        fade = np.clip(4 * where, 0, 1) * np.clip(4 * (1 - where), 0.15, 1)
        depth += strength * fade * (_ridge(distance, width) - 0.35 * _ridge(lit, width))
    albedo = _darken(albedo, 0.44 * look.wrinkles * uneven * np.clip(depth, -0.5, 1.2))
    where_spots = chart.spot(_TEMPLES, 0.03, 0.03) + 0.7 * chart.spot(_CHEEKS, 0.03, 0.025)
    spots = smoothstep(1.25, 1.9, noise(rng, 7)) * np.clip(where_spots, 0, 1)
    return _darken(albedo, 0.30 * look.spots * (1 - 0.5 * look.melanin) * spots)


def _wrinkles(chart: HeadChart, rng: np.random.Generator) -> list[tuple[np.ndarray, float, float]]:
    """Lines [N, 2] with strength and width in metres."""
    lines: list[tuple[np.ndarray, float, float]] = []
    low = chart.landmarks((_GLABELLA,))[0, 1]
    high = chart.landmarks((_FOREHEAD_TOP,))[0, 1]
    for share in (0.42, 0.57, 0.72, 0.86):  # the forehead
        half = rng.uniform(0.030, 0.042)
        x = np.linspace(-half, half, 13) + rng.normal(0, 0.004)
        z = (
            low
            + share * (high - low)
            + 0.0016 * np.cos(x * 95 + rng.normal(0, 0.4))
            + rng.normal(0, 0.0004, 13)
        )
        lines.append((np.stack([x, z], -1), rng.uniform(0.6, 1.0), 0.0011))
    for side, lid in zip((-1, 1), _UPPER_LIDS, strict=True):
        corner = chart.landmarks(lid[:1])[0]
        for angle in np.radians([-32, -10, 11, 32]) + rng.normal(0, 0.06, 4):  # crow's feet
            start = corner + 0.0075 * np.array([side * np.cos(angle), np.sin(angle)])
            end = start + rng.uniform(0.009, 0.015) * np.array(
                [side * np.cos(0.75 * angle), np.sin(0.75 * angle)]
            )
            lines.append((np.stack([start, 0.5 * (start + end) + np.array([0, 0.0006]), end]), 0.75, 0.0009))
        frown = np.array([side * 0.0075, low - 0.004])
        lines.append((frown + _mirrored(side, [[0, 0], [0.0012, 0.013]]), 0.6, 0.0010))
        mouth = chart.landmarks(_MOUTH_CORNERS)[0 if side < 0 else 1]
        lines.append((mouth + _mirrored(side, [[0.003, -0.003], [0.006, -0.018]]), 0.7, 0.0013))
    lines.extend((_rounded(chart.landmarks(fold)), 1.2, 0.0016) for fold in _FOLDS)
    return lines


def _mirrored(side: int, points: list[list[float]]) -> np.ndarray:
    """Points [N, 2] of the person's left, on the given side (-1 right, 1 left)."""
    return np.array(points) * [side, 1]
