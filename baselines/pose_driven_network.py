"""The rival of the particle deformer: speech to a parametric pose, and the pose drives the avatar.

Same audio encoder, same training data, but what comes out of the network are 52 facial actions and the joints'
rotations, as in audio-to-expression systems. Gaussians then follow blendshapes and linear blend skinning; there are
no particles and no residuals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from media.threads import one_torch_thread
from reference_model.animate import Background, Frame, FrameView
from reference_model.avatar.gaussians import Gaussians
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.deform import Rig
from reference_model.innovations import N_CHANNELS
from reference_model.networks.audio_encoder import AudioEncoder, EncoderState
from reference_model.networks.features import N_MELS
from reference_model.networks.weights import load_weights, read_metadata
from reference_model.render.camera import Camera
from reference_model.sound_stream import sound_frames

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = [
    "WEIGHTS",
    "BlendshapeRig",
    "Pose",
    "PoseDrivenAnimator",
    "PoseDrivenConfig",
    "PoseDrivenNetwork",
    "load_network",
]

WEIGHTS = Path(__file__).parent / "weights" / "pose_driven.safetensors"


@dataclass(frozen=True, slots=True)
class PoseDrivenConfig:
    """Sizes of the network."""

    dim_driving: int = 256
    dim_hidden: int = 512
    dropout: float = 0.1


class Pose(NamedTuple):
    """A parametric pose, relative to the photo."""

    change: Tensor
    """Facial actions minus those of the photo, [..., 52]."""
    rotations: Tensor
    """Rotation vectors of the joints in bone axes, radians, [..., J, 3]."""


class PoseDrivenNetwork(nn.Module):
    """Audio encoder and a decoder to facial actions and joint rotations.

    Args:
        config: Sizes.
    """

    def __init__(self, config: PoseDrivenConfig | None = None) -> None:
        super().__init__()
        self.config = PoseDrivenConfig() if config is None else config
        template = load_template()
        self.n_actions, self.n_joints = len(template.actions), template.n_joints
        self.audio = AudioEncoder(self.config.dim_driving, N_MELS, N_CHANNELS, self.config.dropout)
        n_inputs, hidden = self.config.dim_driving + self.n_actions, self.config.dim_hidden
        self.decoder = nn.Sequential(
            nn.Linear(n_inputs, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, self.n_actions + 3 * self.n_joints),
        )
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        mel: Tensor,  # [B, t_mel, 80]
        innovations: Tensor,  # [B, T, 8]
        expression: Tensor,  # [B, 52]
        state: EncoderState | None = None,
        last: bool = True,
    ) -> tuple[Pose, EncoderState]:
        """Pose of every frame.

        Args:
            mel: Normalised log-mel, [B, t_mel, 80].
            innovations: Noise of the T frames that come out, [B, T, 8].
            expression: Facial actions of the photo, [B, 52].
            state: Memory of the encoder.
            last: The sound ends here.

        Returns:
            The poses [B, T, ...] and the memory for the next call.
        """
        driving, memory = self.audio(mel, innovations, state, last)
        return self.pose(driving, expression), memory

    def pose(self, driving: Tensor, expression: Tensor) -> Pose:
        """Poses [B, T, ...] of driving tokens [B, T, d] for a photo's expression [B, 52]."""
        photo = expression[:, None].expand(-1, driving.shape[1], -1)
        raw = self.decoder(torch.cat([driving, photo], -1))
        change, rotations = raw.split([self.n_actions, 3 * self.n_joints], -1)
        return Pose(change, rotations.unflatten(-1, (self.n_joints, 3)))


class BlendshapeRig:
    """Moves Gaussians by the displacement of facial actions at their place, then by the joints.

    Args:
        avatar: The avatar.
    """

    def __init__(self, avatar: Avatar) -> None:
        template = load_template()
        self._rig = Rig(avatar)
        corners = template.faces[avatar.triangle.numpy()]  # [N, 3]
        at_points = np.einsum("anjc,nj->anc", template.actions[:, corners], avatar.barycentric.numpy())
        moved = np.abs(at_points).max((0, 2)) > 1e-6
        self._rows = torch.from_numpy(np.flatnonzero(moved))
        self._basis = torch.from_numpy(np.ascontiguousarray(at_points[:, moved]))  # [52, n, 3]
        self._frames = self._rig.bone_frames[self._rows]  # [n, 3, 3]
        corners = self._rig.stretch.vertices
        heaviest = template.skin_index[corners, template.skin_weight[corners].argmax(1)].astype(np.int64)
        turned = pose(TemplateTensors(template), avatar.state).rotations[
            torch.from_numpy(heaviest)
        ]  # [v, 3, 3]
        self._corner_basis = torch.einsum(
            "vij,avj->avi", turned, torch.from_numpy(template.actions[:, corners])
        )
        self.expression = avatar.state.actions

    def apply(self, pose: Pose) -> Gaussians:
        """Gaussians of one frame; `pose` holds [52] and [J, 3]."""
        local = torch.einsum("a,anc->nc", pose.change, self._basis)
        offsets = (self._frames @ local[..., None]).squeeze(-1)
        states = torch.zeros(self._rig.n_particles, 6)
        states[: len(pose.rotations), :3] = pose.rotations
        moved = self._rig.move(states, self._rows, offsets)
        growth = self._rig.stretch.by_displacement(torch.einsum("a,avc->vc", pose.change, self._corner_basis))
        scales = self._rig.widened(moved.scales, growth)
        return Gaussians(moved.means, moved.quats, scales, moved.opacities, moved.colors)


class PoseDrivenAnimator:
    """Drives an avatar by speech through a parametric pose; the same interface as `Animator`.

    Args:
        avatar: The avatar.
        network: Trained network; the shipped one when None.
    """

    def __init__(self, avatar: Avatar, network: PoseDrivenNetwork | None = None) -> None:
        self.avatar = avatar
        self.network = (load_network() if network is None else network).eval()
        self.rig = BlendshapeRig(avatar)

    def frames(
        self,
        samples: np.ndarray,
        *,
        seed: int = 0,
        camera: Camera | None = None,
        background: Background = "photo",
        n_frames: int | None = None,
    ) -> Iterator[Frame]:
        """Pictures at 25 frames a second; arguments as in `Animator.frames`."""
        view = FrameView(self.avatar, camera, background)
        for moment in self.motion(samples, seed=seed, n_frames=n_frames):
            with one_torch_thread():
                frame = view.draw(self.rig.apply(moment))
            yield frame

    def motion(self, samples: np.ndarray, *, seed: int = 0, n_frames: int | None = None) -> Iterator[Pose]:
        """Pose of every frame, [52] and [J, 3]."""
        state: EncoderState | None = None
        for mel, innovations, last in sound_frames(samples, seed=seed, n_frames=n_frames):
            with one_torch_thread(), torch.no_grad():
                pose, state = self.network(
                    mel[None], innovations[None], self.rig.expression[None], state, last
                )
            yield from (Pose(*(part[0, t] for part in pose)) for t in range(len(innovations)))


def load_network(path: Path | None = None) -> PoseDrivenNetwork:
    """The trained rival.

    Raises:
        AvatarBenchError: E502, the weights are missing or damaged.
    """
    path = WEIGHTS if path is None else path
    network = PoseDrivenNetwork(PoseDrivenConfig(**read_metadata(path, "PoseDrivenNetwork")["config"]))
    load_weights(path, network)
    return network.eval().requires_grad_(False)
