"""Query points on the body template: where the Gaussians of a reconstruction begin."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from reference_model.body.template import REGIONS, BodyTemplate
from reference_model.reconstruction.gaussian_decoder import PointLimits
from reference_model.reconstruction.hand_body_head_transformer import BODY_SHARE
from reference_model.reconstruction.weight_decoder import allowed_bones

__all__ = ["QueryPoints", "bare_points", "sample_query_points"]

_BODY_REGIONS = ("body", "hand_left", "hand_right", "foot_left", "foot_right")
_BARE = (
    "hand_left",
    "hand_right",
    "eye_front_left",
    "eye_front_right",
    "tongue",
    "teeth_upper",
    "teeth_lower",
)
_NO_POINTS = "eye_cavity"  # nobody sees it, and dark points there shine through the lids
_HAND_DENSITY = 6.0
_OFFSET_M, _SKIN_OFFSET_M = 0.5, 0.06  # LHM's limit; where neither hair nor cloth can be
_SCALE_M, _UPPER_BODY_SCALE_M = 0.05, 0.02  # LHM
_N_NEIGHBOURS = 8


@dataclass(frozen=True, slots=True, eq=False)
class QueryPoints:
    """N points on the mean person in the reference pose; those of the head come last."""

    position: Tensor
    """[N, 3] metres."""
    triangle: Tensor
    """[N] template face under each point."""
    barycentric: Tensor
    """[N, 3]."""
    region: Tensor
    """[N] uint8, index into `REGIONS`."""
    skin: Tensor
    """[N, J] the template's skinning weights W0."""
    allowed: Tensor
    """[N, J] bool, bones that a point may hang on."""
    neighbours: Tensor
    """[N, 8] nearest other points."""
    offset_m: Tensor
    """[N] largest offset along each axis."""
    scale_m: Tensor
    """[N] largest standard deviation."""

    @property
    def limits(self) -> PointLimits:
        """Bounds for the Gaussian decoder."""
        return PointLimits(self.offset_m, self.scale_m)

    def to(self, device: torch.device | str) -> QueryPoints:
        """The same points on `device`."""
        return QueryPoints(*(getattr(self, field.name).to(device) for field in fields(self)))


def sample_query_points(template: BodyTemplate, n: int, seed: int = 0) -> QueryPoints:
    """Spread points over the template by area: three quarters on body, hands and feet, a quarter on the head (LHM).

    Args:
        template: The body template.
        n: N.
        seed: Of the choice.
    """
    rng = np.random.default_rng(seed)
    corners = template.vertices[template.faces]  # [F, 3, 3]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    name = np.array(REGIONS)[template.region]  # [F]
    on_body = np.isin(name, _BODY_REGIONS)
    density = area * np.where(np.char.startswith(name, "hand"), _HAND_DENSITY, 1.0) * (name != _NO_POINTS)
    n_body = int(n * BODY_SHARE)
    triangle = np.concatenate(
        [
            rng.choice(len(density), count, p=density * part / (density * part).sum())
            for count, part in ((n_body, on_body), (n - n_body, ~on_body))
        ]
    )
    barycentric = rng.dirichlet(np.ones(3), n).astype(np.float32)  # even over a triangle
    position = (corners[triangle] * barycentric[..., None]).sum(1)  # [N, 3]
    skin = _skin(template, triangle, barycentric)
    bare = bare_points(template, triangle, barycentric)
    upper = on_body[triangle] & (position[:, 2] > 0)  # above the pelvis, the template's origin
    _, nearest = KDTree(position).query(position, k=_N_NEIGHBOURS + 1)
    return QueryPoints(
        position=torch.from_numpy(position.astype(np.float32)),
        triangle=torch.from_numpy(triangle),
        barycentric=torch.from_numpy(barycentric),
        region=torch.from_numpy(template.region[triangle]),
        skin=torch.from_numpy(skin),
        allowed=torch.from_numpy(allowed_bones(skin, template.parents)),
        neighbours=torch.from_numpy(np.asarray(nearest)[:, 1:].copy()),
        offset_m=torch.from_numpy(np.where(bare, _SKIN_OFFSET_M, _OFFSET_M).astype(np.float32)),
        scale_m=torch.from_numpy(np.where(upper, _UPPER_BODY_SCALE_M, _SCALE_M).astype(np.float32)),
    )


def bare_points(template: BodyTemplate, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Where neither hair nor cloth stands off: face, eyes, mouth and hands, [N] bool."""
    on_face = (template.face[template.faces[triangle]] * barycentric).sum(1) > 0.5
    return np.isin(np.array(REGIONS)[template.region[triangle]], _BARE) | on_face


def _skin(template: BodyTemplate, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Blended skinning weights of points, [N, J]."""
    skin = np.zeros((len(triangle), template.n_joints), np.float32)
    rows = np.arange(len(triangle))[:, None]
    for corner in range(3):
        vertex = template.faces[triangle, corner]
        shares = template.skin_weight[vertex] * barycentric[:, corner, None]
        np.add.at(skin, (rows, template.skin_index[vertex]), shares)
    return skin / skin.sum(1, keepdims=True)
