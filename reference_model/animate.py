"""Speech and an avatar to pictures.

The sound goes through the networks in stretches of a second, whose memory is all that is carried on; every frame is
then deformed and drawn. Nothing of the training corpus is used here: no pose, facial action or phoneme exists at
inference, only the states of the particles and the residuals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from media.threads import one_torch_thread
from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.innovations import N_CHANNELS, sample_innovations
from reference_model.networks.audio_encoder import LOOKAHEAD_FRAMES, MEL_PER_FRAME
from reference_model.networks.features import HOP, RunningNormaliser, power_mel
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import AvatarModel, Memory, load_model
from reference_model.render.camera import Camera
from reference_model.render.frame_renderer import FrameRenderer

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = ["FPS", "Animator", "Background", "Frame", "FrameView", "sound_frames"]

FPS = 25
SAMPLES_PER_FRAME = HOP * MEL_PER_FRAME
_CHUNK_FRAMES = 25

Background = Literal["photo", "transparent"] | tuple[int, int, int]
"""The photo with the person painted out, nothing, or a colour (sRGB, 0..255)."""


class Frame(NamedTuple):
    """One picture."""

    rgb: np.ndarray
    """[H, W, 3] uint8 sRGB over the background; over nothing the person's own colours, not premultiplied."""
    alpha: np.ndarray
    """[H, W] uint8, how much of the background the person hides."""


class FrameView:
    """Draws Gaussians of one avatar in one view.

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
        size = (self.camera.height, self.camera.width)
        if background == "photo":
            behind = _covering(avatar.background, self.camera.width, self.camera.height)
        else:
            color = (0, 0, 0) if background == "transparent" else background
            behind = np.broadcast_to(np.array(color, np.uint8), (*size, 3))
        self._renderer = FrameRenderer(behind)

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


class Animator:
    """Drives an avatar by speech.

    Args:
        avatar: The avatar.
        model: Trained networks; the shipped ones when None.

    Raises:
        AvatarBenchError: E502, the shipped weights are missing or damaged.
    """

    def __init__(self, avatar: Avatar, model: AvatarModel | None = None) -> None:
        self.avatar = avatar
        self.model = (load_model() if model is None else model).eval()
        with one_torch_thread():
            self.context = self.model.prepare(avatar)

    def camera(self, size: tuple[int, int] | None = None, yaw_deg: float = 0.0) -> Camera:
        """The photo's view in another size or from another side.

        Args:
            size: Width and height in pixels; the photo's when None. The photo is scaled to cover it.
            yaw_deg: Walk around the person, positive towards the person's left.
        """
        camera = self.avatar.camera if size is None else self.avatar.camera.resized(*size)
        if yaw_deg:
            camera = camera.orbited(self.avatar.gaussians.means.median(0).values, yaw_deg)
        return camera

    def frames(
        self,
        samples: np.ndarray,
        *,
        seed: int = 0,
        camera: Camera | None = None,
        background: Background = "photo",
        n_frames: int | None = None,
        innovations: np.ndarray | None = None,
    ) -> Iterator[Frame]:
        """Pictures at 25 frames a second; frame `i` shows time `i / 25` of the sound.

        Args:
            samples: Sound at 16 kHz in [-1, 1], [S] float32.
            seed: Performance: blinks, gestures and gaze that the sound leaves open.
            camera: The view, the photo's when None; see `camera`.
            background: What stands behind the person.
            n_frames: Length; the sound's (rounded up) when None. Past the end of the sound is silence.
            innovations: Noise in place of that of `seed`, [T, 8].

        Yields:
            Frames in order; memory does not grow with the length of the sound.
        """
        view = FrameView(self.avatar, camera, background)
        for states, residuals in self.motion(samples, seed=seed, n_frames=n_frames, innovations=innovations):
            with one_torch_thread():
                gaussians = self.context.rig.apply(states, residuals)
                frame = view.draw(gaussians)
            yield frame

    def motion(
        self,
        samples: np.ndarray,
        *,
        seed: int = 0,
        n_frames: int | None = None,
        innovations: np.ndarray | None = None,
    ) -> Iterator[tuple[Tensor, Residuals]]:
        """What the networks say, frame by frame: states [M, 6] and residuals [n, ...]; arguments as in `frames`."""
        memory: Memory | None = None
        for mel, noise, last in sound_frames(samples, seed=seed, n_frames=n_frames, innovations=innovations):
            with one_torch_thread():
                states, residuals, memory = self.model.advance(self.context, mel, noise, memory, last)
            for t in range(len(noise)):
                yield states[t], Residuals(*(part[t] for part in residuals))


def sound_frames(
    samples: np.ndarray,
    *,
    seed: int = 0,
    n_frames: int | None = None,
    innovations: np.ndarray | None = None,
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Sound in stretches of a second, as networks with an `AudioEncoder` take it.

    Args:
        samples: Sound at 16 kHz in [-1, 1], [S] float32.
        seed: Seed of the innovations.
        n_frames: Pictures in all; those of the sound (rounded up) when None.
        innovations: Noise in place of that of `seed`, [T, 8].

    Yields:
        Normalised log-mel [t_mel, 80], the innovations of the pictures that it completes [T, 8], and whether it
        is the last stretch. Pictures come two frames after their sound, all of them by the last stretch.
    """
    n = math.ceil(len(samples) / SAMPLES_PER_FRAME) if n_frames is None else n_frames
    noise = sample_innovations(n, seed, FPS) if innovations is None else innovations
    if noise.shape != (n, N_CHANNELS):
        raise ValueError(f"innovations must have shape {(n, N_CHANNELS)}, got {noise.shape}")
    sound = np.zeros(n * SAMPLES_PER_FRAME, np.float32)
    sound[: len(samples)] = samples[: len(sound)]
    with one_torch_thread():
        power = power_mel(torch.from_numpy(sound))
    normaliser, heard, done = RunningNormaliser(), None, 0
    for end in range(_CHUNK_FRAMES, n + _CHUNK_FRAMES, _CHUNK_FRAMES):
        with one_torch_thread():
            stretch = power[(end - _CHUNK_FRAMES) * MEL_PER_FRAME : end * MEL_PER_FRAME]
            mel, heard = normaliser(stretch[None], heard)
        last = end >= n
        complete = n if last else end - LOOKAHEAD_FRAMES
        yield mel[0], torch.from_numpy(noise[done:complete]), last
        done = complete


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
