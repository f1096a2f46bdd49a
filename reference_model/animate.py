"""Speech and an avatar to pictures, a whole sound at once or live.

The sound goes through the networks in stretches (a second offline, one picture live), whose memory is all that is
carried on; every frame is then deformed and drawn. Nothing of the training corpus is used here: no pose, facial action
or phoneme is estimated at inference, there are only the states of the particles and the residuals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from media.threads import one_torch_thread
from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import AvatarModel, Memory, load_model
from reference_model.networks.text_fusion import TextTokens
from reference_model.render.camera import Camera
from reference_model.render.frame_renderer import FrameRenderer
from reference_model.sound_stream import (
    FPS,
    SAMPLES_PER_FRAME,
    Listener,
    MelListener,
    SoundStream,
    Stretch,
    sound_frames,
)

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = ["FPS", "Animator", "Background", "Frame", "FrameView"]


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


class _Performance:
    """What a live performance carries from step to step."""

    def __init__(self, view: FrameView, sound: SoundStream, text: TextTokens | None) -> None:
        self.view, self.sound, self.text = view, sound, text
        self.memory: Memory | None = None
        self.due: deque[tuple[Tensor, Residuals]] = deque()  # computed and not yet shown, at most a hop


class Animator:
    """Drives an avatar by speech: `frames` by a whole sound, `step` live.

    ```
    animator.start(seed=1)
    for block in microphone:  # 640 samples, 40 ms
        frame = animator.step(block)  # None twice, then a picture each
    rest = animator.finish()
    ```

    Args:
        avatar: The avatar.
        model: Trained networks; the shipped ones when None.
        listeners: Makes what hears, once for each performance, for a model that does not hear log-mel:
            `lambda: Wav2Vec2Listener(wav2vec2)` with `wav2vec2 = load_wav2vec2()`.

    Raises:
        AvatarBenchError: E502, the shipped weights are missing or damaged.
    """

    def __init__(
        self,
        avatar: Avatar,
        model: AvatarModel | None = None,
        listeners: Callable[[], Listener] = MelListener,
    ) -> None:
        self.avatar = avatar
        self._listeners = listeners
        self.model = (load_model() if model is None else model).eval()
        with one_torch_thread():
            self.context = self.model.prepare(avatar)
        self._live: _Performance | None = None

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
        text: TextTokens | None = None,
    ) -> Iterator[Frame]:
        """Pictures at 25 frames a second; frame `i` shows time `i / 25` of the sound.

        Args:
            samples: Sound at 16 kHz in [-1, 1], [S] float32.
            seed: Performance: blinks, gestures and gaze that the sound leaves open.
            camera: The view, the photo's when None; see `camera`.
            background: What stands behind the person.
            n_frames: Length; the sound's (rounded up) when None. Past the end of the sound is silence.
            innovations: Noise in place of that of `seed`, [T, 8].
            text: What is said, for a model that takes text; without it the sound alone drives.

        Yields:
            Frames in order; memory does not grow with the length of the sound.
        """
        view = FrameView(self.avatar, camera, background)
        moved = self.motion(samples, seed=seed, n_frames=n_frames, innovations=innovations, text=text)
        for states, residuals in moved:
            yield self._draw(view, states, residuals)

    def motion(
        self,
        samples: np.ndarray,
        *,
        seed: int = 0,
        n_frames: int | None = None,
        innovations: np.ndarray | None = None,
        text: TextTokens | None = None,
    ) -> Iterator[tuple[Tensor, Residuals]]:
        """What the networks say, frame by frame: states [M, 6] and residuals [n, ...]; arguments as in `frames`."""
        memory: Memory | None = None
        stretches = sound_frames(
            samples, seed=seed, n_frames=n_frames, innovations=innovations, listener=self._listeners()
        )
        for stretch in stretches:
            moved, memory = self._advance(stretch, memory, text)
            yield from moved

    @property
    def latency_frames(self) -> int:
        """From the end of the sound that `step` takes back to the instant that its picture shows: 3, 120 ms.

        For wav2vec 2.0, heard in hops of five pictures, 7.
        """
        return self._listeners().latency_frames

    def start(
        self,
        *,
        seed: int = 0,
        camera: Camera | None = None,
        background: Background = "photo",
        text: TextTokens | None = None,
    ) -> None:
        """Begin a live performance; one that has begun before is dropped. Arguments as in `frames`."""
        view = FrameView(self.avatar, camera, background)
        self._live = _Performance(view, SoundStream(seed, self._listeners()), text)

    def step(self, samples: np.ndarray) -> Frame | None:
        """Hear 40 ms of sound, show one picture.

        The pictures are those of `frames`. The networks hear 80 ms ahead, so the call that takes the sound of picture
        `k` returns picture `k - 2`: play the sound 80 ms late and both are in step. From the instant shown to the
        end of the sound taken it is `latency_frames`, 120 ms; the time of the computation comes on top.

        Args:
            samples: The next 640 samples at 16 kHz in [-1, 1], [640] float32.

        Returns:
            The picture; None in the first `latency_frames - 1` calls after `start`, which the first does by itself.
        """
        if samples.shape != (SAMPLES_PER_FRAME,):
            raise ValueError(f"samples must have shape {(SAMPLES_PER_FRAME,)}, got {samples.shape}")
        live = self._perform(samples, last=False)
        return self._draw(live.view, *live.due.popleft()) if live.due else None

    def finish(self) -> list[Frame]:
        """End the live performance: the pictures still due, as if silence followed."""
        if self._live is None or self._live.memory is None:
            self._live = None
            return []
        live = self._perform(np.zeros(0, np.float32), last=True)
        self._live = None
        return [self._draw(live.view, states, residuals) for states, residuals in live.due]

    def _perform(self, samples: np.ndarray, last: bool) -> _Performance:
        if self._live is None:
            self.start()
        live = self._live
        assert live is not None
        moved, live.memory = self._advance(live.sound.push(samples, last), live.memory, live.text)
        live.due.extend(moved)
        return live

    def _advance(
        self, stretch: Stretch, memory: Memory | None, text: TextTokens | None
    ) -> tuple[list[tuple[Tensor, Residuals]], Memory]:
        with one_torch_thread():
            states, residuals, memory = self.model.advance(
                self.context, stretch.heard, stretch.innovations, memory, stretch.last, text
            )
        frames = [(state, Residuals(*(part[t] for part in residuals))) for t, state in enumerate(states)]
        return frames, memory

    def _draw(self, view: FrameView, states: Tensor, residuals: Residuals) -> Frame:
        with one_torch_thread():
            return view.draw(self.context.rig.apply(states, residuals))


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
