"""Scenes for the renderer's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from reference_model.avatar.gaussians import Gaussians
from reference_model.render.camera import Camera

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def random_gaussians() -> Callable[..., Gaussians]:
    """A cloud of N Gaussians of all shapes in a cube of half a metre around the origin."""

    def make(n: int, *, seed: int = 0, size: float = 0.02, opacity: float = 0.98) -> Gaussians:
        generator = torch.Generator().manual_seed(seed)
        return Gaussians(
            means=0.5 * (torch.rand(n, 3, generator=generator) - 0.5),
            quats=torch.randn(n, 4, generator=generator),
            scales=size * (0.2 + torch.rand(n, 3, generator=generator)),
            opacities=opacity * torch.rand(n, generator=generator),
            colors=torch.rand(n, 3, generator=generator),
        )

    return make


@pytest.fixture(scope="session")
def odd_camera() -> Camera:
    """A small picture whose sides are no multiples of the tile, with the principal point off its middle."""
    return Camera.frontal((0.03, -0.02, 1.2), focal=90.0, width=71, height=53).cropped(3.0, -2.0, 67, 51)
