"""Fragments to light: skin, cloth, hair and eyes under one key, one fill and one rim light and a sky.

All colours are linear light. Per-vertex visibility (`mesh_raster.directional_visibility`) carries the soft
shadows; `mesh_surfaces` only evaluates materials, so that one pass costs about a tenth of a second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference_model.corpus.drawing.mesh_raster import Fragments
from reference_model.corpus.drawing.mesh_surfaces import (
    N_PAINT,
    SURFACES,
    WRAP_BY_CHANNEL,
    Material,
    shade_picture,
)

__all__ = ["Lighting", "Material", "SkinChart", "VertexData", "shade"]


class Lighting(NamedTuple):
    """Three lights and a sky."""

    directions: np.ndarray  # [3, 3] float32 unit vectors towards key, fill and rim
    colours: np.ndarray  # [3, 3] float32 linear RGB of key, fill and rim
    sky: np.ndarray  # [2, 3] float32 linear RGB from above and from below

    def packed(self) -> np.ndarray:
        """Directions, colours and sky one under the other, [8, 3] float32."""
        return np.concatenate(self).astype(np.float32)


class SkinChart(NamedTuple):
    """A painted chart of the head: azimuth about a vertical axis against height, in canonical coordinates."""

    texels: np.ndarray  # [H, W, 4] float32 albedo factor RGB and gloss; row 0 is the top
    axis_y: float  # y of the axis (x = 0), metres
    bottom: float  # height of the lower edge, metres; no paint below it
    top: float  # height of the upper edge, metres

    def frame(self) -> np.ndarray:
        """The three numbers that place the chart, [3] float32."""
        return np.array([self.axis_y, self.bottom, self.top], np.float32)


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


def shade(
    fragments: Fragments,
    faces: np.ndarray,  # [F, 3] int32
    materials: np.ndarray,  # [F] int8
    vertices: VertexData,
    chart: SkinChart,
    eyes: np.ndarray,  # [2, EYE_PARAMETERS] float32, see eyes.py
    lighting: Lighting,
    viewpoint: np.ndarray,  # [3] float32 world, metres
    paints: np.ndarray | None = None,  # [R, N_PAINT] float32
) -> np.ndarray:
    """Light every fragment.

    Args:
        fragments: The picture's fragments, [H, W].
        faces: Corner indices, [F, 3].
        materials: Code of each triangle, [F] int8: its `Material` + `PAINTS_SHIFT` times its row in `paints`.
        vertices: Attributes of the vertices.
        chart: The head's painted chart.
        eyes: Analytic eyeballs, left then right (`eyes.eye_parameters`), [2, P].
        lighting: Lights in world space.
        viewpoint: The camera's centre, [3] metres.
        paints: Numbers of the painters (of the fabrics), one row of zeros when None.

    Returns:
        Linear RGB and coverage, [H, W, 4] float32; zero where nothing is.
    """
    out = np.zeros((*fragments.face.shape, 4), np.float32)
    shade_picture(
        fragments.face, fragments.barycentric, faces, materials, vertices.packed(), chart.texels, chart.frame(),
        eyes, lighting.packed(), viewpoint.astype(np.float32), SURFACES, WRAP_BY_CHANNEL,
        np.zeros((1, N_PAINT), np.float32) if paints is None else paints, out,
    )  # fmt: skip
    return out
