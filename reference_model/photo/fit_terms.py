"""What the fit of a photograph minimises: distances in the picture, directions in space and priors.

Every term is a robust function of residuals whose derivatives are known, so that the whole has a Gauss-Newton
approximation: a residual r under a penalty p(|r|) counts in it with the weight p'(|r|) / |r|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from reference_model.body.skinned_points import JointMotion, SkinnedPoints
from reference_model.body.skinning import TemplateTensors
from reference_model.photo.evidence import HAND_PARENT, REGRESSOR_VERTICES, Evidence, HandEvidence
from reference_model.photo.least_squares import Quadratic
from reference_model.render.camera import FRONTAL

__all__ = ["FOCAL_PRIOR", "FitTerms", "TermWeights", "Unknowns"]

FOCAL_PRIOR = 1.5
"""Focal length over the longer side of the photograph: a portrait lens."""

_BODY, _BODY_REACH = 20.0, 0.1  # weight; shoulder widths from which on the penalty grows like the distance
_FACE_REACH, _HAND_REACH, _MASK_REACH = 0.02, 0.05, 0.03
_CONTOUR_REACH = 0.05  # contour points further off than this hardly pull
_LIMB, _BONE = 2.0, 1.5
_POSE_PRIOR, _SHAPE_PRIOR, _ACTION_PRIOR, _FOCAL = 0.15, 0.006, 0.05, 20.0
_TRUSTED = 0.05  # weight of a body point from which on its error is worth telling


@dataclass(frozen=True)
class TermWeights:
    """Weights of the terms that differ between the stages of a fit."""

    face: float
    hand: float
    mask: float
    contour: float


class Unknowns(NamedTuple):
    """All that is sought; views into one vector [n]."""

    form: Tensor
    """Shape and actions, [K + A]."""
    rotations: Tensor
    """[J, 3]."""
    translation: Tensor
    """Of the camera, [3] metres."""
    log_focal: Tensor
    """[]."""

    @classmethod
    def of(cls, vector: Tensor, tensors: TemplateTensors) -> Unknowns:
        """The parts of a vector."""
        n_form = len(tensors.shape_basis) + len(tensors.actions)
        return cls(vector[:n_form], vector[n_form:-4].view(-1, 3), vector[-4:-1], vector[-1])


class _Rows(NamedTuple):
    """Residuals of one term."""

    value: Tensor
    """Its share of the objective, []."""
    residual: Tensor
    """[O, R]."""
    weight: Tensor
    """Gauss-Newton weight of each observation, [O]."""
    derivative: Tensor
    """[O, R, n]."""


class FitTerms:
    """The objective of one photograph.

    Args:
        tensors: The template, cut to the vertices of the evidence.
        evidence: On the same device.
        stiffness: Of each joint, [J, 1].
    """

    def __init__(self, tensors: TemplateTensors, evidence: Evidence, stiffness: Tensor) -> None:
        self.tensors, self.evidence = tensors, evidence
        places = min(REGRESSOR_VERTICES, evidence.body_regressor.shape[1])
        weight, index = evidence.body_regressor.topk(places)
        self._body = SkinnedPoints.of_vertices(tensors, index, weight)
        self._face = SkinnedPoints.of_vertices(tensors, evidence.face_triangles, evidence.face_barycentric)
        self._surface = _vertices(tensors, evidence.surface)
        self._hands = {side: _hand_points(tensors, hand) for side, hand in evidence.hands.items()}
        bones = [(parent, point) for point, parent in enumerate(HAND_PARENT)][1:]
        self._bones = torch.tensor(bones, device=tensors.device)  # [20, 2]
        n_shape, n_actions = len(tensors.shape_basis), len(tensors.actions)
        self._prior = torch.cat(
            [
                torch.full((n_shape,), _SHAPE_PRIOR),
                torch.full((n_actions,), _ACTION_PRIOR),
                _POSE_PRIOR * stiffness.expand(-1, 3).flatten(),
                torch.tensor([0.0, 0.0, 0.0, _FOCAL]),
            ]
        ).to(tensors.device)
        self._expected = torch.zeros_like(self._prior)
        self._expected[-1] = math.log(FOCAL_PRIOR * max(evidence.width, evidence.height))

    def expand(self, vector: Tensor, weights: TermWeights) -> Quadratic:
        """The objective around some unknowns [n], to second order."""
        seen, view = self.evidence, _View(self, vector)
        body, face = view.of(self._body), view.of(self._face)
        rows = [
            body.off(seen.body_points, _BODY * seen.body_weight, _BODY_REACH),
            face.off(seen.face_points, weights.face * seen.face_weight, _FACE_REACH),
            body.along(seen.limbs, seen.limb_directions, _LIMB * seen.limb_weight),
        ]
        for side, hand in seen.hands.items():
            found = view.of(self._hands[side])
            alike = torch.ones_like(hand.points[:, 0]) / len(hand.points)
            rows.append(found.off(hand.points, weights.hand * alike, _HAND_REACH))
            alike = torch.ones_like(hand.bones[:, 0]) / len(hand.bones)
            rows.append(found.along(self._bones, hand.bones, _BONE * alike))
        rows += self._matte_rows(view, weights)
        apart = vector - self._expected
        scale = torch.cat([r.weight.sqrt()[:, None].expand(r.residual.shape).flatten() for r in rows])
        residual = torch.cat([r.residual.flatten() for r in rows]) * scale
        derivative = torch.cat([r.derivative.flatten(0, 1) for r in rows]) * scale[:, None]
        return Quadratic(
            value=torch.stack([r.value for r in rows]).sum() + (self._prior * apart.square()).sum(),
            gradient=residual @ derivative + 2 * self._prior * apart,
            hessian=derivative.T @ derivative + torch.diag(2 * self._prior),
        )

    def errors_px(self, vector: Tensor) -> dict[str, float]:
        """Median distance in the picture of "body", "face", "hand_left" and "hand_right", where they were seen."""
        seen, view = self.evidence, _View(self, vector)
        trusted = seen.body_weight > _TRUSTED
        pairs = {
            "body": (self._body[trusted], seen.body_points[trusted]),
            "face": (self._face, seen.face_points),
            **{f"hand_{side}": (self._hands[side], hand.points) for side, hand in seen.hands.items()},
        }
        return {
            name: float((view.pixels(view.posed(points)) - target).norm(dim=-1).median())
            for name, (points, target) in pairs.items()
            if len(target)
        }

    def shoulders(self, vector: Tensor) -> Tensor:
        """The left and the right one in the world, [2, 3] metres."""
        return _View(self, vector).posed(self._body)[:2]

    def _matte_rows(self, view: _View, weights: TermWeights) -> list[_Rows]:
        """No surface outside of the matte, and some near each point of its contour."""
        seen = self.evidence
        pixels = view.pixels(view.posed(self._surface))  # [Q, 2]
        outside, slope = _sampled(seen.outside, pixels)
        over = outside.nonzero()[:, 0]
        nearest = over[:0]
        if len(seen.contour):
            nearest = torch.cdist(seen.contour, pixels).argmin(1)
        used, place = torch.cat([over, nearest]).unique(return_inverse=True)
        found = view.of(self._surface[used])
        by_unknowns = found.by_unknowns()  # [U, 2, n]
        of_over, of_nearest = place[: len(over)], place[len(over) :]

        distance = outside[over] / seen.scale
        value, weight = _huber(distance, weights.mask, _MASK_REACH)
        by_distance = slope[over][:, None] @ by_unknowns[of_over]  # [., 1, n]
        rows = [_Rows(value, distance[:, None], weight, by_distance)]
        if len(nearest):
            gap = (pixels[nearest] - seen.contour) / seen.scale
            squared, reach = gap.square().sum(-1), _CONTOUR_REACH**2
            share = weights.contour / len(nearest)  # Geman-McClure
            value = share * (squared / (squared + reach)).sum()
            weight = 2 * share * reach / (squared + reach).square()
            rows.append(_Rows(value, gap, weight, by_unknowns[of_nearest]))
        return rows


class _View:
    """The posed body in the photograph's camera."""

    def __init__(self, terms: FitTerms, vector: Tensor) -> None:
        tensors, self.evidence = terms.tensors, terms.evidence
        self.unknowns = Unknowns.of(vector, tensors)
        self.motion = JointMotion(
            tensors, self.unknowns.form[: len(tensors.shape_basis)], self.unknowns.rotations
        )
        self.axes = FRONTAL.to(vector)
        self.focal = self.unknowns.log_focal.exp()
        self.centre = vector.new_tensor([self.evidence.width / 2, self.evidence.height / 2])

    def posed(self, points: SkinnedPoints) -> Tensor:
        """In the world, [O, 3] metres."""
        return points.posed(self.motion, self.unknowns.form)

    def pixels(self, world: Tensor) -> Tensor:
        """In the picture, [O, 2]."""
        place = world @ self.axes.T + self.unknowns.translation
        return self.focal * place[:, :2] / place[:, 2:] + self.centre

    def of(self, points: SkinnedPoints) -> _Seen:
        """Points with their derivatives."""
        return _Seen(self, self.posed(points), points.derivative(self.motion, self.unknowns.form))


