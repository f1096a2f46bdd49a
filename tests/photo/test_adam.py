from __future__ import annotations

import torch

from reference_model.photo.adam import Adam


def test_the_steps_are_those_of_torch_optim_adam() -> None:
    start = torch.tensor([2.0, -1.0, 0.3])
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    mine = Adam([ours], [0.05])
    reference = torch.optim.Adam([theirs], lr=0.05)

    for _ in range(50):
        (ours**4 - ours).sum().backward()
        mine.step()
        reference.zero_grad()
        (theirs**4 - theirs).sum().backward()
        reference.step()

    assert not torch.allclose(ours, start, atol=0.1)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_rate_factor_scales_the_step_and_gradients_are_cleared() -> None:
    whole, half = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for parameter, factor in ((whole, 1.0), (half, 0.5)):
        parameter.sum().backward()
        Adam([parameter], [0.1]).step(factor)
        assert parameter.grad is None

    assert torch.allclose(half, 0.5 * whole)
