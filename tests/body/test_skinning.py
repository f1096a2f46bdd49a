"""Posing against rigid motions that can be written down, finite differences and the naive sum over joints."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reference_model.body.skinning import BodyState, TemplateTensors, blend_transforms, pose
from reference_model.body.template import load_template


@pytest.fixture(scope="module")
def tensors() -> TemplateTensors:
    return TemplateTensors(load_template())


def random_state(tensors: TemplateTensors, seed: int = 0) -> BodyState:
    generator = torch.Generator().manual_seed(seed)
    neutral = BodyState.neutral(tensors)
    return BodyState(
        shape=torch.randn(neutral.shape.shape, generator=generator),
        actions=torch.rand(neutral.actions.shape, generator=generator),
        rotations=0.3 * torch.randn(neutral.rotations.shape, generator=generator),
        offsets=0.01 * torch.randn(neutral.offsets.shape, generator=generator),
    )


def test_the_neutral_state_is_the_template(tensors: TemplateTensors) -> None:
    posed = pose(tensors, BodyState.neutral(tensors))
    torch.testing.assert_close(posed.vertices, tensors.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(posed.joints, tensors.joints, atol=1e-6, rtol=0)


def test_turning_the_root_turns_the_whole_person_rigidly(tensors: TemplateTensors) -> None:
    turn = torch.tensor([0.1, -0.4, 1.2])
    rotations = torch.zeros_like(BodyState.neutral(tensors).rotations)
    rotations[0] = turn
    posed = pose(tensors, BodyState.neutral(tensors).replace(rotations=rotations))
    matrix = torch.tensor(Rotation.from_rotvec(turn.numpy()).as_matrix(), dtype=torch.float32)
    root = tensors.joints[0]
    torch.testing.assert_close(posed.vertices, (tensors.vertices - root) @ matrix.T + root, atol=2e-6, rtol=0)


def test_a_finger_bends_about_its_own_joint_and_nothing_else_moves(tensors: TemplateTensors) -> None:
    template = load_template()
    rotations = torch.zeros(template.n_joints, 3)
    joint = template.joint("finger2-1.L")
    rotations[joint, 1] = 0.8
    posed = pose(tensors, BodyState.neutral(tensors).replace(rotations=rotations))
    moved = (posed.vertices - tensors.vertices).norm(dim=-1) > 1e-6
    assert not moved.numpy()[~template.region_vertices("hand_left")].any()
    tip = template.fingertip_vertex["left"]
    moved_tips = moved.numpy()[tip]
    assert moved_tips.tolist() == [False, True, False, False, False]
    reach = torch.linalg.norm(tensors.vertices[int(tip[1])] - tensors.joints[joint])
    torch.testing.assert_close(torch.linalg.norm(posed.vertices[int(tip[1])] - posed.joints[joint]), reach)


def test_rotations_compose_down_the_chain_in_reference_axes(tensors: TemplateTensors) -> None:
    template = load_template()
    state = random_state(tensors)
    posed = pose(tensors, state)
    local = Rotation.from_rotvec(state.rotations.numpy())
    rest = (tensors.joints + torch.einsum("k,kjc->jc", state.shape, tensors.joint_basis)).numpy()
    turns: list[Rotation] = []
    heads = np.zeros_like(rest)
    for joint, parent in enumerate(template.parents):
        turns.append(local[joint] if parent < 0 else turns[parent] * local[joint])
        heads[joint] = (
            rest[joint] if parent < 0 else heads[parent] + turns[parent].apply(rest[joint] - rest[parent])
        )
    np.testing.assert_allclose(posed.rotations, np.stack([t.as_matrix() for t in turns]), atol=5e-6)
    np.testing.assert_allclose(posed.joints, heads, atol=5e-6)


def test_vertices_are_the_weighted_sum_of_what_each_joint_would_do(tensors: TemplateTensors) -> None:
    template = load_template()
    state = random_state(tensors)
    posed = pose(tensors, state)
    rest = tensors.vertices + state.offsets
    rest = rest + torch.einsum("k,kvc->vc", state.shape, tensors.shape_basis)
    rest = rest + torch.einsum("a,avc->vc", state.actions, tensors.actions)
    for vertex in (0, 3_000, 9_000, 13_800):
        corner = torch.cat([rest[vertex], torch.ones(1)])
        expected = sum(
            float(w) * (posed.transforms[int(j)] @ corner)[:3]
            for j, w in zip(template.skin_index[vertex], template.skin_weight[vertex], strict=True)
        )
        torch.testing.assert_close(posed.vertices[vertex], expected, atol=1e-5, rtol=0)


def test_a_subset_of_vertices_poses_as_in_the_whole(tensors: TemplateTensors) -> None:
    subset = np.random.default_rng(0).choice(load_template().n_vertices, 500, replace=False)
    state = random_state(tensors)
    small = pose(TemplateTensors(load_template(), subset), state.replace(offsets=state.offsets[subset]))
    torch.testing.assert_close(small.vertices, pose(tensors, state).vertices[subset], atol=2e-6, rtol=0)


def test_a_batch_of_frames_poses_as_the_frames_one_by_one(tensors: TemplateTensors) -> None:
    frames = [random_state(tensors, seed) for seed in range(3)]
    person = frames[0]
    batch = person.replace(
        actions=torch.stack([f.actions for f in frames]), rotations=torch.stack([f.rotations for f in frames])
    )
    posed = pose(tensors, batch)
    assert posed.vertices.shape == (3, load_template().n_vertices, 3)
    for i, frame in enumerate(frames):
        single = pose(tensors, person.replace(actions=frame.actions, rotations=frame.rotations))
        torch.testing.assert_close(posed.vertices[i], single.vertices, atol=2e-6, rtol=0)


def test_solving_with_the_blend_brings_offsets_back_to_rest_space(tensors: TemplateTensors) -> None:
    """The transpose in place of the inverse would err by millimetres: the blend is not orthogonal."""
    state = random_state(tensors)
    posed = pose(tensors, state)
    plain = pose(tensors, state.replace(offsets=torch.zeros_like(state.offsets)))
    linear = blend_transforms(tensors, posed.transforms)[..., :3]
    back = torch.linalg.solve(linear, (posed.vertices - plain.vertices)[..., None]).squeeze(-1)
    assert (back - state.offsets).norm(dim=-1).max() < 1e-5
    transposed = torch.einsum("vji,vj->vi", linear, posed.vertices - plain.vertices)
    assert (transposed - state.offsets).norm(dim=-1).max() > 1e-3


def test_gradients_reach_every_part_of_the_state() -> None:
    template = load_template()
    subset = np.random.default_rng(1).choice(template.n_vertices, 40, replace=False)
    tensors = TemplateTensors(template, subset)
    for name in ("vertices", "shape_basis", "actions", "joints", "joint_basis", "skin"):
        setattr(tensors, name, getattr(tensors, name).double())
    state = random_state(TemplateTensors(template, subset))
    fields = [
        x.double().requires_grad_() for x in (state.shape, state.actions, state.rotations, state.offsets)
    ]

    def loss() -> torch.Tensor:
        return pose(tensors, BodyState(*fields)).vertices.pow(3).sum()

    gradients = torch.autograd.grad(loss(), fields)
    for field, gradient in zip(fields, gradients, strict=True):
        step = torch.randn(field.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        with torch.no_grad():
            field += 1e-6 * step
            above = loss()
            field -= 2e-6 * step
            below = loss()
            field += 1e-6 * step
        numeric = (above - below) / 2e-6
        torch.testing.assert_close((gradient * step).sum(), numeric, rtol=1e-4, atol=1e-8)


def test_a_fitting_step_on_three_thousand_vertices_takes_some_milliseconds() -> None:
    subset = np.random.default_rng(0).choice(load_template().n_vertices, 3_000, replace=False)
    tensors = TemplateTensors(load_template(), subset)
    neutral = BodyState.neutral(tensors)
    fields = [x.clone().requires_grad_() for x in (neutral.shape, neutral.actions, neutral.rotations)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(8):
        start = time.process_time()
        pose(tensors, BodyState(*fields, neutral.offsets)).vertices.square().sum().backward()
        seconds.append(time.process_time() - start)
    torch.set_num_threads(threads)
    assert min(seconds) < 0.04, seconds  # of processor time; 10 ms where nothing else fills the caches
