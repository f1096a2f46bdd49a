"""Derivatives of skinned points, against automatic differentiation of the pose itself."""

from __future__ import annotations

import pytest
import torch

from reference_model.body.skinned_points import JointMotion, SkinnedPoints
from reference_model.body.skinning import BodyState, pose, template_tensors

TENSORS = template_tensors()
JOINTS = torch.tensor([0, 50, 90])


@pytest.fixture(scope="module")
def triangles() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(len(TENSORS.vertices), (7, 3), generator=generator)
    weight = torch.rand(7, 3, generator=generator)
    return index, weight / weight.sum(1, keepdim=True)


@pytest.fixture(scope="module")
def state() -> BodyState:
    generator = torch.Generator().manual_seed(1)
    return BodyState(
        shape=torch.randn(len(TENSORS.shape_basis), generator=generator),
        actions=torch.rand(len(TENSORS.actions), generator=generator),
        rotations=0.4 * torch.randn(len(TENSORS.joints), 3, generator=generator),
        offsets=torch.zeros_like(TENSORS.vertices),
    )


def test_means_of_vertices_and_joints_go_where_the_pose_puts_them(
    triangles: tuple[torch.Tensor, torch.Tensor], state: BodyState
) -> None:
    index, weight = triangles
    posed = pose(TENSORS, state)
    motion = JointMotion(TENSORS, state.shape, state.rotations)
    form = torch.cat([state.shape, state.actions])

    means = SkinnedPoints.of_vertices(TENSORS, index, weight).posed(motion, form)
    heads = SkinnedPoints.of_joints(TENSORS, JOINTS).posed(motion, form)

    torch.testing.assert_close(means, (posed.vertices[index] * weight[..., None]).sum(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(heads, posed.joints[JOINTS], atol=1e-5, rtol=0)


def test_derivatives_are_those_of_automatic_differentiation(
    triangles: tuple[torch.Tensor, torch.Tensor], state: BodyState
) -> None:
    index, weight = triangles
    tensors = TENSORS.cut(index.flatten())

    def places(shape: torch.Tensor, actions: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
        offsets = torch.zeros_like(tensors.vertices)
        posed = pose(tensors, BodyState(shape, actions, rotations, offsets))
        means = (posed.vertices.view(*index.shape, 3) * weight[..., None]).sum(1)
        return torch.cat([means, posed.joints[JOINTS]])

    parts = torch.autograd.functional.jacobian(places, (state.shape, state.actions, state.rotations))
    expected = torch.cat([part.flatten(2) for part in parts], -1)

    motion = JointMotion(TENSORS, state.shape, state.rotations)
    form = torch.cat([state.shape, state.actions])
    both = (SkinnedPoints.of_vertices(TENSORS, index, weight), SkinnedPoints.of_joints(TENSORS, JOINTS))
    found = torch.cat([points.derivative(motion, form) for points in both])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_further_places_of_padded_points_weigh_nothing(
    triangles: tuple[torch.Tensor, torch.Tensor], state: BodyState
) -> None:
    points = SkinnedPoints.of_vertices(TENSORS, *triangles)
    motion = JointMotion(TENSORS, state.shape, state.rotations)
    form = torch.cat([state.shape, state.actions])
    padded = points.padded(5)
    assert padded.rest.shape[1] == 5
    torch.testing.assert_close(padded.posed(motion, form), points.posed(motion, form))
    torch.testing.assert_close(padded.derivative(motion, form), points.derivative(motion, form))
