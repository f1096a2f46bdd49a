"""The pattern of a garment: a shell round the person in the rest pose, with the widths that the cut asks for."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import scipy.sparse as sp

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.mesh_raster import vertex_normals
from reference_model.corpus.people.cloth_mesh import broad_average, neighbour_average, refined_part, tube
from reference_model.corpus.people.garment_cut import (
    BodyFrame,
    GarmentLook,
    arm_coordinate,
    cut_fields,
    template_height,
)
from reference_model.corpus.people.skin import smoothstep

__all__ = ["Shell", "make_shell"]

_SKIN_SMOOTHING, _SHAPE_SMOOTHING = 6, 8  # Laplacian steps
_BRIDGE = 0.028  # metres of anatomy that cloth spans
_MARGIN = 0.012  # metres of cloth kept beyond an edge, so that the edge is a level set inside the mesh
_LEAST = 0.006  # metres between skin and cloth
_SOLE = 0.022  # metres
_SKIRT_AROUND, _SKIRT_STEP = 96, 0.013


class Shell(NamedTuple):
    """A garment before it is draped; N vertices."""

    rest: np.ndarray  # [N, 3] float32 metres, in the rest pose of the person
    faces: np.ndarray  # [F, 3] int32
    weights: sp.csr_matrix  # [N, J] skin weights
    cuts: np.ndarray  # [N, N_CUTS]
    arm: np.ndarray  # [N] share of the arm's bones
    along: np.ndarray  # [N] metres along the arm on the template
    cloth: np.ndarray  # [N, 3] coordinates on the fabric: across and along in metres, 1 on trunk and legs


def make_shell(template: BodyTemplate, rest: np.ndarray, frame: BodyFrame, look: GarmentLook) -> Shell:
    """Make the pattern of a garment for a person.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        frame: The person's frame.
        look: The cut.

    Returns:
        The shell, without what lies more than a centimetre beyond its edges.
    """
    if look.part == "skirt":
        shell = _skirt(template, rest, frame, look)
    else:
        shell = _from_body(template, rest, frame, look)
    alive = (shell.cuts[shell.faces] > -_MARGIN).any(1).all(1)
    kept, faces = np.unique(shell.faces[alive], return_inverse=True)
    return Shell(
        np.ascontiguousarray(shell.rest[kept], np.float32), faces.reshape(-1, 3).astype(np.int32),
        sp.csr_matrix(shell.weights[kept], dtype=np.float32), shell.cuts[kept], shell.arm[kept],
        shell.along[kept], shell.cloth[kept].astype(np.float32),
    )  # fmt: skip


def _part_faces(template: BodyTemplate, frame: BodyFrame, look: GarmentLook) -> np.ndarray:
    z, arm = template.vertices[:, 2], frame.arm
    faces = template.faces[template.region_faces("body")]
    if look.part == "shoes":
        faces = template.faces[template.region_faces("body", "foot_left", "foot_right")]
        return faces[z[faces].max(1) < -0.70]
    if look.part == "trousers":
        return faces[(z[faces].max(1) < look.waist + 0.05) & (arm[faces].max(1) < 0.3)]
    if look.part == "collar":
        return faces[z[faces].min(1) > 0.36]
    return faces[(z[faces].min(1) > look.hem - 0.06) | (arm[faces].min(1) > 0.5)]


def _dense_weights(template: BodyTemplate) -> np.ndarray:
    skin = np.zeros((template.n_vertices, template.n_joints), np.float32)
    np.add.at(skin, (np.arange(template.n_vertices)[:, None], template.skin_index), template.skin_weight)
    return skin


def _from_body(template: BodyTemplate, rest: np.ndarray, frame: BodyFrame, look: GarmentLook) -> Shell:
    """A shell grown from the skin."""
    mesh = refined_part(_part_faces(template, frame, look))
    average = neighbour_average(mesh.coarse, len(mesh.source))
    weights = _dense_weights(template)[mesh.source]
    for _ in range(_SKIN_SMOOTHING):
        weights = average @ weights
    surface = rest[mesh.source]
    for _ in range(_SHAPE_SMOOTHING):  # Taubin: smooths anatomy away without shrinking
        for strength in (0.55, -0.57):
            surface = surface + strength * (average @ surface - surface)
    trunk = smoothstep(0.6, 0.2, frame.arm[mesh.source])
    reach = 0.022 if look.part == "shoes" else _BRIDGE
    surface = surface + trunk[:, None] * (broad_average(surface, reach) @ surface - surface)
    surface = np.asarray(mesh.refine @ surface)
    canonical = np.asarray(mesh.refine @ template.vertices[mesh.source])
    arm = np.asarray(mesh.refine @ frame.arm[mesh.source])
    along = arm_coordinate(template, canonical)
    fine = neighbour_average(mesh.faces, len(surface))
    surface = _widen(template, frame, look, surface, arm)
    for _ in range(6):
        surface = surface + 0.5 * (fine @ surface - surface)
    normals = vertex_normals(np.ascontiguousarray(surface, np.float32), mesh.faces)
    offset = _ease(frame, look, surface, arm, along)
    shell = surface + normals * offset[:, None]
    shell = shell + 0.5 * (fine @ shell - shell)
    if look.part == "shoes":
        shell = _with_sole(shell, float(rest[:, 2].min()))
    if look.part == "collar":  # its outline needs a finer mesh than its form
        finer = refined_part(mesh.faces)
        shell, canonical, weights = (
            finer.refine @ part[finer.source] for part in (shell, canonical, mesh.refine @ weights)
        )
        arm, along = finer.refine @ arm[finer.source], finer.refine @ along[finer.source]
        return Shell(
            shell, finer.faces, sp.csr_matrix(weights), cut_fields(frame, shell, arm, along, look), arm, along,
            _on_fabric(template, frame, look, (canonical, shell), arm, along),
        )  # fmt: skip
    return Shell(
        shell, mesh.faces, sp.csr_matrix(mesh.refine @ weights), cut_fields(frame, shell, arm, along, look),
        arm, along, _on_fabric(template, frame, look, (canonical, shell), arm, along),
    )  # fmt: skip


def _ease(
    frame: BodyFrame, look: GarmentLook, surface: np.ndarray, arm: np.ndarray, along: np.ndarray
) -> np.ndarray:
    """Distance from the smoothed skin, [N] metres."""
    z = template_height(frame, surface[:, 2])
    if look.part == "shoes":
        return np.full(len(z), 0.011)
    if look.part == "collar":
        return np.full(len(z), 0.016 + look.underlay)
    if look.part == "trousers":
        # wide enough below to fall over the shoe
        return _LEAST + look.looseness * smoothstep(0.10, -0.15, z) + 0.010 * smoothstep(-0.62, -0.74, z)
    on_arm = smoothstep(0.3, 0.7, arm)
    sleeve = look.looseness * 0.7 * smoothstep(0.0, 0.10, along)
    end = smoothstep(look.sleeve - 0.12, look.sleeve, along)
    sleeve = sleeve * (1 - end) + end * look.sleeve_width
    # widest at the waist; at the hem a top is cut as wide as the hips
    trunk = look.looseness * (
        0.12 + 0.88 * smoothstep(0.42, 0.18, z) * (1 - 0.5 * smoothstep(0.08, look.hem, z))
    )
    return _LEAST + look.underlay + on_arm * sleeve + (1 - on_arm) * trunk


def _widen(
    template: BodyTemplate, frame: BodyFrame, look: GarmentLook, surface: np.ndarray, arm: np.ndarray
) -> np.ndarray:
    """Let the trunk, or each leg, hang from its widest place."""
    if look.part == "top":
        armpit = (template.joints[template.joint("upperarm01.L"), 2] - 0.10) * frame.upper
        share = smoothstep(0.45, 0.05, arm)
        centre = np.array([0.0, surface[(share > 0) & (surface[:, 2] < armpit), 1].mean()])
        return _hang(surface, share, armpit, look.taper, np.tile(centre, (len(surface), 1)))
    if look.part == "trousers":
        joints = template.joints[[template.joint(f"{n}.L") for n in ("upperleg01", "lowerleg01", "foot")]]
        z = template_height(frame, surface[:, 2])
        x, y = (np.interp(-z, -joints[:, 2], joints[:, axis]) for axis in (0, 1))
        side = np.sign(surface[:, 0])
        crotch = -0.11 * frame.lower
        for sign in (-1, 1):
            share = (side == sign) * smoothstep(crotch, crotch - 0.03, surface[:, 2])
            surface = _hang(surface, share, crotch, look.taper, np.stack([sign * x, y], -1))
    return surface


def _hang(surface: np.ndarray, share: np.ndarray, top: float, taper: float, centre: np.ndarray) -> np.ndarray:
    """Below `top` the radius shrinks by at most `taper` per metre.

    Args:
        surface: [N, 3] metres.
        share: How much each point belongs to the tube, [N] 0..1.
        top: Height where the cloth begins to hang, metres.
        taper: Metres per metre.
        centre: x and y of the tube's axis at each point's height, [N, 2] metres.

    Returns:
        The hung surface, [N, 3].
    """
    below = (share > 0) & (surface[:, 2] < top)
    x, y = (surface[below, :2] - centre[below]).T
    z = surface[below, 2]
    azimuth, radius = np.arctan2(x, -y), np.hypot(x, y)
    n_around, step = 60, 0.012
    column = ((azimuth + np.pi) / (2 * np.pi) * n_around).astype(int) % n_around
    row = ((top - z) / step).astype(int)
    reach = np.zeros((row.max() + 1, n_around), np.float32)
    np.maximum.at(reach, (row, column), np.where(share[below] > 0.9, radius, 0))
    for r in range(1, len(reach)):
        reach[r] = np.maximum(reach[r], reach[r - 1] - taper * step)
    wrapped = np.concatenate([reach, reach, reach], axis=1)
    reach = cv2.GaussianBlur(wrapped, (0, 0), 1.6)[:, n_around : 2 * n_around]
    u, v = (azimuth + np.pi) / (2 * np.pi) * n_around - 0.5, (top - z) / step - 0.5
    padded = np.concatenate([reach[:, -1:], reach, reach[:, :1]], axis=1)
    target = cv2.remap(
        padded, (u + 1).astype(np.float32)[None], v.astype(np.float32)[None], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]  # fmt: skip
    ease = share[below] * smoothstep(0.0, 0.05, top - z)  # joins the chest without a step
    scale = 1 + ease * (np.maximum(target, radius) / np.maximum(radius, 1e-3) - 1)
    hung = surface.copy()
    hung[below, 0], hung[below, 1] = x * scale + centre[below, 0], y * scale + centre[below, 1]
    return hung


def _with_sole(shell: np.ndarray, floor: float) -> np.ndarray:
    """Flatten the under-side of a shoe and let the sole stand out a little."""
    z = shell[:, 2]
    low = smoothstep(floor + _SOLE + 0.004, floor + _SOLE - 0.004, z)
    centre = np.where(shell[:, :1] > 0, 1, -1) * np.abs(shell[z < floor + 0.06, :2]).mean(0) * [1, 0]
    outward = shell[:, :2] - centre
    outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-6
    flat = shell.copy()
    flat[:, :2] += 0.004 * low[:, None] * outward
    flat[:, 2] = np.where(z < floor + 0.012, floor - 0.004, z)
    return flat


def _skirt(template: BodyTemplate, rest: np.ndarray, frame: BodyFrame, look: GarmentLook) -> Shell:
    """A tube round hips and both thighs."""
    top, bottom = (look.waist + 0.02) * frame.upper, (look.hem - 0.03) * frame.lower
    n_rows = round((top - bottom) / _SKIRT_STEP)
    legs = rest[(frame.arm < 0.2) & (rest[:, 2] < top + 0.02) & (rest[:, 2] > bottom - 0.02)]
    centre_y = float(legs[legs[:, 2] > -0.05, 1].mean())
    azimuth = (np.arange(_SKIRT_AROUND) + 0.5) / _SKIRT_AROUND * 2 * np.pi - np.pi
    direction = np.stack([np.sin(azimuth), -np.cos(azimuth)], -1)  # [A, 2]
    z = np.linspace(top, bottom, n_rows)
    reach = np.zeros((n_rows, _SKIRT_AROUND))
    for i, height in enumerate(z):  # the convex hull of the section, by its support function's reach
        slab = legs[np.abs(legs[:, 2] - height) < 0.02, :2] - [0, centre_y]
        support = (slab @ direction.T).max(0)  # [A]
        apart = np.cos(azimuth[:, None] - azimuth)  # [A, A']
        reach[i] = np.min(np.where(apart > 0.05, support / np.maximum(apart, 0.05), np.inf), axis=1)
    for i in range(1, n_rows):
        reach[i] = np.maximum(reach[i], reach[i - 1] - look.taper * (z[i - 1] - z[i]))
    wrapped = np.concatenate([reach] * 3, 1).astype(np.float32)
    reach = cv2.GaussianBlur(wrapped, (0, 0), 2.0, sigmaY=1.5)[:, _SKIRT_AROUND : 2 * _SKIRT_AROUND]
    reach = reach + _LEAST + look.looseness * smoothstep(top, top - 0.15, z)[:, None]
    points = np.concatenate(
        [reach[..., None] * direction + [0, centre_y], np.repeat(z[:, None, None], _SKIRT_AROUND, 1)], -1
    ).reshape(-1, 3)
    faces = tube(_SKIRT_AROUND, n_rows)
    body = np.flatnonzero((frame.arm < 0.05) & (rest[:, 2] < top + 0.05))
    distance = np.linalg.norm(points[:, None] - rest[body][None], axis=-1)
    weights = _dense_weights(template)[body[distance.argmin(1)]]
    average = neighbour_average(faces, len(points))
    for _ in range(30):
        weights = average @ weights
    none = np.zeros(len(points))
    cloth = np.stack([np.tile(np.abs(azimuth) * 0.16, n_rows), points[:, 2], none + 1], -1)
    return Shell(
        points,
        faces,
        sp.csr_matrix(weights),
        cut_fields(frame, points, none, none - 1, look),
        none,
        none - 1,
        cloth,
    )


def _on_fabric(
    template: BodyTemplate, frame: BodyFrame, look: GarmentLook, places: tuple[np.ndarray, np.ndarray],
    arm: np.ndarray, along: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Coordinates on the fabric, mirrored at the middle so that no seam is needed, [N, 3]."""
    canonical, shell = (
        places  # on the template: smooth round the arms; on the person: straight in the picture
    )
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    height = template_height(frame, shell[:, 2])
    if look.part == "shoes":
        return np.stack([x, z - template.vertices[:, 2].min(), np.ones(len(x))], -1)
    if look.part == "trousers":
        joints = template.joints[[template.joint(f"{n}.L") for n in ("upperleg01", "lowerleg01", "foot")]]
        centre = np.stack([np.interp(-z, -joints[:, 2], joints[:, axis]) for axis in (0, 1)], -1)
        return np.stack(
            [np.abs(np.arctan2(x - centre[:, 0], centre[:, 1] - y)) * 0.08, height, np.ones(len(x))], -1
        )
    trunk = np.stack(
        [np.arctan2(np.abs(shell[:, 0]), 0.01 - shell[:, 1]) * 0.155, height, np.ones(len(x))], -1
    )
    shoulder, elbow, wrist = (
        template.joints[template.joint(f"{n}.L")] for n in ("upperarm01", "lowerarm01", "wrist")
    )
    reach = np.linalg.norm(elbow - shoulder)
    axis = np.where(
        (along < reach)[:, None], (elbow - shoulder) / reach, (wrist - elbow) / np.linalg.norm(wrist - elbow)
    )
    spoke = np.stack([x, y, z], -1) - np.where((along < reach)[:, None], shoulder, elbow)
    spoke = spoke - (spoke * axis).sum(1, keepdims=True) * axis
    front = np.cross(axis, [0.0, 1.0, 0.0])
    angle = np.abs(np.arctan2(spoke[:, 1], (spoke * front).sum(1)))
    sleeve = np.stack([angle * 0.055, along, np.zeros(len(x))], -1)
    return np.where((arm > 0.55)[:, None], sleeve, trunk)
