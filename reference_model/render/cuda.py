"""The GPU renderer: gsplat's rasteriser under this package's conventions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from media.errors import AvatarBenchError
from reference_model.avatar.gaussians import Gaussians
from reference_model.render.camera import Camera
from reference_model.render.projection import LOW_PASS, NEAR_PLANE

__all__ = ["render_cuda", "render_cuda_views"]


def render_cuda(
    gaussians: Gaussians, camera: Camera, background: Tensor, visible: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Draw Gaussians of the GPU; see `reference_model.render.render`. All frames go through one call.

    gsplat's cut-offs are those of `reference_model.render.projection`, but for the transmittance at which a pixel is
    done (1e-4 instead of 1e-3): the pictures agree within 1e-3.

    Args:
        gaussians: N Gaussians, with or without leading dimensions for frames.
        camera: The camera.
        background: `[3]` or `[H, W, 3]` float32 in [0, 1].
        visible: `[..., N]` bool, or None for all.

    Returns:
        rgb `[..., H, W, 3]` and alpha `[..., H, W]`, float32.
    """
    frames = gaussians.means.shape[:-2]
    rgb, alpha = render_cuda_views(
        gaussians,
        _view_matrix(camera).expand(*frames, 4, 4),
        _intrinsics(camera).expand(*frames, 3, 3),
        (camera.width, camera.height),
        visible,
    )
    # gsplat knows backgrounds of one colour only, so the background is put behind here.
    return rgb + (1 - alpha[..., None]) * background, alpha


def render_cuda_views(
    gaussians: Gaussians, views: Tensor, intrinsics: Tensor, size: tuple[int, int], visible: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Draw Gaussians over black, each leading dimension from a camera of its own.

    Args:
        gaussians: N Gaussians, [..., N, ...].
        views: World to camera, [..., 4, 4].
        intrinsics: [..., 3, 3] px.
        size: Width and height of all pictures, px.
        visible: `[..., N]` bool, or None for all.

    Returns:
        rgb `[..., H, W, 3]`, premultiplied by alpha, and alpha `[..., H, W]`, float32.
    """
    rasterization = _load_rasterization()
    opacities = gaussians.opacities
    if visible is not None:
        opacities = opacities * visible  # gsplat culls what has no opacity
    rgb, alpha, _ = rasterization(
        means=gaussians.means,
        quats=gaussians.quats,
        scales=gaussians.scales,
        opacities=opacities,
        colors=gaussians.colors,
        viewmats=views[..., None, :, :].contiguous(),  # [..., C=1, 4, 4]
        Ks=intrinsics[..., None, :, :].contiguous(),
        width=size[0],
        height=size[1],
        near_plane=NEAR_PLANE,
        eps2d=LOW_PASS,
        packed=False,
        rasterize_mode="antialiased",
    )
    return rgb.squeeze(-4), alpha.squeeze(-4).squeeze(-1)


def _load_rasterization() -> Callable[..., Any]:
    if not torch.cuda.is_available():
        raise AvatarBenchError(
            "E603", "no CUDA device is available", fix="render tensors that lie on the CPU"
        )
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise AvatarBenchError(
            "E603",
            "rendering on the GPU needs gsplat",
            expected="gsplat 1.5.3",
            got=str(error),
            fix="pip install 'avatarbench[train]'",
        ) from error
    return rasterization


def _view_matrix(camera: Camera) -> Tensor:
    """World to camera, `[4, 4]`."""
    upper = torch.cat((camera.rotation, camera.translation[:, None]), dim=1)  # [3, 4]
    return torch.cat((upper, torch.eye(4, device=upper.device, dtype=upper.dtype)[3:]), dim=0)


def _intrinsics(camera: Camera) -> Tensor:
    """`[3, 3]` px."""
    matrix = torch.eye(3, device=camera.rotation.device)
    for row, column, value in (
        (0, 0, camera.focal),
        (1, 1, camera.focal),
        (0, 2, camera.cx),
        (1, 2, camera.cy),
    ):
        matrix[row, column].fill_(
            value
        )  # on the device: a number from the host would wait for what it is drawing
    return matrix
