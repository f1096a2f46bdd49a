"""Skin painted in canonical coordinates: a vertex colour for the body and a chart for the head.

Every feature is a small function of its distance to a point of the face mesh, so the paint follows the template's
landmarks and not constants of one mesh. All colours are linear albedo.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.mesh_shade import SkinChart
from reference_model.corpus.people.face_paint import (
    OUTER_LIPS,
    paint_age,
    paint_brows,
    paint_lids,
    paint_lips,
    paint_stubble,
)
from reference_model.corpus.people.head_chart import CHIN, HeadChart, landmark_positions, noise
from reference_model.corpus.people.skin_look import SkinLook, draw_skin, linear, skin_albedo, smoothstep

__all__ = [
    "SkinLook",
    "draw_skin",
    "hairline",
    "linear",
    "paint_body",
    "paint_head",
    "skin_albedo",
    "smoothstep",
]

# points of the mediapipe face mesh, the person's right side and its mirror image
_CHEEKS, _NOSE_TIP, _FOREHEAD = (50, 280), 4, 10
_NOSE_WINGS, _UNDER_EYES = (129, 358), (230, 450)


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


def paint_head(template: BodyTemplate, look: SkinLook, rng: np.random.Generator) -> SkinChart:
    """Paint the chart of a head: blood, freckles, wrinkles, stubble, lips, brows, lids and the scalp.

    Args:
        template: The body template (paint is placed on its mean shape).
        look: The person's skin.
        rng: Source of the mottling, the brows' hairs and the wrinkles' places.

    Returns:
        The chart; its RGB are factors of the plain skin's albedo.
    """
    chart = HeadChart(template)
    base = skin_albedo(look)
    coarse, middle, fine = noise(rng, 90), noise(rng, 18), noise(rng, 3)
    blood = (
        0.9 * chart.spot(_CHEEKS, 0.022, 0.018) + 0.8 * chart.spot((_NOSE_TIP,), 0.013, 0.011)
        + 0.3 * chart.spot(_NOSE_WINGS, 0.008, 0.008) + 0.3 * chart.spot((CHIN,), 0.02, 0.012, -0.015)
        + 0.12 * coarse + 0.10 * middle
    ) * look.blush * (1 - 0.55 * look.melanin)  # fmt: skip
    albedo = base * np.stack([1 - 0.03 * blood, 1 - 0.22 * blood, 1 - 0.20 * blood], -1)
    freckles = 0.6 * np.clip(noise(rng, 2.5) - 1.1, 0, 1) * look.freckles * (
        chart.spot(_CHEEKS, 0.035, 0.022) + 0.7 * chart.spot((_NOSE_TIP,), 0.02, 0.02)
    )  # fmt: skip
    moles = smoothstep(3.0, 3.3, noise(rng, 4))  # a handful on a head
    tired = 0.12 * chart.spot(_UNDER_EYES, 0.016, 0.006, 0.001)
    dark = np.clip(
        1 - 0.035 * coarse - 0.040 * middle - 0.030 * fine - 0.9 * freckles - 0.45 * moles - tired, 0.2, 1.2
    )
    albedo *= np.stack([dark**0.8, dark**1.05, dark**1.1], -1)
    sallow = 0.018 * noise(rng, 60)  # skin is nowhere of one hue
    albedo *= np.stack([1 - 0.3 * sallow, 1 + 0.3 * sallow, 1 - sallow], -1)
    gloss = 0.70 + 0.30 * chart.spot((_NOSE_TIP, _FOREHEAD), 0.02, 0.04) + 0.10 * middle
    lips = chart.inside(chart.landmarks(OUTER_LIPS), 1.3)
    albedo = paint_age(albedo, chart, look, rng)
    albedo = paint_stubble(albedo, chart, look, base, rng)
    albedo = paint_lips(albedo, chart, look, lips, rng)
    albedo = paint_brows(albedo, chart, look, rng)
    albedo, gloss = paint_lids(albedo, gloss + 0.5 * lips, chart, look)
    albedo, gloss = _paint_scalp(albedo, gloss, chart, template, look, rng)
    factor = np.clip(albedo, 0.002, 0.95) / base
    fade = smoothstep(chart.bottom, chart.bottom + 0.02, chart.z)[..., None]
    texels = np.concatenate([1 + fade * (factor - 1), 1 + fade * (gloss[..., None] - 1)], -1)
    return SkinChart(np.ascontiguousarray(texels, np.float32), chart.axis_y, chart.bottom, chart.top)


def _paint_scalp(
    albedo: np.ndarray,
    gloss: np.ndarray,
    chart: HeadChart,
    template: BodyTemplate,
    look: SkinLook,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Hair colour below the hair, thinning out across a ragged hairline."""
    inside = (
        hairline(chart.surface(), template, look.recession) + 0.0016 * noise(rng, 26) + 0.0012 * noise(rng, 5)
    )
    share = look.scalp * smoothstep(-0.006, 0.006, inside)
    weight = share[..., None]
    roots = 0.55 * linear(look.hair_colour) + 0.012 * albedo
    return albedo * (1 - weight) + weight * roots, gloss * (1 - 0.8 * share)