class _Seen:
    """Points on the body with their derivatives.

    Args:
        view: Of the body.
        world: [O, 3] metres.
        by_body: Derivative by shape, actions and rotations, [O, 3, n - 4].
    """

    def __init__(self, view: _View, world: Tensor, by_body: Tensor) -> None:
        self._view, self._world, self._by_body = view, world, by_body

    def by_unknowns(self) -> Tensor:
        """Derivative of the points in the picture, in shoulder widths, [O, 2, n]."""
        view = self._view
        place = self._world @ view.axes.T + view.unknowns.translation
        depth = place[:, 2:]
        slope = place[:, :2] / depth  # [O, 2]
        flat = torch.eye(2, 3, dtype=place.dtype, device=place.device)
        sight = flat - torch.nn.functional.pad(slope[..., None], (2, 0))  # [O, 2, 3]
        by_place = view.focal / view.evidence.scale * sight / depth[..., None]
        by_focal = view.focal / view.evidence.scale * slope[..., None]
        return torch.cat([by_place @ view.axes @ self._by_body, by_place, by_focal], -1)

    def off(self, target: Tensor, weight: Tensor, reach: float) -> _Rows:
        """Distances in the picture from where the points were seen, [O, 2] px, under a pseudo-Huber penalty."""
        residual = (self._view.pixels(self._world) - target) / self._view.evidence.scale
        value, weight = _huber(residual.norm(dim=-1), weight, reach)
        return _Rows(value, residual, weight, self.by_unknowns())

    def along(self, pairs: Tensor, target: Tensor, weight: Tensor) -> _Rows:
        """1 - cosine between the ways from point to point, pairs [L, 2], and unit directions, [L, 3].

        It is half of the squared distance of unit vectors, which makes a residual of it.
        """
        start, end = pairs.T
        way = self._world[end] - self._world[start]
        length = way.norm(dim=-1)[:, None, None]
        unit = normalize(way, dim=-1)
        by_way = (
            torch.eye(3, dtype=unit.dtype, device=unit.device) - unit[:, :, None] * unit[:, None]
        ) / length
        by_body = by_way @ (self._by_body[end] - self._by_body[start])
        residual = unit - target
        value = (weight * residual.square().sum(-1)).sum() / 2
        return _Rows(value, residual, weight, torch.nn.functional.pad(by_body, (0, 4)))


