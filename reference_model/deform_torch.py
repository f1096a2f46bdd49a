"""`deform_kernels.move_frames` written in torch, so that pictures train the networks: equal values, with gradients.

Twins of the compiled loops, not replacements: they take several times as long. `Rig.move` chooses them where a
gradient is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_model.body.se3 import quaternion_multiply

__all__ = ["compose_chain", "move_frames"]


def move_frames(
    parents: Tensor,
    joints: tuple[Tensor, ...],
    local: tuple[Tensor, ...],
    points: tuple[Tensor, ...],
    offset: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `reference_model.deform_kernels.move_frames`, differentiable in the motions, the points and the offset.

    Args:
        parents: Parent of each joint, [J] int32, -1 for the root.
        joints: Own motions: R - I [..., J, 3, 3], translation, centre [J, 3], quaternion, world axes.
        local: The same of the local particles, [..., m, ...].
        points: Photo means [N, 3] and quaternions [N, 4]; particle index [N, K] and weight; bone index [N, B] and
            weight.
        offset: Between the levels, [..., N, 3]; its leading dimension, if any, counts the frames.

    Returns:
        Means [..., N, 3] and quaternions [..., N, 4].
    """
    means, quats, particle_index, particle_weight, bone_index, bone_weight = points
    particle_index, bone_index = particle_index.long(), bone_index.long()
    turn, shift, center, quaternion = local
    affine = _about_origin(turn, shift, center)  # [..., m, 3, 4]
    # The side of the sphere is that of the identity, (1, 0, 0, 0): the same for all points of a particle.
    aligned = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    moved = means + _blend(affine, particle_index, particle_weight, means)
    turned = (aligned[..., particle_index, :] * particle_weight[..., None]).sum(-2)  # [..., N, 4]
    rest = 1 - particle_weight.sum(-1)
    turned = torch.cat([turned[..., :1] + rest[:, None], turned[..., 1:]], -1)
    moved = moved + offset

    linear, translation, orientation = compose_chain(parents, *joints)
    bones = torch.cat([linear, translation[..., None]], -1)  # [..., J, 3, 4]
    carried = orientation[..., bone_index, :]  # [..., N, B, 4]
    opposite = (carried * carried[..., :1, :]).sum(-1, keepdim=True) < 0
    posed = (torch.where(opposite, -carried, carried) * bone_weight[..., None]).sum(-2)
    moved = moved + _blend(bones, bone_index, bone_weight, moved)
    return moved, quaternion_multiply(quaternion_multiply(_unit(posed), _unit(turned)), quats)


def compose_chain(
    parents: Tensor, turn: Tensor, shift: Tensor, center: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compose the joints' motions along the kinematic tree, all joints of one depth at a time.

    Args:
        parents: [J] int32, parents before children.
        turn: R - I of each joint's own motion, world axes, [..., J, 3, 3].
        shift: Its translation, [..., J, 3].
        center: Joint heads in the photo, [J, 3].
        quaternion: Own rotation, [..., J, 4].

    Returns:
        Accumulated R - I [..., J, 3, 3], translation [..., J, 3] (`x -> x + linear x + translation`) and rotation
        [..., J, 4].
    """
    affine = _about_origin(turn, shift, center)  # [..., J, 3, 4]
    above = [int(parent) for parent in parents.tolist()]
    motions: list[Tensor] = [affine.new_empty(0)] * len(above)
    turns: list[Tensor] = [quaternion.new_empty(0)] * len(above)
    for level in _levels(above):
        own, own_turn = affine[..., level, :, :], quaternion[..., level, :]
        if above[level[0]] >= 0:
            parent = torch.stack([motions[above[joint]] for joint in level], -3)
            parent_turn = torch.stack([turns[above[joint]] for joint in level], -2)
            own = own + parent + parent[..., :3] @ own
            own_turn = quaternion_multiply(parent_turn, own_turn)
        for place, joint in enumerate(level):
            motions[joint], turns[joint] = own[..., place, :, :], own_turn[..., place, :]
    composed = torch.stack(motions, -3)
    return composed[..., :3], composed[..., 3], torch.stack(turns, -2)


def _levels(parents: list[int]) -> list[list[int]]:
    """Joints of each depth below the root."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [[joint for joint, own in enumerate(depth) if own == level] for level in range(max(depth) + 1)]


def _about_origin(turn: Tensor, shift: Tensor, center: Tensor) -> Tensor:
    """Difference from the identity of motions about their centres, as (R - I | t) about the origin, [..., 3, 4]."""
    translation = shift - (turn @ center[..., None]).squeeze(-1)
    return torch.cat([turn, translation[..., None]], -1)


def _blend(affine: Tensor, index: Tensor, weight: Tensor, points: Tensor) -> Tensor:
    """Displacement of points [..., N, 3] by the weighted mean of their motions [..., m, 3, 4]."""
    blended = (affine.flatten(-2)[..., index, :] * weight[..., None]).sum(-2).unflatten(-1, (3, 4))
    return (blended[..., :3] @ points[..., None]).squeeze(-1) + blended[..., 3]


def _unit(quaternion: Tensor) -> Tensor:
    return quaternion / quaternion.norm(dim=-1, keepdim=True)
