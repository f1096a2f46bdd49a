"""The particle deformer: bounds, memory and what reaches the twists."""

from __future__ import annotations

import pytest
import torch

from reference_model.body.particles import GROUPS, load_particles
from reference_model.body.se3 import MAX_ANGLE
from reference_model.body.template import load_template
from reference_model.networks.particle_deformer import ParticleDeformer
from reference_model.networks.surface import particle_layout


@pytest.fixture(scope="module")
def layout():
    return particle_layout(load_template(), load_particles(), n_tokens=32)


@pytest.fixture(scope="module")
def deformer(layout) -> ParticleDeformer:
    torch.manual_seed(0)
    deformer = ParticleDeformer(layout, len(GROUPS), dim_driving=16, dim=32, n_heads=4, dim_feedforward=48)
    torch.nn.init.normal_(deformer.twist.weight, std=0.3)
    return deformer.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def static(deformer):
    m = deformer.n_particles
    return deformer.static_tokens(torch.randn(1, m, 3) * 0.01, torch.randn(1, m, 6) * 0.002)


def test_a_new_deformer_leaves_the_photo_still(layout):
    fresh = ParticleDeformer(layout, len(GROUPS), dim_driving=16, dim=32, n_heads=4)
    m = fresh.n_particles
    tokens = fresh.static_tokens(torch.zeros(1, m, 3), torch.zeros(1, m, 6))
    assert fresh.twists(fresh.proposals(torch.randn(1, 5, 16), tokens)).abs().max().item() == 0


def test_twists_stay_within_the_bounds_of_their_group(deformer, static, layout):
    twists = deformer.twists(deformer.proposals(torch.randn(1, 7, 16) * 50, static) * 50)
    assert twists.shape == (1, 7, layout.position.shape[0], 6)
    assert (twists.abs() <= layout.bound + 1e-7).all()
    lips = layout.group == GROUPS.index("lips")
    hands = layout.group == GROUPS.index("hand_left")
    assert float(layout.bound[lips, 3:].max()) == pytest.approx(0.006)
    assert float(layout.bound[hands, :3].max()) == pytest.approx(0.25)


def test_each_particle_answers_the_sound_in_its_own_way(deformer, static):
    """Equation 2 as written gives one row for all particles and no path for values from the sound."""
    loud, quiet = deformer.proposals(torch.stack([torch.ones(3, 16), -torch.ones(3, 16)]), _twice(static))
    change = (loud - quiet)[0]
    assert (change.norm(dim=-1) > 1e-5).float().mean() > 0.9
    assert float(change.std(0).min()) > 1e-5


def test_a_subset_of_particles_moves_as_it_does_among_all(deformer, static):
    driving, subset = torch.randn(1, 4, 16), torch.tensor([0, 5, 300, 871])
    among_all = deformer.proposals(driving, static)
    alone = deformer.proposals(driving, static, subset)
    assert torch.allclose(alone, among_all[:, :, subset], atol=1e-5)
    twists = deformer.twists(alone, subset=subset)
    assert torch.allclose(twists, deformer.twists(among_all)[:, :, subset], atol=1e-5)


def test_the_photos_expression_and_the_person_reach_the_twists(deformer, static):
    driving, m = torch.randn(1, 4, 16), deformer.n_particles
    usual = deformer.proposals(driving, static)
    zero = deformer.static_tokens(torch.zeros(1, m, 3), torch.zeros(1, m, 6))
    offset = deformer.static_tokens(torch.full((1, m, 3), 0.02), torch.zeros(1, m, 6))
    assert not torch.allclose(usual, deformer.proposals(driving, zero), atol=1e-6)
    assert not torch.allclose(
        deformer.proposals(driving, offset), deformer.proposals(driving, zero), atol=1e-6
    )


def test_states_plateau_under_an_hour_of_constant_twists(deformer, layout):
    """The product of equation 3 would wind up without end; the leak bounds the state by bound / (1 - rho)."""
    step = layout.bound[None, None].expand(1, 500, -1, -1)
    states = None
    for _ in range(4):  # 80 s in all, 40 time constants of the slowest group
        states = deformer.integrate(step, None if states is None else states[:, -1])
    assert states is not None
    limit = layout.bound / (1 - layout.retention[:, None])
    assert torch.allclose(states[0, -1], limit, rtol=1e-3)
    assert float(deformer.clamp(states)[..., :3].norm(dim=-1).max()) <= MAX_ANGLE + 1e-4


def test_the_state_follows_small_proposals(deformer, layout):
    """Far from the bound the leaky sum of the differences is the proposal itself."""
    wave = 0.02 * torch.sin(torch.arange(60) * 0.3)[None, :, None, None].expand(
        1, 60, deformer.n_particles, 6
    )
    states = deformer.integrate(deformer.twists(wave))
    assert torch.allclose(states, layout.bound * wave, atol=2e-6)


def test_carried_state_continues_the_motion(deformer, static):
    proposals = deformer.proposals(torch.randn(1, 12, 16), static)
    whole = deformer.integrate(deformer.twists(proposals))
    first = deformer.integrate(deformer.twists(proposals[:, :5]))
    rest = deformer.twists(proposals[:, 5:], proposals[:, 4])
    second = deformer.integrate(rest, first[:, -1])
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)


def _twice(static):
    return type(static)(*(part.expand(2, *part.shape[1:]) for part in static))
