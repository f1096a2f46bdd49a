"""Hair as strands grown over the scalp and drawn as camera-facing ribbons that follow the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import KDTree

from reference_model.body.template import BodyTemplate
from reference_model.corpus.skin import hairline, linear, smoothstep

__all__ = ["Hair", "HairLook", "grow_strands", "ribbons"]

_GUIDES = 350  # strands that the others clump to
_WIDTH_PROFILE = ((0.0, 0.1, 0.6, 1.0), (0.7, 1.0, 0.9, 0.25))


@dataclass(frozen=True, slots=True)
class HairLook:
    """A style; lengths in metres."""

    kind: Literal["short", "long"]
    colour: tuple[int, int, int]
    """sRGB 0..255."""
    length: float
    side_length: float = 0.012
    """Length at the temples of a short cut."""
    parting: float = 0.02
    """Where the parting lies, towards the person's left."""
    lift: float = 0.011
    """How far the strands stand off the scalp."""
    mess: float = 0.5
    curl: float = 0.0
    """Radius of the curls."""
    curl_period: float = 0.06
    clumping: float = 0.4
    recession: float = 0.0
    n_strands: int = 7_000
    n_points: int = 9
    strand_width: float = 0.0013


def grow_strands(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    look: HairLook,
    rng: np.random.Generator,
) -> np.ndarray:
    """Grow strands over the scalp of a person in the rest pose.

    Roots are scattered inside the hairline; each strand marches along a flow field under gravity and is pushed out
    of the body, then strands gather round guides towards their tips.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        look: The style.
        rng: Source of the scatter.

    Returns:
        [S, P, 3] float32 metres, root first; S is at most `n_strands`.
    """
    roots, canonical, outward = _scatter_roots(template, rest, normals, look, rng)
    n = len(roots)
    elevation, azimuth = _head_angles(template, canonical)
    crown = smoothstep(10, 48, elevation)
    length = (
        look.length if look.kind == "long" else look.side_length + (look.length - look.side_length) * crown
    )
    length = length * rng.uniform(0.82, 1.08, n)
    group = rng.integers(0, _GUIDES, n)
    tangle = 0.22 * rng.normal(size=(_GUIDES, 3))[group] + 0.10 * rng.normal(size=(n, 3))
    flow = _flow(look, canonical, elevation, azimuth, rng) + look.mess * tangle
    strands = _march(template, rest, normals, roots, outward, flow, length, elevation, look, rng)
    if look.curl > 0:
        strands += _curls(look, length, rng)
    strands = _clump(strands, look.clumping)
    if look.kind == "long":
        strands = strands[~_across_face(template, rest, strands)]
    return strands.astype(np.float32)


