"""`ours`: the reference model behind the benchmark's contract, as thin as that can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.contract import Generation, Identity, MethodSpec, Preparation, Sample

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = ["PERSONALISATION", "SPEC", "AvatarMethod", "Ours", "prepare_avatar", "prepared_avatar"]

PERSONALISATION = Preparation(
    id="reference_avatar",
    version="1",
    sources=(
        "media",
        "reference_model/avatar",
        "reference_model/body",
        "reference_model/cuda_graph.py",
        "reference_model/networks",
        "reference_model/photo",
        "reference_model/reconstruction",
        "reference_model/render",
        "reference_model/weights/reconstruction_mini.safetensors",
    ),
)
"""One photograph to one avatar; shared by all methods that drive the same avatars."""

SPEC = MethodSpec(
    id="ours",
    version="1",
    title="The reference model: speech moves the Gaussians of a one-photo avatar",
    licence="Apache-2.0",
    factory="baselines.ours:Ours",
    sources=(
        "baselines/ours.py",
        "reference_model/animate.py",
        "reference_model/compiled.py",
        "reference_model/cuda_graph.py",
        "reference_model/cuda_kernels.py",
        "reference_model/deform.py",
        "reference_model/deform_cuda.py",
        "reference_model/deform_kernels.py",
        "reference_model/deform_torch.py",
        "reference_model/frame_view.py",
        "reference_model/innovations.py",
        "reference_model/networks",
        "reference_model/sound_stream.py",
        "reference_model/steady_state.py",
        "reference_model/stretch.py",
        "reference_model/weights",
    ),
    preparation=PERSONALISATION,
)

_AVATAR = "person.avatar"


def prepare_avatar(identity: Identity, prepared: Path) -> None:
    """Make the avatar of the person's reference picture: the whole of `PERSONALISATION`."""
    from media.image import load_image
    from reference_model.avatar.io import save_avatar
    from reference_model.avatar.personalize import create_avatar

    avatar = create_avatar(load_image(identity.reference_image), seed=identity.seed)
    save_avatar(prepared / _AVATAR, avatar)


def prepared_avatar(prepared: Path) -> Avatar:
    """The avatar that `prepare_avatar` left in a folder."""
    from reference_model.avatar.io import load_avatar

    return load_avatar(prepared / _AVATAR)


class _Animates(Protocol):
    """What drives an avatar: `Animator` or a rival with its interface."""

    def frames(self, samples: Any, *, seed: int, camera: Any, n_frames: int) -> Any:
        """Frames with `rgb` [H, W, 3] uint8."""
        ...


class AvatarMethod(ABC):
    """A method that makes an avatar of the reference picture and drives it by the sound.

    Personalisation and animation run on the CPU wherever they are.
    """

    @abstractmethod
    def animator(self, avatar: Avatar) -> _Animates:
        """What drives the avatar."""

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """Make the avatar of the person's reference picture."""
        prepare_avatar(identity, prepared)

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        """Drive the avatar by the sample's sound, seen as in the reference picture."""
        from media.audio import load_audio
        from media.video import write_video
        from reference_model.animate import FPS

        if sample.fps != FPS:
            raise ValueError(f"the reference model speaks at {FPS} frames a second, not at {sample.fps:g}")
        avatar = prepared_avatar(prepared)
        sound = load_audio(sample.audio)
        camera = avatar.camera.resized(sample.width, sample.height)
        frames = self.animator(avatar).frames(
            sound, seed=sample.seed, camera=camera, n_frames=sample.n_frames
        )
        write_video(out, (frame.rgb for frame in frames), sample.fps, audio=sound)
        return Generation(out, seeds={"performance": sample.seed})


class Ours(AvatarMethod):
    """The particle deformer drives the avatar."""

    def __init__(self, device: str) -> None:
        from reference_model.networks.model import load_model

        del device
        self._model = (
            load_model()
        )  # now, so that missing weights are found before a minute of personalisation

    def animator(self, avatar: Avatar) -> _Animates:
        """The reference model's animator with the weights that ship."""
        from reference_model.animate import Animator

        return Animator(avatar, self._model)
