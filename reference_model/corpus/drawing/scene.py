"""Camera, light rigs with the directions of their soft shadows, and the tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from reference_model.corpus.drawing.mesh_shade import Lighting

__all__ = ["LIGHT_RIGS", "LightRig", "View", "develop", "film", "frontal_view", "project"]

_FRONTAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # docs/architecture.md, Conventions


class View(NamedTuple):
    """A pinhole camera in OpenCV's convention, in plain numbers (the mesh renderer does not use torch)."""

    rotation: np.ndarray  # [3, 3] float32
    translation: np.ndarray  # [3] float32 metres
    focal: float  # px
    width: int
    height: int

    @property
    def centre(self) -> np.ndarray:
        """Where the camera stands, [3] float32 metres."""
        return (-self.rotation.T @ self.translation).astype(np.float32)

    def turned(self, yaw_deg: float, about: np.ndarray) -> View:
        """The view after the person has turned to the own left about the vertical through `about` [3]."""
        turn = _about_vertical(yaw_deg)
        translation = self.translation + self.rotation @ (about - turn @ about)
        return self._replace(
            rotation=(self.rotation @ turn).astype(np.float32), translation=translation.astype(np.float32)
        )


def _about_vertical(yaw_deg: float) -> np.ndarray:
    yaw = np.radians(yaw_deg)
    return np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])


def frontal_view(
    target: np.ndarray,
    visible_height: float,
    width: int,
    height: int,
    *,
    distance: float = 2.3,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
) -> View:
    """A camera with `target` [3] in the middle of a picture `visible_height` metres tall.

    Args:
        target: Middle of the picture, [3] metres.
        visible_height: Metres from the picture's top to its bottom at the target.
        width: Pixels.
        height: Pixels.
        distance: From the camera to the target, metres.
        yaw_deg: How far the person is turned to the own left.
        pitch_deg: How far the camera looks down.
    """
    pitch = np.radians(pitch_deg)
    down = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    rotation = down @ _FRONTAL @ _about_vertical(yaw_deg)
    translation = np.array([0, 0, distance]) - rotation @ target
    focal = height * distance / visible_height
    return View(rotation.astype(np.float32), translation.astype(np.float32), focal, width, height)


def project(points: np.ndarray, view: View, scale: int = 1) -> np.ndarray:
    """Points [N, 3] to pixels of a picture `scale` times as large, with depth: [N, 3] float32."""
    seen = points @ view.rotation.T + view.translation
    factor = view.focal * scale / seen[:, 2]
    x = factor * seen[:, 0] + view.width * scale / 2
    y = factor * seen[:, 1] + view.height * scale / 2
    return np.ascontiguousarray(np.stack([x, y, seen[:, 2]], -1), np.float32)


