"""Rotations and rigid motions against scipy and float64 matrix exponentials."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reference_model.body.se3 import (
    MAX_ANGLE,
    clamp_rotation,
    exp_se3,
    exp_so3,
    leaky_integrate,
    log_se3,
    log_so3,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_to_matrix,
    retention,
    rotation_vector_to_quaternion,
)

ANGLES = (0.0, 1e-8, 1e-4, 1e-3, 0.0316, 0.0317, 0.1, 1.0, 2.6, 3.0)
"""Radians; 0.0316 and 0.0317 lie on either side of the branch of the series."""


def twists_of_angle(angle: float, n: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    twist = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    twist[:, :3] *= angle / twist[:, :3].norm(dim=-1, keepdim=True)
    return twist


def reference_motion(twist: torch.Tensor) -> torch.Tensor:
    """[n, 4, 4] by the matrix exponential in float64."""
    w, v = twist[:, :3], twist[:, 3:]
    zero = torch.zeros_like(w[:, 0])
    rows = [
        torch.stack([zero, -w[:, 2], w[:, 1], v[:, 0]], -1),
        torch.stack([w[:, 2], zero, -w[:, 0], v[:, 1]], -1),
        torch.stack([-w[:, 1], w[:, 0], zero, v[:, 2]], -1),
        torch.stack([zero, zero, zero, zero], -1),
    ]
    return torch.linalg.matrix_exp(torch.stack(rows, -2))


def motion(twist: torch.Tensor) -> torch.Tensor:
    rotation, translation = exp_se3(twist)
    return torch.cat([rotation, translation[..., None]], -1)


@pytest.mark.parametrize("angle", ANGLES)
def test_value_and_gradient_agree_with_the_matrix_exponential(angle: float) -> None:
    exact = twists_of_angle(angle).requires_grad_()
    single = exact.detach().float().requires_grad_()
    probe = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64)

    expected, value = reference_motion(exact)[:, :3], motion(single)
    (expected * probe).sum().backward()
    (value * probe.float()).sum().backward()

    np.testing.assert_allclose(value.detach().double(), expected.detach(), atol=2e-6)
    assert exact.grad is not None and single.grad is not None
    np.testing.assert_allclose(single.grad.double(), exact.grad, atol=2e-5)


def test_gradient_is_finite_at_the_first_step_of_training() -> None:
    twist = torch.zeros(5, 6, requires_grad=True)
    motion(twist).square().sum().backward()
    assert twist.grad is not None and torch.isfinite(twist.grad).all()
    assert torch.autograd.gradcheck(motion, torch.zeros(2, 6, dtype=torch.float64, requires_grad=True))


def test_half_precision_input_is_computed_in_float32() -> None:
    rotation = exp_so3(torch.full((3,), 0.5, dtype=torch.bfloat16))
    assert rotation.dtype == torch.float32
    assert (rotation @ rotation.T - torch.eye(3)).abs().max() < 1e-6


@pytest.mark.parametrize("angle", [*ANGLES, math.pi - 1e-3])
def test_logarithm_inverts_the_exponential(angle: float) -> None:
    twist = twists_of_angle(angle)
    torch.testing.assert_close(log_so3(exp_so3(twist[:, :3])), twist[:, :3], atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(log_se3(*exp_se3(twist)), twist, atol=1e-7, rtol=1e-7)


def test_logarithm_in_float32_agrees_with_scipy() -> None:
    rotations = Rotation.random(200, random_state=1)
    logs = log_so3(torch.tensor(rotations.as_matrix(), dtype=torch.float32)).numpy()
    again = Rotation.from_rotvec(logs)
    assert (again * rotations.inv()).magnitude().max() < 2e-6


def test_quaternions_agree_with_scipy() -> None:
    a, b = Rotation.random(50, random_state=2), Rotation.random(50, random_state=3)

    def wxyz(rotation: Rotation) -> torch.Tensor:
        return torch.tensor(np.roll(rotation.as_quat(), 1, axis=-1))

    torch.testing.assert_close(quaternion_to_matrix(wxyz(a)), torch.tensor(a.as_matrix()))
    product = quaternion_to_matrix(quaternion_multiply(wxyz(a), wxyz(b)))
    torch.testing.assert_close(product, torch.tensor((a * b).as_matrix()))
    q = matrix_to_quaternion(torch.tensor(a.as_matrix()))
    torch.testing.assert_close(q * q[:, :1].sign(), wxyz(a) * wxyz(a)[:, :1].sign())
    from_vector = rotation_vector_to_quaternion(torch.tensor(a.as_rotvec()))
    torch.testing.assert_close(quaternion_to_matrix(from_vector), torch.tensor(a.as_matrix()))


def test_clamping_shortens_only_long_rotations_and_keeps_their_axis() -> None:
    twist = torch.tensor([[0.0, 3.0, 4.0, 1.0, 2.0, 3.0], [0.1, 0.2, 0.3, 4.0, 5.0, 6.0]])
    clamped = clamp_rotation(twist)
    torch.testing.assert_close(clamped[0], torch.tensor([0, 0.6 * MAX_ANGLE, 0.8 * MAX_ANGLE, 1, 2, 3]))
    torch.testing.assert_close(clamped[1], twist[1])


def test_parallel_integration_equals_the_frame_by_frame_scan() -> None:
    generator = torch.Generator().manual_seed(0)
    twists = 0.1 * torch.randn(2, 120, 9, 6, generator=generator)
    initial = 0.1 * torch.randn(2, 9, 6, generator=generator)
    tau_s = torch.tensor([0.2, 0.2, 0.6, 0.6, 0.6, 2.0, 2.0, 0.2, 2.0])
    rho = retention(tau_s, fps=25.0)
    scan = leaky_integrate(twists, rho, initial, method="scan")
    torch.testing.assert_close(leaky_integrate(twists, rho, initial), scan, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(rho[[0, 2, 5]], torch.tensor([0.8187, 0.9355, 0.9802]), atol=1e-4, rtol=0)


def test_a_closed_loop_of_twists_leaves_nothing_behind_after_a_minute() -> None:
    """The product of eq. 3 drifts by 1.8 degrees a second on this very loop (docs/model.md)."""
    phase = torch.arange(25 * 60, dtype=torch.float32) / 25 * 2 * math.pi
    state = torch.stack([0.1 * phase.cos(), 0.1 * phase.sin(), torch.zeros_like(phase)], -1)
    state = torch.nn.functional.pad(state, (0, 3))[:, None]  # [T, 1, 6]
    twists = state - state.roll(1, 0)
    twists[0] = 0
    final = leaky_integrate(twists, torch.ones(1), state[0], method="scan")[-1]
    assert (final - state[-1]).abs().max() < 1e-4


def test_the_leak_bounds_the_state_under_constant_twists() -> None:
    states = leaky_integrate(torch.ones(2000, 1, 6), torch.tensor([0.9]))
    assert states.max() <= 10.0 + 1e-3
    assert abs(states[-1].max() - 10.0) < 1e-3
