"""The Gaussians that an avatar is made of (section 3.1 of the paper, `G = {(mu, Sigma, alpha, c)}`)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from reference_model.render.camera import Camera

__all__ = ["BACK_FACING_COSINE", "Gaussians", "front_facing"]

BACK_FACING_COSINE = -0.15
"""Cosine between normal and direction to the camera under which a surface Gaussian is not drawn.

A little below zero: Gaussians on the contour must stay, or the silhouette frays.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Gaussians:
    """N anisotropic Gaussians in the world, as float32 tensors of one device.

    Leading dimensions `[..., N, ·]` stand for frames that are drawn in one call.

    Args:
        means: `[..., N, 3]` metres.
        quats: `[..., N, 4]` wxyz, any length but zero; the third axis of the frame is the surface normal.
        scales: `[..., N, 3]` standard deviations along the axes of the frame, metres.
        opacities: `[..., N]` in [0, 1].
        colors: `[..., N, 3]` sRGB in [0, 1].
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor

    def __post_init__(self) -> None:
        batch = self.means.shape[:-1]
        for name, channels in (
            ("means", (3,)),
            ("quats", (4,)),
            ("scales", (3,)),
            ("opacities", ()),
            ("colors", (3,)),
        ):
            expected, got = (*batch, *channels), tuple(getattr(self, name).shape)
            if got != expected:
                raise ValueError(f"{name} must have shape {expected}, got {got}")

    def __len__(self) -> int:
        """The number of Gaussians, N."""
        return self.means.shape[-2]

    @property
    def normals(self) -> Tensor:
        """The third axis of each frame, `[..., N, 3]`, unit length."""
        w, x, y, z = (self.quats / self.quats.norm(dim=-1, keepdim=True)).unbind(-1)
        return torch.stack((2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)), -1)

    def to(self, device: torch.device | str) -> Gaussians:
        """The same Gaussians on `device`."""
        return Gaussians(*(getattr(self, field.name).to(device) for field in fields(self)))

    def expand(self, frames: tuple[int, ...]) -> Gaussians:
        """The same Gaussians in every frame, without a copy."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Gaussians(*(part.expand(*frames, *part.shape) for part in parts))

    def detach(self) -> Gaussians:
        """The same numbers, outside of the autograd graph."""
        return Gaussians(*(getattr(self, field.name).detach() for field in fields(self)))

    def select(self, index: Tensor | int) -> Gaussians:
        """Index the first dimension: a frame where there are frames, else Gaussians by `[N]` bool or integers."""
        return Gaussians(*(getattr(self, field.name)[index] for field in fields(self)))


def front_facing(gaussians: Gaussians, camera: Camera, threshold: float = BACK_FACING_COSINE) -> Tensor:
    """Which Gaussians turn their normal towards the camera; the `visible` of `render` for a closed surface.

    Surface Gaussians seen from behind bleed through the front as specks of the wrong colour.

    Returns:
        `[..., N]` bool, true where cos(normal, direction to the camera) > `threshold`.
    """
    with torch.no_grad():
        to_camera = camera.center - gaussians.means  # [..., N, 3]
        cosine = (gaussians.normals * to_camera).sum(-1) / to_camera.norm(dim=-1).clamp_min(1e-9)
        return cosine > threshold