@dataclass(frozen=True, slots=True)
class LightRig:
    """Directions towards the lights in world axes, and their linear colours."""

    key: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    fill: tuple[float, float, float]
    fill_colour: tuple[float, float, float]
    rim: tuple[float, float, float]
    rim_colour: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    softness_deg: float = 16.0
    """Half-angle of the key light."""

    def lighting(self) -> Lighting:
        """The lights as the shader takes them."""
        directions = np.array([self.key, self.fill, self.rim], np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        colours = np.array([self.key_colour, self.fill_colour, self.rim_colour], np.float32)
        return Lighting(directions, colours, np.array([self.sky, self.ground], np.float32))

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Directions that stand for each light in the visibility pass.

        Returns:
            Unit directions [K, 3] float32 and the light each belongs to [K]: 0 key, 1 fill, 2 rim, 3 sky.
        """
        sky = _sphere(16)
        sky = sky[sky[:, 2] > -0.7]
        groups = [_cone(self.key, self.softness_deg, 8), _cone(self.fill, 35, 4), _cone(self.rim, 15, 2), sky]
        owner = np.repeat(np.arange(4), [len(group) for group in groups])
        return np.concatenate(groups).astype(np.float32), owner


def _rig(
    key: tuple[float, float, float],
    key_light: tuple[float, tuple[float, float, float]],
    fill: tuple[float, float, float],
    fill_light: tuple[float, tuple[float, float, float]],
    rim: tuple[float, float, float],
    rim_light: tuple[float, tuple[float, float, float]],
    *,
    sky: tuple[float, float, float],
    ground: tuple[float, float, float],
    softness_deg: float,
) -> LightRig:
    """A rig of lights, each a strength and a tint."""
    colours = [(level * r, level * g, level * b) for level, (r, g, b) in (key_light, fill_light, rim_light)]
    return LightRig(key, colours[0], fill, colours[1], rim, colours[2], sky, ground, softness_deg)


_WARM, _NEUTRAL, _COOL = (1.0, 0.93, 0.84), (1.0, 1.0, 1.0), (0.92, 0.97, 1.06)
_TUNGSTEN, _DUSK = (1.0, 0.78, 0.54), (0.74, 0.86, 1.12)

LIGHT_RIGS: dict[str, LightRig] = {
    "studio": _rig(
        (-0.55, -0.75, 0.55), (1.9, (1.0, 0.95, 0.89)), (0.8, -0.6, 0.25), (0.45, _COOL), (0.5, 0.8, 0.5),
        (0.75, _NEUTRAL), sky=(0.42, 0.43, 0.46), ground=(0.24, 0.22, 0.20), softness_deg=16,
    ),
    "window": _rig(
        (0.75, -0.65, 0.45), (1.9, _COOL), (-0.8, -0.6, 0.2), (0.48, _WARM), (-0.6, 0.7, 0.4), (0.55, _WARM),
        sky=(0.42, 0.44, 0.47), ground=(0.27, 0.25, 0.22), softness_deg=20,
    ),
    "overcast": _rig(
        (0.15, -0.55, 0.85), (1.0, _NEUTRAL), (-0.4, -0.85, 0.2), (0.45, _NEUTRAL), (0.3, 0.8, 0.6),
        (0.4, _COOL), sky=(0.85, 0.88, 0.93), ground=(0.34, 0.33, 0.31), softness_deg=38,
    ),
    "warm_lamp": _rig(
        (-0.65, -0.60, 0.40), (2.0, (1.0, 0.84, 0.66)), (0.7, -0.7, 0.15), (0.38, (0.95, 0.96, 1.02)),
        (0.7, 0.6, 0.4), (0.55, _COOL), sky=(0.40, 0.37, 0.34), ground=(0.25, 0.21, 0.17), softness_deg=14,
    ),
    "ring": _rig(
        (0.0, -0.98, 0.20), (1.6, _NEUTRAL), (0.0, -0.95, -0.25), (0.45, _NEUTRAL), (-0.4, 0.85, 0.4),
        (0.45, _NEUTRAL), sky=(0.38, 0.38, 0.39), ground=(0.26, 0.26, 0.26), softness_deg=12,
    ),
    "evening": _rig(
        (0.80, -0.50, 0.22), (1.9, _TUNGSTEN), (-0.7, -0.7, 0.3), (0.45, _DUSK), (-0.7, 0.6, 0.3),
        (0.70, _DUSK), sky=(0.30, 0.34, 0.42), ground=(0.22, 0.19, 0.17), softness_deg=12,
    ),
    "office": _rig(
        (-0.20, -0.45, 0.90), (1.3, (0.97, 1.0, 0.97)), (0.45, -0.80, 0.30), (0.55, (1.0, 0.99, 0.95)),
        (0.2, 0.6, 0.8), (0.6, _NEUTRAL), sky=(0.60, 0.62, 0.61), ground=(0.38, 0.36, 0.33), softness_deg=30,
    ),
    "side_window": _rig(
        (-0.93, -0.34, 0.30), (2.1, _COOL), (0.75, -0.65, 0.15), (0.42, _WARM), (0.7, 0.7, 0.3), (0.4, _WARM),
        sky=(0.36, 0.38, 0.42), ground=(0.24, 0.22, 0.20), softness_deg=22,
    ),
}  # fmt: skip
"""Ways in which people are lit, by the name in `Attributes.light`."""


def _sphere(n: int) -> np.ndarray:
    """Fibonacci points on the unit sphere, [n, 3]."""
    i = np.arange(n) + 0.5
    z = 1 - 2 * i / n
    radius, around = np.sqrt(1 - z * z), np.pi * (1 + 5**0.5) * i
    return np.stack([radius * np.cos(around), radius * np.sin(around), z], -1)


def _cone(axis: tuple[float, float, float], half_angle_deg: float, n: int) -> np.ndarray:
    """Unit vectors spread evenly over a cone about `axis`, [n, 3]."""
    forward = np.asarray(axis, float) / np.linalg.norm(axis)
    side = np.cross([0.0, 0.0, 1.0], forward)
    side /= np.linalg.norm(side)
    up = np.cross(forward, side)
    i = np.arange(n)
    radius = np.tan(np.radians(half_angle_deg)) * np.sqrt((i + 0.5) / n)
    around = i * 2.39996  # golden angle
    rays = forward + radius[:, None] * (np.cos(around)[:, None] * side + np.sin(around)[:, None] * up)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def develop(radiance: np.ndarray, background: np.ndarray, exposure: float) -> np.ndarray:
    """Composite, tone-map and quantise a rendered picture.

    Args:
        radiance: Linear RGB premultiplied by coverage, and coverage, [H, W, 4] float32.
        background: Linear RGB, [H, W, 3].
        exposure: Factor on the light.

    Returns:
        sRGB picture, [H, W, 3] uint8.
    """
    light = np.maximum(radiance[..., :3] + background * (1 - radiance[..., 3:]), 0)
    srgb = cv2.GaussianBlur(film(light, exposure), (0, 0), 0.45)  # the softness of a lens
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def film(light: np.ndarray, exposure: float) -> np.ndarray:
    """The tone curve: linear light to sRGB in 0..1, any shape.

    A filmic shoulder, linear in the shadows, that rolls off towards white; then sRGB with some more contrast.
    """
    light = light * exposure
    film = np.clip(light * (1.506 * light + 0.03) / (light * (1.458 * light + 0.59) + 0.14), 0, 1) ** 0.95
    film = 1.12 * film / (1 + 0.25 * film)
    srgb = np.where(film < 0.0031308, 12.92 * film, 1.055 * np.maximum(film, 1e-6) ** (1 / 2.4) - 0.055)
    return np.clip(0.68 * srgb + 0.32 * srgb * srgb * (3 - 2 * srgb), 0, 1)
