"""Draw a performance: pictures and alpha of a clip, on the CPU or on an NVIDIA GPU.

The CPU path is the reference. Soft shadows change slowly: they are measured every fifth frame and interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from media.errors import AvatarBenchError
from reference_model.body.skinning import pose_joints
from reference_model.corpus.drawing.layers import pose_layer
from reference_model.corpus.drawing.mesh_raster import rasterize
from reference_model.corpus.drawing.mesh_surfaces import PAINTS_SHIFT
from reference_model.corpus.drawing.scene import LIGHT_RIGS, View, develop, project
from reference_model.corpus.drawing.setting import Setting, background_picture
from reference_model.corpus.motion.animator import Motion, absolute_rotations

if TYPE_CHECKING:
    from reference_model.corpus.drawing.figure import Figure
    from reference_model.corpus.people.person import MadePerson

__all__ = [
    "LIGHT_EVERY",
    "Device",
    "Shot",
    "draw_clip",
    "draw_frames",
    "draw_frames_cpu",
    "material_map",
    "posed_bodies",
    "shot_of",
]

Device = Literal["cpu", "cuda"]

LIGHT_EVERY = 5
"""Frames between two measurements of the soft shadows."""


class Shot(NamedTuple):
    """What the drawing of a clip needs besides the person."""

    actions: np.ndarray  # [T, 52] float32 facial actions
    rotations: np.ndarray  # [T, J, 3] float32 rotation vectors, rest pose included, radians
    view: View
    rig: str  # name of the light rig
    background: np.ndarray  # [H, W, 3] float32 linear RGB
    exposure: float


def shot_of(person: MadePerson, motion: Motion, setting: Setting, yaw_deg: float = 0.0) -> Shot:
    """Gather a clip's numbers.

    Args:
        person: Who performs.
        motion: What is done, [T].
        setting: Camera, light, background and exposure.
        yaw_deg: The camera walks this far about the vertical through the person's head, degrees; the background
            stays as it is.

    Returns:
        The shot.
    """
    view = setting.view
    if yaw_deg:
        view = view.turned(yaw_deg, person.joints[person.template.joint("head")])
    rotations = absolute_rotations(person.rest_pose, motion)
    actions = np.asarray(motion.actions, np.float32)
    return Shot(actions, rotations, view, setting.rig, background_picture(setting), setting.exposure)


def draw_clip(
    person: MadePerson, motion: Motion, setting: Setting, *, device: Device = "cpu", yaw_deg: float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw a performance.

    Args:
        person: Who performs.
        motion: What is done, [T].
        setting: Camera, light, background and exposure.
        device: Where to draw; the CUDA pictures equal the CPU's within the tolerance in docs/corpus.md.
        yaw_deg: Camera walked about the person, degrees.

    Yields:
        sRGB picture [H, W, 3] uint8 and alpha [H, W] uint8.

    Raises:
        AvatarBenchError: E607, `cuda` is asked for and this machine has no NVIDIA GPU.
    """
    yield from draw_frames(person.figure, shot_of(person, motion, setting, yaw_deg), device)


def draw_frames(figure: Figure, shot: Shot, device: Device) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and alphas of a shot, as `draw_clip` gives them.

    Raises:
        AvatarBenchError: E607, `cuda` is asked for and this machine has no NVIDIA GPU.
    """
    if device == "cpu":
        return draw_frames_cpu(figure, shot)
    if not torch.cuda.is_available():
        raise AvatarBenchError(
            "E607", "no NVIDIA GPU to draw on", where="device", expected="a CUDA device", got="none",
            fix="draw on the CPU: --device cpu",
        )  # fmt: skip
    from reference_model.corpus.drawing.draw_cuda import draw_frames_cuda  # compiles for the GPU

    return draw_frames_cuda(figure, shot)


def light_frames(n_frames: int) -> np.ndarray:
    """The frames whose soft shadows are measured: every fifth, and the last."""
    frames = np.arange(0, n_frames, LIGHT_EVERY)
    return frames if frames[-1] == n_frames - 1 else np.append(frames, n_frames - 1)


def light_share(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """For each frame the measurement before it [T], and the share of the one after it [T] in 0..1."""
    measured = light_frames(n_frames)
    frames = np.arange(n_frames)
    before = np.minimum(frames // LIGHT_EVERY, max(len(measured) - 2, 0))
    after = np.minimum(before + 1, len(measured) - 1)
    length = np.maximum(measured[after] - measured[before], 1)
    return before, ((frames - measured[before]) / length).astype(np.float32)


def draw_frames_cpu(figure: Figure, shot: Shot) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and alphas of a shot, drawn on the CPU one after the other."""
    rig, view = LIGHT_RIGS[shot.rig], shot.view
    measured = light_frames(len(shot.actions))
    before, share = light_share(len(shot.actions))

    def light_at(index: int) -> np.ndarray:
        frame = measured[index]
        return figure.visibility(figure.pose(shot.actions[frame], shot.rotations[frame], view.centre), rig)

    lights: dict[int, np.ndarray] = {}
    for frame, (first, weight) in enumerate(zip(before.tolist(), share.tolist(), strict=True)):
        needed = {first, min(first + 1, len(measured) - 1)}
        lights = {index: lights[index] if index in lights else light_at(index) for index in sorted(needed)}
        light = lights[first] * (1 - weight) + lights[max(needed)] * weight
        posed = figure.pose(shot.actions[frame], shot.rotations[frame], view.centre)
        radiance = figure.render(posed, light.astype(np.float32), view, rig)
        picture = develop(radiance, shot.background, shot.exposure)
        yield picture, (np.clip(radiance[..., 3], 0, 1) * 255 + 0.5).astype(np.uint8)


def posed_bodies(person: MadePerson, motion: Motion) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The naked truth of a performance without drawing it.

    Args:
        person: Who performs.
        motion: What is done, [T].

    Yields:
        The template's vertices [V, 3] float32 and the joint heads [J, 3] float32 in the world, metres.
    """
    figure = person.figure
    shape = figure.tensors.vertices.new_zeros(figure.tensors.shape_basis.shape[0])
    for actions, rotations in zip(motion.actions, absolute_rotations(person.rest_pose, motion), strict=True):
        with torch.inference_mode():
            joints, _, transforms = pose_joints(
                figure.tensors, shape, torch.as_tensor(rotations, dtype=torch.float32)
            )
        body = pose_layer(figure.layers[0], np.asarray(actions, np.float32), transforms.numpy(), np.zeros(3))
        yield body.points, joints.numpy()


def material_map(figure: Figure, actions: np.ndarray, rotations: np.ndarray, view: View) -> np.ndarray:
    """Which `Material` is in front at the middle of every pixel, [H, W] int8; -1 where nothing is.

    Args:
        figure: Who.
        actions: Facial actions, [52].
        rotations: Rotation vectors, rest pose included, [J, 3] radians.
        view: Camera.
    """
    posed = figure.pose(actions, rotations, view.centre)
    projected = project(posed.vertices.position, view)
    face = rasterize(projected, figure.faces, figure.cuts, view.width, view.height).face
    return np.where(face < 0, -1, figure.codes[face] % PAINTS_SHIFT).astype(np.int8)
