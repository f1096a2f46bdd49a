"""Time the CPU renderer: `python -m reference_model.render.benchmark [--quick]`."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.body.se3 import matrix_to_quaternion
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.render.frame_renderer import FrameRenderer
from reference_model.render.twin import render_twin

__all__ = ["Timing", "body_like_scene", "half_body_camera", "main", "measure"]

_PARTS = (  # centre and radii in metres of ellipsoids that stand in for head, chest, hips and two arms
    ((0.0, 0.0, 1.55), (0.085, 0.10, 0.12)),
    ((0.0, 0.0, 1.10), (0.20, 0.13, 0.36)),
    ((0.0, 0.0, 0.70), (0.19, 0.13, 0.20)),
    ((0.27, 0.0, 1.12), (0.055, 0.055, 0.33)),
    ((-0.27, 0.0, 1.12), (0.055, 0.055, 0.33)),
)
_SCALE_PER_SPACING = 0.6  # standard deviation in the surface over the square root of the area of one Gaussian
_FLATNESS = 0.25  # standard deviation across the surface over the one along it


def body_like_scene(n: int, seed: int = 0) -> Gaussians:
    """N flat Gaussians spread evenly over a half body of ellipsoids, front and back, in random colours."""
    generator = torch.Generator().manual_seed(seed)
    areas = torch.tensor([_ellipsoid_area(radii) for _, radii in _PARTS])
    counts = (areas / areas.sum() * n).long()
    counts[1] += n - counts.sum()
    points, normals = [], []
    for (center, radii), count in zip(_PARTS, counts.tolist(), strict=True):
        radii = torch.tensor(radii)
        directions = _sphere_points(4 * count, generator)
        # Where the ellipsoid stretches the sphere less, an even sphere comes out denser: thin it out there.
        stretch = (directions / radii).norm(dim=-1)
        chosen = directions[torch.multinomial(stretch, count, generator=generator)]
        points.append(chosen * radii + torch.tensor(center))
        normals.append(torch.nn.functional.normalize(chosen / radii, dim=-1))
    normal = torch.cat(normals)
    tangent = torch.nn.functional.normalize(torch.linalg.cross(normal, _sphere_points(n, generator)), dim=-1)
    frames = torch.stack((tangent, torch.linalg.cross(normal, tangent), normal), dim=-1)  # [N, 3, 3]
    scale = _SCALE_PER_SPACING * math.sqrt(float(areas.sum()) / n)
    return Gaussians(
        means=torch.cat(points),
        quats=matrix_to_quaternion(frames),
        scales=scale
        * torch.tensor((1.0, 1.0, _FLATNESS))
        * (0.8 + 0.4 * torch.rand(n, 1, generator=generator)),
        opacities=torch.full((n,), 0.95),
        colors=torch.rand(n, 3, generator=generator),
    )


def half_body_camera(width: int, height: int) -> Camera:
    """A view in which `body_like_scene` fills a little under half of a picture of 3:4."""
    return Camera.frontal((0.0, 1.12, 1.6), focal=1.37 * height, width=width, height=height)


def _ellipsoid_area(radii: tuple[float, float, float]) -> float:
    a, b, c = radii
    p = 1.6075  # Knud Thomsen's approximation, within 1.1 %
    return 4 * math.pi * (((a * b) ** p + (a * c) ** p + (b * c) ** p) / 3) ** (1 / p)


def _sphere_points(n: int, generator: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)


class Timing(NamedTuple):
    """Medians in milliseconds for one scene and size."""

    n: int
    width: int
    height: int
    frame_ms: float
    forward_ms: float
    forward_backward_ms: float
    twin_ms: float


def measure(n: int, width: int, height: int, repeats: int = 15, twin_repeats: int = 1) -> Timing:
    """Time `FrameRenderer`, `render`, `render` with its gradient, and the torch twin's forward on one scene."""
    scene, camera = body_like_scene(n), half_body_camera(width, height)
    parts = (scene.means, scene.quats, scene.scales, scene.opacities, scene.colors)
    means, quats, scales, opacities, colors = (part.numpy() for part in parts)
    frames = FrameRenderer(np.full((height, width, 3), 128, np.uint8))
    leaves = [part.clone().requires_grad_() for part in parts]

    def forward_backward() -> None:
        picture = render(Gaussians(*leaves), camera)
        torch.autograd.grad(picture.rgb.square().sum() + picture.alpha.sum(), leaves)

    with torch.no_grad():
        frame_ms = _median_ms(lambda: frames.draw(means, quats, scales, opacities, colors, camera), repeats)
        forward_ms = _median_ms(lambda: render(scene, camera), repeats)
        twin_ms = _median_ms(lambda: render_twin(scene, camera), twin_repeats)
    return Timing(n, width, height, frame_ms, forward_ms, _median_ms(forward_backward, repeats), twin_ms)


def _median_ms(call: Callable[[], object], repeats: int) -> float:
    call()  # compiles, and warms the caches
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the smallest scene, few repeats")
    quick = parser.parse_args(arguments).quick
    torch.set_num_threads(1)
    table = Table(title=f"CPU renderer, median ms, {numba.get_num_threads()} threads")
    for heading in (
        "N",
        "size",
        "frame (uint8)",
        "forward",
        "forward + backward",
        "torch twin",
        "twin / forward",
    ):
        table.add_column(heading, justify="right")
    cases = ((20_000, 384, 512), (40_000, 384, 512), (40_000, 768, 1024))
    for n, width, height in cases[:1] if quick else cases:
        t = measure(n, width, height, repeats=5 if quick else 15)
        columns = (t.frame_ms, t.forward_ms, t.forward_backward_ms, t.twin_ms)
        table.add_row(
            f"{n:,}", f"{width}x{height}", *(f"{ms:.1f}" for ms in columns), f"{t.twin_ms / t.forward_ms:.0f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
