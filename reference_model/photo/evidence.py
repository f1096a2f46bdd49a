"""What the fit is measured against: landmarks, matte and contour as tensors, with their template points."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from media.landmarks import PersonLandmarks, Side
from reference_model.body.template import BodyTemplate
from reference_model.photo.initial_pose import HAND_CHAIN, SIDES, camera_to_world_axes

__all__ = [
    "HAND_PARENT",
    "REGRESSOR_VERTICES",
    "Evidence",
    "HandEvidence",
    "collect_evidence",
    "regressor_rows",
]

# COCO body point of the template -> mediapipe pose landmark, and how far the latter is to be trusted: over
# flips and scales of one photograph, hips scatter by up to 16 px; the hand model places wrists better.
_BODY_POINTS: dict[str, tuple[int, float]] = {
    "shoulder": (11, 1.0),
    "elbow": (13, 1.0),
    "wrist": (15, 0.3),
    "hip": (23, 0.3),
    "knee": (25, 1.0),
    "ankle": (27, 1.0),
    "heel": (29, 1.0),
    "big_toe": (31, 1.0),
    "ear": (7, 0.1),
}
_INDEX_FINGER = "index_finger"  # a point of the body model, for hands that the hand model misses
_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"))
_SILHOUETTE_STRIDE = 6  # every sixth vertex of the skin stands for the surface in the matte terms
_CONTOUR_POINTS = 300
_LANDMARK_SPREAD_M = 1.5e-3  # face points that scatter more on the template than this count less
REGRESSOR_VERTICES = 64
"""Of up to 4,000 for each body point; moves the points by 0.2 mm."""


@dataclass(frozen=True)
class HandEvidence:
    """One hand: 21 points in mediapipe's order."""

    points: Tensor  # [21, 2] px
    bones: Tensor  # [20, 3] unit directions in world axes, from each point's parent
    joints: Tensor  # [16] template joints of the points that are joints
    joint_slots: Tensor  # [16] their places among the 21
    tips: Tensor  # [5] rows of the vertex subset
    tip_slots: Tensor  # [5]

    def to(self, device: torch.device | str) -> HandEvidence:
        """The same on `device`."""
        return HandEvidence(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Evidence:
    """Targets in pixels of the photograph, and which template points they belong to.

    `vertices` lists the template vertices that the fit needs; every other vertex index counts in that subset.
    """

    width: int
    height: int
    scale: float  # px; the shoulder width, by which all image distances are divided
    vertices: np.ndarray  # [S] template vertices of the subset
    body_regressor: Tensor  # [P, S]
    body_points: Tensor  # [P, 2] px
    body_weight: Tensor  # [P]
    limbs: Tensor  # [L, 2] rows of body_points: start and end
    limb_directions: Tensor  # [L, 3] unit, world axes
    limb_weight: Tensor  # [L]
    face_triangles: Tensor  # [F, 3]
    face_barycentric: Tensor  # [F, 3]
    face_points: Tensor  # [F, 2] px
    face_weight: Tensor  # [F], sums to 1
    hands: dict[str, HandEvidence]
    surface: Tensor  # [Q] vertices spread over the skin
    outside: Tensor  # [1, 1, H, W] px distance to the matte
    contour: Tensor  # [C, 2] px

    def to(self, device: torch.device | str) -> Evidence:
        """The same with its tensors on `device`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        hands = {side: hand.to(device) for side, hand in self.hands.items()}
        return replace(self, **moved, hands=hands)


HAND_PARENT = [0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
"""Parent of each of mediapipe's hand points."""


def collect_evidence(
    template: BodyTemplate, landmarks: PersonLandmarks, width: int, height: int, alpha: np.ndarray
) -> Evidence:
    """Gather what the detectors and the matte say about one photograph.

    Args:
        template: The body.
        landmarks: Landmarks in pixels of the photograph.
        width: Of the photograph, px.
        height: Of the photograph, px.
        alpha: Matte `[H, W]`, 0 to 1.
    """
    pose = np.asarray(landmarks.pose, np.float64)
    names = [f"{side}_{part}" for part in _BODY_POINTS for side in SIDES]
    unseen_hands = [side for side in SIDES if side not in landmarks.hands]
    names += [f"{side}_{_INDEX_FINGER}" for side in unseen_hands]
    regressor = regressor_rows(template, names)  # [P, V]
    points = _BODY_POINTS | {_INDEX_FINGER: (19, 0.3)}
    slots = np.array([points[n.split("_", 1)[1]][0] + n.startswith("right") for n in names])
    trust = np.array([points[n.split("_", 1)[1]][1] for n in names])
    for side in unseen_hands:
        trust[names.index(f"{side}_wrist")] = 1.0
    inside = (pose[slots, :2] > 0).all(1) & (pose[slots, 0] < width) & (pose[slots, 1] < height)

    face = np.flatnonzero(template.landmark_face >= 0) if landmarks.face is not None else np.zeros(0, int)
    face_corners = template.faces[template.landmark_face[face]]  # [F, 3]
    tips = {side: np.asarray(template.fingertip_vertex[side]) for side in landmarks.hands}
    skin = template.region_vertices("body", "head", "hand_left", "hand_right")
    surface = np.flatnonzero(skin)[::_SILHOUETTE_STRIDE]
    regressed = np.flatnonzero((regressor != 0).any(0))
    vertices = np.unique(np.concatenate([regressed, face_corners.ravel(), surface, *tips.values()]))
    row = np.full(len(template.vertices), -1)
    row[vertices] = np.arange(len(vertices))

    face_weight = np.clip(_LANDMARK_SPREAD_M / (template.landmark_spread[face] + 1e-4), 0.02, 1.0)
    limbs = [(names.index(f"{s}_{a}"), names.index(f"{s}_{b}")) for a, b in _LIMBS for s in SIDES]
    world = camera_to_world_axes(np.asarray(landmarks.pose_world, np.float64))
    limb_directions = np.stack([world[slots[b]] - world[slots[a]] for a, b in limbs])
    outside, contour = _matte_targets(alpha, below_y=float(pose[[9, 10], 1].mean()))
    face_px = np.zeros((0, 2)) if landmarks.face is None else np.asarray(landmarks.face)[face, :2]
    return Evidence(
        width=width,
        height=height,
        scale=_body_scale(pose),
        vertices=vertices,
        body_regressor=_float(regressor[:, vertices]),
        body_points=_float(pose[slots, :2]),
        body_weight=_float(pose[slots, 3] ** 2 * inside * trust),
        limbs=torch.tensor(limbs),
        limb_directions=_float(limb_directions / np.linalg.norm(limb_directions, axis=1, keepdims=True)),
        limb_weight=_float(pose[slots[[b for _, b in limbs]], 3]),
        face_triangles=torch.as_tensor(row[face_corners]),
        face_barycentric=_float(template.landmark_barycentric[face]),
        face_points=_float(face_px),
        face_weight=_float(face_weight / max(face_weight.sum(), 1e-9)),
        hands={side: _hand(template, side, landmarks, row[tips[side]]) for side in landmarks.hands},
        surface=torch.as_tensor(row[surface]),
        outside=outside,
        contour=contour,
    )


def _hand(template: BodyTemplate, side: Side, landmarks: PersonLandmarks, tips: np.ndarray) -> HandEvidence:
    hand = landmarks.hands[side]
    names = list(template.joint_names)
    world = camera_to_world_axes(np.asarray(hand.world, np.float64))
    bones = world[1:] - world[HAND_PARENT[1:]]
    return HandEvidence(
        points=_float(np.asarray(hand.points)[:, :2]),
        bones=_float(bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)),
        joints=torch.tensor([names.index(f"{name}.{SIDES[side]}") for name in HAND_CHAIN.values()]),
        joint_slots=torch.tensor(list(HAND_CHAIN)),
        tips=torch.as_tensor(tips),
        tip_slots=torch.tensor([4, 8, 12, 16, 20]),
    )


