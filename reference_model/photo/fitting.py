"""Fit the body template and a camera to one photograph (analysis by synthesis of landmarks and matte).

Two descents: the first brings pose and camera close with gentle image terms, the second frees expression and lens and
tightens every term. The weights were found on half-body and full-body photographs; image distances count in shoulder
widths, so that they hold for any size of picture.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from media.landmarks import PersonLandmarks, Side
from reference_model.body.skinning import BodyState, TemplateTensors, template_tensors
from reference_model.body.template import BodyTemplate, load_template
from reference_model.cuda_graph import Graphed
from reference_model.photo.evidence import collect_evidence
from reference_model.photo.fit_terms import FOCAL_PRIOR, FitTerms, TermWeights, Unknowns
from reference_model.photo.initial_pose import SIDES, initial_rotations, legs_visible
from reference_model.photo.least_squares import Quadratic, minimise
from reference_model.render.camera import FRONTAL, Camera

__all__ = ["Fit", "fit_body", "joint_stiffness"]

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


class _Stage(NamedTuple):
    """One descent: most steps, the weights of the terms that differ, and whether the face and the lens are free."""

    iterations: int
    weights: TermWeights
    all_free: bool


# The mask is weak at first: strong, it can push a forearm through to the wrong side of its depth ambiguity.
_STAGES = (
    _Stage(8, TermWeights(face=800, hand=150, mask=1.0, contour=0.5), all_free=False),
    _Stage(6, TermWeights(face=3000, hand=600, mask=6.0, contour=1.0), all_free=True),
)
_TOLERANCE = 1e-3  # share of the objective that a step has to gain to be worth another
_LARGEST_SHAPE = 3.0  # standard deviations


class Fit(NamedTuple):
    """A fitted photograph."""

    state: BodyState
    """The body; its offsets are zero."""
    camera: Camera
    """Frontal camera of the whole photograph."""
    error_px: dict[str, float]
    """Median distance between the fit and the landmarks of "body", "face", "hand_left" and "hand_right", px of
    the photograph; only what was seen is listed."""


@torch.no_grad()
def fit_body(
    landmarks: PersonLandmarks,
    image_size: tuple[int, int],
    alpha: np.ndarray,
    device: torch.device | str = "cpu",
) -> Fit:
    """Find the body and the camera that explain a photograph.

    Args:
        landmarks: What the detectors saw, in pixels.
        image_size: Width and height of the photograph, px.
        alpha: Matte of the person `[H, W]`, 0 to 1.
        device: Where to compute; the result is on the CPU.
    """
    template = load_template()
    width, height = image_size
    evidence = collect_evidence(template, landmarks, width, height, alpha)
    subset = torch.as_tensor(evidence.vertices, device=device)
    tensors = template_tensors(device).cut(subset)
    stiffness = joint_stiffness(template, landmarks.hands, legs_seen=legs_visible(landmarks))
    terms = FitTerms(tensors, evidence.to(device), stiffness)
    vector = _start(terms, initial_rotations(template, landmarks))
    # On a GPU the kernels of a step take longer to launch than to run.
    expand = Graphed(terms.expand, warm_ups=1, at_once=True) if vector.is_cuda else terms.expand

    def around(place: Tensor, weights: Tensor) -> Quadratic:
        return Quadratic(*(part.clone() for part in expand(place, weights)))  # a graph overwrites its results

    for stage in _STAGES:
        weights = torch.tensor(stage.weights, device=vector.device)
        lower, upper = _bounds(vector, tensors, stage.all_free)
        vector = minimise(
            partial(around, weights=weights),
            vector,
            lower,
            upper,
            stage.iterations,
            _TOLERANCE,
        )
    error_px = terms.errors_px(vector)
    found = Unknowns.of(vector.cpu(), tensors)
    n_shape = len(tensors.shape_basis)
    state = BodyState(
        shape=found.form[:n_shape],
        actions=found.form[n_shape:],
        rotations=found.rotations,
        offsets=torch.zeros(template.n_vertices, 3),
    )
    camera = Camera.frontal(found.translation.tolist(), float(found.log_focal.exp()), width, height)
    return Fit(state, camera, error_px)


def _start(terms: FitTerms, rotations: np.ndarray) -> Tensor:
    """The mean person with the detector's pose, at the distance where the shoulders are as wide as seen, [n]."""
    seen, tensors = terms.evidence, terms.tensors
    focal = FOCAL_PRIOR * max(seen.width, seen.height)
    form = torch.zeros(len(tensors.shape_basis) + len(tensors.actions))
    pose = torch.as_tensor(rotations, dtype=torch.float32).flatten()
    place = torch.tensor([0.0, 0.0, 1.0, math.log(focal)])
    vector = torch.cat([form, pose, place]).to(tensors.device)
    left, right = terms.shoulders(vector)
    middle = FRONTAL.to(left) @ ((left + right) / 2)
    depth = focal * (left - right).norm() / seen.scale
    centre = left.new_tensor([seen.width / 2, seen.height / 2])
    offset = (seen.body_points[:2].mean(0) - centre) / focal * depth  # [2] m
    vector[-4:-1] = torch.stack([offset[0] - middle[0], offset[1] - middle[1], depth])
    return vector


def _bounds(vector: Tensor, tensors: TemplateTensors, all_free: bool) -> tuple[Tensor, Tensor]:
    """The least and the most of each unknown, [n]; equal where it is not free."""
    lower, upper = torch.full_like(vector, -torch.inf), torch.full_like(vector, torch.inf)
    n_shape, n_form = len(tensors.shape_basis), len(tensors.shape_basis) + len(tensors.actions)
    lower[:n_shape], upper[:n_shape] = -_LARGEST_SHAPE, _LARGEST_SHAPE
    lower[n_shape:n_form], upper[n_shape:n_form] = 0.0, 1.0 if all_free else 0.0
    if not all_free:
        lower[-1] = upper[-1] = vector[-1]
    return lower, upper


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
