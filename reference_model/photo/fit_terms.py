"""What the fit of a photograph minimises: distances in the picture, directions in space and priors.

Every term is a robust function of residuals whose derivatives are known, so that the whole has a Gauss-Newton
approximation: a residual r under a penalty p(|r|) counts in it with the weight p'(|r|) / |r|. All terms in the picture
come down to a force and a stiffness [2, 2] on each point: what pulls at one point costs one row, however many they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

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


class TermWeights(NamedTuple):
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
    """What some terms add to the normal equations of n unknowns."""

    value: Tensor
    """Their share of the objective, []."""
    gradient: Tensor
    """[n]."""
    root: Tensor
    """Rows whose products with themselves are the curvature, [R, n]."""


class _Pulls(NamedTuple):
    """What terms in the picture do to O points; lengths count in shoulder widths."""

    value: Tensor
    """[]."""
    force: Tensor
    """Gradient by the points' places, [O, 2]."""
    stiffness: Tensor
    """Gauss-Newton curvature by the same, [O, 2, 2]."""


class FitTerms:
    """The objective of one photograph.

    Args:
        tensors: The template, cut to the vertices of the evidence.
        evidence: On the same device.
        stiffness: Of each joint, [J, 1].
    """

    def __init__(self, tensors: TemplateTensors, evidence: Evidence, stiffness: Tensor) -> None:
        self.tensors, self.evidence = tensors, evidence
        self.axes = FRONTAL.to(tensors.device)
        self.centre = torch.tensor([evidence.width / 2, evidence.height / 2], device=tensors.device)
        places = min(REGRESSOR_VERTICES, evidence.body_regressor.shape[1])
        weight, index = evidence.body_regressor.topk(places)
        face = SkinnedPoints.of_vertices(tensors, evidence.face_triangles, evidence.face_barycentric)
        hands = [_hand_points(tensors, hand).padded(face.rest.shape[1]) for hand in evidence.hands.values()]
        # Body points are means of many vertices, the others of up to three.
        self._points = (
            SkinnedPoints.of_vertices(tensors, index, weight),
            SkinnedPoints.joined([face, *hands]),
        )
        self._surface = _vertices(tensors, evidence.surface)
        self._outside = pad(evidence.outside[0, 0], (1, 1, 1, 1))  # [H + 2, W + 2]
        self._targets = _targets(evidence)
        self._ways = _ways(evidence)
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

    def expand(self, vector: Tensor, weights: Tensor) -> Quadratic:
        """The objective around some unknowns [n], to second order; `weights` [4] are those of `TermWeights`.

        A CUDA graph can record it: on a GPU nothing in it looks at a tensor's values or copies from the host.
        """
        of_face, of_hands, of_mask, of_contour = weights
        view = _View(self, vector)
        points = [view.of(points) for points in self._points]
        world = torch.cat([part.world for part in points])
        by_body = torch.cat([part.by_body for part in points])
        seen = _Seen(view, world, by_body)
        rows = [
            seen.pulled(self._targets.pulls(view.pixels(world), of_face, of_hands, self.evidence.scale)),
            seen.along(*self._ways),
            self._matte_rows(view, of_mask, of_contour),
        ]
        apart = vector - self._expected
        root = torch.cat([r.root for r in rows])
        return Quadratic(
            value=torch.stack([r.value for r in rows]).sum() + (self._prior * apart.square()).sum(),
            gradient=torch.stack([r.gradient for r in rows]).sum(0) + 2 * self._prior * apart,
            hessian=root.T @ root + torch.diag(2 * self._prior),
        )

    def errors_px(self, vector: Tensor) -> dict[str, float]:
        """Median distance in the picture of "body", "face", "hand_left" and "hand_right", where they were seen."""
        seen, view = self.evidence, _View(self, vector)
        pixels = view.pixels(torch.cat([view.posed(points) for points in self._points]))
        distance = (pixels - self._targets.place).norm(dim=-1).cpu()
        body, *others = distance.split([len(seen.body_points), len(seen.face_points), *_hand_sizes(seen)])
        names = ["face", *(f"hand_{side}" for side in seen.hands)]
        found = {"body": body[(seen.body_weight > _TRUSTED).cpu()], **dict(zip(names, others, strict=True))}
        return {name: float(part.median()) for name, part in found.items() if len(part)}

    def shoulders(self, vector: Tensor) -> Tensor:
        """The left and the right one in the world, [2, 3] metres."""
        return _View(self, vector).posed(self._points[0])[:2]

    def _matte_rows(self, view: _View, mask: Tensor, contour: Tensor) -> _Rows:
        """No surface outside of the matte, and some near each point of its contour, with weights []."""
        seen = self.evidence
        pixels = view.pixels(view.posed(self._surface))  # [Q, 2]
        distance, slope = _sampled(self._outside, pixels)
        slope = slope * (distance > 0)[:, None]
        distance = distance / seen.scale
        value, weight = _huber(distance, mask, torch.full_like(distance, _MASK_REACH))
        force = (weight * distance)[:, None] * slope
        stiffness = weight[:, None, None] * slope[:, :, None] * slope[:, None]
        if len(seen.contour):
            nearest = torch.cdist(seen.contour, pixels).argmin(1)
            gap = (pixels[nearest] - seen.contour) / seen.scale
            squared, reach = gap.square().sum(-1), _CONTOUR_REACH**2
            share = contour / len(nearest)  # Geman-McClure
            value = value + share * (squared / (squared + reach)).sum()
            weight = 2 * share * reach / (squared + reach).square()
            force = force.index_add(0, nearest, weight[:, None] * gap)
            stiffness = stiffness.index_add(0, nearest, _isotropic(weight))
        surface = self._surface
        if pixels.device.type == "cpu":  # a GPU's graph has fixed shapes, and there the products cost nothing
            pulled = stiffness.flatten(1).any(1).nonzero()[:, 0]
            surface, force, stiffness = surface[pulled], force[pulled], stiffness[pulled]
        return view.of(surface).pulled(_Pulls(value, force, stiffness))