def _huber(distance: Tensor, weight: Tensor | float, reach: float) -> tuple[Tensor, Tensor]:
    """Pseudo-Huber penalty, quadratic below `reach` and linear above: its weighted sum, Gauss-Newton weights."""
    steep = (1 + (distance / reach).square()).sqrt()
    return (weight * reach**2 * (steep - 1)).sum(), weight / steep


def _sampled(picture: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """A picture [1, 1, H, W] at places [Q, 2] px, and its slope there, [Q, 2]; zero outside."""
    size = pixels.new_tensor([picture.shape[-1], picture.shape[-2]])
    with torch.enable_grad():
        places = pixels.detach().requires_grad_()
        value = grid_sample(picture, (places / size * 2 - 1)[None, None], align_corners=False)[0, 0, 0]
        (slope,) = torch.autograd.grad(value.sum(), places)
    return value.detach(), slope


def _vertices(tensors: TemplateTensors, index: Tensor) -> SkinnedPoints:
    ones = torch.ones(len(index), 1, device=tensors.device)
    return SkinnedPoints.of_vertices(tensors, index[:, None], ones)


def _hand_points(tensors: TemplateTensors, hand: HandEvidence) -> SkinnedPoints:
    """In mediapipe's order."""
    joints, tips = SkinnedPoints.of_joints(tensors, hand.joints), _vertices(tensors, hand.tips)
    return SkinnedPoints.joined([joints, tips])[torch.cat([hand.joint_slots, hand.tip_slots]).argsort()]
