"""Hair as a layer: ribbons that follow the head, and from the chin down the chest."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.layers import Layer, Surface
from reference_model.corpus.drawing.mesh_raster import N_CUTS
from reference_model.corpus.drawing.mesh_shade import Material
from reference_model.corpus.people.hair_growth import grow_strands
from reference_model.corpus.people.hair_look import GREY, HairLook
from reference_model.corpus.people.hair_roots import Strands
from reference_model.corpus.people.skin_look import linear, smoothstep

__all__ = ["hair_layer", "ribbon_surface", "strand_colours", "strand_widths"]

_WIDTH_PROFILE = ((0.0, 0.1, 0.6, 1.0), (0.7, 1.0, 0.9, 0.2))


def hair_layer(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    look: HairLook,
    rng: np.random.Generator,
) -> Layer | None:
    """Grow a head of hair.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        look: The style.
        rng: Source of roots, locks and shades.

    Returns:
        Ribbons; None for a bald head.
    """
    if look.kind == "none":
        return None
    strands = grow_strands(template, rest, normals, look, rng)
    points = strands.points.reshape(-1, 3)
    chest = np.zeros(len(points))
    if look.kind == "long":
        shoulder = template.joints[template.joint("upperarm01.L"), 2]
        chest = smoothstep(shoulder + 0.13, shoulder + 0.01, points[:, 2])
    rows = np.arange(len(points))
    head_bone, chest_bone = (
        np.full(len(points), template.joint("head")),
        np.full(len(points), template.joint("spine01")),
    )
    weights = sp.csr_matrix(
        (np.r_[1 - chest, chest].astype(np.float32), (np.r_[rows, rows], np.r_[head_bone, chest_bone])),
        shape=(len(points), template.n_joints),
    )
    return Layer(
        rest=points,
        weights=weights,
        surface=ribbon_surface(strands, strand_colours(strands, look.colour, look.grey, rng)),
        strand_width=strand_widths(strands, look.strand_width),
    )


def strand_widths(strands: Strands, half_width: float) -> np.ndarray:
    """Half-widths of ribbons that taper to the tip, [S, P] float32 metres."""
    profile = np.interp(np.linspace(0, 1, strands.points.shape[1]), *_WIDTH_PROFILE)
    return (half_width * strands.thickness[:, None] * profile).astype(np.float32)


def ribbon_surface(strands: Strands, colour: np.ndarray) -> Surface:
    """The strips along strands as a surface; two drawn vertices for each point, `colour` is [S, P, 3]."""
    n_strands, n_points = strands.points.shape[:2]
    start = np.arange(n_strands)[:, None] * 2 * n_points + 2 * np.arange(n_points - 1)  # [S, P - 1]
    strips = [np.stack([start, start + 1, start + 2], -1), np.stack([start + 1, start + 3, start + 2], -1)]
    faces = np.stack(strips, 2).reshape(-1, 3).astype(np.int32)
    n = 2 * n_strands * n_points
    return Surface(
        faces=faces,
        codes=np.full(len(faces), Material.HAIR, np.int8),
        colour=np.repeat(colour.reshape(-1, 3), 2, 0).astype(np.float32),
        canonical=np.zeros((n, 3), np.float32),
        edge=np.ones((n, 1), np.float32),
        cuts=np.ones((n, N_CUTS), np.float32),
    )


def strand_colours(
    strands: Strands, srgb: tuple[int, int, int], grey: float, rng: np.random.Generator
) -> np.ndarray:
    """Linear albedo of every point, [S, P, 3]: darker at the root, uneven between strands, some without pigment.

    Args:
        strands: The strands.
        srgb: Colour of a strand with pigment, 0..255.
        grey: Share of hairs without pigment, 0..1.
        rng: Source of the unevenness.
    """
    n, n_points = strands.points.shape[:2]
    place = np.linspace(0, 1, n_points)
    shade = np.clip(1 + 0.10 * rng.normal(size=(n, 1)), 0.5, 1.6) * (0.74 + 0.36 * place)
    # a ribbon is a lock: it holds both kinds of hair, in a share that varies from lock to lock
    share = np.clip(grey + 0.6 * min(grey, 1 - grey) * rng.normal(size=(n, 1)), 0, 1)
    pigment = linear(srgb)
    # hair fades before it greys; red mixed with grey would read as pink
    pigment += 0.7 * grey * (pigment.mean() - pigment)
    albedo = (1 - share) * pigment + share * linear(GREY)
    return shade[..., None] * albedo[:, None]
