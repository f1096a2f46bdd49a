"""The rig in torch: the values of the compiled loops, and gradients that finite differences confirm."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from reference_model.avatar.gaussians import Gaussians
from reference_model.deform import Rig
from reference_model.deform_torch import move_frames
from reference_model.networks.gaussian_head import Residuals
from reference_model.stretch import SurfaceStretch
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig(template_avatar(400))


def draw(rig: Rig, frames: int, size: float, seed: int = 0) -> tuple[torch.Tensor, Residuals]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    n = len(rig.head_rows)
    states = size * normal(frames, rig.n_particles, 6) * torch.tensor([1.0] * 3 + [0.02] * 3)
    residuals = Residuals(
        0.01 * normal(frames, n, 3), 0.3 * normal(frames, n, 3), normal(frames, n), normal(frames, n, 3)
    )
    return states, residuals


@pytest.mark.parametrize("size", [0.05, 0.6])
def test_values_are_those_of_the_compiled_rig(rig, size):
    states, residuals = draw(rig, 2, size)
    expected = rig.apply(states, residuals)
    found = rig.apply(states.requires_grad_(), residuals)
    assert found.means.requires_grad
    for name in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=1e-5)


def test_zero_states_leave_the_avatar_where_it_is(rig):
    states = torch.zeros(1, rig.n_particles, 6, requires_grad=True)
    moved = rig.apply(states)
    torch.testing.assert_close(
        moved.means[0], rig.move(torch.zeros(rig.n_particles, 6)).means, atol=1e-6, rtol=0
    )


def in_double(part: Any) -> Any:
    """Floating tensors of a rig in float64, as finite differences need them."""
    if isinstance(part, torch.Tensor):
        return part.double() if part.is_floating_point() else part
    if isinstance(part, Gaussians):
        return Gaussians(
            part.means.double(),
            part.quats.double(),
            part.scales.double(),
            part.opacities.double(),
            part.colors.double(),
        )
    if isinstance(part, tuple) and hasattr(part, "_fields"):
        return type(part)(*(in_double(item) for item in part))
    if isinstance(part, Rig | SurfaceStretch):
        moved = copy.copy(part)
        for name, value in vars(part).items():
            setattr(moved, name, in_double(value))
        return moved
    return part


def test_gradients_of_all_outputs_agree_with_finite_differences(rig):
    double = in_double(rig)
    states, residuals = draw(rig, 1, 0.2)
    inputs = [part.double().requires_grad_() for part in (states, *residuals)]
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(1, 400, *shape, generator=generator, dtype=torch.float64)
        for shape in ((3,), (4,), (3,), (), (3,))
    ]

    def value(states: torch.Tensor, *residuals: torch.Tensor) -> torch.Tensor:
        moved = double.apply(states, Residuals(*residuals))
        parts = (moved.means, moved.quats, moved.scales * 100, moved.opacities, moved.colors)
        return torch.stack([(part * weight).sum() for part, weight in zip(parts, weights, strict=True)]).sum()

    gradients = torch.autograd.grad(value(*inputs), inputs)
    step = 1e-6
    for which, gradient in enumerate(gradients):
        direction = torch.randn(inputs[which].shape, generator=generator, dtype=torch.float64)
        ends = []
        with torch.no_grad():
            for sign in (1, -1):
                moved = [part.detach().clone() for part in inputs]
                moved[which] += sign * step * direction
                moved[0].requires_grad_()  # the compiled loops have no double precision
                with torch.enable_grad():
                    ends.append(value(*moved).item())
        expected = (ends[0] - ends[1]) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5), Residuals._fields


def test_two_bones_that_turn_opposite_ways_round_blend_on_one_side_of_the_sphere():
    """q and -q are one rotation: blending must not let them cancel."""
    parents = torch.tensor([-1, -1], dtype=torch.int32)
    turned = torch.tensor([[0.8, 0.6, 0.0, 0.0], [-0.8, -0.6, 0.0, 0.0]])
    still = (torch.zeros(2, 3, 3), torch.zeros(2, 3), torch.zeros(2, 3))
    nothing = (torch.zeros(1, 3, 3), torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]))
    points = (
        torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.zeros(1, 1, dtype=torch.int32),
        torch.zeros(1, 1), torch.tensor([[0, 1]], dtype=torch.int32), torch.tensor([[0.5, 0.5]]),
    )  # fmt: skip
    _, quats = move_frames(parents, (*still, turned), nothing, points, torch.zeros(1, 3))
    torch.testing.assert_close(quats, torch.tensor([[0.8, 0.6, 0.0, 0.0]]))
