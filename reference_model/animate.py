"""Speech and an avatar to pictures, a whole sound at once or live.

The sound goes through the networks in stretches (a second offline, one picture live), whose memory is all that is
carried on; every frame is then deformed and drawn. Nothing of the training corpus is used here: no pose, facial action
or phoneme is estimated at inference, there are only the states of the particles and the residuals.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from media.threads import one_torch_thread
from reference_model.frame_view import Background, BatchView, Frame, FrameView, Pictures
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import AvatarModel, Memory, load_model
from reference_model.networks.text_fusion import TextTokens
from reference_model.render.camera import Camera
from reference_model.sound_stream import (
    FPS,
    SAMPLES_PER_FRAME,
    STRETCH_FRAMES,
    Listener,
    MelListener,
    SoundStream,
    Stretch,
    sound_frames,
)
from reference_model.steady_state import SteadyState

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = ["BATCH_FRAMES", "FPS", "Animator", "Background", "Frame", "FrameView", "Pictures"]

BATCH_FRAMES = 128
"""Frames that a GPU takes at once."""


class _Performance:
    """What a live performance carries from step to step."""

    def __init__(self, view: FrameView | BatchView, sound: SoundStream, text: TextTokens | None) -> None:
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
        device: Where networks, deformer and renderer run. On a CUDA device nothing leaves it from the mel frames to the
            uint8 picture, and whole sounds go in stretches of `BATCH_FRAMES`.

    Raises:
        AvatarBenchError: E502, the shipped weights are missing or damaged.
    """

    def __init__(
        self,
        avatar: Avatar,
        model: AvatarModel | None = None,
        listeners: Callable[[], Listener] = MelListener,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self._listeners = listeners
        model = load_model() if model is None else model
        if model.device.type != self.device.type:
            model = copy.deepcopy(model).to(self.device)  # the caller's stays where it is
        self.model = model.eval()
        self.avatar = avatar

    @property
    def avatar(self) -> Avatar:
        """Who is driven; another one may take the place, and what was computed of the one before goes with it."""
        return self._avatar

    @avatar.setter
    def avatar(self, avatar: Avatar) -> None:
        with one_torch_thread():
            self.context = self.model.prepare(avatar)
        self._avatar = avatar
        graphs = self._on_gpu and self.model.audio.fusion is None
        self._steady = SteadyState(self.model, self.context) if graphs else None
        self._live: _Performance | None = None

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

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

    def view(self, camera: Camera | None = None, background: Background = "photo") -> FrameView | BatchView:
        """What draws the avatar on the animator's device; arguments as in `frames`."""
        if self._on_gpu:
            return BatchView(self.avatar, camera, background, self.device)
        return FrameView(self.avatar, camera, background)

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
        pictures = self.pictures(
            samples,
            seed=seed,
            camera=camera,
            background=background,
            n_frames=n_frames,
            innovations=innovations,
            text=text,
        )
        for batch in pictures:
            yield from _frames(batch)

    def pictures(
        self,
        samples: np.ndarray,
        *,
        seed: int = 0,
        camera: Camera | None = None,
        background: Background = "photo",
        n_frames: int | None = None,
        innovations: np.ndarray | None = None,
        text: TextTokens | None = None,
    ) -> Iterator[Pictures]:
        """As `frames`, in batches that stay on the animator's device; a batch is one picture on the CPU."""
        view = self.view(camera, background)
        for states, residuals in self._stretches(samples, seed, n_frames, innovations, text):
            if len(states):
                yield from self._draw(view, states, residuals)

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
        for states, residuals in self._stretches(samples, seed, n_frames, innovations, text):
            for t, state in enumerate(states):
                yield state, Residuals(*(part[t] for part in residuals))

    def _stretches(
        self,
        samples: np.ndarray,
        seed: int,
        n_frames: int | None,
        innovations: np.ndarray | None,
        text: TextTokens | None,
    ) -> Iterator[tuple[Tensor, Residuals]]:
        """States [T, M, 6] and residuals [T, n, ...], stretch by stretch."""
        memory: Memory | None = None
        stretches = sound_frames(
            samples,
            seed=seed,
            n_frames=n_frames,
            innovations=innovations,
            listener=self._listeners(),
            stretch_frames=BATCH_FRAMES if self._on_gpu else STRETCH_FRAMES,
        )
        text = self._placed(text)
        for stretch in stretches:
            states, residuals, memory = self._advance(stretch, memory, text)
            yield states, residuals

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
        view = self.view(camera, background)
        self._live = _Performance(view, SoundStream(seed, self._listeners()), self._placed(text))

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
        return self._frame(live) if live.due else None

    def finish(self) -> list[Frame]:
        """End the live performance: the pictures still due, as if silence followed."""
        if self._live is None or self._live.memory is None:
            self._live = None
            return []
        live = self._perform(np.zeros(0, np.float32), last=True)
        self._live = None
        return [self._frame(live) for _ in range(len(live.due))]

    def _perform(self, samples: np.ndarray, last: bool) -> _Performance:
        if self._live is None:
            self.start()
        live = self._live
        assert live is not None
        states, residuals, live.memory = self._advance(live.sound.push(samples, last), live.memory, live.text)
        for t in range(len(states)):
            live.due.append((states[t, None], Residuals(*(part[t, None] for part in residuals))))
        return live

    def _frame(self, live: _Performance) -> Frame:
        """The next picture that is due."""
        (batch,) = self._draw(live.view, *live.due.popleft())
        (frame,) = _frames(batch)
        return frame

    def _advance(
        self, stretch: Stretch, memory: Memory | None, text: TextTokens | None
    ) -> tuple[Tensor, Residuals, Memory]:
        heard, innovations = self._upload(stretch.heard), self._upload(stretch.innovations)
        if self._steady is not None and memory is not None and len(innovations) and not stretch.last:
            return self._steady.advance(heard, innovations, memory)
        with one_torch_thread():
            return self.model.advance(self.context, heard, innovations, memory, stretch.last, text)

    def _draw(self, view: FrameView | BatchView, states: Tensor, residuals: Residuals) -> Iterator[Pictures]:
        """Pictures of states [T, M, 6] and residuals [T, n, ...]."""
        if isinstance(view, BatchView):
            move = self.context.rig.apply if self._steady is None else self._steady.apply
            yield view.draw(move(states, residuals))
            return
        for t, state in enumerate(states):
            with one_torch_thread():
                rgb, alpha = view.draw(
                    self.context.rig.apply(state, Residuals(*(part[t] for part in residuals)))
                )
            yield Pictures(torch.from_numpy(rgb)[None], torch.from_numpy(alpha)[None])

    def _upload(self, part: Tensor) -> Tensor:
        """On the device; from pinned memory, so that the copy does not wait for the pictures being drawn."""
        return part.pin_memory().to(self.device, non_blocking=True) if self._on_gpu else part

    def _placed(self, text: TextTokens | None) -> TextTokens | None:
        return None if text is None else TextTokens(*(part.to(self.device) for part in text))


def _frames(batch: Pictures) -> Iterator[Frame]:
    for rgb, alpha in zip(batch.rgb.cpu().numpy(), batch.alpha.cpu().numpy(), strict=True):
        yield Frame(rgb, alpha)
