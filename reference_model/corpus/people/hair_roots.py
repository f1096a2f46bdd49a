"""Roots and strands: where hair starts, and the small geometry that hair and beards share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference_model.body.template import BodyTemplate

__all__ = ["Roots", "Strands", "head_angles", "scatter", "unit", "waves"]


class Strands(NamedTuple):
    """Strands in the rest pose, and where they are rooted."""

    points: np.ndarray  # [S, P, 3] float32 metres, root first
    thickness: np.ndarray  # [S] factor on the ribbon's width
    root_vertices: np.ndarray  # [S, 3] corners of the triangle that a strand grows from
    root_weights: np.ndarray  # [S, 3] float32 place of the root inside it
    edge: np.ndarray  # [S] 0 at the hairline .. 1 well inside


class Roots(NamedTuple):
    """Scattered roots."""

    vertices: np.ndarray  # [N, 3] corners
    weights: np.ndarray  # [N, 3]
    rest: np.ndarray  # [N, 3] metres on the person
    canonical: np.ndarray  # [N, 3] metres on the mean template
    outward: np.ndarray  # [N, 3] unit normals

    def take(self, chosen: np.ndarray) -> Roots:
        """The chosen rows."""
        return Roots(*(array[chosen] for array in self))

    def joined(self, other: Roots) -> Roots:
        """Both, one after the other."""
        return Roots(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def scatter(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> Roots:
    """Scatter roots evenly over triangles.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        faces: Triangles to scatter over, [F', 3].
        n: How many.
        rng: Source of the scatter.

    Returns:
        `n` roots.
    """
    corners = rest[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = faces[rng.choice(len(faces), n, p=area / area.sum())]
    u = rng.random((n, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    weights = np.c_[1 - u.sum(1), u]
    placed = ((array[chosen] * weights[..., None]).sum(1) for array in (rest, template.vertices, normals))
    root, canonical, outward = placed
    return Roots(chosen, weights, root, canonical, unit(outward))


def head_angles(template: BodyTemplate, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elevation and signed azimuth of points about the middle of the head, degrees."""
    eyes = template.joints[template.joint("eye.L")]
    offset = canonical - [0, eyes[1] + 0.075, eyes[2]]
    elevation = np.degrees(np.arctan2(offset[:, 2], np.hypot(offset[:, 0], offset[:, 1])))
    return elevation, np.degrees(np.arctan2(offset[:, 0], -offset[:, 1]))


def waves(points: np.ndarray, frequency: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit spread as a sum of plane waves of `frequency` radians a metre, [N]."""
    direction = unit(rng.normal(size=(n, 3))) * frequency * rng.uniform(0.5, 1.5, (n, 1))
    return np.sin(points @ direction.T + rng.uniform(0, 2 * np.pi, n)).sum(1) / np.sqrt(n / 2)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1."""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)