def paint_body(template: BodyTemplate, look: SkinLook, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertex colours and gloss of the whole template, teeth, tongue and mouth included.

    Args:
        template: The body template.
        look: The person's skin.
        normals: Vertex normals of the mean template, [V, 3].

    Returns:
        Linear albedo [V, 3] and gloss [V, 1], float32.
    """
    base = skin_albedo(look)
    colour = np.tile(base, (template.n_vertices, 1))
    hand = template.region_vertices("hand_left", "hand_right")
    palm = hand * smoothstep(0.0, 0.55, -normals[:, 2]) * _beyond_wrist(template)
    knuckle = _knuckles(template) * hand * (1 - palm)
    blood = 0.55 * template.ear + 0.30 * hand + 0.35 * palm + 0.5 * knuckle + 0.35 * template.eyelid
    blood *= look.blush * (1 - 0.5 * look.melanin)
    colour *= np.stack([1 - 0.03 * blood, 1 - 0.24 * blood, 1 - 0.20 * blood], -1)
    colour *= (1 - 0.28 * look.melanin * knuckle)[:, None]
    # palms carry little melanin, whatever the tone
    pale = skin_albedo(replace(look, melanin=0.70 * look.melanin)) * np.array([1.0, 0.84, 0.82])
    colour += (0.80 * palm)[:, None] * (pale - colour)
    nail = template.nail[:, None] * 0.8
    bed = 0.45 * colour + (0.55 * pale + 0.05) * np.array([1.0, 0.86, 0.86])
    colour = colour * (1 - nail) + nail * bed
    # the same highlight stands out more from dark skin, which then looks like plastic
    gloss = (1.0 - 0.55 * look.melanin + 0.7 * template.nail - 0.25 * palm)[:, None]
    for regions, rgb, shine in (
        (("mouth_cavity",), (0.16, 0.035, 0.03), 0.8),
        (("tongue",), (0.40, 0.14, 0.12), 1.2),
        (("teeth_upper", "teeth_lower"), (0.60, 0.55, 0.46), 1.0),
        (("eye_cavity",), (0.30, 0.12, 0.10), 0.6),
    ):
        inside = template.region_vertices(*regions) & ~template.region_vertices("head")
        colour[inside], gloss[inside] = rgb, shine
    return colour.astype(np.float32), gloss.astype(np.float32)


def _beyond_wrist(template: BodyTemplate) -> np.ndarray:
    """0 at the wrists, 1 three centimetres further towards the fingers, [V]."""
    share = np.zeros(template.n_vertices)
    for side in ("L", "R"):
        wrist, middle = (template.joints[template.joint(f"{name}.{side}")] for name in ("wrist", "finger3-1"))
        along = (template.vertices - wrist) @ (middle - wrist) / np.linalg.norm(middle - wrist)
        same_side = np.sign(template.vertices[:, 0]) == np.sign(wrist[0])
        share = np.where(same_side, smoothstep(0.0, 0.03, along), share)
    return share


def _knuckles(template: BodyTemplate) -> np.ndarray:
    """1 at the joints of the fingers, 0 a centimetre off, [V]."""
    fingers = [template.joints[i] for i, name in enumerate(template.joint_names) if name.startswith("finger")]
    distance = KDTree(np.array(fingers)).query(template.vertices)[0]
    return np.exp(-((distance / 0.009) ** 2))
