"""Fit the body template and a camera to one photograph (analysis by synthesis of landmarks and matte).

Two stages of Adam: the first brings pose and camera close with gentle image terms, the second frees shape and
expression and tightens every term. The weights were found on half-body and full-body photographs; image
distances count in shoulder widths, so that they hold for any size of picture.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, grid_sample

from media.landmarks import PersonLandmarks, Side
from reference_model.body.skinning import BodyState, Posed, TemplateTensors, pose
from reference_model.body.template import BodyTemplate, load_template
from reference_model.photo.adam import Adam
from reference_model.photo.evidence import HAND_PARENT, Evidence, HandEvidence, collect_evidence
from reference_model.photo.initial_pose import SIDES, initial_rotations, legs_visible
from reference_model.render.camera import FRONTAL, Camera

__all__ = ["Fit", "fit_body", "joint_stiffness"]


_FOCAL_PRIOR = 1.5  # focal length over the longer side of the photograph: a portrait lens
_CONTOUR_REACH = 0.05  # shoulder widths; contour points further off than this hardly pull

# Prior on each joint's squared angle, by the start of its name; the first match holds. Low = moves freely.
_JOINT_STIFFNESS: tuple[tuple[str, float], ...] = (
    ("root", 0.0),
    ("upperarm01", 0.02),
    ("upperarm02", 0.3),
    ("lowerarm01", 0.02),
    ("lowerarm02", 0.1),
    ("wrist", 0.05),
    ("finger", 0.05),
    ("metacarpal", 3.0),
    ("clavicle", 0.5),
    ("shoulder01", 0.3),
    ("spine", 1.5),
    ("neck", 0.3),
    ("head", 0.1),
    ("upperleg01", 0.05),
    ("lowerleg01", 0.05),
    ("foot", 0.2),
    ("toe", 20.0),
    ("eye", 20.0),
)
_DEFAULT_STIFFNESS = 2.0
_UNSEEN_LEG_STIFFNESS = 30.0
_UNSEEN_HAND_STIFFNESS = 3.0
_LEG = ("upperleg", "lowerleg", "foot")
_HAND = ("wrist", "finger", "lowerarm02")


@dataclass(frozen=True)
class _Stage:
    """One run of Adam: iterations, step sizes and the weights of the terms that differ between stages."""

    iterations: int
    rotation_lr: float
    shape_lr: float
    action_lr: float
    focal_lr: float
    face: float
    hand: float
    mask: float
    contour: float


# The mask is weak at first: strong, it can push a forearm through to the wrong side of its depth ambiguity.
_STAGES = (
    _Stage(110, 0.03, 0.03, 0.0, 0.0, face=800, hand=150, mask=1.0, contour=0.5),
    _Stage(240, 0.014, 0.05, 0.012, 0.002, face=3000, hand=600, mask=6.0, contour=2.0),
)


class Fit(NamedTuple):
    """A fitted photograph."""

    state: BodyState
    """The body; its offsets are zero."""
    camera: Camera
    """Frontal camera of the whole photograph."""
    error_px: dict[str, float]
    """Median distance between the fit and the landmarks of "body", "face", "hand_left" and "hand_right", px of
    the photograph; only what was seen is listed."""


@dataclass
class _Unknowns:
    shape: Tensor  # [K]
    actions: Tensor  # [52]
    rotations: Tensor  # [J, 3]
    translation: Tensor  # [3] of the camera, m
    log_focal: Tensor  # []

    def require_grad(self) -> None:
        for field in fields(self):
            getattr(self, field.name).requires_grad_()


def fit_body(landmarks: PersonLandmarks, image_size: tuple[int, int], alpha: np.ndarray) -> Fit:
    """Find the body and the camera that explain a photograph.

    Args:
        landmarks: What the detectors saw, in pixels.
        image_size: Width and height of the photograph, px.
        alpha: Matte of the person `[H, W]`, 0 to 1.

    """
    template = load_template()
    width, height = image_size
    evidence = collect_evidence(template, landmarks, width, height, alpha)
    tensors = TemplateTensors(template, vertex_subset=evidence.vertices)
    unknowns = _start(template, tensors, landmarks, evidence)
    stiffness = joint_stiffness(template, landmarks.hands, legs_seen=legs_visible(landmarks))
    for stage in _STAGES:
        _run_stage(stage, unknowns, tensors, evidence, stiffness)
    with torch.no_grad():
        error_px = _measure(_posed(tensors, unknowns), unknowns, evidence)
    state = BodyState(
        shape=unknowns.shape.detach(),
        actions=unknowns.actions.detach().clamp(0, 1),
        rotations=unknowns.rotations.detach(),
        offsets=torch.zeros(template.n_vertices, 3),
    )
    focal = float(unknowns.log_focal.detach().exp())
    camera = Camera.frontal(unknowns.translation.tolist(), focal, width, height)
    return Fit(state, camera, error_px)


def _start(
    template: BodyTemplate, tensors: TemplateTensors, landmarks: PersonLandmarks, evidence: Evidence
) -> _Unknowns:
    """The mean person with the detector's pose, at the distance where the shoulders are as wide as seen."""
    rotations = torch.as_tensor(initial_rotations(template, landmarks), dtype=torch.float32)
    unknowns = _Unknowns(
        shape=torch.zeros(len(template.shape_basis)),
        actions=torch.zeros(len(template.action_names)),
        rotations=rotations,
        translation=torch.tensor([0.0, 0.0, 3.0]),
        log_focal=torch.tensor(math.log(_FOCAL_PRIOR * max(evidence.width, evidence.height))),
    )
    points = evidence.body_regressor @ _posed(tensors, unknowns).vertices  # [P, 3]
    left, right = points[0], points[1]  # shoulders
    middle = FRONTAL @ ((left + right) / 2)
    focal = unknowns.log_focal.exp()
    depth = focal * (left - right).norm() / evidence.scale
    centre = torch.tensor([evidence.width / 2, evidence.height / 2])
    offset = (evidence.body_points[:2].mean(0) - centre) / focal * depth  # [2] m
    unknowns.translation = torch.stack([offset[0] - middle[0], offset[1] - middle[1], depth])
    unknowns.require_grad()
    return unknowns


