"""From Gaussians in the world to ellipses in the picture (EWA splatting), differentiable in torch.

The perspective is linearised at each mean: with `J` its Jacobian, the world-to-camera rotation `W` and the frame
`R diag(s)` of the Gaussian, the covariance in the picture is `M M^T + 0.15 I` with `M = J W R diag(s)`
(Zwicker et al., "EWA splatting", 2002; Kerbl et al., 2023, eq. 5). The opacity is lowered by what the low-pass adds in
area, `sqrt(det(M M^T) / det(M M^T + 0.15 I))`, as in Mip-Splatting (Yu et al., 2024): against a picture drawn at
four times the size and averaged, a half body of 20,000 Gaussians at 384x512 gains 3.4 dB by it, at 192x256 4.2 dB.

The constants below are shared by the kernels, their torch twin and the CUDA path; they define what is drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.render.camera import Camera

__all__ = [
    "ALPHA_MAX",
    "ALPHA_MIN",
    "AREA_RATIO_MIN",
    "FIELD_MARGIN",
    "LOW_PASS",
    "NEAR_PLANE",
    "TRANSMITTANCE_MIN",
    "Projected",
    "project",
]

ALPHA_MIN = 1.0 / 255.0
"""A Gaussian leaves a pixel alone where its alpha is lower (as in 3DGS): the ellipse ends there."""

ALPHA_MAX = 0.999
"""Highest alpha of one Gaussian in one pixel, so that what lies behind keeps a gradient (gsplat's value)."""

TRANSMITTANCE_MIN = 1e-3
"""A pixel takes no more Gaussians once less than this shines through: a quarter of an 8-bit step."""

LOW_PASS = 0.15
"""Variance added to each ellipse, px^2: the pixel's own extent. 3DGS adds 0.3, which blurs at avatar sizes."""

NEAR_PLANE = 0.05
"""Gaussians whose means are nearer than this (metres) or behind the camera are not drawn."""

FIELD_MARGIN = 0.15
"""Beyond this share of the picture's size outside its edges the Jacobian is held, as in 3DGS and gsplat:

the linearised perspective of a mean far outside of the field of view would smear over the whole picture.
"""

AREA_RATIO_MIN = 1e-6
"""Least share of an ellipse's area that is not the low-pass: opacity 1 becomes 0.001, which is not drawn."""


class Projected(NamedTuple):
    """N ellipses in the picture."""

    means: Tensor
    """`[N, 2]` px."""
    conics: Tensor
    """`[N, 3]` px^-2: a, b, c of the inverse covariance `[[a, b], [b, c]]`."""
    opacities: Tensor
    """`[N]`, lowered where the low-pass has widened the ellipse."""
    depths: Tensor
    """`[N]` m along the optical axis; carries no gradient."""
    extents: Tensor
    """`[N, 2]` px: half width and height of the ellipse at `ALPHA_MIN`, -1 if it is fainter; no gradient."""


def project(gaussians: Gaussians, camera: Camera) -> Projected:
    """Project Gaussians without leading dimensions; gradients reach all but the colours, and the camera.

    Gaussians before the near plane get harmless numbers: who draws has to skip them by `depths`.
    """
    # Everything is [3, N] or [N]: torch is several times faster along contiguous rows than across [N, 3].
    x, y, z = (camera.rotation @ gaussians.means.T + camera.translation[:, None]).unbind(0)  # [N] each
    depths = z.detach()
    z = z.clamp_min(NEAR_PLANE)
    slope_x, slope_y = x / z, y / z  # tangents of the viewing angle
    focal = camera.focal
    means = torch.stack((focal * slope_x + camera.cx, focal * slope_y + camera.cy), dim=-1)  # [N, 2]

    right, down, forward = camera.rotation[:, :, None].unbind(0)  # [3, 1] each
    step_x = (right - _hold(slope_x, camera.cx, camera.width, focal) * forward) * (focal / z)  # [3, N], J W
    step_y = (down - _hold(slope_y, camera.cy, camera.height, focal) * forward) * (focal / z)
    axes = list(zip(_axes(gaussians.quats), gaussians.scales.T.contiguous(), strict=True))
    u = [(step_x * axis).sum(0) * scale for axis, scale in axes]  # three of [N], the first row of M
    v = [(step_y * axis).sum(0) * scale for axis, scale in axes]
    xx, xy, yy = _dot(u, u), _dot(u, v), _dot(v, v)
    # det(M M^T) as |u x v|^2: xx * yy - xy * xy loses all digits for long thin ellipses.
    normal = [u[i] * v[j] - u[j] * v[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    area = _dot(normal, normal)
    determinant = area + LOW_PASS * (xx + yy) + LOW_PASS**2
    conics = torch.stack((yy + LOW_PASS, -xy, xx + LOW_PASS), dim=-1) / determinant[:, None]  # [N, 3]

    # The bound keeps the root's gradient finite for discs seen edge-on.
    opacities = gaussians.opacities * (area / determinant).clamp_min(AREA_RATIO_MIN).sqrt()

    with torch.no_grad():
        reach = (2 * (opacities / ALPHA_MIN).log()).clamp_min(0)  # [N] squared Mahalanobis distance
        extents = (torch.stack((xx, yy), dim=-1) + LOW_PASS).mul(reach[:, None]).sqrt()
        extents[opacities < ALPHA_MIN] = -1
    return Projected(means, conics, opacities, depths, extents)


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _axes(quats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three axes of frames in the world, `[3, N]` each, of quaternions `[N, 4]` of any length but zero."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).T.contiguous().unbind(0)
    first = torch.stack((1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)))
    second = torch.stack((2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)))
    third = torch.stack((2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)))
    return first, second, third


def _hold(slope: Tensor, principal: float, size: int, focal: float) -> Tensor:
    margin = FIELD_MARGIN * size
    return slope.clamp(-(principal + margin) / focal, (size - principal + margin) / focal)
