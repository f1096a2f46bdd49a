"""Growth of hair over the scalp: roots inside the hairline, a march along a flow field, curls, locks and a bun."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from reference_model.body.template import BodyTemplate
from reference_model.corpus.people.hair_look import HairLook
from reference_model.corpus.people.hair_roots import Roots, Strands, head_angles, scatter, unit, waves
from reference_model.corpus.people.skin import hairline, smoothstep

__all__ = ["grow_strands"]

_GUIDES = 350  # strands that the others gather round
_BABY_SHARE = 0.16  # of the strands are short and fine and soften the hairline
_PARTING_SHARE = 0.18  # more strands of long hair along the parting
_FLYAWAY_SHARE = 0.025
_BUN_SHARE = 0.22  # of the strands of a bun lie in the knot itself
_FORE, _CROWN = 25.0, 50.0  # degrees of elevation between which the sides of the head become its top


class Obstacle(NamedTuple):
    """The body that strands stay outside of."""

    tree: KDTree
    points: np.ndarray  # [M, 3] metres
    normals: np.ndarray  # [M, 3] unit


def grow_strands(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    look: HairLook,
    rng: np.random.Generator,
) -> Strands:
    """Grow strands over the scalp of a person in the rest pose.

    Roots are scattered inside a ragged hairline; each strand marches along a flow field under gravity and is pushed
    out of the body, then strands gather round guides towards their tips. A sixth of the strands are short and fine and
    sit along the hairline.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        look: The style.
        rng: Source of the scatter.

    Returns:
        At most `n_strands` strands; none for the kind "none".
    """
    roots, baby, inside = _rooted(template, rest, normals, look, rng)
    edge = smoothstep(-0.001, 0.009 if look.kind == "long" else 0.014, inside)
    elevation, azimuth = head_angles(template, roots.canonical)
    length = _lengths(look, elevation, azimuth, edge, baby, rng)
    n = len(inside)
    loose = (rng.random(n) < _FLYAWAY_SHARE) & ~baby
    length = np.where(loose, 0.6 * length, length)
    flow = _flow(look, template, rest, roots, elevation, azimuth, rng)
    flow += np.where(loose, 0.30, 0.0)[:, None] * rng.normal(size=flow.shape)
    standoff = look.lift * (0.45 + 0.75 * rng.random(n))
    standoff *= (0.35 + 0.65 * smoothstep(-10, 40, elevation)) * (0.45 + 0.55 * edge)
    standoff += np.where(loose, rng.uniform(0.001, 0.005, n), 0.0)
    points = _march(template, rest, normals, roots, flow, length, standoff, look)
    if look.curl > 0:
        points += _curls(look, roots.rest, length, rng) * np.where(baby, 0.3, edge)[:, None, None]
    points = _clump(points, np.where(loose | baby, 0.0, look.clumping))
    thickness = np.where(baby, 0.28, np.where(loose, 0.22, 0.50 + 0.50 * edge))
    strands = Strands(
        points.astype(np.float32), thickness, roots.vertices, roots.weights.astype(np.float32), edge
    )
    if look.kind == "bun":
        strands = _with_knot(strands, template, rest, look, rng)
    if look.kind == "long":
        free = ~_across_face(template, rest, strands.points)
        strands = Strands(*(array[free] for array in strands))
    return strands


def _rooted(
    template: BodyTemplate, rest: np.ndarray, normals: np.ndarray, look: HairLook, rng: np.random.Generator
) -> tuple[Roots, np.ndarray, np.ndarray]:
    """Roots inside a ragged hairline, which of them are short and fine [N], and how far inside they lie [N]."""
    faces = template.faces[template.region_faces("head")]
    faces = faces[template.ear[faces].max(1) < 0.3]
    centres = template.vertices[faces].mean(1)
    scalp = hairline(centres, template, look.recession) > -0.012
    faces, centres = faces[scalp], centres[scalp]
    roots = scatter(template, rest, normals, faces, round(1.35 * look.n_strands), rng)
    if look.kind == "long":  # a parting spreads the hair, so more of it grows there
        elevation, azimuth = head_angles(template, centres)
        parting = (np.abs(centres[:, 0] - look.parting) < 0.024) & (elevation > 20) & (np.abs(azimuth) < 100)
        more = round(_PARTING_SHARE * look.n_strands)
        roots = roots.joined(scatter(template, rest, normals, faces[parting], more, rng))
        roots = roots.take(rng.permutation(len(roots.rest)))
    baby = rng.random(len(roots.rest)) < _BABY_SHARE
    ragged = 0.0022 * waves(roots.canonical, 90, 12, rng)
    inside = hairline(roots.canonical, template, look.recession) + ragged
    scattered = inside > 0.0022 * rng.normal(size=len(inside))
    fringe = baby & (inside > -0.0028) & (inside < 0.006)
    keep = np.flatnonzero((scattered & ~baby) | fringe)[: look.n_strands]
    return roots.take(keep), baby[keep], inside[keep]


def _lengths(
    look: HairLook,
    elevation: np.ndarray,
    azimuth: np.ndarray,
    edge: np.ndarray,
    baby: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    n = len(elevation)
    if look.kind in ("long", "bun"):
        length = np.full(n, look.length)
    else:
        crown = smoothstep(10, 48, elevation)
        length = look.side_length + (look.length - look.side_length) * crown
        # short cuts fade towards the neck and the sideburns
        length *= 0.35 + 0.65 * np.maximum(edge, crown * smoothstep(70, 40, np.abs(azimuth)))
    shortest = 0.80 if look.kind in ("long", "bun") else 0.55  # short cuts end in layers, not in one line
    length = length * rng.uniform(shortest, 1.10, n)
    return np.where(baby, np.minimum(rng.uniform(0.004, 0.013, n), 0.8 * length), length)


def _flow(
    look: HairLook,
    template: BodyTemplate,
    rest: np.ndarray,
    roots: Roots,
    elevation: np.ndarray,
    azimuth: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Direction in which the strands are combed, [N, 3]."""
    n, x = len(elevation), roots.canonical[:, 0]
    top = smoothstep(_FORE, _CROWN, elevation)
    lock, n_locks = _locks(roots.rest)
    tangle = 0.26 * rng.normal(size=(n_locks, 3))[lock] + 0.10 * rng.normal(size=(n, 3))
    front = smoothstep(110, 55, np.abs(azimuth))
    wandering = look.parting + 0.004 * waves(roots.canonical, 60, 8, rng) + 0.003 * rng.normal(size=n)
    side = np.where(x > wandering, 1.0, -1.0)
    ones = np.ones(n)
    if look.kind == "upright":
        comb = np.stack([0.25 * np.sign(x) * (1 - top), 0.1 * ones, -0.35 * (1 - top)], -1)
    elif look.kind == "short":
        # swept over from the parting, the front lifted back off the forehead
        comb = np.stack([0.80 * side * top, 0.35 + 0.35 * top * front, -1.0 * (1 - top) + 0.05 * top], -1)
    elif look.kind == "forward":
        swirl = np.sign(look.parting) * 0.45
        comb = np.stack([swirl * top, np.where(elevation > 28, -0.75, 0.15), -0.95 * (1 - top) + 0.05], -1)
    elif look.kind == "back":
        comb = np.stack([-2.2 * x * top, 1.0 * ones, 0.12 * top - 0.42 * (1 - top)], -1)
    elif look.kind == "bun":
        comb = unit(_knot(template, rest)[0] - roots.rest)
    else:
        # From the forehead hair goes back before it falls, so that strands cover the roots behind them.
        behind = smoothstep(150, 100, np.abs(azimuth))
        sideways = side * (0.45 + 0.45 * top) * behind
        comb = np.stack([sideways, 0.30 + 1.1 * top * front, -0.25 - 0.5 * (1 - top)], -1)
    return comb + look.mess * tangle


