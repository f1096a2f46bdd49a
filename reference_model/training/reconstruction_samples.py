"""What the reconstruction learns from: a made person photographed, fitted not quite right, and drawn from elsewhere.

The mesh renderer draws the photograph, two views from the sides and another pose. The canvas is built on a body that is
off by about what a fit is off, so that the pass learns to correct what it will meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.canvas import CanvasBuilder
from reference_model.avatar.forward import BODY_SIZE, Crop, Crops, canvas_photo
from reference_model.avatar.optimise import Canvas
from reference_model.body.skinning import BodyState, TemplateTensors, pose_joints
from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.drawing.scene import View, develop
from reference_model.corpus.drawing.setting import Setting, background_picture, draw_setting
from reference_model.corpus.motion.animator import Motion, absolute_rotations
from reference_model.corpus.people.person import MadePerson, load_person
from reference_model.photo.layers import extend_foreground
from reference_model.photo.silhouette import silhouette_offsets
from reference_model.reconstruction.canvas_network import CanvasNetwork, CanvasPhoto
from reference_model.render.camera import Camera

__all__ = ["HEAD", "LEFT_HAND", "OTHER", "PHOTO", "RIGHT_HAND", "SIDES", "Sample", "Target", "draw_samples"]

PHOTO, HEAD, LEFT_HAND, RIGHT_HAND, OTHER = 0, 1, 2, 3, 6
SIDES = (4, 5)
"""Places of the views in `Sample.targets`."""

_PHOTO_SIZE = (576, 768)
_SIDE_YAW_DEG = (12.0, 35.0)
_GAUSSIANS = (10_000, 16_000, 24_000)
# How far the photograph's pose is from the person's rest pose, and the other pose from it; radians.
_POSES = {
    "upperarm01": (0.08, 0.30),
    "lowerarm01": (0.20, 0.50),
    "wrist": (0.10, 0.25),
    "finger": (0.12, 0.25),
    "head": (0.08, 0.25),
    "neck": (0.04, 0.10),
    "spine": (0.02, 0.05),
}
# How far a fit is off, radians.
_MISFIT = {
    "upperarm": 0.015,
    "lowerarm": 0.02,
    "wrist": 0.04,
    "finger": 0.05,
    "spine": 0.005,
    "head": 0.007,
    "upperleg": 0.02,
}
_SHAPE_RIDGE, _SHAPE_MISFIT = 1e-3, 0.05
_KNOWN_DETAIL = (0.7, 1.0)
"""Share of what shape coefficients cannot say about a body that a fit finds by the silhouette and the face."""


@dataclass(frozen=True, slots=True)
class Target:
    """A picture that the reconstruction should give."""

    camera: Camera
    rgb: Tensor
    """The person's colours, continued beyond the rim, [H, W, 3] uint8."""
    alpha: Tensor
    """[H, W] uint8."""
    weight: float
    """0 for a view that shows nothing."""


class Sample(NamedTuple):
    """One person with one fit."""

    photo: CanvasPhoto
    canvas: Canvas
    targets: tuple[Target, ...]
    """The photograph, its head and hands, two sides, another pose."""
    motion: Tensor
    """Of each joint from the photograph's pose to the other, [J, 3, 4]."""
    region: Tensor
    """[N] uint8."""
    position: Tensor
    """On the template, [N, 3]."""


def draw_samples(path: Path, network: CanvasNetwork, seed: int, n_fits: int) -> list[Sample]:
    """Draw a person once, and fit it several times.

    Args:
        path: File of `people_files`.
        network: Whose query points.
        seed: Of pose, views and misfits.
        n_fits: How many samples.
    """
    rng = np.random.default_rng(seed)
    person = load_person(path)
    setting = draw_setting(person.look.attributes, person, seed, *_PHOTO_SIZE)
    template = person.template
    turns = np.zeros((2, template.n_joints, 3), np.float32)
    for joint, name in enumerate(template.joint_names):
        spread = _first(_POSES, name)
        if spread is not None:
            turns[0, joint] = rng.normal(0, spread[0], 3)
            turns[1, joint] = turns[0, joint] + rng.normal(0, spread[1], 3)
    actions = np.zeros((2, len(template.actions)), np.float32)
    actions[:, template.action("mouthSmileLeft")] = actions[:, template.action("mouthSmileRight")] = (
        rng.uniform(0, 0.4)
    )
    rotations = absolute_rotations(person.rest_pose, Motion(actions, turns))
    yaws = rng.uniform(*_SIDE_YAW_DEG, 2) * (-1, 1)
    pictures = _Pictures(person, setting)
    photo, alpha = pictures.draw(actions[0], rotations[0], _PHOTO_SIZE)
    drawn = [
        *(pictures.target(actions[0], rotations[0], float(yaw)) for yaw in yaws),
        pictures.target(actions[1], rotations[1], 0.0),
    ]
    return [
        _fitted(person, setting, photo, alpha, rotations, actions[0], drawn, network, rng)
        for _ in range(n_fits)
    ]