def joint_stiffness(template: BodyTemplate, hands: Collection[Side], *, legs_seen: bool) -> Tensor:
    """Weight of each joint's squared angle, `[J, 1]`; what is out of sight stays as it is at rest.

    Args:
        template: The body.
        hands: Those in sight.
        legs_seen: Whether a knee is in sight.
    """
    unseen_hands = tuple(f".{SIDES[side]}" for side in SIDES if side not in hands)

    def stiffness(name: str) -> float:
        if not legs_seen and name.startswith(_LEG):
            return _UNSEEN_LEG_STIFFNESS
        if name.endswith(unseen_hands) and name.startswith(_HAND):
            return _UNSEEN_HAND_STIFFNESS
        return next(
            (value for start, value in _JOINT_STIFFNESS if name.startswith(start)), _DEFAULT_STIFFNESS
        )

    return torch.tensor([stiffness(name) for name in template.joint_names])[:, None]


def _run_stage(
    stage: _Stage, unknowns: _Unknowns, tensors: TemplateTensors, evidence: Evidence, stiffness: Tensor
) -> None:
    rates = {
        "rotations": stage.rotation_lr,
        "translation": stage.rotation_lr,
        "shape": stage.shape_lr,
        "actions": stage.action_lr,
        "log_focal": stage.focal_lr,
    }
    optimiser = Adam([getattr(unknowns, name) for name in rates], list(rates.values()))
    nearest = torch.zeros(0, dtype=torch.long)
    for iteration in range(stage.iterations):
        posed = _posed(tensors, unknowns)
        if iteration % 5 == 0:
            with torch.no_grad():
                surface = _project(posed.vertices[evidence.surface], unknowns, evidence)
                nearest = torch.cdist(evidence.contour, surface).argmin(1)
        loss = _image_terms(stage, posed, unknowns, evidence, nearest)
        loss = loss + _direction_terms(posed, evidence) + _prior_terms(unknowns, stiffness, evidence)
        loss.backward()
        optimiser.step(0.1 + 0.45 * (1 + math.cos(math.pi * iteration / stage.iterations)))
        with torch.no_grad():
            unknowns.actions.clamp_(0, 1)
            unknowns.shape.clamp_(-3, 3)


def _posed(tensors: TemplateTensors, unknowns: _Unknowns) -> Posed:
    offsets = torch.zeros_like(tensors.vertices)
    return pose(tensors, BodyState(unknowns.shape, unknowns.actions, unknowns.rotations, offsets))


