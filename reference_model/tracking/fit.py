"""Fit the pose of every frame of a video at once: one body, one camera, motion that is smooth where nothing is seen.

The body's shape and the camera are those of the photograph; what is sought is how joints and face differ from it. The
terms are those of `photo.fit_terms`, over time. The photograph's own first frame says how far the detectors' points lie
from the template's on this person (hair over the ears, a wide sleeve); that distance is taken out of every frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from media.landmarks import Side
from media.threads import one_torch_thread
from reference_model.body.se3 import exp_so3, log_so3
from reference_model.body.skinning import BodyState, Posed, TemplateTensors, pose
from reference_model.body.template import BodyTemplate
from reference_model.photo.adam import Adam
from reference_model.photo.evidence import HAND_PARENT
from reference_model.photo.fitting import joint_stiffness
from reference_model.photo.initial_pose import HAND_CHAIN, SIDES
from reference_model.render.camera import Camera
from reference_model.tracking.observations import Observations

__all__ = ["BodyTrack", "fit_track"]

_TIP_SLOTS = [4, 8, 12, 16, 20]
_BODY, _FACE, _HAND, _LIMB, _BONE = 40.0, 3000.0, 600.0, 2.0, 1.5
_POSE_PRIOR, _ACTION_PRIOR, _SHIFT_PRIOR = 0.05, 0.05, 2.0
_BEND, _ACTION_BEND, _SHIFT_BEND = 6.0, 0.15, 400.0
_SEEN = 0.25  # share of the frames from which on a hand or a knee counts as in sight


@dataclass(frozen=True, slots=True, eq=False)
class BodyTrack:
    """T frames of one body, relative to its photograph."""

    actions: Tensor
    """[T, 52] facial actions, 0..1."""
    rotations: Tensor
    """[T, J, 3] rotation vectors of the joints as in `BodyState`."""
    turns: Tensor
    """[T, J, 3] the same after the photograph's: `exp(rotations) = exp(photo) exp(turns)`, as particle states count."""
    shift: Tensor
    """[T, 3] way of the whole body, metres, world axes."""
    error_px: dict[str, float]
    """Median distance between fit and detectors' points of "body", "face" and "hands", px; only what was seen."""


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """The template's points in pixels and directions in the world, of every frame."""

    body: Tensor  # [T, P, 2]
    face: Tensor  # [T, F, 2]
    hands: Tensor  # [T, 2, 21, 2]
    limbs: Tensor  # [T, L, 3]
    bones: Tensor  # [T, 2, 20, 3]


def fit_track(template: BodyTemplate, seen: Observations, state: BodyState, camera: Camera) -> BodyTrack:
    """Find the pose of each frame.

    Args:
        template: The body.
        seen: The frames, the first of which is the photograph, in the camera's pixels.
        state: The body as fitted to the photograph.
        camera: Of the video, which stands still.
    """
    with one_torch_thread():
        return _Fitter(template, seen, state, camera).run()


