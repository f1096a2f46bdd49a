"""The CPU renderer: torch in front (projection), numba behind (tiles), with an analytic backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.render import kernels
from reference_model.render.binning import sort_and_bin
from reference_model.render.camera import Camera
from reference_model.render.projection import project

__all__ = ["render_cpu"]


def render_cpu(
    gaussians: Gaussians, camera: Camera, background: Tensor, visible: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Draw Gaussians of the CPU; see `reference_model.render.render`.

    Args:
        gaussians: N Gaussians; frames in leading dimensions are drawn one after another.
        camera: The camera.
        background: `[3]` or `[H, W, 3]` float32 in [0, 1].
        visible: `[..., N]` bool, or None for all.

    Returns:
        rgb `[..., H, W, 3]` and alpha `[..., H, W]`, float32.
    """
    if gaussians.means.ndim > 2:
        frames = [
            render_cpu(gaussians.select(t), camera, background, None if visible is None else visible[t])
            for t in range(gaussians.means.shape[0])
        ]
        return torch.stack([rgb for rgb, _ in frames]), torch.stack([alpha for _, alpha in frames])
    projected = project(gaussians, camera)
    if visible is None:
        visible = torch.ones(len(gaussians), dtype=torch.bool)
    rgb, transmittance = _Rasterize.apply(
        projected.means,
        projected.conics,
        projected.opacities,
        gaussians.colors,
        background,
        torch.cat((projected.extents, projected.depths[:, None]), dim=-1),
        visible,
        (camera.height, camera.width),
    )  # pyright: ignore[reportGeneralTypeIssues]
    return rgb, 1 - transmittance


class _Rasterize(torch.autograd.Function):
    """Tiles of ellipses to a picture; differentiable in means, conics, opacities, colours and background."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,  # [N, 2]
        conics: Tensor,  # [N, 3]
        opacities: Tensor,  # [N]
        colors: Tensor,  # [N, 3]
        background: Tensor,  # [3] or [H, W, 3]
        bounds: Tensor,  # [N, 3] half width, half height, depth
        visible: Tensor,  # [N] bool
        size: tuple[int, int],  # height, width
    ) -> tuple[Tensor, Tensor]:
        rows = (
            torch.cat((means, conics, opacities[:, None], colors, bounds), dim=-1).float().numpy()
        )  # [N, ROW]
        finite = np.isfinite(rows)
        if not finite.all():
            broken = np.flatnonzero(~finite.all(axis=1))
            raise ValueError(f"{len(broken)} Gaussians are not finite, the first is number {broken[0]}")
        height, width = size
        binned = sort_and_bin(rows, np.ascontiguousarray(visible.numpy()), width, height)
        _, ordered, starts, entries = binned
        behind = np.ascontiguousarray(background.detach().numpy(), dtype=np.float32)
        rgb = np.empty((height, width, 3), np.float32)
        transmittance = np.empty((height, width), np.float32)
        kernels.blend(
            starts, entries, ordered, behind if behind.ndim == 3 else behind[None, None], rgb, transmittance
        )
        outputs = torch.from_numpy(rgb), torch.from_numpy(transmittance)
        ctx.binned, ctx.n = binned, len(rows)
        ctx.background_ndim = background.ndim
        ctx.save_for_backward(*outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        rgb, transmittance = ctx.saved_tensors
        grad_rgb, grad_transmittance = (g.contiguous() for g in grad_outputs)
        order, ordered, starts, entries = ctx.binned
        by_entry = kernels.blend_backward(
            starts,
            entries,
            ordered,
            rgb.numpy(),
            transmittance.numpy(),
            grad_rgb.numpy(),
            grad_transmittance.numpy(),
        )
        grads = torch.from_numpy(kernels.scatter_gradients(entries, order, ordered, by_entry, ctx.n))
        grad_background = None
        if ctx.needs_input_grad[4]:
            grad_background = transmittance[..., None] * grad_rgb  # [H, W, 3]
            if ctx.background_ndim == 1:
                grad_background = grad_background.sum(dim=(0, 1))
        return grads[:, :2], grads[:, 2:5], grads[:, 5], grads[:, 6:9], grad_background, None, None, None
