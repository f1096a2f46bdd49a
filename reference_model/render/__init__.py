"""Draw Gaussians: one function, on the CPU by numba kernels and on an NVIDIA GPU by gsplat."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from reference_model.avatar.gaussians import Gaussians
    from reference_model.render.camera import Camera

__all__ = ["Rendered", "render"]


class Rendered(NamedTuple):
    """A picture, or T pictures if the Gaussians had a leading dimension."""

    rgb: Tensor
    """`[..., H, W, 3]` float32 sRGB over the background; in [0, 1] where colours and background are."""

    alpha: Tensor
    """`[..., H, W]` float32 in [0, 1], the share of the background that the Gaussians hide."""


def render(
    gaussians: Gaussians,
    camera: Camera,
    *,
    background: Tensor | None = None,
    visible: Tensor | None = None,
) -> Rendered:
    """Draw Gaussians, differentiably in all their parts, the camera's pose and the background.

    What is drawn is defined by `reference_model.render.twin`; where the tensors lie decides who draws it. Colours are
    blended in sRGB, as 3D Gaussian splatting does.

    Args:
        gaussians: N Gaussians; leading dimensions draw several frames from the same camera.
        camera: The view, on the device of the Gaussians.
        background: `[3]` or `[H, W, 3]` in [0, 1], the same for all frames; None is black, which makes `rgb`
            premultiplied by alpha.
        visible: `[..., N]` bool, what to draw; None is all.

    Returns:
        The picture and its alpha on the device of the Gaussians.

    Raises:
        ValueError: If a shape is wrong or (on the CPU) a number is not finite.
    """
    means = gaussians.means
    if background is None:
        background = means.new_zeros(3)
    elif background.shape not in ((3,), (camera.height, camera.width, 3)):
        expected = f"(3,) or {(camera.height, camera.width, 3)}"
        raise ValueError(f"background must have shape {expected}, got {tuple(background.shape)}")
    if visible is not None and visible.shape != means.shape[:-1]:
        raise ValueError(f"visible must have shape {tuple(means.shape[:-1])}, got {tuple(visible.shape)}")
    if means.is_cuda:
        from reference_model.render.cuda import render_cuda

        return Rendered(*render_cuda(gaussians, camera, background, visible))
    from reference_model.render.cpu import render_cpu

    return Rendered(*render_cpu(gaussians, camera, background, visible))
