"""Each loss of the training through the renderer: its gradient, and what it punishes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt
from torch.autograd import gradcheck

from reference_model.body.se3 import exp_so3
from reference_model.training.keypoint_losses import box_diagonal, keypoint_loss, projected_gap_loss, robust
from reference_model.training.picture_losses import gradient_loss, mask_loss, masked_l1
from reference_model.training.regularisers import (
    acap_loss,
    arap_loss,
    asap_loss,
    fast_power,
    jerk_loss,
    neighbours_on_surface,
    spectral_loss,
)

GENERATOR = torch.Generator().manual_seed(0)


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=GENERATOR, dtype=torch.float64)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


PICTURE, TRUTH, MASK = uniform(2, 9, 10, 3), uniform(2, 9, 10, 3), uniform(2, 9, 10)
POINTS, PLACES, SEEN = 50 * uniform(3, 7, 2), 50 * uniform(3, 7, 2), (uniform(3, 7) > 0.3).double()
CANONICAL = normal(6, 3)
EDGES = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
WEIGHTS = uniform(5)
TURNS = exp_so3(0.4 * normal(2, 6, 3))
CURVES = normal(2, 25, 3)
GAP = torch.tensor([[0.03]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "start"),
    [
        (lambda x: masked_l1(x, TRUTH, MASK), PICTURE),
        (lambda x: gradient_loss(x, TRUTH, MASK, scales=2), PICTURE),
        (lambda x: mask_loss(x, TRUTH[..., 0]), PICTURE[..., 0]),
        (lambda x: keypoint_loss(x, PLACES, SEEN, torch.full((3,), 60.0).double()), POINTS),
        (lambda x: keypoint_loss(x, PLACES, SEEN, torch.full((3,), 60.0).double(), kind="geman_mcclure"), POINTS),
        (lambda x: projected_gap_loss(x, GAP, GAP > 1, torch.ones_like(GAP)), normal(1, 1)),
        (lambda x: arap_loss(x, CANONICAL, TURNS, EDGES, WEIGHTS), normal(2, 6, 3)),
        (lambda x: asap_loss(x), 0.01 + uniform(5, 3)),
        (lambda x: acap_loss(x), normal(5, 3)),
        (lambda x: jerk_loss(x, torch.ones(6).double()), normal(2, 6, 2, 6)),
        (lambda x: spectral_loss(x, 25.0, 0.5), CURVES),
    ],
    ids=["l1", "gradient", "mask", "charbonnier", "geman", "gap", "arap", "asap", "acap", "jerk", "spectrum"],
)  # fmt: skip
def test_gradients_agree_with_finite_differences(loss, start):
    assert gradcheck(loss, start.clone().requires_grad_())


def test_the_gradient_loss_sees_a_blurred_edge_and_not_a_change_of_light():
    edge = torch.zeros(1, 16, 16, 3)
    edge[:, :, 8:] = 0.6
    brighter = edge + 0.2
    blurred = torch.zeros_like(edge)
    blurred[:, :, 6:10] = 0.3
    blurred[:, :, 10:] = 0.6
    everywhere = torch.ones(1, 16, 16)
    assert gradient_loss(brighter, edge, everywhere) < 1e-6
    assert gradient_loss(blurred, edge, everywhere) > 0.01
    assert masked_l1(brighter, edge, everywhere) == pytest.approx(0.2, rel=1e-5)


def test_nothing_outside_of_the_mask_counts():
    mask = torch.zeros(2, 9, 10)
    mask[:, :, :5] = 1
    wrong = TRUTH.float().clone()
    wrong[:, :, 6:] = 0.5
    assert masked_l1(wrong, TRUTH.float(), mask) == 0
    assert gradient_loss(wrong, TRUTH.float(), mask, scales=1) == 0


def test_points_are_measured_in_shares_of_their_box_and_far_ones_lose_their_pull():
    points = torch.tensor([[0.0, 0.0], [30.0, 40.0], [900.0, 0.0]])
    seen = torch.tensor([True, True, False])
    assert box_diagonal(points, seen) == 50
    moved = points + torch.tensor([1.0, 0.0])
    small = keypoint_loss(points, moved, seen.float(), torch.tensor(50.0))
    assert keypoint_loss(2 * points, 2 * moved, seen.float(), torch.tensor(100.0)) == pytest.approx(
        small.item()
    )
    squared = torch.tensor([1e-8, 4.0, 9.0])
    near, far, farther = robust(squared, 0.02, "geman_mcclure")
    assert near == pytest.approx(1e-8 / 0.02**2, rel=1e-3)
    assert farther - far < 1e-3  # a wrong point is let go
    charbonnier = robust(squared, 0.02, "charbonnier")
    assert charbonnier[2] / charbonnier[1] == pytest.approx(
        1.5, rel=0.02
    )  # grows with the distance, not its square


def test_hidden_points_may_hold_anything():
    points = POINTS.float().clone().requires_grad_()
    truth = torch.full_like(points, float("nan"))
    loss = keypoint_loss(points, truth, torch.zeros(3, 7), torch.ones(3))
    loss.backward()
    assert loss == 0
    assert points.grad is not None and not points.grad.any()


def test_a_lip_that_must_be_shut_weighs_five_times():
    """In a clip of open and shut frames, the same error of the gap costs more where the lips must touch."""
    truth = torch.tensor([[0.0, 0.05]])
    closed = torch.tensor([[True, False]])
    everywhere = torch.ones(1, 2)
    at_closure = projected_gap_loss(truth + torch.tensor([[0.02, 0.0]]), truth, closed, everywhere)
    elsewhere = projected_gap_loss(truth + torch.tensor([[0.0, 0.02]]), truth, closed, everywhere)
    assert at_closure / elsewhere == pytest.approx(5, rel=1e-4)


def test_arap_lets_rigid_motion_pass_and_measures_strain():
    turn = exp_so3(torch.tensor([0.3, -0.9, 0.5], dtype=torch.float64))
    rigid = CANONICAL @ turn.T + 0.4
    rotations = turn.expand(6, 3, 3)
    assert arap_loss(rigid, CANONICAL, rotations, EDGES, WEIGHTS) < 1e-20
    assert arap_loss(1.1 * rigid, CANONICAL, rotations, EDGES, WEIGHTS) == pytest.approx(0.01)
    # Against the canonical pose, as printed in the paper, the same rigid turn would be punished.
    assert arap_loss(rigid, CANONICAL, torch.eye(3).double().expand(6, 3, 3), EDGES, WEIGHTS) > 0.1


def test_no_edge_crosses_a_seam():
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(4), [0.0], indexing="ij"), -1).reshape(-1, 3) * 0.002
    lip = (grid[:, 0] > 0.005).astype(int)
    edges, weights = neighbours_on_surface(grid, lip)
    assert len(edges) > 40 and (lip[edges[:, 0]] == lip[edges[:, 1]]).all()
    assert (edges[:, 0] < edges[:, 1]).all() and len(np.unique(edges, axis=0)) == len(edges)
    length = np.linalg.norm(grid[edges[:, 0]] - grid[edges[:, 1]], axis=1)
    assert (np.diff(weights[np.argsort(length, kind="stable")]) <= 1e-6).all()


def test_flat_gaussians_pass_and_needles_do_not():
    assert asap_loss(torch.tensor([[0.004, 0.003, 0.0001]])) == 0
    assert asap_loss(torch.tensor([[0.006, 0.001, 0.001]])) == pytest.approx(1.0, rel=1e-4)
    assert acap_loss(torch.tensor([[0.05, 0.0, 0.0]])) == 0
    assert acap_loss(torch.tensor([[0.06625, 0.0, 0.0]])) == pytest.approx(0.01, rel=1e-4)
    assert torch.autograd.grad(acap_loss(x := torch.zeros(1, 3, requires_grad=True)), x)[0].isfinite().all()


def test_a_parabola_has_no_jerk_and_a_tremble_has():
    t = torch.arange(20.0)[None, :, None, None].expand(1, 20, 1, 6)
    scale = torch.ones(6)
    assert jerk_loss(0.1 * t + 0.02 * t**2, scale) < 1e-8
    assert jerk_loss(0.01 * (-1.0) ** t, scale) == pytest.approx((0.08) ** 2, rel=1e-4)


def test_power_above_ten_hertz_is_that_of_a_high_pass():
    """Against a Butterworth filter run both ways, on a voice-like mix of a slow and a fast sine with noise."""
    t = np.arange(2000) / 25.0
    slow, fast = np.sin(2 * np.pi * 2.3 * t), 0.2 * np.sin(2 * np.pi * 11.3 * t + 0.4)
    found = fast_power(torch.from_numpy(slow + fast)[None], 25.0).item()
    assert found == pytest.approx(0.02, rel=0.02)  # amplitude^2 / 2 of the fast one
    high = butter(12, 10.0, "highpass", fs=25.0, output="sos")
    noise = np.random.default_rng(0).normal(size=2000)
    filtered = sosfiltfilt(high, noise)[100:-100]
    assert fast_power(torch.from_numpy(noise)[None], 25.0).item() == pytest.approx(filtered.var(), rel=0.25)


def test_slow_motion_costs_nothing_and_tremble_does():
    t = torch.arange(100.0)[None, :, None] / 25
    assert spectral_loss((2 * torch.pi * 2.0 * t).sin(), 25.0, 1.0) < 1e-4
    assert spectral_loss((2 * torch.pi * 12.0 * t).sin(), 25.0, 1.0) == pytest.approx(0.5, rel=0.05)
