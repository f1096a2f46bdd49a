"""Everything round the person: camera, light rigs, soft shadows' directions, background and tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from reference_model.corpus.mesh_shade import Lighting
from reference_model.corpus.skin import linear, smoothstep

__all__ = ["LIGHT_RIGS", "LightRig", "View", "develop", "frontal_view", "paint_background", "project"]

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


def frontal_view(
    target: np.ndarray,
    visible_height: float,
    width: int,
    height: int,
    *,
    distance: float = 2.3,
    yaw_deg: float = 0.0,
) -> View:
    """A camera at eye level with `target` [3] in the middle of a picture `visible_height` metres tall."""
    yaw = np.radians(yaw_deg)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    rotation = _FRONTAL @ turn
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


LIGHT_RIGS: dict[str, LightRig] = {
    "studio": LightRig(
        key=(-0.55, -0.75, 0.55), key_colour=(1.9, 1.8, 1.68),
        fill=(0.8, -0.6, 0.25), fill_colour=(0.42, 0.44, 0.48),
        rim=(0.5, 0.8, 0.5), rim_colour=(0.7, 0.7, 0.75),
        sky=(0.42, 0.43, 0.46), ground=(0.24, 0.22, 0.20),
    ),
    "window": LightRig(
        key=(0.75, -0.65, 0.45), key_colour=(1.85, 1.9, 2.0),
        fill=(-0.8, -0.6, 0.2), fill_colour=(0.48, 0.45, 0.40),
        rim=(-0.6, 0.7, 0.4), rim_colour=(0.55, 0.50, 0.44),
        sky=(0.42, 0.44, 0.47), ground=(0.27, 0.25, 0.22), softness_deg=20.0,
    ),
}  # fmt: skip


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


def paint_background(
    kind: str, colours: tuple[tuple[int, int, int], ...], width: int, height: int, rng: np.random.Generator
) -> np.ndarray:
    """A plain wall or a room far out of focus.

    Args:
        kind: "wall" (first colour, lit from the side) or "room" (blocks of all colours, blurred).
        colours: sRGB 0..255.
        width: Pixels.
        height: Pixels.
        rng: Places the blocks of the room.

    Returns:
        Linear RGB, [height, width, 3] float32.
    """
    palette = np.stack([linear(colour) for colour in colours])
    v, u = (
        np.mgrid[0:height, 0:width].astype(np.float32) / np.array([height, width], np.float32)[:, None, None]
    )
    light = 1.15 - 0.35 * smoothstep(0.0, 1.0, u) - 0.20 * (v - 0.4) ** 2
    picture = palette[0] * light[..., None]
    if kind == "room":
        for _ in range(9):
            (x0, x1), (y0, y1) = np.sort(rng.random((2, 2)), axis=1)
            block = palette[rng.integers(len(palette))] * rng.uniform(0.6, 1.3)
            picture[int(y0 * height) : int(y1 * height) + 8, int(x0 * width) : int(x1 * width) + 8] = block
        picture = cv2.GaussianBlur(picture, (0, 0), width * 0.05)
    return picture.astype(np.float32)


def develop(radiance: np.ndarray, background: np.ndarray, exposure: float) -> np.ndarray:
    """Composite, tone-map and quantise a rendered picture.

    Args:
        radiance: Linear RGB premultiplied by coverage, and coverage, [H, W, 4] float32.
        background: Linear RGB, [H, W, 3].
        exposure: Factor on the light.

    Returns:
        sRGB picture, [H, W, 3] uint8.
    """
    light = np.maximum(radiance[..., :3] + background * (1 - radiance[..., 3:]), 0) * exposure
    # A filmic shoulder: linear in the shadows, rolls off towards white.
    film = np.clip(light * (1.506 * light + 0.03) / (light * (1.458 * light + 0.59) + 0.14), 0, 1) ** 0.95
    film = 1.12 * film / (1 + 0.25 * film)
    srgb = np.where(film < 0.0031308, 12.92 * film, 1.055 * np.maximum(film, 1e-6) ** (1 / 2.4) - 0.055)
    srgb = 0.68 * srgb + 0.32 * srgb * srgb * (3 - 2 * srgb)
    srgb = cv2.GaussianBlur(np.clip(srgb, 0, 1), (0, 0), 0.45)  # the softness of a lens
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)