def _march(
    template: BodyTemplate,
    rest: np.ndarray,
    normals: np.ndarray,
    roots: Roots,
    flow: np.ndarray,
    length: np.ndarray,
    standoff: np.ndarray,
    look: HairLook,
) -> np.ndarray:
    """March all strands together.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        normals: Their unit normals, [V, 3].
        roots: Where strands start, N.
        flow: Direction of combing, [N, 3].
        length: Metres, [N].
        standoff: Distance that strands keep from the skin, [N] metres.
        look: Kind and number of points.

    Returns:
        [N, P, 3] metres.
    """
    # Arms are raised in the rest pose: hair that lay on them would stand off when they sink.
    trunk = np.abs(template.vertices[:, 0]) < 0.8 * template.joints[template.joint("upperarm01.L"), 0]
    obstacle = np.flatnonzero(
        template.region_vertices("head", "body") & (template.vertices[:, 2] > 0.2) & trunk
    )
    body = Obstacle(KDTree(rest[obstacle]), rest[obstacle], normals[obstacle])
    neck = template.joints[template.joint("head"), 2] - 0.09
    n, steps = len(roots.rest), look.n_points - 1
    hanging, tight = look.kind in ("long", "back"), look.kind in ("back", "bun")
    # The first steps of a long strand are short, else it starts centimetres off the head.
    fractions = np.diff((np.arange(steps + 1) / steps) ** (1.7 if hanging or tight else 1.0))
    gravity = {"long": 2.6, "back": 1.0, "bun": 0.0, "upright": 0.15}.get(look.kind, 0.8)
    stiffness = {"upright": 1.6, "short": 0.55, "forward": 0.45, "bun": 0.0}.get(look.kind, 0.25)
    knot = _knot(template, rest)[0]
    points = np.empty((n, steps + 1, 3))
    points[:, 0] = roots.rest - 0.001 * roots.outward
    heading = (0.25 if tight else 0.9) * roots.outward + flow
    for k, fraction in enumerate(fractions, start=1):
        t = k / steps
        comb = flow * (1 - 0.92 * min(1.0, 1.6 * t)) if look.kind == "long" else flow
        if look.kind == "bun":
            comb = unit(knot - points[:, k - 1])
        wish = comb + np.array([0.0, 0.0, -gravity * t**1.6]) + roots.outward * stiffness * (1 - t)
        heading = 0.45 * unit(heading) + 0.55 * unit(wish)
        step = (length * fraction)[:, None]
        if look.kind == "bun":  # strands end at the knot
            step = np.minimum(step, 0.5 * np.linalg.norm(knot - points[:, k - 1], axis=1, keepdims=True))
        tip = points[:, k - 1] + unit(heading) * step
        tip = _clear_of_body(tip, body, standoff * np.sin(min(1.0, 0.35 + t) * np.pi / 2), neck, look)
        if look.kind == "long":
            tip[:, 0] += _aside(template, rest, tip)
            # it slides off the slope of the shoulders to the front and the back
            wide = np.clip(np.abs(tip[:, 0]) - 0.105, 0, None) * (tip[:, 2] < neck)
            tip[:, 0] -= 0.5 * np.sign(tip[:, 0]) * wide
        heading = tip - points[:, k - 1]
        points[:, k] = points[:, k - 1] + unit(heading) * step
    for _ in range(2):
        points[:, 1:-1] = 0.5 * points[:, 1:-1] + 0.25 * (points[:, :-2] + points[:, 2:])
    return points


