"""The geometry that supervises the networks, against the body model and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.particles import blend_particles, load_particles
from reference_model.body.se3 import exp_se3
from reference_model.body.skinning import BodyState, TemplateTensors, rest_vertices
from reference_model.body.template import load_template
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.networks.surface import rest_twists
from reference_model.training.expressions import ExpressionSampler
from reference_model.training.face_geometry import FaceGeometry
from reference_model.training.face_points import choose_points, lip_columns


@pytest.fixture(scope="module")
def geometry() -> FaceGeometry:
    return FaceGeometry(load_template(), load_particles(), density=0.3)


@pytest.fixture(scope="module")
def people():
    generator = torch.Generator().manual_seed(0)
    sampler = ExpressionSampler(load_template().action_names)
    return torch.randn(3, 64, generator=generator), sampler.draw(
        torch.rand(3, generator=generator), generator
    )


def _speech(n_frames: int = 4) -> torch.Tensor:
    actions = torch.zeros(3, n_frames, 52)
    template = load_template()
    actions[..., template.action("jawOpen")] = torch.linspace(0, 0.5, n_frames)
    actions[..., template.action("mouthPucker")] = torch.linspace(0.6, 0, n_frames)
    actions[..., template.action("eyeBlinkLeft")] = torch.linspace(0, 1, n_frames)
    return actions


def test_points_and_targets_are_those_of_the_body_model(geometry, people):
    shape, expression = people
    template, points = load_template(), choose_points(load_template(), 0.3)
    scene = geometry.scene(shape, expression)
    targets = geometry.targets(_speech() - expression[:, None])
    tensors = TemplateTensors(template)
    neutral = BodyState.neutral(tensors)
    for person in range(3):
        photo = rest_vertices(
            tensors, neutral.replace(shape=shape[person], actions=expression[person])
        ).numpy()
        spoken = rest_vertices(
            tensors, neutral.replace(shape=shape[person], actions=_speech()[person, 2])
        ).numpy()
        corners = template.faces[points.triangle]
        place = [(v[corners] * points.barycentric[..., None]).sum(1) for v in (photo, spoken)]
        assert np.allclose(scene.corners[person].numpy(), photo[corners], atol=1e-5)
        assert np.allclose(targets[person, 2].numpy(), place[1] - place[0], atol=1e-5)


def test_particles_move_points_as_they_move_the_mesh(geometry, people):
    particles, template = load_particles(), load_template()
    shape, expression = torch.zeros(1, 64), torch.zeros(1, 52)
    states = torch.randn(1, 2, particles.n_joints + 768, 6) * torch.tensor([0.05] * 3 + [0.004] * 3)
    moved = geometry.particle_displacement(geometry.scene(shape, expression), states[:, :, geometry.used])
    rotation, translation = exp_se3(states[0, :, particles.n_joints :])
    mesh = blend_particles(rotation.numpy(), translation.numpy(), template.vertices)  # [2, V, 3]
    points = choose_points(template, 0.3)
    at_vertex = points.barycentric.max(1) == 1  # elsewhere the mesh is flat, the particles' motion is not
    corner = points.barycentric.argmax(1)
    vertex = template.faces[points.triangle, corner][at_vertex]
    assert at_vertex.sum() > 50
    assert np.allclose(moved[0].numpy()[:, at_vertex], mesh[:, vertex], atol=2e-5)


def test_the_animators_twists_explain_most_of_speech(geometry, people):
    """Particles can carry the motion: half a millimetre remains of a mouth that opens by centimetres."""
    shape, expression = people
    scene = geometry.scene(shape, expression)
    change = _speech() - expression[:, None]
    wanted = geometry.targets(change)
    moved = geometry.particle_displacement(scene, rest_twists(change)[:, :, geometry.used])
    error_mm = (moved - wanted).norm(dim=-1) * 1e3
    assert float(wanted.norm(dim=-1).max()) * 1e3 > 15
    assert float(error_mm.mean()) < 1.0
    assert float(error_mm.mean()) < 0.25 * float(wanted.norm(dim=-1).mean()) * 1e3


def test_the_gap_is_the_corpus_gap(geometry):
    shape, neutral = torch.zeros(3, 64), torch.zeros(3, 52)
    scene = geometry.scene(shape, neutral)
    gap = geometry.lip_gap(scene, geometry.targets(_speech()))[0].numpy() * 1e3
    inner = slice(1, 4)
    assert np.allclose(gap[:, inner], lip_gap().signed_mm(_speech()[0].numpy())[:, inner], atol=0.05)


def test_lip_columns_lie_on_both_lips():
    template = load_template()
    jaw = template.actions[template.action("jawOpen")]
    for upper, lower in lip_columns(template):
        assert len(upper) > 3
        assert len(lower) > 3
        assert np.linalg.norm(jaw[upper], axis=1).max() < np.linalg.norm(jaw[lower], axis=1).max()


def test_a_smile_on_the_photo_lasts_and_an_open_mouth_does_not():
    template = load_template()
    sampler = ExpressionSampler(template.action_names)
    photo = torch.zeros(1, 52)
    smile, jaw, brow = (template.action(n) for n in ("mouthSmileLeft", "jawOpen", "browInnerUp"))
    photo[0, [smile, jaw, brow]] = torch.tensor([0.5, 0.3, 0.4])
    absolute = sampler.change(torch.zeros(1, 1, 52), photo)[0, 0] + photo[0]
    assert float(absolute[jaw]) == pytest.approx(0, abs=1e-6)
    assert float(absolute[brow]) == pytest.approx(0.4)
    assert 0.2 < float(absolute[smile]) < 0.5
    full = sampler.change(torch.ones(1, 1, 52), photo)[0, 0] + photo[0]
    assert float(full.max()) <= 1 + 1e-6
