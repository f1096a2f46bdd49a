"""The two levels of the deformer on Gaussians of the template."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reference_model.avatar.io import SkinWeights
from reference_model.body.particles import load_particles
from reference_model.body.se3 import exp_so3, quaternion_to_matrix
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.deform import Rig
from reference_model.networks.gaussian_head import Residuals
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def posed_avatar():
    """An avatar whose photo pose is far from the template's reference pose."""
    template = load_template()
    rotations = torch.zeros(template.n_joints, 3)
    rotations[template.joint("lowerarm01.L")] = torch.tensor([-1.0, 0.2, -0.4])
    rotations[template.joint("upperarm01.R")] = torch.tensor([0.2, 0.9, 0.1])
    rotations[template.joint("head")] = torch.tensor([0.1, 0.0, 0.3])
    return template_avatar(rotations=rotations)


@pytest.fixture(scope="module")
def rig(posed_avatar):
    return Rig(posed_avatar)


def test_zero_states_leave_every_bit_of_the_avatar(posed_avatar, rig):
    n = len(rig.head_rows)
    nothing = Residuals(torch.zeros(n, 3), torch.zeros(n, 3), torch.zeros(n), torch.zeros(n, 3))
    for residuals in (None, nothing):
        moved = rig.apply(torch.zeros(rig.n_particles, 6), residuals)
        for name in ("means", "quats", "scales", "opacities", "colors"):
            assert torch.equal(getattr(moved, name), getattr(posed_avatar.gaussians, name)), name


def test_the_rig_moves_gaussians_by_the_avatars_own_skinning_weights(posed_avatar):
    """All hung on the head: they turn rigidly about its joint, and at rest every bit stays."""
    template = load_template()
    head, n = template.joint("head"), len(posed_avatar)
    index = torch.tensor([[head, 0, 1, 2, 3, 4, 5, 6]]).expand(n, 8)
    weight = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 0]]).expand(n, 8)
    rig = Rig(dataclasses.replace(posed_avatar, skin=SkinWeights(index, weight)))
    states = torch.zeros(rig.n_particles, 6)
    source = posed_avatar.gaussians.means
    assert torch.equal(rig.apply(states).means, source)
    states[head, :3] = torch.tensor([0.0, 0.3, 0.4])
    posed = pose(TemplateTensors(template), posed_avatar.state)
    turn = posed.rotations[head] @ exp_so3(states[head, :3]) @ posed.rotations[head].T
    expected = (source - posed.joints[head]) @ turn.T + posed.joints[head]
    assert torch.allclose(rig.apply(states).means, expected, atol=2e-5)


@pytest.mark.parametrize("joint", ["upperarm01.L", "wrist.R", "head", "spine02"])
def test_a_joint_particle_moves_gaussians_as_skinning_moves_the_mesh(posed_avatar, rig, joint):
    template = load_template()
    delta = torch.tensor([0.3, -0.2, 0.25])
    states = torch.zeros(rig.n_particles, 6)
    states[template.joint(joint), :3] = delta
    moved = rig.apply(states)

    # Reference: rotate the bone in the body model, G_b = G_parent exp(w_photo) exp(delta).
    b = template.joint(joint)
    rotations = posed_avatar.state.rotations.clone()
    before = Rotation.from_rotvec(rotations[b].numpy())
    after = before * Rotation.from_rotvec(delta.numpy())
    rotations[b] = torch.tensor(after.as_rotvec(), dtype=torch.float32)
    tensors = TemplateTensors(template)
    vertices = pose(tensors, posed_avatar.state.replace(rotations=rotations)).vertices.numpy()
    corners = vertices[template.faces[posed_avatar.triangle.numpy()]]
    expected = (corners * posed_avatar.barycentric.numpy()[..., None]).sum(1)
    error = np.linalg.norm(moved.means.numpy() - expected, axis=1)
    travel = np.linalg.norm(expected - posed_avatar.gaussians.means.numpy(), axis=1)
    assert travel.max() > 0.03
    # Where photo and delta both bend a joint, blending twice is not blending once; elsewhere they agree.
    assert np.median(error[travel > 0.001]) < 2e-4
    assert np.quantile(error, 0.99) < 0.006


def test_gaussians_of_one_bone_turn_with_it(posed_avatar, rig):
    template = load_template()
    head = template.joint("head")
    states = torch.zeros(rig.n_particles, 6)
    states[head, :3] = torch.tensor([0.0, 0.0, 0.4])
    moved = rig.apply(states)
    photo = pose(TemplateTensors(template), posed_avatar.state).rotations[head]
    turn = photo @ exp_so3(states[head, :3]) @ photo.T
    rigid = (rig.points.bone_index[:, 0] == head) & (rig.points.bone_weight[:, 0] > 0.9999)
    assert rigid.sum() > 20
    before = quaternion_to_matrix(posed_avatar.gaussians.quats)[rigid]
    after = quaternion_to_matrix(moved.quats)[rigid]
    assert torch.allclose(after, turn @ before, atol=2e-4)