def _clear_of_body(
    tip: np.ndarray, body: Obstacle, standoff: np.ndarray, neck: float, look: HairLook
) -> np.ndarray:
    """Push tips [N, 3] out of the body to their standoff [N], and pull floating ones back towards it."""
    gap, near = body.tree.query(tip, k=3)
    weight = 1 / (gap + 1e-4)
    weight = (weight / weight.sum(1, keepdims=True))[..., None]
    ground = (body.points[near] * weight).sum(1)
    normal = unit((body.normals[near] * weight).sum(1))
    height = ((tip - ground) * normal).sum(1)
    # Below the chin hair lies on the shoulders and the cloth, so it keeps a larger distance.
    clear = standoff + (0.024 + look.curl) * (ground[:, 2] < neck)
    tip = tip + normal * np.where((height < clear) & (gap[:, 0] < 0.08), clear - height, 0)[:, None]
    if look.kind == "upright":
        return tip
    floating = (height > clear + 0.012) & (gap[:, 0] < 0.10)
    return tip - normal * np.where(floating, 0.3 * (height - clear - 0.012), 0)[:, None]


def _curls(look: HairLook, roots: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Helical displacement that grows over the first 3 cm, alike within a lock, [N, P, 3]."""
    lock, n_locks = _locks(roots)
    along = np.linspace(0, 1, look.n_points)[None] * length[:, None]
    period = look.curl_period * rng.uniform(0.8, 1.25, (n_locks, 1))[lock]
    phase = rng.uniform(0, 2 * np.pi, (n_locks, 1))[lock] + rng.normal(0, 0.7, (len(length), 1))
    phase = phase + 2 * np.pi * along / period
    helix = np.stack([np.cos(phase), np.sin(phase), 0.6 * np.sin(1.13 * phase)], -1)
    return look.curl * np.minimum(1, along / min(0.03, 1.5 * look.curl_period))[..., None] * helix


def _locks(roots: np.ndarray) -> tuple[np.ndarray, int]:
    """The lock that each root [N, 3] belongs to, [N], and how many locks there are."""
    stride = max(1, len(roots) // _GUIDES)
    guides = roots[::stride]
    lock = np.asarray(KDTree(guides).query(roots)[1], int) if len(roots) else np.zeros(0, int)
    return lock, len(guides)


def _clump(points: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Draw strands towards their nearest guide by `strength` [N], more so at the tips."""
    if not len(points):
        return points
    stride = max(1, len(points) // _GUIDES)
    guide = _locks(points[:, 0])[0] * stride
    parallel = points[guide] - points[guide, :1] + points[:, :1]
    pull = strength[:, None, None] * (np.linspace(0, 1, points.shape[1]) ** 1.2)[None, :, None]
    return points * (1 - pull) + (0.6 * points[guide] + 0.4 * parallel) * pull


def _knot(template: BodyTemplate, rest: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [3] and radius of a bun at the back of a head, metres."""
    head = rest[template.region_vertices("head")]
    eye = rest[template.region_vertices("eye_front_left")].mean(0)
    rear = head[np.abs(head[:, 2] - (eye[2] + 0.045)) < 0.02, 1].max()
    return np.array([0.0, rear + 0.014, eye[2] + 0.050]), 0.030


def _with_knot(
    strands: Strands, template: BodyTemplate, rest: np.ndarray, look: HairLook, rng: np.random.Generator
) -> Strands:
    """Replace a share of the strands by coils round a ball: the bun itself."""
    centre, radius = _knot(template, rest)
    n, n_points = round(_BUN_SHARE * len(strands.points)), look.n_points
    axis = unit(np.array([0.0, 0.75, 0.65]) + 0.35 * rng.normal(size=(n, 3)))
    across = unit(np.cross(axis, rng.normal(size=(n, 3))))
    turn = np.linspace(0, 1, n_points) * rng.uniform(1.2, 2.6, (n, 1)) + rng.uniform(0, 2 * np.pi, (n, 1))
    height = rng.uniform(-0.9, 0.9, (n, 1)) + 0.08 * np.sin(2 * turn)
    ring = np.sqrt(np.clip(1 - height**2, 0.05, 1))[..., None]
    circle = (
        np.cos(turn)[..., None] * across[:, None] + np.sin(turn)[..., None] * np.cross(axis, across)[:, None]
    )
    shell = radius * rng.uniform(0.82, 1.04, (n, 1, 1)) * np.array([1.15, 0.85, 1.0])
    points = strands.points.copy()
    points[:n] = centre + shell * (ring * circle + height[..., None] * axis[:, None])
    return strands._replace(points=points)


def _aside(template: BodyTemplate, rest: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Sideways step of tips [N, 3] that hang before the face, as a hand would part them, [N] metres."""
    eye = rest[template.region_vertices("eye_front_left")].mean(0)
    low = smoothstep(eye[2] + 0.085, eye[2] + 0.030, tips[:, 2]) * (tips[:, 1] < eye[1] + 0.045)
    return np.sign(tips[:, 0]) * low * np.clip(0.064 - np.abs(tips[:, 0]), 0, 0.02)


def _across_face(template: BodyTemplate, rest: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Strands that would hang before the eyes, the mouth and the throat, [N] bool."""
    eye = rest[template.region_vertices("eye_front_left")].mean(0)
    before = (np.abs(points[..., 0]) < 0.056) & (points[..., 1] < eye[1] + 0.030)
    before &= points[..., 2] < eye[2] + 0.045
    throat = (
        (np.abs(points[..., 0]) < 0.045) & (points[..., 1] < eye[1] + 0.07) & (points[..., 2] < eye[2] - 0.09)
    )
    before |= throat
    return before[:, 3:].any(1)
