"""Growth of the skin that unfolds when lids shut.

Gaussians are moved by twists, which keep their sizes; the skin of a lid unfolds to several times its area and would
show holes between them. The growth of the triangle under each Gaussian, moved by the same particles, says how much
wider it has to be.
"""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from reference_model.body.particles import ParticleSet
from reference_model.body.template import BodyTemplate, load_template

__all__ = ["SurfaceStretch"]

_FOLDS = 1.3  # a triangle whose area a blink raises by more than this
_LARGEST_GROWTH = 12.0  # of the area
_SMALLEST_AREA_M2 = 1e-9  # a thousandth of a square millimetre: what is folded flat has a size to grow from


class SurfaceStretch:
    """Growth of the triangles under Gaussians of one avatar.

    Args:
        template: The body template.
        particles: Its particles.
        vertices: The body in the photo, metres, [V, 3].
        triangle: Triangle of each Gaussian, [N].
        skin: Gaussians that lie on the surface, [N] bool.

    Attributes:
        rows: Gaussians whose triangles can unfold, [n] int64.
        vertices: Corners of their triangles, indices into the template's vertices, [v] int64.
    """

    def __init__(
        self,
        template: BodyTemplate,
        particles: ParticleSet,
        vertices: np.ndarray,
        triangle: np.ndarray,
        skin: np.ndarray,
    ) -> None:
        rows = np.flatnonzero(_folding_triangles()[triangle] & skin)
        corners, index = np.unique(template.faces[triangle[rows]], return_inverse=True)
        self.rows, self.vertices = torch.from_numpy(rows), torch.from_numpy(corners.astype(np.int64))
        self._corner = torch.from_numpy(index.reshape(-1, 3))  # [n, 3] into the [v] corners
        self._place = torch.from_numpy(np.ascontiguousarray(vertices[corners], np.float32))  # [v, 3]
        self._particle = torch.from_numpy(particles.vertex_particles[corners].astype(np.int64))  # [v, K]
        self._weight = torch.from_numpy(np.asarray(particles.vertex_weights[corners], np.float32))
        self._area = self._areas_at_rest()

    def to(self, device: torch.device | str) -> SurfaceStretch:
        """The same with its tensors on `device`."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            setattr(moved, name, value.to(device))
        moved._area = (
            moved._areas_at_rest()
        )  # by the device's own rounding, so that nothing moved is nothing grown
        return moved

    def _areas_at_rest(self) -> Tensor:
        return _areas(self._place[self._corner]) + _SMALLEST_AREA_M2

    def by_particles(self, turn: Tensor, shift: Tensor, center: Tensor) -> Tensor:
        """Growth under the motions of the local particles.

        Args:
            turn: R - I of each particle, world axes, [..., m, 3, 3].
            shift: Its translation, metres, [..., m, 3].
            center: Its centre, metres, [m, 3].

        Returns:
            Factors for both widths of the Gaussians in `rows`, at least 1, [..., n]: how many times the area has
            grown. A lid unfolds in one direction, in which the spacing grows by the whole of it.
        """
        k = self._particle
        arm = (self._place[:, None] - center[k])[..., None]  # [v, K, 3, 1]
        moved = (turn[..., k, :, :] @ arm).squeeze(-1) + shift[..., k, :]  # [..., v, K, 3]
        return self.by_displacement((moved * self._weight[..., None]).sum(-2))

    def by_displacement(self, displacement: Tensor) -> Tensor:
        """Growth where the corners `vertices` are displaced by [..., v, 3] metres: factors as in `by_particles`."""
        area = _areas((self._place + displacement)[..., self._corner, :]) + _SMALLEST_AREA_M2
        return (area / self._area).clamp(1.0, _LARGEST_GROWTH)


def _areas(corners: Tensor) -> Tensor:
    """Areas of triangles [..., n, 3 corners, 3], [..., n]."""
    edges = corners[..., 1:, :] - corners[..., :1, :]
    return 0.5 * torch.linalg.cross(edges[..., 0, :], edges[..., 1, :]).norm(dim=-1)


@lru_cache(maxsize=1)
def _folding_triangles() -> np.ndarray:
    """Triangles of the head's skin that a blink unfolds, [F] bool."""
    template = load_template()
    candidates = np.flatnonzero(template.region_faces("head"))
    faces = template.faces[candidates]
    neutral = _areas(torch.from_numpy(template.vertices[faces]))
    shut = template.actions[[template.action("eyeBlinkLeft"), template.action("eyeBlinkRight")]].sum(0)
    unfolded = _areas(torch.from_numpy((template.vertices + shut)[faces]))
    folding = np.zeros(len(template.faces), bool)
    folding[candidates] = (unfolded > _FOLDS * neutral).numpy()
    return folding