class _Pictures:
    """A person under one light; what reaches the surface is measured once for each pose."""

    def __init__(self, person: MadePerson, setting: Setting) -> None:
        self._person, self._setting = person, setting
        self._light: dict[bytes, np.ndarray] = {}

    def draw(
        self, actions: np.ndarray, rotations: np.ndarray, size: tuple[int, int], yaw_deg: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Picture [H, W, 3] uint8 and alpha [H, W] in 0 to 1."""
        setting, figure = self._setting, self._person.figure
        view = self.view(size, yaw_deg)
        posed = figure.pose(actions, rotations, view.centre)
        key = rotations.tobytes()
        if key not in self._light:
            self._light[key] = figure.visibility(posed, setting.lights)
        radiance = figure.render(posed, self._light[key], view, setting.lights)
        behind = background_picture(setting)
        if behind.shape[:2] != radiance.shape[:2]:
            behind = cv2.resize(behind, size, interpolation=cv2.INTER_AREA)
        return develop(radiance, behind, setting.exposure), np.clip(radiance[..., 3], 0, 1)

    def view(self, size: tuple[int, int], yaw_deg: float) -> View:
        """The photograph's view at another size, walked about the head."""
        view = self._setting.view
        view = view._replace(focal=view.focal * size[0] / view.width, width=size[0], height=size[1])
        head = self._person.joints[self._person.template.joint("head")]
        return view.turned(yaw_deg, head) if yaw_deg else view

    def target(self, actions: np.ndarray, rotations: np.ndarray, yaw_deg: float) -> Target:
        """A view of the whole frame in the size of the body's crop."""
        picture, alpha = self.draw(actions, rotations, BODY_SIZE, yaw_deg)
        colors = extend_foreground(picture, alpha)
        stored = torch.from_numpy((alpha * 255 + 0.5).astype(np.uint8))
        return Target(camera_of(self.view(BODY_SIZE, yaw_deg)), torch.from_numpy(colors), stored, 1.0)


def camera_of(view: View) -> Camera:
    """The mesh renderer's camera as ours."""
    return Camera(
        torch.tensor(view.rotation, dtype=torch.float32),
        torch.tensor(view.translation, dtype=torch.float32),
        float(view.focal),
        view.width / 2,
        view.height / 2,
        view.width,
        view.height,
    )


def _fitted(
    person: MadePerson,
    setting: Setting,
    photo: np.ndarray,
    alpha: np.ndarray,
    rotations: np.ndarray,
    actions: np.ndarray,
    drawn: list[Target],
    network: CanvasNetwork,
    rng: np.random.Generator,
) -> Sample:
    """The sample of one misfit; `rotations` [2, J, 3] of the photograph and of the other pose."""
    template = person.template
    tensors = _tensors()
    shape, rest = _shape(template, person.rest)
    shape = shape + rng.normal(0, _SHAPE_MISFIT, shape.shape).astype(np.float32)
    off = np.zeros((template.n_joints, 3), np.float32)
    for joint, name in enumerate(template.joint_names):
        off[joint] = rng.normal(0, _first(_MISFIT, name) or 0.0, 3)
    state = BodyState(
        shape=torch.from_numpy(shape),
        actions=torch.from_numpy(actions),
        rotations=torch.from_numpy(rotations[0] + off),
        offsets=torch.from_numpy(rest * np.float32(rng.uniform(*_KNOWN_DETAIL))),
    )
    camera = camera_of(setting.view)
    matte = alpha.astype(np.float32)
    state = state.replace(offsets=silhouette_offsets(state, camera, matte)[0])
    builder = CanvasBuilder(state, camera, extend_foreground(photo, matte), matte, int(rng.integers(2**31)))
    points = builder.sample(int(rng.choice(_GAUSSIANS)))
    canvas = builder.canvas(points)
    crops = Crops.of(builder, canvas, points)
    photo_input = canvas_photo(builder, points, canvas, crops, network)
    before, after = (
        pose_joints(tensors, state.shape, torch.from_numpy(turned + off))[2] for turned in rotations
    )
    own = [_own_target(crops.body, True), _own_target(crops.head, True)]
    own += [_own_target(crop, seen) for crop, seen in zip(crops.hands, crops.hand_present, strict=True)]
    return Sample(
        photo=photo_input,
        canvas=canvas,
        targets=(*own, *drawn),
        motion=(after @ torch.linalg.inv(before))[:, :3],
        region=torch.from_numpy(template.region[points.triangle]),
        position=photo_input.attributes[0, :, :3],
    )


def _own_target(crop: Crop, seen: bool) -> Target:
    rgb, alpha = ((part * 255 + 0.5).clamp(0, 255).to(torch.uint8) for part in (crop.rgb, crop.alpha))
    return Target(crop.camera, rgb, alpha, float(seen))


@lru_cache(maxsize=1)
def _tensors() -> TemplateTensors:
    return TemplateTensors(load_template())


def _shape(template: BodyTemplate, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape coefficients [K] nearest to a rest body [V, 3], and what they leave over, [V, 3] metres."""
    basis = template.shape_basis.reshape(len(template.shape_basis), -1).astype(np.float64)  # [K, 3 V]
    wanted = (rest - template.vertices).ravel()
    normal = basis @ basis.T
    ridge = _SHAPE_RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    shape = np.linalg.solve(normal + ridge, basis @ wanted).clip(-3, 3)
    return shape.astype(np.float32), (wanted - shape @ basis).reshape(-1, 3).astype(np.float32)


def _first(table: dict[str, Any], name: str) -> Any:
    return next((value for start, value in table.items() if name.startswith(start)), None)
