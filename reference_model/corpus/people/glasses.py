"""One procedural pair of glasses: two rims, a bridge and two temples, bound to the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.layers import Layer, Surface
from reference_model.corpus.drawing.mesh_raster import N_CUTS
from reference_model.corpus.drawing.mesh_shade import Material
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.head_chart import landmark_positions
from reference_model.corpus.people.skin_look import linear

__all__ = ["GlassesLook", "draw_glasses", "glasses_layer"]

_NOSE_BRIDGE = 6  # point of the mediapipe face mesh
_SECTION = 8  # corners of a tube's section
_FRAME_COLOURS = ((22, 20, 20), (52, 34, 24), (96, 62, 36), (36, 40, 58), (120, 118, 116), (104, 36, 34))


@dataclass(frozen=True, slots=True)
class GlassesLook:
    """A frame; lengths in metres."""

    colour: tuple[int, int, int]
    """sRGB 0..255."""
    width: float = 0.046
    """Of one lens."""
    height: float = 0.036
    squareness: float = 3.0
    """Exponent of the superellipse that the rim follows: 2 is round."""
    thickness: float = 0.0016
    """Radius of the rim's section."""


def draw_glasses(attributes: Attributes, rng: np.random.Generator) -> GlassesLook | None:
    """Draw the glasses of a person.

    Args:
        attributes: Says whether there are any.
        rng: Source of shape and colour.

    Returns:
        The look, or None.
    """
    if not attributes.glasses:
        return None
    r, g, b = _FRAME_COLOURS[rng.integers(len(_FRAME_COLOURS))]
    return GlassesLook(
        colour=(r, g, b),
        width=float(rng.uniform(0.045, 0.052)),
        height=float(rng.uniform(0.033, 0.041)),
        squareness=float(rng.uniform(2.0, 3.2)),
        thickness=float(rng.uniform(0.0011, 0.0021)),
    )


def glasses_layer(template: BodyTemplate, rest: np.ndarray, look: GlassesLook) -> Layer:
    """A frame on a person's nose and ears, bound to the head.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        look: Shape and colour.

    Returns:
        A mesh.
    """
    tubes = [_tube(path, look.thickness, closed) for path, closed in _paths(template, rest, look)]
    starts = np.cumsum([0] + [len(points) for points, _ in tubes[:-1]])
    points = np.concatenate([vertices for vertices, _ in tubes]).astype(np.float32)  # [N, 3] metres
    faces = np.concatenate([triangles + start for (_, triangles), start in zip(tubes, starts, strict=True)])
    n = len(points)
    head = np.full(n, template.joint("head"))
    surface = Surface(
        faces=faces.astype(np.int32),
        codes=np.full(len(faces), Material.FRAME, np.int8),
        colour=np.tile(linear(look.colour), (n, 1)),
        canonical=np.zeros((n, 3), np.float32),
        edge=np.ones((n, 1), np.float32),
        cuts=np.ones((n, N_CUTS), np.float32),
    )
    weights = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), head)), shape=(n, template.n_joints))
    return Layer(rest=points, weights=weights, surface=surface)


def _paths(template: BodyTemplate, rest: np.ndarray, look: GlassesLook) -> list[tuple[np.ndarray, bool]]:
    """Centre lines [P, 3] of rims, bridge and temples, and whether each is closed."""
    points = landmark_positions(template, rest)
    bridge = points[_NOSE_BRIDGE]
    eyes = [rest[template.region_vertices(f"eye_front_{side}")].mean(0) for side in ("left", "right")]
    ears = [rest[(template.ear > 0.5) & (sign * rest[:, 0] > 0)] for sign in (1, -1)]
    plane_y = min(bridge[1] - 0.004, min(eye[1] for eye in eyes) - 0.014)  # clear of lashes and nose
    centre_x = max(0.5 * look.width + 0.0085, 0.5 * (eyes[0][0] - eyes[1][0]) - 0.001)
    height = 0.5 * (eyes[0][2] + eyes[1][2]) - 0.002
    angle = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    power = 2 / look.squareness
    outline_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * look.width / 2
    outline_z = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * look.height / 2
    paths: list[tuple[np.ndarray, bool]] = []
    for sign, ear in zip((1, -1), ears, strict=True):
        x = sign * (centre_x + outline_x)
        wrap = 0.55 * np.clip(np.abs(x) - 0.030, 0, None) ** 2 / 0.03  # the frame bends round the face
        paths.append((np.stack([x, plane_y + wrap, height + outline_z], -1), True))
        hinge_x = centre_x + look.width / 2
        hinge = np.array(
            [sign * hinge_x, plane_y + 0.55 * (hinge_x - 0.03) ** 2 / 0.03, height + 0.22 * look.height]
        )
        top = ear[ear[:, 2] > np.quantile(ear[:, 2], 0.85)].mean(0)
        widest = max(np.abs(top[0]) + 0.001, hinge_x + 0.002)
        knee = np.array([sign * widest, top[1] + 0.004, max(top[2] - 0.006, hinge[2] - 0.012)])
        corner = np.array([sign * (hinge_x + 0.003), hinge[1] + 0.004, hinge[2]])
        tip = knee + np.array([-0.002 * sign, 0.022, -0.026])
        paths.append((_smooth_path(np.stack([hinge, corner, 0.5 * (corner + knee), knee, tip])), False))
    inner = centre_x - look.width / 2
    across = np.linspace(-1, 1, 9)[:, None]
    arch = np.concatenate([across * inner, np.zeros_like(across), 0.003 * (1 - across**2)], 1)
    paths.append((arch + np.array([0, plane_y - 0.0005, height + 0.16 * look.height]), False))
    return paths


def _smooth_path(corners: np.ndarray) -> np.ndarray:
    """A finer line through or near the corners [N, 3]."""
    at = np.linspace(0, len(corners) - 1, 33)
    line = np.stack([np.interp(at, np.arange(len(corners)), corners[:, k]) for k in range(3)], -1)
    for _ in range(6):
        line[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[:-2] + line[2:])
    return line


def _tube(path: np.ndarray, radius: float, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """A round tube along a path [P, 3]: vertices [P * R, 3] and triangles, counter-clockwise seen from outside."""
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # a reference that no part of a frame runs along: rims lie across y, temples run along y and out
    reference = np.array([0.25, 0.9, 0.3]) if closed else np.array([0.2, 0.1, 1.0])
    side = np.cross(tangent, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    around = np.linspace(0, 2 * np.pi, _SECTION, endpoint=False)
    normals = np.cos(around)[None, :, None] * side[:, None] + np.sin(around)[None, :, None] * up[:, None]
    vertices = path[:, None] + radius * normals
    ring = np.arange(len(path) if closed else len(path) - 1)
    i, j = np.meshgrid(ring, np.arange(_SECTION), indexing="ij")
    a, b = i * _SECTION + j, i * _SECTION + (j + 1) % _SECTION
    following = (i + 1) % len(path)
    c, d = following * _SECTION + j, following * _SECTION + (j + 1) % _SECTION
    triangles = np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    )
    return vertices.reshape(-1, 3), triangles
