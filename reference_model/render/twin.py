"""What the renderers compute, in plain torch: slow, readable, differentiated by autograd. Tests compare against it."""

from __future__ import annotations

import torch
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.render import Rendered
from reference_model.render.camera import Camera
from reference_model.render.projection import (
    ALPHA_MAX,
    ALPHA_MIN,
    NEAR_PLANE,
    TRANSMITTANCE_MIN,
    Projected,
    project,
)

__all__ = ["render_twin"]

_TILE = 16  # px; tiles only bound the memory


def render_twin(
    gaussians: Gaussians,
    camera: Camera,
    *,
    background: Tensor | None = None,
    visible: Tensor | None = None,
) -> Rendered:
    """Draw Gaussians without leading dimensions; arguments and result as in `reference_model.render.render`.

    A pixel's colour is `sum_i T_i alpha_i c_i + T_end background` over the Gaussians from near to far, where
    `alpha_i = min(ALPHA_MAX, o_i exp(-d_i^2 / 2))`, zero if under `ALPHA_MIN`, with the projected opacity `o_i` and the
    Mahalanobis distance `d_i` of the pixel's centre, and `T_i = prod_{j < i} (1 - alpha_j)`. Once
    `T_i < TRANSMITTANCE_MIN` the pixel takes no more.
    """
    height, width = camera.height, camera.width
    if background is None:
        background = gaussians.means.new_zeros(3)
    background = background.expand(height, width, 3)
    projected = project(gaussians, camera)
    drawn = (projected.depths > NEAR_PLANE) & (projected.extents[:, 0] >= 0)
    if visible is not None:
        drawn = drawn & visible
    order = torch.argsort(projected.depths, stable=True)
    order = order[drawn[order]]  # [K] from near to far

    rows = []
    for y0 in range(0, height, _TILE):
        tiles = [
            _blend_tile(gaussians, projected, order, _pixel_centers(x0, y0, camera), background)
            for x0 in range(0, width, _TILE)
        ]
        rows.append(torch.cat(tiles, dim=1))
    picture = torch.cat(rows, dim=0)  # [H, W, 4]
    return Rendered(picture[..., :3], picture[..., 3])


def _pixel_centers(x0: int, y0: int, camera: Camera) -> Tensor:
    """Centres of the pixels of the tile with upper left corner (x0, y0), `[h, w, 2]` px."""
    x = torch.arange(x0, min(x0 + _TILE, camera.width), device=camera.rotation.device) + 0.5
    y = torch.arange(y0, min(y0 + _TILE, camera.height), device=camera.rotation.device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _blend_tile(
    gaussians: Gaussians,
    projected: Projected,
    order: Tensor,  # [K]
    pixels: Tensor,  # [h, w, 2]
    background: Tensor,  # [H, W, 3]
) -> Tensor:  # [h, w, 4] rgb and alpha
    x0, y0 = (int(v) for v in pixels[0, 0])
    height, width = pixels.shape[:2]
    # Ellipses whose bounding box, one pixel wider, misses the tile have no alpha over ALPHA_MIN in it.
    low = projected.means[order] - projected.extents[order] - 1 < pixels[-1, -1]
    high = projected.means[order] + projected.extents[order] + 1 > pixels[0, 0]
    index = order[(low & high).all(dim=-1)]  # [n]

    dx, dy = (pixels - projected.means[index, None, None]).unbind(-1)  # [n, h, w]
    a, b, c = projected.conics[index, :, None, None].unbind(1)  # [n, 1, 1]
    power = -0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy
    alpha = (projected.opacities[index, None, None] * power.exp()).clamp_max(ALPHA_MAX)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0.0)

    before = torch.cat((torch.ones_like(alpha[:1]), (1 - alpha).cumprod(dim=0)))[: len(index)]  # [n, h, w]
    alpha = torch.where(before >= TRANSMITTANCE_MIN, alpha, 0.0)
    transmittance = torch.cat(
        (torch.ones(1, height, width).to(alpha), (1 - alpha).cumprod(dim=0))
    )  # [n + 1, h, w]
    weights = alpha * transmittance[:-1]
    rgb = torch.einsum("nhw,nc->hwc", weights, gaussians.colors[index])
    behind = background[y0 : y0 + height, x0 : x0 + width]
    rgb = rgb + transmittance[-1, ..., None] * behind
    return torch.cat((rgb, 1 - transmittance[-1, ..., None]), dim=-1)
