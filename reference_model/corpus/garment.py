"""A jersey top: a shell grown from the body in the rest pose, hung from the chest, posed by smoothed skin weights.

Hem, sleeves and neckline are scalar fields in canonical coordinates; the rasteriser cuts along their zero sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from reference_model.body.template import BodyTemplate
from reference_model.corpus.head_chart import CHIN
from reference_model.corpus.mesh_raster import N_CUTS, vertex_normals
from reference_model.corpus.skin import linear, smoothstep

__all__ = ["Garment", "GarmentLook", "arm_coordinate", "garment_fields"]

_ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
_SKIN_SMOOTHING, _SHAPE_SMOOTHING, _DRAPE_SMOOTHING, _CREASE_SMOOTHING = 6, 8, 6, 14  # Laplacian steps


_BRIDGE = 0.028  # metres


@dataclass(frozen=True, slots=True)
class GarmentLook:
    """A cut and a colour; lengths in metres."""

    colour: tuple[int, int, int]
    """sRGB 0..255."""
    neckline: Literal["crew", "v"] = "crew"
    neck_radius: float = 0.086
    """Half-width of the neck opening."""
    v_depth: float = 0.07
    """How far the point of a V neck lies below the round neckline."""
    sleeve: float = 0.20
    """From the shoulder joint along the arm."""
    hem: float = -0.25
    """Height above the pelvis."""
    looseness: float = 0.014
    taper: float = 0.22
    """How fast the cloth narrows below the chest: 0 hangs straight, 1 follows a 45 degree slope."""
    folds: float = 1.0


def arm_coordinate(template: BodyTemplate, points: np.ndarray) -> np.ndarray:
    """Length along the arm from the shoulder joint, the same on both sides; negative towards the chest, [N]."""
    mirrored = points * [1, 1, 1]
    mirrored[:, 0] = np.abs(mirrored[:, 0])
    shoulder, elbow, wrist = (
        template.joints[template.joint(f"{n}.L")] for n in ("upperarm01", "lowerarm01", "wrist")
    )
    upper, fore = elbow - shoulder, wrist - elbow
    reach, length = np.linalg.norm(upper), np.linalg.norm(fore)
    along_upper = (mirrored - shoulder) @ (upper / reach)
    along_fore = (mirrored - elbow) @ (fore / length)
    to_upper = np.linalg.norm(
        mirrored - shoulder - np.clip(along_upper, -0.2, reach)[:, None] * upper / reach, axis=1
    )
    to_fore = np.linalg.norm(mirrored - elbow - np.clip(along_fore, 0, 1)[:, None] * fore / length, axis=1)
    return np.where(to_upper < to_fore, np.minimum(along_upper, reach + 0.02), reach + along_fore)


def garment_fields(
    points: np.ndarray, arm: np.ndarray, along: np.ndarray, chin: np.ndarray, look: GarmentLook
) -> np.ndarray:
    """Signed distances to the edges of a top, positive where there is cloth.

    Args:
        points: Places on the person in the rest pose, [N, 3] metres.
        arm: Share of the arm's bones in each point, [N] 0..1.
        along: Length along the arm (`arm_coordinate`), [N] metres.
        chin: The person's chin in the rest pose, [3] metres.
        look: The cut.

    Returns:
        [N, N_CUTS] float32 metres: hem and sleeves, round neckline, V.
    """
    fields = np.ones((len(points), N_CUTS), np.float32)
    hem = np.where(arm > 0.5, 1.0, points[:, 2] - look.hem)
    fields[:, 0] = np.minimum(hem, np.where(arm > 0.2, look.sleeve - along, 1.0))
    offset = points - [0.0, 0.012, chin[2] - 0.002]
    neck = np.sqrt(offset[:, 0] ** 2 + (offset[:, 1] / 1.1) ** 2 + (offset[:, 2] / 1.25) ** 2)
    fields[:, 1] = neck - look.neck_radius
    if look.neckline == "v":
        point_z = chin[2] - 1.25 * look.neck_radius - look.v_depth
        slope = look.neck_radius / (look.v_depth + 0.06)
        v = (np.abs(points[:, 0]) - slope * (points[:, 2] - point_z)) / np.hypot(1, slope)
        fields[:, 2] = np.where(points[:, 1] < 0.02, v, 1.0)
    return fields


class _Cloth(NamedTuple):
    """Connectivity of a shell: coarse body vertices, refined once."""

    source: np.ndarray  # [N] body vertices
    faces: np.ndarray  # [4F, 3] int32 refined
    refine: sp.csr_matrix  # [N', N] midpoint subdivision
    step_coarse: sp.csr_matrix  # [N, N] neighbour average, borders fixed
    step_fine: sp.csr_matrix  # [N', N']


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique edges [E, 2] and whether each lies on the border, [E]."""
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, count = np.unique(sides, axis=0, return_counts=True)
    return edges, count == 1