def _head_angles(template: BodyTemplate, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elevation and signed azimuth of points about the middle of the head, degrees."""
    eyes = template.joints[template.joint("eye.L")]
    offset = canonical - [0, eyes[1] + 0.075, eyes[2]]
    elevation = np.degrees(np.arctan2(offset[:, 2], np.hypot(offset[:, 0], offset[:, 1])))
    return elevation, np.degrees(np.arctan2(offset[:, 0], -offset[:, 1]))


def _scatter_roots(
    template: BodyTemplate, rest: np.ndarray, normals: np.ndarray, look: HairLook, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Roots on the person [N, 3], the same places on the mean template [N, 3], and unit normals [N, 3]."""
    faces = template.faces[template.region_faces("head")]
    faces = faces[template.ear[faces].max(1) < 0.3]
    centres = template.vertices[faces].mean(1)
    faces = faces[hairline(centres, template, look.recession) > -0.006]
    corners = rest[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = faces[rng.choice(len(faces), look.n_strands, p=area / area.sum())]
    u = rng.random((look.n_strands, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    weight = np.c_[1 - u.sum(1), u][..., None]
    roots, canonical, outward = (
        (array[chosen] * weight).sum(1) for array in (rest, template.vertices, normals)
    )
    ragged = hairline(canonical, template, look.recession) > 0.0025 * rng.normal(size=look.n_strands)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    return roots[ragged], canonical[ragged], outward[ragged]


def _flow(
    look: HairLook,
    canonical: np.ndarray,
    elevation: np.ndarray,
    azimuth: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Direction in which the strands are combed, [N, 3]."""
    n = len(canonical)
    top = smoothstep(25, 50, elevation)
    side = np.where(canonical[:, 0] + 0.006 * rng.normal(size=n) > look.parting, 1.0, -1.0)
    if look.kind == "short":
        return np.stack([0.9 * side * top, np.where(elevation > 30, -0.45, 0.25), 0.05 - 0.9 * (1 - top)], -1)
    # From the forehead hair goes back before it falls, so that strands cover the roots behind them.
    fringe = top * smoothstep(110, 60, np.abs(azimuth))
    behind = smoothstep(150, 100, np.abs(azimuth))
    sideways = side * (0.35 + 0.35 * top) * behind
    return np.stack([sideways, 0.35 + 1.9 * fringe, -0.25 - 0.5 * (1 - top)], -1)


def _march(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    roots: np.ndarray,  # [N, 3]
    outward: np.ndarray,  # [N, 3]
    flow: np.ndarray,  # [N, 3]
    length: np.ndarray,  # [N]
    elevation: np.ndarray,  # [N]
    look: HairLook,
    rng: np.random.Generator,
) -> np.ndarray:
    """March all strands together, [N, P, 3]."""
    obstacle = np.flatnonzero(template.region_vertices("head", "body") & (template.vertices[:, 2] > 0.2))
    tree = KDTree(rest[obstacle])
    neck = template.joints[template.joint("head"), 2] - 0.09
    n, steps = len(roots), look.n_points - 1
    long = look.kind == "long"
    # The first steps of a long strand are short, else it starts centimetres off the head.
    fractions = np.diff((np.arange(steps + 1) / steps) ** (1.7 if long else 1.0))
    standoff = look.lift * (0.45 + 0.75 * rng.random(n)) * (0.35 + 0.65 * smoothstep(-10, 40, elevation))
    strands = np.empty((n, steps + 1, 3))
    strands[:, 0] = roots - 0.001 * outward
    heading = 0.9 * outward + flow
    for k, fraction in enumerate(fractions, start=1):
        t = k / steps
        comb = flow * (1 - 0.92 * min(1.0, 1.6 * t)) if long else flow
        gravity = 2.6 * t**1.6 if long else 0.8 * t
        wish = comb + np.array([0.0, 0.0, -gravity]) + outward * (0.25 if long else 0.45) * (1 - t)
        heading = 0.45 * _unit(heading) + 0.55 * _unit(wish)
        tip = strands[:, k - 1] + _unit(heading) * (length * fraction)[:, None]
        gap, nearest = tree.query(tip)
        nearest = obstacle[nearest]
        height = ((tip - rest[nearest]) * normals[nearest]).sum(1)
        # Below the chin hair lies on the shoulders and the cloth, so it keeps a larger distance.
        clear = standoff * np.sin(min(1.0, 0.35 + t) * np.pi / 2) + 0.022 * (rest[nearest, 2] < neck)
        tip += normals[nearest] * np.where((height < clear) & (gap < 0.08), clear - height, 0)[:, None]
        floating = (height > clear + 0.012) & (gap < 0.10)
        tip -= normals[nearest] * np.where(floating, 0.3 * (height - clear - 0.012), 0)[:, None]
        heading = tip - strands[:, k - 1]
        strands[:, k] = strands[:, k - 1] + _unit(heading) * (length * fraction)[:, None]
    for _ in range(2):
        strands[:, 1:-1] = 0.5 * strands[:, 1:-1] + 0.25 * (strands[:, :-2] + strands[:, 2:])
    return strands


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def _curls(look: HairLook, length: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Helical displacement that grows over the first 3 cm, [N, P, 3]."""
    along = np.linspace(0, 1, look.n_points)[None] * length[:, None]
    phase = 2 * np.pi * along / look.curl_period + rng.uniform(0, 2 * np.pi, (len(length), 1))
    helix = np.stack([np.cos(phase), np.sin(phase), 0.6 * np.sin(1.13 * phase)], -1)
    return look.curl * np.minimum(1, along / 0.03)[..., None] * helix


def _clump(strands: np.ndarray, strength: float) -> np.ndarray:
    """Draw strands towards their nearest guide, more so at the tips."""
    stride = max(1, len(strands) // _GUIDES)
    guide = KDTree(strands[::stride, 0]).query(strands[:, 0])[1] * stride
    parallel = strands[guide] - strands[guide, :1] + strands[:, :1]
    pull = strength * (np.linspace(0, 1, strands.shape[1]) ** 1.2)[None, :, None]
    return strands * (1 - pull) + (0.6 * strands[guide] + 0.4 * parallel) * pull


def _across_face(template: BodyTemplate, rest: np.ndarray, strands: np.ndarray) -> np.ndarray:
    """Strands that would hang before the eyes and the mouth, [N] bool."""
    eye = rest[template.region_vertices("eye_front_left")].mean(0)
    before = (np.abs(strands[..., 0]) < 0.050) & (strands[..., 1] < eye[1] + 0.030)
    before &= strands[..., 2] < eye[2] + 0.045
    return before[:, 4:].any(1)


def ribbons(strands: np.ndarray, width: np.ndarray, viewpoint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Camera-facing strips along strands.

    Args:
        strands: [S, P, 3] float32 metres.
        width: Half-width at each point, [P] metres.
        viewpoint: The camera's centre, [3] metres.

    Returns:
        Vertices and tangents, [S * P * 2, 3] float32 each; the two sides of a point stand side by side.
    """
    tangent = _unit(np.gradient(strands, axis=1))
    across = _unit(np.cross(tangent, viewpoint - strands)) * width[None, :, None]
    vertices = np.stack([strands - across, strands + across], 2)
    return vertices.reshape(-1, 3).astype(np.float32), np.repeat(tangent.reshape(-1, 3), 2, 0).astype(
        np.float32
    )


class Hair:
    """A head of hair that follows the head, and from the chin down the chest.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        look: The style.
        rng: Source of the scatter.
    """

    faces: np.ndarray
    """[F, 3] int32 over the ribbons' vertices."""
    colour: np.ndarray
    """[S * P * 2, 3] linear albedo."""

    def __init__(
        self,
        template: BodyTemplate,
        rest: np.ndarray,
        normals: np.ndarray,
        look: HairLook,
        rng: np.random.Generator,
    ) -> None:
        self._rest = grow_strands(template, rest, normals, look, rng)
        self._bones = template.joint("head"), template.joint("spine01")
        n_strands, n_points = self._rest.shape[:2]
        shoulder = template.joints[template.joint("upperarm01.L"), 2]
        if look.kind == "long":
            self._chest = smoothstep(shoulder + 0.13, shoulder + 0.01, self._rest[..., 2])[..., None]
        else:
            self._chest = np.zeros((n_strands, n_points, 1))
        start = np.arange(n_strands)[:, None] * 2 * n_points + 2 * np.arange(n_points - 1)  # [S, P - 1]
        strips = [
            np.stack([start, start + 1, start + 2], -1),
            np.stack([start + 1, start + 3, start + 2], -1),
        ]
        self.faces = np.stack(strips, 2).reshape(-1, 3).astype(np.int32)
        place = np.linspace(0, 1, n_points)
        self._width = look.strand_width * np.interp(place, *_WIDTH_PROFILE)
        shade = np.clip(1 + 0.18 * rng.normal(size=(n_strands, 1)), 0.5, 1.6) * (
            0.72 + 0.38 * place
        )  # [S, P]
        self.colour = np.repeat((shade[..., None] * linear(look.colour)).reshape(-1, 3), 2, 0).astype(
            np.float32
        )

    def posed(self, transforms: np.ndarray) -> np.ndarray:
        """The strands in a pose.

        Args:
            transforms: Rest-to-posed motion of each joint, [J, 4, 4].

        Returns:
            [S, P, 3] float32 metres.
        """
        head, chest = (
            self._rest @ transforms[bone, :3, :3].T + transforms[bone, :3, 3] for bone in self._bones
        )
        return (head * (1 - self._chest) + chest * self._chest).astype(np.float32)

    def ribbons(self, strands: np.ndarray, viewpoint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and tangents of the drawn strips, see `ribbons`."""
        return ribbons(strands, self._width, viewpoint)
