"""Bindings of surface points to particles and bones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.particles import load_particles
from reference_model.body.template import load_template
from reference_model.networks.surface import bind_points, particle_layout, particle_places, rest_twists


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(0)
    triangle = rng.integers(len(load_template().faces), size=500)
    return triangle, rng.dirichlet(np.ones(3), 500)


def test_a_point_at_a_corner_has_that_vertex_binding(places):
    template, particles = load_template(), load_particles()
    triangle = places[0]
    bound = bind_points(template, particles, triangle, np.eye(3)[np.zeros(500, int)])
    vertex = template.faces[triangle, 0]
    assert np.allclose(bound.position, template.vertices[vertex], atol=1e-6)
    for row in range(0, 500, 50):
        expected = _dense(particles.vertex_particles[vertex[row]], particles.vertex_weights[vertex[row]], 768)
        assert np.allclose(
            _dense(bound.particle_index[row], bound.particle_weight[row], 768), expected, atol=1e-6
        )
        expected = _dense(
            template.skin_index[vertex[row]], template.skin_weight[vertex[row]], template.n_joints
        )
        got = _dense(bound.bone_index[row], bound.bone_weight[row], template.n_joints)
        assert np.allclose(got, expected, atol=1e-6)


def test_weights_between_corners_keep_the_identitys_share(places):
    template, particles = load_template(), load_particles()
    triangle, barycentric = places
    bound = bind_points(template, particles, triangle, barycentric)
    corner_sums = particles.vertex_weights.sum(1)[template.faces[triangle]]
    assert np.allclose(bound.particle_weight.sum(1), (corner_sums * barycentric).sum(1), atol=1e-5)
    assert np.allclose(bound.bone_weight.sum(1), 1, atol=1e-5)
    assert (bound.particle_weight >= 0).all()
    assert (np.diff(bound.bone_weight, axis=1) <= 1e-7).all(), "heaviest bone first"


def test_particle_places_are_joint_heads_and_surface_points():
    template, particles = load_template(), load_particles()
    places = particle_places(template, particles, template.vertices, template.joints)
    assert np.allclose(places[: template.n_joints], template.joints)
    nearest = np.linalg.norm(places[-1] - template.vertices, axis=1).min()
    assert nearest < 0.05


def test_anchor_tokens_are_distinct_local_particles():
    layout = particle_layout(load_template(), load_particles(), n_tokens=128)
    tokens = layout.token_particles.numpy()
    assert len(set(tokens)) == 128
    assert tokens.min() >= load_particles().n_joints


def test_rest_twists_reproduce_an_open_mouth():
    """The particles' own motion for `jawOpen`, blended, lands on the vertices that the action moves."""
    template, particles = load_template(), load_particles()
    actions = torch.zeros(52)
    actions[template.action("jawOpen")] = 0.3
    step = rest_twists(actions)[particles.n_joints :, 3:].numpy()
    weights = particles.weights
    chin = np.abs(template.actions[template.action("jawOpen")]).max(1) > 0.02
    moved = weights @ step  # the translation alone: rotations of this size matter little near the anchors
    wanted = 0.3 * template.actions[template.action("jawOpen")]
    error = np.linalg.norm((moved - wanted)[chin], axis=1)
    assert np.median(error) < 0.25 * np.linalg.norm(wanted[chin], axis=1).mean()


def _dense(index: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(size)
    np.add.at(out, index, weight)
    return out