def _neighbour_average(faces: np.ndarray, n: int) -> sp.csr_matrix:
    """Row-stochastic neighbour matrix that leaves border vertices alone, [n, n]."""
    edges, on_border = _edges(faces)
    border = np.zeros(n, bool)
    border[edges[on_border].ravel()] = True
    row, column = np.concatenate([edges, edges[:, ::-1]]).T
    free, fixed = ~border[row], np.flatnonzero(border)
    row, column = np.concatenate([row[free], fixed]), np.concatenate([column[free], fixed])
    share = 1 / np.bincount(row, minlength=n)[row]
    return sp.csr_matrix((share.astype(np.float32), (row, column)), (n, n))


def _cloth(template: BodyTemplate, lowest: float) -> _Cloth:
    faces = template.faces[template.region_faces("body")]
    faces = faces[template.vertices[faces, 2].min(1) > lowest]
    source, corners = np.unique(faces, return_inverse=True)
    corners, n = corners.reshape(-1, 3), len(source)
    edges, _ = _edges(corners)
    key = edges[:, 0].astype(np.int64) * n + edges[:, 1]

    def midpoint(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return n + np.searchsorted(key, np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b))

    a, b, c = corners.T
    ab, bc, ca = midpoint(a, b), midpoint(b, c), midpoint(c, a)
    refined = np.stack([np.stack(t, -1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))], 1)
    row = np.repeat(np.arange(len(edges)), 2)
    middle = sp.csr_matrix((np.full(len(row), 0.5), (row, edges.ravel())), (len(edges), n))
    refine = sp.csr_matrix(sp.vstack([sp.identity(n), middle]), dtype=np.float32)
    refined = np.ascontiguousarray(refined.reshape(-1, 3), np.int32)
    n_fine = n + len(edges)
    return _Cloth(
        source, refined, refine, _neighbour_average(corners, n), _neighbour_average(refined, n_fine)
    )


