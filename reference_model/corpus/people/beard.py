"""Full beards as strands that ride on the skin of jaw and upper lip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.layers import Layer
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.face_paint import OUTER_LIPS, beard_field
from reference_model.corpus.people.hair import ribbon_surface, strand_colours, strand_widths
from reference_model.corpus.people.hair_look import HairLook
from reference_model.corpus.people.hair_roots import Roots, Strands, scatter, unit
from reference_model.corpus.people.head_chart import HeadChart
from reference_model.corpus.people.skin_look import smoothstep

__all__ = ["BeardLook", "beard_layer", "draw_beard", "grow_beard"]

_POINTS = 5  # of a strand


@dataclass(frozen=True, slots=True)
class BeardLook:
    """A full beard with a moustache; lengths in metres."""

    colour: tuple[int, int, int]
    """sRGB 0..255."""
    length: float
    """At the chin; cheeks and moustache are shorter."""
    grey: float = 0.0
    """Share of strands without pigment, 0..1."""
    curl: float = 0.3
    """How much strands bend, 0..1."""
    n_strands: int = 6_000
    strand_width: float = 0.0008
    """Half-width of a ribbon."""


def draw_beard(attributes: Attributes, rng: np.random.Generator, hair: HairLook) -> BeardLook | None:
    """Draw the beard of a person.

    Args:
        attributes: Says whether there is a full beard.
        rng: Source of length and curl.
        hair: The person's hair, whose colour the beard shares.

    Returns:
        The look, or None without a full beard (stubble is painted, see `skin.draw_skin`).
    """
    if attributes.beard != "full":
        return None
    length = rng.choice([0.010, 0.018, 0.032], p=[0.45, 0.35, 0.20]) * rng.uniform(0.85, 1.15)
    # beards grey a few years before the head does
    grey = min(1.0, 1.4 * hair.grey)
    return BeardLook(hair.colour, float(length), grey, float(rng.uniform(0.1, 0.8)))


def beard_layer(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    look: BeardLook,
    rng: np.random.Generator,
) -> Layer:
    """Grow a beard whose strands ride on the skin.

    Each strand takes the facial actions and the bones of its root, so that it goes down with the jaw.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        look: The beard.
        rng: Source of roots and shades.

    Returns:
        Ribbons with actions.
    """
    strands = grow_beard(template, rest, normals, look, rng)
    corners, share = strands.root_vertices, strands.root_weights
    actions = np.einsum("asck,sc->ask", template.actions[:, corners], share)  # [52, S, 3]
    bones, weight = (
        template.skin_index[corners],
        template.skin_weight[corners] * share[..., None],
    )  # [S, 3, 8]
    rows = np.broadcast_to(np.arange(len(corners))[:, None, None], bones.shape)
    of_root = sp.csr_matrix(
        (weight.ravel(), (rows.ravel(), bones.ravel())), shape=(len(corners), template.n_joints)
    )
    whole = np.repeat(np.arange(len(corners)), _POINTS)
    return Layer(
        rest=strands.points.reshape(-1, 3),
        weights=sp.csr_matrix(of_root[whole], dtype=np.float32),
        surface=ribbon_surface(strands, strand_colours(strands, look.colour, look.grey, rng)),
        actions=np.ascontiguousarray(actions[:, whole], np.float32),
        strand_width=strand_widths(strands, look.strand_width),
    )


def grow_beard(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    look: BeardLook,
    rng: np.random.Generator,
) -> Strands:
    """Grow a beard on cheeks, jaw, chin and upper lip of a person in the rest pose.

    Strands above the mouth are combed down and sideways and end before the lip, so that no hair covers the lip line.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        look: The beard.
        rng: Source of the scatter.

    Returns:
        About `n_strands` strands.
    """
    chart = HeadChart(template)
    field = beard_field(chart)
    faces = template.faces[template.region_faces("head")]
    front = template.vertices[faces].mean(1)[:, 1] < chart.axis_y + 0.03
    dense = chart.sample(field, template.vertices[faces]).max(1) > 0.05
    ears = template.ear[faces].max(1) > 0.3
    roots = scatter(template, rest, normals, faces[front & dense & ~ears], 3 * look.n_strands, rng)
    share = chart.sample(field, roots.canonical)
    keep = np.flatnonzero(share > rng.uniform(0.08, 0.55, len(share)))[: look.n_strands]
    roots, share = roots.take(keep), share[keep]
    mouth = chart.landmarks((61, 291))
    place = chart.place(roots.canonical)
    above = smoothstep(mouth[:, 1].mean() - 0.002, mouth[:, 1].mean() + 0.004, place[:, 1])
    above *= smoothstep(0.036, 0.026, np.abs(place[:, 0]))  # 1 on the upper lip
    chin = np.exp(-((place[:, 0] / 0.035) ** 2)) * (1 - above)
    length = look.length * (0.40 + 0.60 * chin) * (0.55 + 0.45 * share) * rng.uniform(0.7, 1.1, len(keep))
    to_lip, _ = chart.along(chart.landmarks(OUTER_LIPS))
    reach = chart.sample(to_lip, roots.canonical)
    length = np.where(above > 0.3, np.minimum(length, np.maximum(0.8 * reach - 0.0005, 0.0015)), length)
    side = np.sign(place[:, 0])
    comb = np.stack([side * (0.25 + 0.9 * above), -0.15 * np.ones(len(keep)), -1.0 + 0.25 * above], -1)
    comb += (0.15 + 0.5 * look.curl) * rng.normal(size=comb.shape) * 0.6
    points = _march(roots, comb, length, above)
    thickness = 0.55 + 0.45 * share
    return Strands(points, thickness, roots.vertices, roots.weights.astype(np.float32), share)


def _march(roots: Roots, comb: np.ndarray, length: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Strands that leave the skin and bend into the combed direction, [N, P, 3] float32."""
    points = np.empty((len(length), _POINTS, 3))
    points[:, 0] = roots.rest - 0.0005 * roots.outward
    step = (length / (_POINTS - 1))[:, None]
    heading = unit(comb)
    # combed along the skin, never into it
    into = np.minimum((heading * roots.outward).sum(1, keepdims=True), 0)
    heading = unit(heading - into * roots.outward)
    lift = (0.55 - 0.25 * above)[:, None]
    for k in range(1, _POINTS):
        t = (k - 1) / (_POINTS - 1)
        direction = unit(heading + lift * (1 - 0.7 * t) * roots.outward)
        points[:, k] = points[:, k - 1] + direction * step
    return points.astype(np.float32)