@dataclass(frozen=True, eq=False)
class _Targets:
    """Where O points were seen: body, face and hands, one after the other."""

    place: Tensor
    """[O, 2] px."""
    body: Tensor
    """Weights of the body's points, 0 elsewhere, [O]."""
    face: Tensor
    """Shares of the face's points in their term's weight, [O]."""
    hands: Tensor
    """The same of the hands."""
    reach: Tensor
    """Shoulder widths, [O]."""

    def pulls(self, pixels: Tensor, face: Tensor, hands: Tensor, scale: float) -> _Pulls:
        """Of a pseudo-Huber penalty of the distances.

        Args:
            pixels: Where the points are, [O, 2].
            face: Weight of the term, [].
            hands: The same.
            scale: Shoulder width, px.
        """
        residual = (pixels - self.place) / scale
        weight = self.body + face * self.face + hands * self.hands
        value, weight = _huber(residual.norm(dim=-1), weight, self.reach)
        return _Pulls(value, weight[:, None] * residual, _isotropic(weight))


class _Ways(NamedTuple):
    """Directions in space: of upper and lower arms, and of the bones of the hands."""

    pairs: Tensor
    """Points at start and end, [L, 2]."""
    direction: Tensor
    """Unit, world axes, [L, 3]."""
    weight: Tensor
    """[L]."""


class _View:
    """The posed body in the photograph's camera."""

    def __init__(self, terms: FitTerms, vector: Tensor) -> None:
        tensors, self.evidence = terms.tensors, terms.evidence
        self.unknowns = Unknowns.of(vector, tensors)
        self.motion = JointMotion(
            tensors, self.unknowns.form[: len(tensors.shape_basis)], self.unknowns.rotations
        )
        self.axes, self.centre = terms.axes, terms.centre
        self.focal = self.unknowns.log_focal.exp()

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
        self._view, self.world, self.by_body = view, world, by_body

    def pulled(self, pulls: _Pulls) -> _Rows:
        """Normal equations of what is done to the points in the picture."""
        view = self._view
        place = self.world @ view.axes.T + view.unknowns.translation
        depth = place[:, 2:]
        slope = place[:, :2] / depth  # [O, 2]
        flat = torch.eye(2, 3, dtype=place.dtype, device=place.device)
        sight = flat - pad(slope[..., None], (2, 0))  # [O, 2, 3]
        by_place = view.focal / view.evidence.scale * sight / depth[..., None]
        by_focal = view.focal / view.evidence.scale * slope[..., None]
        by_camera = torch.cat([by_place, by_focal], -1)  # [O, 2, 4]
        by_world = by_place @ view.axes
        force, root = pulls.force[:, None], _square_root(pulls.stiffness)
        of_body = (force @ by_world).flatten() @ self.by_body.flatten(0, 1)
        rows = torch.cat([(root @ by_world) @ self.by_body, root @ by_camera], -1)
        of_camera = (force @ by_camera).sum((0, 1))
        return _Rows(pulls.value, torch.cat([of_body, of_camera]), rows.flatten(0, 1))

    def along(self, pairs: Tensor, target: Tensor, weight: Tensor) -> _Rows:
        """1 - cosine between the ways from point to point, pairs [L, 2], and unit directions, [L, 3].

        It is half of the squared distance of unit vectors, which makes a residual of it.
        """
        start, end = pairs.T
        way = self.world[end] - self.world[start]
        length = way.norm(dim=-1)[:, None, None]
        unit = normalize(way, dim=-1)
        by_way = (
            torch.eye(3, dtype=unit.dtype, device=unit.device) - unit[:, :, None] * unit[:, None]
        ) / length
        scale = weight.sqrt()[:, None]
        by_body = (scale[..., None] * by_way) @ (self.by_body[end] - self.by_body[start])
        residual = scale * (unit - target)
        root = pad(by_body, (0, 4)).flatten(0, 1)
        return _Rows(residual.square().sum() / 2, residual.flatten() @ root, root)


