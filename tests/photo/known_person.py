"""A made person whose every landmark is known, in place of a detector's guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from media.landmarks import HandLandmarks, PersonLandmarks
from reference_model.body.mesh import rasterize_mesh
from reference_model.body.skinning import BodyState, Posed, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.photo.initial_pose import HAND_CHAIN, SIDES
from reference_model.render.camera import Camera

POSE_LANDMARKS = {
    "shoulder": 11,
    "elbow": 13,
    "wrist": 15,
    "hip": 23,
    "knee": 25,
    "ankle": 27,
    "heel": 29,
    "big_toe": 31,
    "ear": 7,
}


@dataclass(frozen=True)
class KnownPerson:
    state: BodyState
    camera: Camera
    posed: Posed
    landmarks: PersonLandmarks
    alpha: np.ndarray


def make_known_person() -> KnownPerson:
    """A body of known shape with bent arms before a known camera, 512x512, legs out of sight."""
    template = load_template()
    tensors = TemplateTensors(template)
    generator = torch.Generator().manual_seed(3)
    state = BodyState.neutral(tensors)
    rotations = state.rotations.clone()
    for side, sign in (("L", 1.0), ("R", -1.0)):
        rotations[template.joint(f"upperarm01.{side}")] = torch.tensor([0.1, 0.5 * sign, 0.0])
        rotations[template.joint(f"lowerarm01.{side}")] = torch.tensor([0.0, 0.2 * sign, -1.2 * sign])
        rotations[template.joint(f"finger2-1.{side}")] = torch.tensor([0.3, 0.1, 0.0])
    rotations[template.joint("head")] = torch.tensor([0.05, 0.0, 0.1])
    shape = 0.7 * torch.randn(len(template.shape_basis), generator=generator)
    state = state.replace(shape=shape, rotations=rotations)
    camera = Camera.frontal((0.02, 0.36, 2.2), 780.0, 512, 512)
    posed = pose(tensors, state)
    pixels, depth = camera.project(posed.vertices)
    raster = rasterize_mesh(torch.cat([pixels, depth[:, None]], 1).numpy(), template.faces, 512, 512)
    alpha = (raster.face_index >= 0).astype(np.float32)
    return KnownPerson(state, camera, posed, _landmarks(posed, camera, alpha), alpha)


def _landmarks(posed: Posed, camera: Camera, alpha: np.ndarray) -> PersonLandmarks:
    template = load_template()
    vertices, joints = posed.vertices.numpy(), posed.joints.numpy()

    def pixels(points: np.ndarray) -> np.ndarray:
        return camera.project(torch.as_tensor(points, dtype=torch.float32))[0].numpy()

    def axes(points: np.ndarray) -> np.ndarray:
        return points @ camera.rotation.numpy().T

    body = np.zeros((33, 3))
    visibility = np.zeros(33)
    for part, slot in POSE_LANDMARKS.items():
        for side, shift in (("left", 0), ("right", 1)):
            k = template.keypoint_names.index(f"{side}_{part}")
            weights = template.keypoint_weight[k][:, None]
            body[slot + shift] = (weights * vertices[template.keypoint_index[k]]).sum(0)
            visibility[slot + shift] = 0.0 if slot >= 25 else 1.0
    body[[9, 10]] = vertices[template.lip > 0.5].mean(0)
    face = np.zeros((478, 3))
    known = np.flatnonzero(template.landmark_face >= 0)
    corners = vertices[template.faces[template.landmark_face[known]]]
    face[known, :2] = pixels((corners * template.landmark_barycentric[known][..., None]).sum(1))
    hands = {}
    for side, letter in SIDES.items():
        points = np.zeros((21, 3))
        for slot, name in HAND_CHAIN.items():
            points[slot] = joints[template.joint(f"{name}.{letter}")]
        points[[4, 8, 12, 16, 20]] = vertices[template.fingertip_vertex[side]]
        flat = np.hstack([pixels(points), np.zeros((21, 1))])
        hands[side] = HandLandmarks(points=flat, world=axes(points - points[0]), score=1.0)
    return PersonLandmarks(
        pose=np.hstack([pixels(body), np.zeros((33, 1)), visibility[:, None]]),
        pose_world=axes(body - body[[23, 24]].mean(0)),
        face=face,
        hands=hands,
        mask=alpha,
        n_people=1,
    )
