"""The rival: facial actions and joint rotations drive the Gaussians as they drive the mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.pose_driven_network import BlendshapeRig, Pose, PoseDrivenAnimator, PoseDrivenNetwork
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def avatar():
    template = load_template()
    rotations, actions = torch.zeros(template.n_joints, 3), torch.zeros(52)
    rotations[template.joint("head")] = torch.tensor([0.1, 0.2, 0.3])
    actions[template.action("mouthSmileLeft")] = 0.4
    return template_avatar(rotations=rotations, actions=actions)


def test_facial_actions_move_gaussians_as_they_move_the_mesh(avatar):
    template = load_template()
    change = torch.zeros(52)
    change[template.action("jawOpen")], change[template.action("browInnerUp")] = 0.5, 0.5
    moved = BlendshapeRig(avatar).apply(Pose(change, torch.zeros(template.n_joints, 3)))
    state = avatar.state.replace(actions=avatar.state.actions + change)
    vertices = pose(TemplateTensors(template), state).vertices.numpy()
    corners = vertices[template.faces[avatar.triangle.numpy()]]
    expected = (corners * avatar.barycentric.numpy()[..., None]).sum(1)
    error = np.linalg.norm(moved.means.numpy() - expected, axis=1)
    travel = np.linalg.norm(expected - avatar.gaussians.means.numpy(), axis=1)
    assert travel.max() > 0.01
    assert np.median(error[travel > 0.002]) < 2e-4
    assert error.max() < 0.004  # under the chin, where neck and head share the skin


def test_an_untrained_network_leaves_the_photo_still(avatar):
    sound = np.random.default_rng(0).normal(0, 0.05, 20_000).astype(np.float32)
    animator = PoseDrivenAnimator(avatar, PoseDrivenNetwork())
    frames = list(animator.frames(sound, background=(0, 0, 0)))
    assert len(frames) == 32
    assert all(np.array_equal(frame.rgb, frames[0].rgb) for frame in frames)


def test_sound_moves_a_network_with_random_last_layer(avatar):
    torch.manual_seed(0)
    network = PoseDrivenNetwork()
    torch.nn.init.normal_(network.decoder[-1].weight, std=0.02)
    sound = np.random.default_rng(0).normal(0, 0.05, 20_000).astype(np.float32)
    poses = list(PoseDrivenAnimator(avatar, network).motion(sound, n_frames=40))
    assert len(poses) == 40
    assert torch.stack([p.change for p in poses]).std(0).max() > 1e-4