class _Fitter:
    def __init__(self, template: BodyTemplate, seen: Observations, state: BodyState, camera: Camera) -> None:
        self.tensors = TemplateTensors(template, vertex_subset=seen.vertices)
        self.seen, self.camera, self.photo = seen, camera, state
        n = seen.n_frames
        self.rotations = state.rotations.expand(n, -1, -1).clone()  # [T, J, 3]
        self.actions = state.actions.expand(n, -1).clone()  # [T, 52]
        self.shift = torch.zeros(n, 3)
        share = seen.hand_weight.mean(0)
        hands: list[Side] = [side for i, side in enumerate(SIDES) if share[i] > _SEEN]
        knees = seen.body_weight[:, 10:12].amax(1).mean()
        self.stiffness = joint_stiffness(template, hands, legs_seen=bool(knees > _SEEN))  # [J, 1]
        with torch.no_grad():
            start = self._points(self._posed())
            self.scale = float((start.body[0, 0] - start.body[0, 1]).norm())  # px between the shoulders
            self.body = seen.body + (start.body - seen.body)[:1] * (seen.body_weight[0] > 0)[:, None]
            self.face = seen.face + (start.face - seen.face)[:1] * (seen.face_weight[0] > 0)[:, None]

    def run(self) -> BodyTrack:
        """First joints and place, then the face as well."""
        self._descend(100, rotations=0.03, actions=0.0, shift=0.01)
        self._descend(160, rotations=0.015, actions=0.03, shift=0.005)
        with torch.no_grad():
            turned = exp_so3(self.photo.rotations).transpose(-1, -2) @ exp_so3(self.rotations)
            return BodyTrack(
                actions=self.actions.detach().clamp(0, 1),
                rotations=self.rotations.detach(),
                turns=log_so3(turned).detach(),
                shift=self.shift.detach(),
                error_px=self._errors(),
            )

    def _descend(self, iterations: int, **rates: float) -> None:
        unknowns = {"rotations": self.rotations, "actions": self.actions, "shift": self.shift}
        for tensor in unknowns.values():
            tensor.requires_grad_()
        optimiser = Adam(list(unknowns.values()), [rates[name] for name in unknowns])
        for iteration in range(iterations):
            loss = self._data(self._points(self._posed())) + self._priors()
            loss.backward()
            optimiser.step(0.1 + 0.45 * (1 + math.cos(math.pi * iteration / iterations)))
            with torch.no_grad():
                self.actions.clamp_(0, 1)

    def _posed(self) -> Posed:
        offsets = torch.zeros_like(self.tensors.vertices)
        return pose(self.tensors, BodyState(self.photo.shape, self.actions, self.rotations, offsets))

    def _points(self, posed: Posed) -> _Points:
        seen = self.seen
        body = seen.body_regressor @ posed.vertices  # [T, P, 3]
        corners = posed.vertices[:, seen.face_triangles]  # [T, F, 3, 3]
        face = (corners * seen.face_barycentric[..., None]).sum(-2)
        hands = posed.vertices.new_zeros(len(body), 2, 21, 3)
        hands = hands.index_copy(2, torch.tensor(list(HAND_CHAIN)), posed.joints[:, seen.hand_joints])
        hands = hands.index_copy(2, torch.tensor(_TIP_SLOTS), posed.vertices[:, seen.hand_tips])

        def project(points: Tensor) -> Tensor:
            shift = self.shift.reshape(-1, *(1,) * (points.ndim - 2), 3)
            return self.camera.project(points + shift)[0]

        return _Points(
            project(body),
            project(face),
            project(hands),
            body[:, seen.limbs[:, 1]] - body[:, seen.limbs[:, 0]],
            hands[:, :, 1:] - hands[:, :, HAND_PARENT[1:]],
        )

    def _data(self, points: _Points) -> Tensor:
        """What differs from the detectors, summed over frames."""
        seen = self.seen

        def off(found: Tensor, target: Tensor) -> Tensor:
            return (found - target).norm(dim=-1) / self.scale

        loss = _BODY * (_huber(off(points.body, self.body), 0.1) * seen.body_weight).sum()
        loss = loss + _FACE * (_huber(off(points.face, self.face), 0.02) * seen.face_weight).sum()
        hands = _huber(off(points.hands, seen.hands), 0.05).mean(-1)  # [T, 2]
        loss = loss + _HAND * (hands * seen.hand_weight).sum()
        limbs = 1 - cosine_similarity(points.limbs, seen.limb_directions, dim=-1)
        bones = (1 - cosine_similarity(points.bones, seen.hand_bones, dim=-1)).mean(-1)
        return loss + _LIMB * (limbs * seen.limb_weight).sum() + _BONE * (bones * seen.hand_weight).sum()

    def _priors(self) -> Tensor:
        """Near the photograph, and of little acceleration."""
        pose_prior = (self.stiffness * (self.rotations - self.photo.rotations).square()).sum()
        action_prior = (self.actions - self.photo.actions).square().sum()
        smooth = (
            _BEND * _bend(self.rotations)
            + _ACTION_BEND * _bend(self.actions)
            + _SHIFT_BEND * _bend(self.shift)
        )
        near = (
            _POSE_PRIOR * pose_prior + _ACTION_PRIOR * action_prior + _SHIFT_PRIOR * self.shift.square().sum()
        )
        return near + smooth

    def _errors(self) -> dict[str, float]:
        points, seen = self._points(self._posed()), self.seen
        pairs = {
            "body": (points.body, self.body, seen.body_weight > 0.05),
            "face": (points.face, self.face, seen.face_weight > 0),
            "hands": (points.hands, seen.hands, (seen.hand_weight > 0)[..., None].expand(-1, -1, 21)),
        }
        return {
            name: float((found - target).norm(dim=-1)[known].median())
            for name, (found, target, known) in pairs.items()
            if known.any()
        }


def _bend(values: Tensor) -> Tensor:
    """Sum of the squared second differences over time, [T, ...]."""
    if len(values) < 3:
        return values.new_zeros(())
    return (values[2:] - 2 * values[1:-1] + values[:-2]).square().sum()


def _huber(distance: Tensor, delta: float) -> Tensor:
    """Pseudo-Huber penalty: quadratic below `delta`, linear above."""
    return delta**2 * ((1 + (distance / delta) ** 2).sqrt() - 1)