def _project(points: Tensor, unknowns: _Unknowns, evidence: Evidence) -> Tensor:
    """World points `[..., 3]` in pixels `[..., 2]`."""
    seen = points @ FRONTAL.T + unknowns.translation
    centre = torch.tensor([evidence.width / 2, evidence.height / 2])
    return unknowns.log_focal.exp() * seen[..., :2] / seen[..., 2:] + centre


def _huber(distance: Tensor, delta: float) -> Tensor:
    """Pseudo-Huber penalty: quadratic below `delta`, linear above."""
    return delta**2 * ((1 + (distance / delta) ** 2).sqrt() - 1)


def _hand_points(posed: Posed, hand: HandEvidence) -> Tensor:
    points = posed.vertices.new_zeros(21, 3)
    points = points.index_copy(0, hand.joint_slots, posed.joints[hand.joints])
    return points.index_copy(0, hand.tip_slots, posed.vertices[hand.tips])


def _image_terms(
    stage: _Stage, posed: Posed, unknowns: _Unknowns, evidence: Evidence, nearest: Tensor
) -> Tensor:
    """Everything that is compared in the picture: points, the matte and its contour."""

    def off(points: Tensor, target: Tensor) -> Tensor:
        return (_project(points, unknowns, evidence) - target).norm(dim=-1) / evidence.scale

    body = off(evidence.body_regressor @ posed.vertices, evidence.body_points)
    loss = 40 * (_huber(body, 0.1) * evidence.body_weight).sum()
    corners = posed.vertices[evidence.face_triangles]  # [F, 3, 3]
    face = off((corners * evidence.face_barycentric[..., None]).sum(1), evidence.face_points)
    loss = loss + stage.face * (_huber(face, 0.02) * evidence.face_weight).sum()
    for hand in evidence.hands.values():
        loss = loss + stage.hand * _huber(off(_hand_points(posed, hand), hand.points), 0.05).mean()

    surface = _project(posed.vertices[evidence.surface], unknowns, evidence)  # [Q, 2]
    size = torch.tensor([evidence.width, evidence.height])
    grid = (surface / size * 2 - 1)[None, None]
    outside = grid_sample(evidence.outside, grid, align_corners=False)[0, 0, 0] / evidence.scale
    loss = loss + stage.mask * _huber(outside, 0.03).sum()
    if len(nearest):
        gap = ((surface[nearest] - evidence.contour) / evidence.scale).square().sum(-1)
        loss = loss + stage.contour * (gap / (gap + _CONTOUR_REACH**2)).mean()  # Geman-McClure
    return loss


def _direction_terms(posed: Posed, evidence: Evidence) -> Tensor:
    """3D directions of arms and finger bones: they settle the depth that the picture leaves open."""
    points = evidence.body_regressor @ posed.vertices
    limbs = points[evidence.limbs[:, 1]] - points[evidence.limbs[:, 0]]  # [L, 3]
    loss = 2 * ((1 - cosine_similarity(limbs, evidence.limb_directions, dim=-1)) * evidence.limb_weight).sum()
    for hand in evidence.hands.values():
        hand_points = _hand_points(posed, hand)
        bones = hand_points[1:] - hand_points[HAND_PARENT[1:]]  # [20, 3]
        loss = loss + 1.5 * (1 - cosine_similarity(bones, hand.bones, dim=-1)).mean()
    return loss


def _prior_terms(unknowns: _Unknowns, stiffness: Tensor, evidence: Evidence) -> Tensor:
    focal = unknowns.log_focal - math.log(_FOCAL_PRIOR * max(evidence.width, evidence.height))
    pose_prior = 0.05 * (stiffness * unknowns.rotations.square()).sum()
    shape_prior = 0.006 * unknowns.shape.square().sum()
    return pose_prior + shape_prior + 0.05 * unknowns.actions.square().sum() + 20 * focal.square()


def _measure(posed: Posed, unknowns: _Unknowns, evidence: Evidence) -> dict[str, float]:
    corners = posed.vertices[evidence.face_triangles]
    trusted = evidence.body_weight > 0.05
    pairs = {
        "body": ((evidence.body_regressor @ posed.vertices)[trusted], evidence.body_points[trusted]),
        "face": ((corners * evidence.face_barycentric[..., None]).sum(1), evidence.face_points),
        **{f"hand_{side}": (_hand_points(posed, hand), hand.points) for side, hand in evidence.hands.items()},
    }
    return {
        name: float((_project(points, unknowns, evidence) - target).norm(dim=-1).median())
        for name, (points, target) in pairs.items()
        if len(target)
    }
