"""One garment on one person: its pattern, its drape, its edges; posed by skin weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from reference_model.body.template import BodyTemplate
from reference_model.corpus.drawing.layers import Layer, Surface
from reference_model.corpus.drawing.mesh_raster import vertex_normals
from reference_model.corpus.drawing.mesh_surfaces import PAINTS_SHIFT, Material
from reference_model.corpus.people.cloth_mesh import neighbour_average, rim_strip
from reference_model.corpus.people.drape import Stiffness, drape
from reference_model.corpus.people.garment_cut import BodyFrame, GarmentLook, cut_fields
from reference_model.corpus.people.garment_shell import make_shell
from reference_model.corpus.people.skin import linear, smoothstep

__all__ = ["CREASE_SMOOTHING", "Garment", "Underneath"]

CREASE_SMOOTHING = 6
"""Masked Laplacian steps on the posed shell: elbows and armpits would fold into black slits."""
_SLACK = np.array([1.05, 1.05, 1.0])
"""Size of the cloth over that of the pattern's shell, which is too smooth to hold what folds; none in length, or
it would gather above the hem."""
_OVERLAP = 0.008  # metres that a garment goes on under the one above it
_OVERLAP_OPEN = 0.035  # metres: the front of a jacket moves
_WAISTBAND, _NECKBAND = 0.03, 0.015  # metres that do not move in the drape
_DRAPE_SMOOTHING = 3  # half steps everywhere
_CLEAR_OF_CLOTH, _CLEAR_OF_SKIN = 0.008, 0.006  # metres; relaxing the creases takes up to 2 mm of it
_CHEST_SMOOTHING = 50  # and over the trunk: collisions with single vertices leave pockets under the chest
_CUFFED = 0.4  # metres of sleeve
_STIFFNESS = {
    "jersey": Stiffness(0.9, 0.6, 0.006), "heather": Stiffness(0.9, 0.6, 0.006), "stripes": Stiffness(0.9, 0.6, 0.006),
    "pinstripe": Stiffness(0.95, 0.7, 0.015), "check": Stiffness(0.95, 0.7, 0.015), "knit": Stiffness(0.8, 0.6, 0.04),
    "denim": Stiffness(0.98, 0.8, 0.05), "twill": Stiffness(0.98, 0.8, 0.04),
}  # fmt: skip


class Underneath(NamedTuple):
    """What a garment is draped over: the person in the rest pose with all that is worn below."""

    transforms: np.ndarray  # [J, 4, 4] rest-to-posed motion of the joints
    vertices: np.ndarray  # [V, 3] metres
    normals: np.ndarray  # [V, 3] unit


class Garment:
    """A garment ready to be posed: skin weights, then `relax` applied `CREASE_SMOOTHING` times.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        frame: The person's frame.
        look: Cut and fabric.
        underneath: What it is draped over.
    """

    rest: np.ndarray
    """[N, 3] float32 metres: the draped shell, unposed to the rest pose."""
    weights: sp.csr_matrix
    """[N, J] skin weights."""
    relax: sp.csr_matrix
    """[N, N], applied `CREASE_SMOOTHING` times after skinning."""
    faces: np.ndarray
    """[F, 3] int32."""
    cuts: np.ndarray
    """[N, N_CUTS] float32 metres."""
    edge: np.ndarray
    """[N, 1] float32 metres to the nearest edge."""
    cloth: np.ndarray
    """[N, 3] float32 coordinates on the fabric."""

    def __init__(
        self,
        template: BodyTemplate,
        rest: np.ndarray,
        frame: BodyFrame,
        look: GarmentLook,
        underneath: Underneath,
    ) -> None:
        self.look = look
        shell = make_shell(template, rest, frame, look)
        self._frame, self._arm, self._along, self._pattern = frame, shell.arm, shell.along, shell.rest
        self.rest, self.weights, self.faces = shell.rest, shell.weights, shell.faces
        # The ribs of a neckline are half as wide as those of hem and cuffs.
        self.edge = np.minimum(shell.cuts[:, 0], 2 * shell.cuts[:, 1:].min(1))[:, None].astype(np.float32)
        self.cuts, self.cloth = shell.cuts.astype(np.float32), shell.cloth
        n = len(self.rest)
        self._bare = np.ones(n)
        self._average = neighbour_average(self.faces, n)
        # Lowered arms push cloth up over the shoulder joint and into the armpit; bent ones into the elbow.
        elbow = np.exp(-(((shell.along - 0.28) / 0.05) ** 2)) * (shell.arm > 0.5)
        shoulder = np.exp(-(((shell.along - 0.02) / 0.09) ** 2)) * smoothstep(0.02, 0.2, shell.arm)
        blend = sp.diags(0.8 * np.clip(elbow + shoulder, 0, 1))
        self.relax = sp.csr_matrix(sp.eye(n) + blend @ (self._average - sp.eye(n)), dtype=np.float32)
        if look.part in ("top", "trousers", "skirt"):
            self.rest = self._draped(underneath)
        self._rim = rim_strip(self.faces, self.cuts, (0, 1, 2))

    def _motion(self, transforms: np.ndarray) -> np.ndarray:
        """Blended motion of each shell vertex, [N, 3, 4]."""
        rows = self.weights @ transforms[:, :3].reshape(len(transforms), 12)
        return rows.reshape(-1, 3, 4)

    def _skinned(self, motion: np.ndarray) -> np.ndarray:
        vertices = np.einsum("nij,nj->ni", motion[..., :3], self.rest) + motion[..., 3]
        for _ in range(CREASE_SMOOTHING):
            vertices = self.relax @ vertices
        return vertices

    def _draped(self, underneath: Underneath) -> np.ndarray:
        """The shell as it rests on the body, unposed, [N, 3]."""
        motion = self._motion(underneath.transforms)
        start = self._skinned(motion)
        edge = self.cuts[:, 1] if self.look.neckline == "open" else self.cuts[:, 1:].min(1)
        held = edge < (_NECKBAND if self.look.part == "top" else _WAISTBAND)
        if self.look.part == "top" and self.look.sleeve > _CUFFED:  # a cuff sits on the wrist
            held |= (self._arm > 0.5) & (self._along > self.look.sleeve - _WAISTBAND)
        rested = drape(
            start, self.rest * _SLACK, self.faces, held, (underneath.vertices, underneath.normals),
            _STIFFNESS[self.look.fabric.fabric],
        )  # fmt: skip
        # Smoothing sinks the cloth into the body; only the jacket lies over a garment that goes on below its edges.
        clear = _CLEAR_OF_CLOTH if self.look.neckline == "open" else _CLEAR_OF_SKIN
        rested = _lifted(self._smoothed(rested), underneath, clear)
        return np.linalg.solve(motion[..., :3], (rested - motion[..., 3])[..., None])[..., 0].astype(
            np.float32
        )

    def _smoothed(self, rested: np.ndarray) -> np.ndarray:
        trunk = smoothstep(0.35, 0.15, self._arm) * smoothstep(0.02, 0.10, self._pattern[:, 2])
        for k in range(_CHEST_SMOOTHING):
            share = 0.5 if k < _DRAPE_SMOOTHING else 0.5 * trunk[:, None]
            rested = rested + share * (self._average @ rested - rested)
        return rested

    def posed(self, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and unit normals in a pose, [N, 3] float32 each.

        Args:
            transforms: Rest-to-posed motion of each joint, [J, 4, 4].
        """
        vertices = np.ascontiguousarray(self._skinned(self._motion(transforms)), np.float32)
        return vertices, vertex_normals(vertices, self.faces)

    def cover(self, points: np.ndarray, arm: np.ndarray, along: np.ndarray) -> np.ndarray:
        """How far points [N, 3] of the rest pose lie under this garment, [N] metres; negative outside."""
        return cut_fields(self._frame, points, arm, along, self.look).min(1)

    def go_under(self, outer: Garment) -> None:
        """Leave out what lies further than a centimetre under another garment: it cannot poke through."""
        bare = (_OVERLAP_OPEN if outer.look.neckline == "open" else _OVERLAP) - outer.cover(
            self._pattern, self._arm, self._along
        )
        self._bare = np.minimum(self._bare, bare)
        self.cuts[:, 2] = np.minimum(self.cuts[:, 2], bare)

    def layers(self, row: int) -> tuple[Layer, Layer]:
        """The cloth and the strip along its edges, as the renderer takes them.

        Args:
            row: The fabric's row in the person's paints.
        """
        colour = linear(self.look.fabric.colour).astype(np.float32)
        code = Material.CLOTH + PAINTS_SHIFT * row
        n, m = len(self.rest), len(self._rim.depth)
        cloth = Surface(
            self.faces, np.full(len(self.faces), code, np.int8), np.tile(colour, (n, 1)), self.cloth,
            self.edge, self.cuts,
        )  # fmt: skip
        shell = Layer(
            self.rest,
            self.weights,
            cloth,
            relax=self.relax,
            relax_steps=CREASE_SMOOTHING,
            soften=self._average,
        )
        place, normals = self._rim.place, vertex_normals(self.rest, self.faces)
        rest = place @ self.rest - self._rim.depth[:, None] * (place @ normals)
        strip = Surface(
            self._rim.faces, np.full(len(self._rim.faces), code, np.int8), np.tile(colour, (m, 1)),
            (place @ self.cloth).astype(np.float32), np.full((m, 1), 0.5 * self.look.fabric.hem, np.float32),
            np.repeat((place @ self._bare)[:, None], self.cuts.shape[1], 1).astype(np.float32),
        )  # fmt: skip
        return shell, Layer(rest.astype(np.float32), sp.csr_matrix(place @ self.weights), strip)


def _lifted(points: np.ndarray, underneath: Underneath, clear: float) -> np.ndarray:
    """Points [N, 3] moved to at least `clear` metres outside the surface that is worn below."""
    near = KDTree(underneath.vertices).query(points)[1]
    normal = underneath.normals[near]
    height = ((points - underneath.vertices[near]) * normal).sum(1, keepdims=True)
    return points + np.maximum(clear - height, 0) * normal