def regressor_rows(template: BodyTemplate, names: list[str]) -> np.ndarray:
    """Dense weights `[P, V]` of the named body points over the template's vertices."""
    keypoints = list(template.keypoint_names)
    dense = np.zeros((len(names), len(template.vertices)))
    for row, name in enumerate(names):
        side, part = name.split("_", 1)
        if part == _INDEX_FINGER:
            dense[row, template.fingertip_vertex[side][1]] = 1.0
            continue
        k = keypoints.index(name)
        heaviest = np.argsort(-template.keypoint_weight[k], kind="stable")[:REGRESSOR_VERTICES]
        weight = template.keypoint_weight[k, heaviest]
        np.add.at(dense[row], template.keypoint_index[k, heaviest], weight / weight.sum())
    return dense


def _body_scale(pose: np.ndarray) -> float:
    """Shoulder width in px; seen from the side the trunk's length stands in for it."""
    shoulders = np.linalg.norm(pose[11, :2] - pose[12, :2])
    trunk = np.linalg.norm(pose[[11, 12], :2].mean(0) - pose[[23, 24], :2].mean(0))
    return float(max(shoulders, 0.5 * trunk))


def _matte_targets(alpha: np.ndarray, below_y: float) -> tuple[Tensor, Tensor]:
    """Distance outside the matte, and points of its contour below the mouth (above it hair is no body)."""
    height, width = alpha.shape
    mask = cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=len)[:, 0] if contours else np.zeros((0, 2), np.int32)
    x, y = points[:, 0], points[:, 1]
    inner = (x > 3) & (x < width - 4) & (y > 3) & (y < height - 4) & (y > below_y)
    points = points[inner]
    points = points[:: max(1, len(points) // _CONTOUR_POINTS)]
    return _float(distance)[None, None], _float(points + 0.5)


def _float(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
