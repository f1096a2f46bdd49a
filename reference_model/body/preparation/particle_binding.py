"""Placing the 768 local particles on the template and binding its vertices to them by geodesic distance."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra

from reference_model.body.particles import GROUPS, N_LOCAL
from reference_model.body.template import REGIONS

__all__ = ["bind_particles", "surface_graph"]

N_NEIGHBOURS = 4
IDENTITY_SHARE = 0.05
RADIUS_IN_SPACINGS = 1.5
"""Kernel radius of a particle in mean distances to its neighbours."""

_ZONES = {"lips": 128, "face": 137, "eyes_lids_brows": 62, "hand_left": 112, "hand_right": 112, "body": 192}
"""Particles on the skin by group; eyes, lower teeth, tongue and mouth cavity take the rest."""
_TONGUE = 6
_CAVITY = 16

_LIP_MARGIN_M = 0.006
_LID_MARGIN_M = 0.004
_LEG_DENSITY = 0.4
"""Linear density of particles on the legs against the trunk: a speaker's legs hardly move."""
_LID_DENSITY = 2.5
"""Linear density of particles where a blink moves the skin, against the brows, which move almost rigidly."""
_BLINK_FLOOR_M = 0.001


def surface_graph(vertices: np.ndarray, faces: np.ndarray) -> csr_array:
    """Distances along the surface between neighbouring vertices.

    The two far corners of each pair of adjoining triangles are neighbours too; without these diagonals shortest
    paths on a regular mesh come out up to 40 % too long.

    Args:
        vertices: [V, 3] metres.
        faces: [F, 3].

    Returns:
        [V, V] symmetric sparse matrix, metres.
    """
    corner = np.arange(3)
    start, end = faces[:, corner].ravel(), faces[:, (corner + 1) % 3].ravel()
    opposite = faces[:, (corner + 2) % 3].ravel()
    key = np.minimum(start, end).astype(np.int64) * len(vertices) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    shared = np.flatnonzero(np.diff(key[order]) == 0)
    across = np.stack([opposite[order[shared]], opposite[order[shared + 1]]], 1)
    pairs = np.concatenate([np.stack([start, end], 1), across])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    length = np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)
    n = len(vertices)
    upper = coo_array((length, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    return csr_array(upper + upper.T)


def bind_particles(template: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Anchors, groups and vertex weights of the local particles.

    Args:
        template: The arrays of the template file made so far.

    Returns:
        The further arrays that `particles.load_particles` reads.
    """
    vertices, faces = template["vertices"].astype(np.float64), template["faces"].astype(np.int64)
    graph = surface_graph(vertices, faces)
    zones = _zones(template, graph)
    anchors, groups = [], []
    density = np.where(_blink_support(template), _LID_DENSITY, 1.0)
    density[vertices[:, 2] < -0.1] = _LEG_DENSITY  # below the hips
    for name, count in _ZONES.items():
        anchors += _farthest_points(graph, zones[name], count, density)
        groups += [GROUPS.index(name)] * count
    for name, group, count in (("tongue", "face", _TONGUE), ("mouth_cavity", "face", _CAVITY)):
        anchors += _farthest_points(graph, zones[name], count, density)
        groups += [GROUPS.index(group)] * count
    rigid = {"teeth_lower": "face", "eye_left": "eyes_lids_brows", "eye_right": "eyes_lids_brows"}
    rigid_vertices = {}
    for name, group in rigid.items():
        rigid_vertices[len(anchors)] = zones[name]
        front = zones[name][vertices[zones[name], 1].argmin()]
        anchors.append(int(front))
        groups.append(GROUPS.index(group))
    assert len(anchors) == N_LOCAL, len(anchors)

    index, weight = _soft_neighbours(graph, np.array(anchors), list(rigid_vertices), zones["inner"])
    for particle, members in rigid_vertices.items():
        index[members], weight[members] = 0, 0.0
        index[members, 0], weight[members, 0] = particle, 1.0
    triangle, barycentric = _vertex_places(faces, np.array(anchors))
    joint_groups = [_joint_group(str(name)) for name in template["joint_names"]]
    heaviest = template["skin_index"][np.array(anchors), 0]
    return {
        "particle_triangle": triangle.astype(np.uint16),
        "particle_barycentric": barycentric.astype(np.float32),
        "particle_bone": heaviest.astype(np.uint8),
        "particle_group": np.array(joint_groups + groups, np.uint8),
        "vertex_particles": index.astype(np.uint16),
        "vertex_particle_weights": weight.astype(np.float16),
    }


def _joint_group(name: str) -> int:
    if name.startswith("eye."):
        return GROUPS.index("eyes_lids_brows")
    if name.startswith(("finger", "metacarpal", "wrist")):
        return GROUPS.index("hand_left" if name.endswith(".L") else "hand_right")
    return GROUPS.index("body")


def _zones(template: dict[str, np.ndarray], graph: csr_array) -> dict[str, np.ndarray]:
    """Vertex indices from which the anchors of each group are drawn; zones of the skin do not overlap."""
    faces, region = template["faces"].astype(np.int64), template["region"]

    def touched(*names: str) -> np.ndarray:
        mask = np.zeros(len(template["vertices"]), bool)
        mask[faces[np.isin(region, [REGIONS.index(name) for name in names])].ravel()] = True
        return mask

    def grown(core: np.ndarray, margin_m: float) -> np.ndarray:
        distance = dijkstra(graph, indices=np.flatnonzero(core), min_only=True, limit=margin_m)
        return distance <= margin_m

    skin = touched("head") & ~touched("eye_cavity")
    inner = touched("mouth_cavity", "eye_cavity") & ~touched("head")
    cavity = touched("mouth_cavity") & ~touched("head")
    lips = grown(template["lip"] > 0.3, _LIP_MARGIN_M) & touched("head")
    lids = grown(_blink_support(template) | (template["brow"] > 0.3), _LID_MARGIN_M) & touched("head") & ~lips
    face = (template["face"] > 0.3) & skin & ~lips & ~lids
    hands = {side: touched(f"hand_{side}") for side in ("left", "right")}
    body = (touched("body", "foot_left", "foot_right") | skin) & ~(
        lips | lids | face | hands["left"] | hands["right"]
    )
    masks = {
        "lips": lips,
        "face": face,
        "eyes_lids_brows": lids,
        "hand_left": hands["left"],
        "hand_right": hands["right"],
        "body": body,
        "tongue": touched("tongue"),
        "mouth_cavity": cavity,
        "inner": inner,
        "teeth_lower": touched("teeth_lower"),
        "eye_left": touched("eye_front_left", "eye_back_left"),
        "eye_right": touched("eye_front_right", "eye_back_right"),
    }
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def _blink_support(template: dict[str, np.ndarray]) -> np.ndarray:
    """[V] bool: the lids with their folds, that is what a blink moves by more than a millimetre."""
    support = np.zeros(len(template["vertices"]), bool)
    names = [str(name) for name in template["action_names"]]
    for side in ("Left", "Right"):
        first, last = template["action_start"][names.index(f"eyeBlink{side}") :][:2]
        motion = np.linalg.norm(template["action_motion"][first:last].astype(np.float32), axis=1)
        support[template["action_vertex"][first:last][motion > _BLINK_FLOOR_M]] = True
    return support


def _farthest_points(graph: csr_array, members: np.ndarray, count: int, density: np.ndarray) -> list[int]:
    """Farthest-point sampling by distance along the surface; distances count `density` times."""
    chosen = [int(members[0])]
    reach = dijkstra(graph, indices=chosen[0])[members]
    chosen = [
        int(members[np.where(np.isfinite(reach), reach, -1).argmax()])
    ]  # start at an end, not in the middle
    nearest = np.full(len(members), np.inf)
    while True:
        bound = np.inf if not np.isfinite(nearest).all() else nearest.max()
        nearest = np.minimum(nearest, dijkstra(graph, indices=chosen[-1], limit=bound)[members])
        if len(chosen) == count:
            return chosen
        chosen.append(int(members[(nearest * density[members]).argmax()]))


def _soft_neighbours(
    graph: csr_array, anchors: np.ndarray, rigid: list[int], inner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The four geodesically nearest particles of each vertex with Gaussian weights.

    Particles in `rigid` move only their own part and are no one's neighbours. Each weight is windowed to reach zero
    where its particle leaves the four nearest; else the surface would tear along the borders of neighbourhoods.
    Far from all particles the identity takes over, except on the `inner` walls of mouth and eye sockets: the floor of
    the mouth must go down with the jaw however far the nearest particle is.

    Returns:
        Index [V, 4] and weight [V, 4]; a row sums to less than 1.
    """
    distance = dijkstra(graph, indices=anchors)  # [768, V]
    between = distance[:, anchors].copy()
    np.fill_diagonal(between, np.inf)
    radius = RADIUS_IN_SPACINGS * np.sort(between, axis=1)[:, :3].mean(1)
    radius[rigid] = 1.0  # their distances are infinite anyway
    distance[rigid] = np.inf
    order = np.argsort(distance, axis=0, kind="stable")[: N_NEIGHBOURS + 1].T  # [V, 5]
    near = np.take_along_axis(distance.T, order, 1)  # [V, 5]
    exponent = 0.5 * np.square(near / radius[order])[:, :N_NEIGHBOURS]
    exponent[inner] -= exponent[inner].min(1, keepdims=True)
    kernel = np.exp(-exponent)
    last = np.where(np.isfinite(near[:, -1:]), near[:, -1:], np.inf)
    ratio = np.where(np.isfinite(near[:, :-1]), near[:, :-1], 0.0) / last
    window = np.square(1 - np.square(ratio))
    share = kernel * window
    total = share.sum(1, keepdims=True)
    bound = kernel.sum(1, keepdims=True)
    moved = bound / (bound + IDENTITY_SHARE)  # the rest of the row stays where it is
    weight = np.divide(share * moved, total, out=np.zeros_like(share), where=total > 0)
    index = np.where(weight > 0, order[:, :N_NEIGHBOURS], 0)
    return index, weight


def _vertex_places(faces: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A triangle at each chosen vertex and the barycentric coordinates of the vertex in it."""
    first_face = np.full(faces.max() + 1, -1)
    first_corner = np.zeros(faces.max() + 1, int)
    for corner in range(3):
        first_face[faces[::-1, corner]] = np.arange(len(faces))[::-1]
        first_corner[faces[::-1, corner]] = corner
    triangle = first_face[chosen]
    return triangle, np.eye(3)[first_corner[chosen]]