def test_all_local_particles_translating_alike_shift_their_share_of_the_surface(posed_avatar, rig):
    particles = load_particles()
    step = torch.tensor([0.004, 0.0, 0.0])
    states = torch.zeros(rig.n_particles, 6)
    states[particles.n_joints :, 3:] = step
    moved = rig.apply(states)
    distance = (moved.means - posed_avatar.gaussians.means).norm(dim=-1).numpy()
    share = rig.points.particle_weight.sum(1)
    # Particles of differently turned bones shift in different directions, which only shortens the sum.
    assert (distance <= 0.004 * share + 1e-6).all()
    assert np.allclose(np.median(distance), 0.004 * np.median(share), rtol=0.02)
    assert share.max() <= 1.0 + 1e-5


def test_local_particles_turn_about_their_own_anchor(rig):
    """Equation 3 about the world's origin would throw a hand 14 mm away for 0.02 rad; about the anchor it does not."""
    particles = load_particles()
    still = rig.apply(torch.zeros(rig.n_particles, 6)).means
    states = torch.zeros(rig.n_particles, 6)
    states[particles.n_joints :, :3] = torch.tensor([0.0, 0.02, 0.0])
    moved = rig.apply(states).means
    assert float((moved - still).norm(dim=-1).median()) < 1e-3


def test_residuals_act_on_head_and_hands_only_and_keep_their_ranges(posed_avatar, rig):
    n = len(rig.head_rows)
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(*shape, generator=generator)

    residuals = Residuals(noise(n, 3) * 0.002, noise(n, 3) * 0.2, noise(n) * 5, noise(n, 3) * 5)
    moved, source = rig.apply(torch.zeros(rig.n_particles, 6), residuals), posed_avatar.gaussians
    rows = rig.head_rows
    others = torch.ones(len(source), dtype=torch.bool)
    others[rows] = False
    assert 0 < n < len(source)
    assert torch.equal(moved.means[others], source.means[others])
    assert torch.equal(moved.opacities[others], source.opacities[others])
    assert torch.allclose(moved.scales[rows] / source.scales[rows], residuals.log_scale.exp(), rtol=1e-5)
    expected = torch.sigmoid(torch.logit(source.opacities[rows]) + residuals.opacity_logit)
    assert torch.allclose(moved.opacities[rows], expected, atol=1e-5)
    assert float(moved.colors.min()) >= 0 and float(moved.colors.max()) <= 1
    # The offset is a rotation of the residual into the world, so its length stays.
    shift = (moved.means[rows] - source.means[rows]).norm(dim=-1)
    assert torch.allclose(shift, residuals.offset.norm(dim=-1), atol=1e-6)


def test_rest_offset_is_the_displacement_of_the_photo_expression():
    template = load_template()
    actions = torch.zeros(52)
    actions[template.action("jawOpen")] = 0.5
    rig = Rig(template_avatar(actions=actions))
    neutral = Rig(template_avatar())
    assert float(neutral.rest_offset.abs().max()) == 0
    assert float(neutral.rest_twist.abs().max()) == 0
    assert 0.01 < float(rig.rest_offset.norm(dim=-1).max()) < 0.02  # jawOpen moves the chin by 39 mm
    lips = load_particles().group == 0
    assert float(rig.rest_twist[torch.from_numpy(lips), 3:].norm(dim=-1).max()) > 0.005


def test_many_frames_at_once_are_the_frames_one_by_one(rig):
    generator = torch.Generator().manual_seed(2)
    n, frames = len(rig.head_rows), 3
    states = 0.05 * torch.randn(frames, rig.n_particles, 6, generator=generator)
    shapes = ((n, 3), (n, 3), (n,), (n, 3))
    residuals = Residuals(*(0.01 * torch.randn(frames, *shape, generator=generator) for shape in shapes))
    whole = rig.apply(states, residuals)
    assert whole.means.shape == (frames, len(whole), 3)
    for t in range(frames):
        one = rig.apply(states[t], Residuals(*(part[t] for part in residuals)))
        for name in ("means", "quats", "scales", "opacities", "colors"):
            assert torch.equal(getattr(whole, name)[t], getattr(one, name)), name
    assert not torch.equal(whole.means[0], whole.means[1])


def test_states_of_a_wrong_shape_are_refused(rig):
    with pytest.raises(ValueError, match="states must have shape"):
        rig.apply(torch.zeros(3, 6))