def _huber(distance: Tensor, weight: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Pseudo-Huber penalty, quadratic below `reach` and linear above: its weighted sum, Gauss-Newton weights."""
    steep = (1 + (distance / reach).square()).sqrt()
    return (weight * reach.square() * (steep - 1)).sum(), weight / steep


def _isotropic(weight: Tensor) -> Tensor:
    """[O, 2, 2] of weights [O] that are the same in every direction."""
    return weight[:, None, None] * torch.eye(2, dtype=weight.dtype, device=weight.device)


def _square_root(matrix: Tensor) -> Tensor:
    """The symmetric root of positive semi-definite matrices [O, 2, 2]; of zeros it is zero."""
    a, b, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1]
    root = (a * d - b * b).clamp_min(0).sqrt()
    trace = (a + d + 2 * root).clamp_min(torch.finfo(matrix.dtype).tiny)
    eye = torch.eye(2, dtype=matrix.dtype, device=matrix.device)
    return (matrix + root[:, None, None] * eye) / trace.sqrt()[:, None, None]


def _sampled(picture: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """A picture at places [Q, 2] px, linear between pixel centres, and its slope there, [Q, 2].

    Args:
        picture: With a rim of zeros, [H + 2, W + 2]; zero beyond.
        pixels: Of the picture without the rim.
    """
    height, width = picture.shape
    place = pixels + 0.5
    low = place.floor().long()
    column, row = low[:, 0].clamp(0, width - 2), low[:, 1].clamp(0, height - 2)
    right, down = (place - torch.stack([column, row], -1)).clamp(0, 1).unbind(-1)
    above = picture[row, column], picture[row, column + 1]
    below = picture[row + 1, column], picture[row + 1, column + 1]
    upper, lower = (left + right * (other - left) for left, other in (above, below))
    across = (1 - down) * (above[1] - above[0]) + down * (below[1] - below[0])
    return upper + down * (lower - upper), torch.stack([across, lower - upper], -1)


def _hand_sizes(evidence: Evidence) -> list[int]:
    return [len(hand.points) for hand in evidence.hands.values()]


def _targets(evidence: Evidence) -> _Targets:
    hands = evidence.hands.values()
    of_hands = torch.cat([evidence.face_weight[:0], *(_alike(hand.points) for hand in hands)])
    shares = [_BODY * evidence.body_weight, evidence.face_weight, of_hands]
    reaches = (_BODY_REACH, _FACE_REACH, _HAND_REACH)
    body, face, hand = torch.block_diag(*(share[None] for share in shares))
    return _Targets(
        place=torch.cat([evidence.body_points, evidence.face_points, *(hand.points for hand in hands)]),
        body=body,
        face=face,
        hands=hand,
        reach=torch.cat([torch.full_like(s, reach) for s, reach in zip(shares, reaches, strict=True)]),
    )


def _ways(evidence: Evidence) -> _Ways:
    hands = evidence.hands.values()
    bones = [(parent, point) for point, parent in enumerate(HAND_PARENT)][1:]
    bone_pairs = torch.tensor(bones, device=evidence.limbs.device)  # [20, 2]
    first = len(evidence.body_points) + len(evidence.face_points)
    ends = np.cumsum([first, *_hand_sizes(evidence)])
    return _Ways(
        pairs=torch.cat([evidence.limbs, *(bone_pairs + int(start) for start in ends[:-1])]),
        direction=torch.cat([evidence.limb_directions, *(hand.bones for hand in hands)]),
        weight=torch.cat([_LIMB * evidence.limb_weight, *(_BONE * _alike(hand.bones) for hand in hands)]),
    )


def _alike(rows: Tensor) -> Tensor:
    """Equal weights of rows [O, ...] that sum to 1, [O]."""
    return rows.new_full((len(rows),), 1 / len(rows))


def _vertices(tensors: TemplateTensors, index: Tensor) -> SkinnedPoints:
    ones = torch.ones(len(index), 1, device=tensors.device)
    return SkinnedPoints.of_vertices(tensors, index[:, None], ones)


def _hand_points(tensors: TemplateTensors, hand: HandEvidence) -> SkinnedPoints:
    """In mediapipe's order."""
    joints, tips = SkinnedPoints.of_joints(tensors, hand.joints), _vertices(tensors, hand.tips)
    return SkinnedPoints.joined([joints, tips])[torch.cat([hand.joint_slots, hand.tip_slots]).argsort()]
