"""From Gaussians to the uint8 pictures that are shown: one frame on the CPU, many at once on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from media.threads import one_torch_thread
from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.render.frame_renderer import FrameRenderer

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = ["Background", "BatchView", "Frame", "FrameView", "Pictures"]


Background = Literal["photo", "transparent"] | tuple[int, int, int]
"""The photo with the person painted out, nothing, or a colour (sRGB, 0..255)."""


class Frame(NamedTuple):
    """One picture."""

    rgb: np.ndarray
    """[H, W, 3] uint8 sRGB over the background; over nothing the person's own colours, not premultiplied."""
    alpha: np.ndarray
    """[H, W] uint8, how much of the background the person hides."""


class FrameView:
    """Draws Gaussians of one avatar in one view, on the CPU.

    Args:
        avatar: The avatar.
        camera: The view; the avatar's own camera when None.
        background: What stands behind the person.
    """

    def __init__(
        self, avatar: Avatar, camera: Camera | None = None, background: Background = "photo"
    ) -> None:
        self.camera = avatar.camera if camera is None else camera
        self._two_sided = avatar.two_sided
        self._transparent = background == "transparent"
        self._renderer = FrameRenderer(_behind(avatar, self.camera, background))

    def draw(self, gaussians: Gaussians) -> Frame:
        """Draw one frame; Gaussians of the surface that face away are left out."""
        visible = front_facing(gaussians, self.camera) | self._two_sided
        rgb, alpha = self._renderer.draw(
            gaussians.means.numpy(),
            gaussians.quats.numpy(),
            gaussians.scales.numpy(),
            gaussians.opacities.numpy(),
            gaussians.colors.numpy(),
            self.camera,
            visible=visible.numpy(),
        )
        if self._transparent:
            share = np.maximum(alpha, 1)[..., None].astype(np.float32) / 255
            rgb = np.minimum(rgb / share + 0.5, 255).astype(np.uint8)
        return Frame(rgb, alpha)


class Pictures(NamedTuple):
    """T pictures as tensors; see `Frame`."""

    rgb: Tensor
    """[T, H, W, 3] uint8."""
    alpha: Tensor
    """[T, H, W] uint8."""


class BatchView:
    """Draws many frames of one avatar in one view by `render`, on its device; pictures as of `FrameView`.

    Args:
        avatar: The avatar.
        camera: The view; the avatar's own camera when None.
        background: What stands behind the person.
        device: Where to draw.
    """

    def __init__(
        self, avatar: Avatar, camera: Camera | None, background: Background, device: torch.device
    ) -> None:
        camera = avatar.camera if camera is None else camera
        self._camera = camera.to(device)
        self._two_sided = avatar.two_sided.to(device)
        self._transparent = background == "transparent"
        behind = torch.tensor(_behind(avatar, camera, background)).to(device)
        self._behind = behind.float()  # [H, W, 3] 0..255

    def draw(self, gaussians: Gaussians) -> Pictures:
        """Draw T frames [T, N, ...]; Gaussians of the surface that face away are left out."""
        visible = front_facing(gaussians, self._camera) | self._two_sided
        rgb, alpha = render(gaussians, self._camera, visible=visible)  # premultiplied
        share = alpha[..., None]
        rgb = rgb * (255 / share.clamp_min(1 / 255)) if self._transparent else rgb * 255
        if not self._transparent:
            rgb.addcmul_(1 - share, self._behind)
        rounded = rgb.add_(0.5).clamp_(max=255).to(torch.uint8)
        return Pictures(rounded, (alpha * 255 + 0.5).to(torch.uint8))


def _behind(avatar: Avatar, camera: Camera, background: Background) -> np.ndarray:
    """What stands behind the person, [H, W, 3] uint8."""
    if background == "photo":
        return _covering(avatar.background, camera.width, camera.height)
    color = (0, 0, 0) if background == "transparent" else background
    return np.broadcast_to(np.array(color, np.uint8), (camera.height, camera.width, 3))


def _covering(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture scaled to cover a size and cropped evenly, like `Camera.resized`, [H, W, 3] uint8."""
    scale = max(width / image.shape[1], height / image.shape[0])
    rows, columns = max(height, round(image.shape[0] * scale)), max(width, round(image.shape[1] * scale))
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()  # [1, 3, h, w]
    with one_torch_thread():
        scaled = F.interpolate(planes, (rows, columns), mode="bilinear", antialias=True, align_corners=False)
    top, left = (rows - height) // 2, (columns - width) // 2
    cropped = scaled[0, :, top : top + height, left : left + width].round().clamp(0, 255)
    return cropped.byte().permute(1, 2, 0).contiguous().numpy()
