"""Points on the posed template with their derivatives by shape, actions and rotations: what Gauss-Newton steps need.

Linear blend skinning moves a point as `y = sum_b w_b (G_b x + t_b)`. That is linear in the pairs (w, w x): weighted
means of vertices, such as a body point or a place inside a triangle, are points of the same kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from reference_model.body.se3 import left_jacobian_so3
from reference_model.body.skinning import TemplateTensors, pose_joints

__all__ = ["JointMotion", "SkinnedPoints"]


class JointMotion:
    """The joints' motions `x -> G x + t` from rest space, and how they follow shape and rotations.

    Args:
        tensors: The template.
        shape: [K].
        rotations: [J, 3], radians.
    """

    def __init__(self, tensors: TemplateTensors, shape: Tensor, rotations: Tensor) -> None:
        self._tensors, self._vectors = tensors, rotations
        self.heads, self.turns, transforms = pose_joints(tensors, shape, rotations)
        self.shifts = transforms[:, :3, 3]  # [J, 3]

    def carried(self, by_joint: Tensor) -> Tensor:
        """Sums [..., J] over each joint and all that hang on it, of values [..., J] by joint."""
        return by_joint @ self._tensors.lineage

    @cached_property
    def axes(self) -> Tensor:
        """Angular velocities in the world by the coordinates of the rotation vectors, as columns, [J, 3, 3]."""
        return self._parent_turns @ left_jacobian_so3(self._vectors)

    @cached_property
    def shifts_by_shape(self) -> Tensor:
        """Derivative of the shifts t, [J, K, 3]."""
        heads = self._tensors.joint_basis.transpose(0, 1)  # [J, K, 3] at rest
        steps = heads - self._tensors.of_parents(heads)
        turned = steps @ self._parent_turns.transpose(1, 2)
        posed = (self._tensors.lineage @ turned.flatten(1)).view_as(turned)
        return posed - heads @ self.turns.transpose(1, 2)

    @cached_property
    def _parent_turns(self) -> Tensor:
        """Global rotation of what each joint hangs on, [J, 3, 3]; of the root's it is none."""
        root = torch.eye(3, dtype=self.turns.dtype, device=self.turns.device)
        return self._tensors.of_parents(self.turns - root) + root


@dataclass(frozen=True, eq=False)
class SkinnedPoints:
    """O points, each the mean of C places of the template with weights of its own."""

    rest: Tensor
    """[O, C, 3] metres, of the mean person at rest."""
    skin: Tensor
    """[O, C, J] skinning weights times the weights of the mean."""
    basis: Tensor
    """[O, 3 C, K + A] what shape and actions add at rest."""
    n_shape: int
    """K."""

    @classmethod
    def of_vertices(cls, tensors: TemplateTensors, index: Tensor, weight: Tensor) -> SkinnedPoints:
        """Means of vertices.

        Args:
            tensors: The template.
            index: Vertices, [O, C].
            weight: [O, C].
        """
        basis = torch.cat([tensors.shape_basis, tensors.actions])[:, index]  # [K + A, O, C, 3]
        return cls(
            rest=tensors.vertices[index],
            skin=tensors.skin[index] * weight[..., None],
            basis=basis.permute(1, 2, 3, 0).flatten(1, 2).contiguous(),
            n_shape=len(tensors.shape_basis),
        )

    @classmethod
    def of_joints(cls, tensors: TemplateTensors, index: Tensor) -> SkinnedPoints:
        """Heads of the joints [O]; actions leave them where they are."""
        basis = pad(
            tensors.joint_basis[:, index].permute(1, 2, 0), (0, len(tensors.actions))
        )  # [O, 3, K + A]
        skin = torch.nn.functional.one_hot(index, len(tensors.joints)).to(basis.dtype)
        return cls(tensors.joints[index][:, None], skin[:, None], basis, len(tensors.shape_basis))

    @classmethod
    def joined(cls, parts: list[SkinnedPoints]) -> SkinnedPoints:
        """All points of parts with equally many places."""
        rest, skin, basis = (
            torch.cat([getattr(p, name) for p in parts]) for name in ("rest", "skin", "basis")
        )
        return cls(rest, skin, basis, parts[0].n_shape)

    def padded(self, n_places: int) -> SkinnedPoints:
        """The same points as means of more places, of which the further ones weigh nothing."""
        more = n_places - self.rest.shape[1]
        return SkinnedPoints(
            rest=pad(self.rest, (0, 0, 0, more)),
            skin=pad(self.skin, (0, 0, 0, more)),
            basis=pad(self.basis, (0, 0, 0, 3 * more)),
            n_shape=self.n_shape,
        )

    def __getitem__(self, which: Tensor) -> SkinnedPoints:
        """Some of the points."""
        return SkinnedPoints(self.rest[which], self.skin[which], self.basis[which], self.n_shape)

    def posed(self, motion: JointMotion, form: Tensor) -> Tensor:
        """Where they are, [O, 3] metres.

        Args:
            motion: Of the joints.
            form: Shape and actions one after the other, [K + A].
        """
        turned = self._blend(motion) @ self._places(form)[..., None]  # [O, C, 3, 1]
        return turned.sum(1).squeeze(-1) + self._weight @ motion.shifts

    def derivative(self, motion: JointMotion, form: Tensor) -> Tensor:
        """Derivative of `posed` by shape, actions and rotation vectors, [O, 3, K + A + 3 J]."""
        weight = self._weight
        moment = self.skin.transpose(1, 2) @ self._places(form)  # [O, J, 3], weight times place at rest
        # A joint turns, about its own head, what hangs on it and on its descendants.
        moved = torch.einsum("jxy,ojy->oxj", motion.turns, moment) + weight[:, None] * motion.shifts.T
        lever = motion.carried(moved) - motion.carried(weight)[:, None] * motion.heads.T  # [O, 3, J]
        x, y, z = motion.axes.unbind(1)  # [J, 3] each
        across, along, up = lever[..., None].unbind(1)  # [O, J, 1] each
        by_rotation = torch.stack([y * up - z * along, z * across - x * up, x * along - y * across], 1)

        n_points = len(self.rest)
        by_form = self._blend(motion).transpose(1, 2).reshape(n_points, 3, -1) @ self.basis  # [O, 3, K + A]
        shifts = (weight @ motion.shifts_by_shape.flatten(1)).view(n_points, self.n_shape, 3)
        by_form[..., : self.n_shape] += shifts.transpose(1, 2)
        return torch.cat([by_form, by_rotation.flatten(2)], -1)  # the cross products are [O, 3, J, 3]

    @cached_property
    def _weight(self) -> Tensor:
        """Of each joint, [O, J]."""
        return self.skin.sum(1)

    def _places(self, form: Tensor) -> Tensor:
        """At rest, [O, C, 3]."""
        return self.rest + (self.basis @ form).view_as(self.rest)

    def _blend(self, motion: JointMotion) -> Tensor:
        """Blended turn of each place, [O, C, 3, 3]."""
        return (self.skin @ motion.turns.flatten(1)).unflatten(-1, (3, 3))
