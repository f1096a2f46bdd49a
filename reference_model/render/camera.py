"""The pinhole camera, in OpenCV's convention: `x_cam = R x + t`, x right, y down, z forward.

Pixel centres stand at half-integers: the centre of the top left pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["FRONTAL", "Camera"]

FRONTAL = torch.tensor(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))
"""`[3, 3]`, world (z up, the person faces -y) to a camera that looks the person in the face."""


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole camera with square pixels and no distortion.

    Args:
        rotation: World to camera, `[3, 3]` float32; gradients flow through it.
        translation: World to camera in metres, `[3]` float32; gradients flow through it.
        focal: Focal length in pixels.
        cx: Principal point from the left edge, in pixels.
        cy: Principal point from the upper edge, in pixels.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
    """

    rotation: Tensor
    translation: Tensor
    focal: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.rotation.shape != (3, 3):
            raise ValueError(f"rotation must have shape (3, 3), got {tuple(self.rotation.shape)}")
        if self.translation.shape != (3,):
            raise ValueError(f"translation must have shape (3,), got {tuple(self.translation.shape)}")
        if self.focal <= 0 or self.width <= 0 or self.height <= 0:
            raise ValueError(
                f"focal, width and height must be positive, got {self.focal}, {self.width}, {self.height}"
            )

    @classmethod
    def frontal(cls, translation: Sequence[float], focal: float, width: int, height: int) -> Camera:
        """The camera in front of the person, with the principal point in the middle of the picture."""
        return cls(
            rotation=FRONTAL.clone(),
            translation=torch.tensor(translation, dtype=torch.float32),
            focal=focal,
            cx=width / 2,
            cy=height / 2,
            width=width,
            height=height,
        )

    @property
    def center(self) -> Tensor:
        """Where the camera stands in the world, `[3]` metres."""
        return -self.rotation.T @ self.translation

    def to(self, device: torch.device | str) -> Camera:
        """The same camera with its tensors on `device`."""
        return replace(self, rotation=self.rotation.to(device), translation=self.translation.to(device))

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Project world points.

        Args:
            points: `[..., 3]` metres.

        Returns:
            Pixels `[..., 2]` and depths `[...]` in metres. Pixels mean nothing where the depth is not positive.
        """
        in_camera = points @ self.rotation.T + self.translation  # [..., 3]
        depth = in_camera[..., 2]
        principal = in_camera.new_tensor((self.cx, self.cy))
        return self.focal * in_camera[..., :2] / depth[..., None] + principal, depth

    def resized(self, width: int, height: int) -> Camera:
        """The view in a picture of another size: scaled to cover it, the overhang cropped evenly on both sides."""
        scale = max(width / self.width, height / self.height)
        return replace(
            self,
            focal=self.focal * scale,
            cx=self.cx * scale + (width - self.width * scale) / 2,
            cy=self.cy * scale + (height - self.height * scale) / 2,
            width=width,
            height=height,
        )

    def cropped(self, x0: float, y0: float, width: int, height: int) -> Camera:
        """The part of the picture whose upper left corner is (x0, y0) pixels; may reach over the edges."""
        return replace(self, cx=self.cx - x0, cy=self.cy - y0, width=width, height=height)

    def orbited(self, center: Tensor, yaw_deg: float) -> Camera:
        """Walk around the vertical (z) axis through `center`, looking at it as before.

        A positive yaw walks towards the person's left (+x), so that more of the person's left side is seen.

        Args:
            center: `[3]` metres, a point of the axis.
            yaw_deg: Angle in degrees.
        """
        cosine, sine = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
        # Moving the camera by +yaw is the same as turning the world by -yaw under a camera that stands still.
        turn = self.rotation.new_tensor(((cosine, sine, 0.0), (-sine, cosine, 0.0), (0.0, 0.0, 1.0)))
        center = center.to(self.rotation)
        return replace(
            self,
            rotation=self.rotation @ turn,
            translation=self.translation + self.rotation @ (center - turn @ center),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; `from_dict` gives back the same camera bit for bit."""
        return {
            "rotation": self.rotation.tolist(),
            "translation": self.translation.tolist(),
            "focal": float(self.focal),
            "cx": float(self.cx),
            "cy": float(self.cy),
            "width": self.width,
            "height": self.height,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Camera:
        """The camera that `to_dict` wrote; a missing key is a `KeyError`, a wrong shape a `ValueError`."""
        return cls(
            rotation=torch.tensor(values["rotation"], dtype=torch.float32),
            translation=torch.tensor(values["translation"], dtype=torch.float32),
            focal=float(values["focal"]),
            cx=float(values["cx"]),
            cy=float(values["cy"]),
            width=int(values["width"]),
            height=int(values["height"]),
        )
