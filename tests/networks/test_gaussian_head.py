"""The Gaussian head: zero at the start, bounded, local in time, and able to tell touching lips apart."""

from __future__ import annotations

import pytest
import torch

from reference_model.networks.gaussian_head import MAX_LOG_SCALE, GaussianHead


@pytest.fixture(scope="module")
def head() -> GaussianHead:
    torch.manual_seed(0)
    head = GaussianHead(16, 32, 2, past=8, n_particles=20, region_gain=torch.tensor([0.3, 0.1]))
    torch.nn.init.normal_(head.output.weight, std=5.0)
    return head.eval().requires_grad_(False)


def _points(head: GaussianHead, n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    region = torch.arange(n) % 2
    index = torch.randint(20, (n, 6), generator=generator)
    tokens = head.point_tokens(
        torch.randn(n, 3, generator=generator) * 0.1,
        region,
        index,
        torch.full((n, 6), 0.15),
        torch.zeros(n, 3),
    )
    return tokens, region


def test_a_new_head_corrects_nothing():
    fresh = GaussianHead(16, 32, 2, past=8, n_particles=20, region_gain=torch.tensor([0.3, 0.1]))
    tokens, region = _points(fresh)
    assert all(part.abs().max().item() == 0 for part in fresh(torch.randn(1, 11, 16), tokens, region))


def test_outputs_are_bounded_by_region(head):
    tokens, region = _points(head)
    residuals = head(torch.randn(1, 12, 16) * 30, tokens, region)
    assert residuals.offset.shape == (1, 4, 30, 3)
    largest = residuals.offset.abs().amax((0, 1, 3))
    assert (largest[region == 0] <= 0.009 + 1e-7).all()
    assert (largest[region == 1] <= 0.003 + 1e-7).all()
    assert float(residuals.log_scale.abs().max()) <= MAX_LOG_SCALE
    assert residuals.opacity_logit.shape == (1, 4, 30)
    assert residuals.color_logit.shape == (1, 4, 30, 3)


def test_a_frame_sees_nine_driving_tokens_and_none_of_the_future(head):
    tokens, region = _points(head)
    driving = torch.randn(1, 28, 16)
    before = head(driving, tokens, region).offset
    changed = driving.clone()
    changed[:, 15] += 1.0  # frame 7 of the 20 frames that come out
    reached = (head(changed, tokens, region).offset - before).abs().amax((0, 2, 3)) > 0
    assert reached.tolist() == [7 <= t <= 15 for t in range(20)]


def test_frame_by_frame_equals_all_at_once(head):
    tokens, region = _points(head)
    driving = torch.randn(1, 13, 16)
    for one, other in zip(
        head.frame_by_frame(driving, tokens, region), head(driving, tokens, region), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-5)
    assert head.frame_by_frame(driving[:, :8], tokens, region).offset.shape == (1, 0, 30, 3)


def test_points_in_one_place_differ_by_the_particles_they_hang_on(head):
    """Upper and lower lip touch at rest: their place alone cannot tell them apart."""
    place, region = torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)
    index = torch.tensor([[0] * 6, [1] * 6])
    tokens = head.point_tokens(place, region, index, torch.full((2, 6), 0.15), torch.zeros(2, 3))
    offset = head(torch.randn(1, 9, 16), tokens, region).offset[0, 0]
    assert float((offset[0] - offset[1]).norm()) > 1e-4


def test_the_width_must_suit_the_heads():
    with pytest.raises(ValueError, match="divisible by n_heads"):
        GaussianHead(16, 30, 4, past=8, n_particles=20, region_gain=torch.ones(2))
