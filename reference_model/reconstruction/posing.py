"""From a canonical reconstruction to the person in the photograph: shape, expression, pose, and an `Avatar`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.io import Avatar
from reference_model.body.se3 import matrix_to_quaternion, quaternion_multiply
from reference_model.body.skinning import BodyState, TemplateTensors, pose_joints, rest_vertices
from reference_model.reconstruction.query_points import QueryPoints
from reference_model.reconstruction.reconstructor import Reconstruction
from reference_model.render.camera import Camera

__all__ = ["blended_rotations", "pose_reconstruction", "to_avatar"]


def pose_reconstruction(
    found: Reconstruction, points: QueryPoints, tensors: TemplateTensors, faces: Tensor, state: BodyState
) -> Gaussians:
    """Gaussians in the pose of a photograph, by linear blend skinning with the person's own weights W.

    Differentiable in the reconstruction and in the state.

    Args:
        found: B canonical avatars.
        points: Their query points.
        tensors: The whole body template.
        faces: Its triangles, [F, 3].
        state: One body, fitted to the photograph.

    Returns:
        [B, N, ...] in the world.
    """
    moved = rest_vertices(tensors, state) - tensors.vertices  # shape, expression and clothes, [V, 3]
    corners = moved[faces[points.triangle]]  # [N, 3, 3]
    rest = found.gaussians.means + (corners * points.barycentric[..., None]).sum(-2)  # [B, N, 3]
    _, rotations, transforms = pose_joints(tensors, state.shape, state.rotations)
    blend = (found.skin @ transforms[:, :3].flatten(1)).unflatten(-1, (3, 4))  # [B, N, 3, 4]
    means = (blend[..., :3] @ rest[..., None]).squeeze(-1) + blend[..., 3]
    turn = blended_rotations(found.skin, matrix_to_quaternion(rotations))
    canonical = found.gaussians
    return Gaussians(
        means,
        quaternion_multiply(turn, canonical.quats),
        canonical.scales,
        canonical.opacities,
        canonical.colors,
    )


def to_avatar(
    gaussians: Gaussians,
    points: QueryPoints,
    state: BodyState,
    camera: Camera,
    background: np.ndarray,
    meta: dict[str, Any],
) -> Avatar:
    """An avatar of posed Gaussians, on the CPU.

    Args:
        gaussians: One person's, [N, ...], from `pose_reconstruction`.
        points: The query points.
        state: The body that they were posed with.
        camera: Of the photograph.
        background: The photograph without the person, [h, w, 3] uint8.
        meta: What is known of the origin.
    """
    return Avatar(
        gaussians=gaussians.detach().to("cpu"),
        triangle=points.triangle.cpu().int(),
        barycentric=points.barycentric.cpu(),
        region=points.region.cpu(),
        # The decoder's frames owe nothing to the surface normal, so none can be culled by it.
        two_sided=torch.ones(len(points.triangle), dtype=torch.bool),
        state=BodyState(state.shape.cpu(), state.actions.cpu(), state.rotations.cpu(), state.offsets.cpu()),
        camera=camera,
        background=background,
        meta=meta,
    )


def blended_rotations(skin: Tensor, quaternions: Tensor) -> Tensor:
    """Rotations averaged with weights, all turned to the side of the heaviest bone's.

    Args:
        skin: [B, N, J].
        quaternions: [J, 4] wxyz, or [B, J, 4].

    Returns:
        [B, N, 4], unit length.
    """
    bones = quaternions.expand(len(skin), -1, -1)  # [B, J, 4]
    heaviest = bones.gather(1, skin.argmax(-1)[..., None].expand(-1, -1, 4))  # [B, N, 4]
    side = torch.where(heaviest @ bones.mT < 0, -1.0, 1.0)  # [B, N, J]
    return torch.nn.functional.normalize((skin * side) @ bones, dim=-1)