class Garment:
    """One top on one person.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        look: Cut and colour.
        rng: Source of the folds.
    """

    faces: np.ndarray
    """[F, 3] int32."""
    canonical: np.ndarray
    """[N, 3] float32 place on the mean template, metres."""
    cuts: np.ndarray
    """[N, N_CUTS] float32."""
    colour: np.ndarray
    """[N, 3] linear albedo."""
    covered: np.ndarray
    """[V] metres by which each body vertex lies under the cloth; negative outside."""

    def __init__(
        self, template: BodyTemplate, rest: np.ndarray, look: GarmentLook, rng: np.random.Generator
    ) -> None:
        cloth = _cloth(template, look.hem - 0.06)
        skin = np.zeros((template.n_vertices, template.n_joints), np.float32)
        np.add.at(skin, (np.arange(template.n_vertices)[:, None], template.skin_index), template.skin_weight)
        arm_bones = [i for i, name in enumerate(template.joint_names) if name.startswith(_ARM_BONES)]
        arm_body = skin[:, arm_bones].sum(1)
        weights = skin[cloth.source]
        for _ in range(_SKIN_SMOOTHING):
            weights = cloth.step_coarse @ weights
        self._weights = sp.csr_matrix(cloth.refine @ weights)
        self.faces, self.canonical = (
            cloth.faces,
            (cloth.refine @ template.vertices[cloth.source]).astype(np.float32),
        )
        arm = cloth.refine @ arm_body[cloth.source]
        self.colour = np.tile(linear(look.colour), (len(self.canonical), 1)).astype(np.float32)
        along = arm_coordinate(template, self.canonical)
        self._average = cloth.step_fine
        self._rest = self._shape(template, rest, cloth, arm, along, look, rng)
        chin = template.landmark_barycentric[CHIN] @ rest[template.faces[template.landmark_face[CHIN]]]
        # Measured on the person, not on the mean template: what is straight there is straight in the picture.
        self.cuts = garment_fields(self._rest, arm, along, chin, look)
        body_along = arm_coordinate(template, template.vertices)
        covered = garment_fields(rest, arm_body, body_along, chin, look).min(1)
        bare = template.region_vertices("head", "hand_left", "hand_right") | ~template.region_vertices("body")
        self.covered = np.where(bare, np.minimum(covered, -0.02), covered).astype(np.float32)
        # Lowered arms push cloth up over the shoulder joint and into the armpit; bent ones into the elbow.
        elbow = np.exp(-(((along - 0.28) / 0.05) ** 2)) * (arm > 0.5)
        shoulder = np.exp(-(((along - 0.02) / 0.09) ** 2)) * smoothstep(0.02, 0.2, arm)
        blend = sp.diags(0.8 * np.clip(elbow + shoulder, 0, 1))
        n = len(self.canonical)
        self._relax = (sp.eye(n) + blend @ (cloth.step_fine - sp.eye(n))).tocsr().astype(np.float32)

    def posed(self, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shell in a pose.

        Args:
            transforms: Rest-to-posed motion of each joint, [J, 4, 4].

        Returns:
            Vertices and unit normals, [N, 3] float32 each.
        """
        rows = self._weights @ transforms[:, :3].reshape(len(transforms), 12)  # [N, 12]
        motion = rows.reshape(-1, 3, 4)
        vertices = np.einsum("nij,nj->ni", motion[..., :3], self._rest) + motion[..., 3]
        for _ in range(_CREASE_SMOOTHING):
            vertices = self._relax @ vertices
        vertices = np.ascontiguousarray(vertices, np.float32)
        return vertices, vertex_normals(vertices, self.faces)

    def soften(self, values: np.ndarray) -> np.ndarray:
        """Average values [N, C] with those of the neighbours, twice (noise of the depth maps)."""
        return self._average @ (self._average @ values)

    def _shape(
        self,
        template: BodyTemplate,
        rest: np.ndarray,
        cloth: _Cloth,
        arm: np.ndarray,  # [N']
        along: np.ndarray,  # [N']
        look: GarmentLook,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The shell in the rest pose, [N', 3]."""
        surface = rest[cloth.source]
        for _ in range(_SHAPE_SMOOTHING):  # Taubin: smooths anatomy away without shrinking
            for strength in (0.55, -0.57):
                surface = surface + strength * (cloth.step_coarse @ surface - surface)
        torso = smoothstep(0.6, 0.2, arm[: len(surface)])
        surface = surface + torso[:, None] * (_broad_average(surface) @ surface - surface)
        surface = (cloth.refine @ surface).astype(np.float32)
        armpit = template.joints[template.joint("upperarm01.L"), 2] - 0.10
        surface = _hang(surface, smoothstep(0.45, 0.05, arm), armpit, look.taper)
        for _ in range(_DRAPE_SMOOTHING):
            surface = surface + 0.5 * (cloth.step_fine @ surface - surface)
        surface = np.ascontiguousarray(surface, np.float32)
        normals = vertex_normals(surface, self.faces)
        sleeve = 0.05 + 0.95 * smoothstep(0.02, look.sleeve, along)
        torso = 0.05 + 0.95 * smoothstep(armpit + 0.1, armpit - 0.25, self.canonical[:, 2])
        on_arm = smoothstep(0.3, 0.7, arm)
        loose = look.looseness * (on_arm * sleeve + (1 - on_arm) * torso)
        chest = (1 - on_arm) * smoothstep(armpit, armpit + 0.1, self.canonical[:, 2])
        offset = (
            0.0075 + 0.004 * chest + loose + look.folds * _folds(self.canonical, on_arm, along, armpit, rng)
        )
        shell = surface + normals * np.maximum(offset, 0.004)[:, None]
        return (shell + 0.5 * (cloth.step_fine @ shell - shell)).astype(np.float32)


def _broad_average(points: np.ndarray) -> sp.csr_matrix:
    """Gaussian average over neighbours in space, however densely the mesh samples them, [N, N].

    Cloth bridges what is smaller than a few centimetres; averages over mesh neighbours keep it where the mesh is fine.
    """
    tree = KDTree(points)
    distance = tree.sparse_distance_matrix(tree, 2.5 * _BRIDGE, output_type="coo_matrix")
    crowd = np.array([len(near) for near in tree.query_ball_point(points, 0.5 * _BRIDGE)])
    weight = np.exp(-0.5 * (distance.data / _BRIDGE) ** 2) / crowd[distance.col]
    average = sp.csr_matrix((weight, (distance.row, distance.col)), distance.shape)
    return sp.diags(1 / np.asarray(average.sum(1)).ravel()) @ average


def _hang(surface: np.ndarray, torso: np.ndarray, top: float, taper: float) -> np.ndarray:
    """Let the torso's cloth fall from its widest place: below it the radius shrinks by at most `taper` per metre.

    Args:
        surface: [N, 3] metres.
        torso: How much each point belongs to the torso and not to an arm, [N] 0..1.
        top: Height where the cloth begins to hang, metres.
        taper: Metres per metre.

    Returns:
        The hung surface, [N, 3].
    """
    below = (torso > 0) & (surface[:, 2] < top)
    axis_y = float(surface[below, 1].mean())
    x, y, z = surface[below, 0], surface[below, 1] - axis_y, surface[below, 2]
    azimuth, radius = np.arctan2(x, -y), np.hypot(x, y)
    n_around, step = 60, 0.012
    column = ((azimuth + np.pi) / (2 * np.pi) * n_around).astype(int) % n_around
    row = ((top - z) / step).astype(int)
    reach = np.zeros((row.max() + 1, n_around), np.float32)
    np.maximum.at(reach, (row, column), np.where(torso[below] > 0.9, radius, 0))
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
    ease = torso[below] * smoothstep(0.0, 0.05, top - z)  # joins the chest without a step
    scale = 1 + ease * (np.maximum(target, radius) / np.maximum(radius, 1e-3) - 1)
    hung = surface.copy()
    hung[below, 0], hung[below, 1] = x * scale, y * scale + axis_y
    return hung


def _folds(
    points: np.ndarray, on_arm: np.ndarray, along: np.ndarray, armpit: float, rng: np.random.Generator
) -> np.ndarray:
    """Height of the folds: drapes below the chest, rings on the sleeve, [N] metres."""
    waviness = _waves(points, rng, 8, 20)
    x, z = points[:, 0], points[:, 2]
    drape = np.sin(55 * x + 1.5 * waviness + rng.uniform(0, 6)) * smoothstep(armpit - 0.08, armpit - 0.35, z)
    ring = np.sin(95 * along + 1.8 * waviness + rng.uniform(0, 6)) * smoothstep(0.02, 0.12, along)
    torso = 0.0040 * drape + 0.0012 * waviness
    return on_arm * 0.0030 * ring + (1 - on_arm) * torso


def _waves(points: np.ndarray, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Smooth unit-variance noise: 24 plane waves of `low`..`high` radians a metre, [N]."""
    total = np.zeros(len(points))
    for _ in range(24):
        wave = rng.normal(size=3)
        wave *= rng.uniform(low, high) / np.linalg.norm(wave)
        total += np.sin(points @ wave + rng.uniform(0, 2 * np.pi))
    return total / np.sqrt(12)
