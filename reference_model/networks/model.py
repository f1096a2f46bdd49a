"""The audio-driven model of section 3.2: audio encoder, particle deformer and Gaussian head in one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

from reference_model.body.particles import GROUPS, load_particles
from reference_model.body.template import REGIONS, load_template
from reference_model.deform import Rig
from reference_model.innovations import N_CHANNELS
from reference_model.networks.audio_encoder import AudioEncoder, EncoderState, FeatureEncoder
from reference_model.networks.features import N_MELS
from reference_model.networks.gaussian_head import GaussianHead, PointTokens, Residuals
from reference_model.networks.particle_deformer import ParticleDeformer, StaticTokens
from reference_model.networks.phoneme_encoder import PhonemeEncoder
from reference_model.networks.surface import particle_layout
from reference_model.networks.text_fusion import TextTokens
from reference_model.networks.weights import load_weights, read_metadata

if TYPE_CHECKING:
    from reference_model.avatar.io import Avatar

__all__ = [
    "BASE",
    "MINI",
    "MINI_TEXT",
    "WEIGHTS",
    "AvatarContext",
    "AvatarModel",
    "Memory",
    "ModelConfig",
    "load_model",
]

WEIGHTS = Path(__file__).parents[1] / "weights" / "mini.safetensors"


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of the model; the paper gives none."""

    dim_driving: int = 256
    """Width d of the driving token D_t."""
    dim_particle: int = 128
    """Width d_h of the particle tokens."""
    n_heads: int = 4
    dim_feedforward: int = 192
    n_tokens: int = 128
    """Anchor tokens of the person, Q, and as many of the template, Q0."""
    dim_point: int = 32
    """Width of the Gaussian head's point tokens."""
    n_point_heads: int = 2
    window_past: int = 8
    """Driving tokens before t that the Gaussian head sees."""
    dropout: float = 0.1
    audio: Literal["mel", "wav2vec2"] = "mel"
    """What A_t is: log-mel through a causal encoder trained here, or wav2vec 2.0."""
    dim_audio: int = 768
    """Width of A_t of wav2vec 2.0."""
    text: Literal["none", "phonemes", "whisper"] = "none"
    """What Z is, if the model takes text at all."""
    dim_text: int = 96
    """Width d_z of Z."""
    text_pool: Literal["attention", "mean"] = "attention"
    """Pool over Z: what has been said up to now, or the paper's mean over the whole text."""


MINI = ModelConfig()
"""Hears and does not read; runs on two CPU cores. Geometric supervision trains this part of the shipped weights."""
MINI_TEXT = ModelConfig(text="phonemes")
"""The preset of the shipped weights: as `MINI`, with the phonemes of a text where there is one."""
BASE = ModelConfig(
    dim_driving=512,
    dim_particle=512,
    n_heads=8,
    dim_feedforward=2048,
    n_tokens=768,
    dim_point=256,
    n_point_heads=8,
    audio="wav2vec2",
    text="whisper",
    dim_text=512,
)
"""The paper's encoders at the scale of a GPU; no weights yet. All 768 local particles serve as anchor tokens."""

# Share of 30 mm that a residual offset may use; residuals refine, particles carry the motion.
_REGION_GAIN = {"head": 0.3, "mouth_cavity": 0.3, "tongue": 0.5, "hand_left": 0.3, "hand_right": 0.3}
_OTHER_REGION_GAIN = 0.2


class AvatarContext(NamedTuple):
    """What the model keeps of an avatar for as long as it talks."""

    rig: Rig
    static: StaticTokens
    points: PointTokens
    """Tokens of the Gaussians in `rig.head_rows`, [c, n]."""
    region: Tensor
    """Their regions, [n]."""


class Memory(NamedTuple):
    """What the model carries from one stretch of an utterance to the next; its size never grows."""

    encoder: EncoderState
    proposals: Tensor
    """What the deformer proposed for the last frame, [1, M, 6]."""
    states: Tensor
    """Particle states of the last frame, [1, M, 6]."""
    driving: Tensor
    """The last driving tokens, [1, window_past, d]."""


class AvatarModel(nn.Module):
    """Speech to particle states and Gaussian residuals.

    Args:
        config: Sizes.

    Attributes:
        use_bfloat16: Whether `advance` multiplies the matrices of deformer and head in bfloat16 (float32 sums); off
            until set, since `mini` gains nothing by it. The encoder, the last layers of the deformer, whose outputs
            are subtracted from frame to frame, and all geometry (SE(3), rig, covariances, projection) stay in float32.
    """

    def __init__(self, config: ModelConfig = MINI) -> None:
        super().__init__()
        self.use_bfloat16 = False
        self.config = config
        template, particles = load_template(), load_particles()
        self.audio = _audio_encoder(config)
        self.text = PhonemeEncoder(config.dim_text) if config.text == "phonemes" else None
        self.particles = ParticleDeformer(
            particle_layout(template, particles, config.n_tokens),
            len(GROUPS),
            config.dim_driving,
            config.dim_particle,
            config.n_heads,
            config.dim_feedforward,
        )
        self.head = GaussianHead(
            config.dim_driving,
            config.dim_point,
            config.n_point_heads,
            config.window_past,
            self.particles.n_particles - particles.n_joints,
            torch.tensor([_REGION_GAIN.get(name, _OTHER_REGION_GAIN) for name in REGIONS]),
        )

    @torch.no_grad()
    def prepare(self, avatar: Avatar) -> AvatarContext:
        """Compute what stays the same while this avatar talks: the rig and all static tokens, on the model's device."""
        device = self.device
        rig = Rig(avatar)
        rows, points = rig.head_rows, rig.points
        region = torch.from_numpy(points.region)[rows]
        parts = (
            torch.from_numpy(points.position)[rows],
            region,
            torch.from_numpy(points.particle_index).long()[rows],
            torch.from_numpy(points.particle_weight)[rows],
            rig.rest_offset,
        )
        tokens = self.head.point_tokens(*(part.to(device) for part in parts))
        person = (rig.person_offset[None].to(device), rig.rest_twist[None].to(device))
        static = self.particles.static_tokens(*person)
        return AvatarContext(rig.to(device), static, tokens, region.to(device))

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.head.query.weight.device

    @torch.no_grad()
    def advance(
        self,
        context: AvatarContext,
        heard: Tensor,  # [t_mel, 80] or [T, d_a]
        innovations: Tensor,  # [T, 8]
        memory: Memory | None = None,
        last: bool = True,
        text: TextTokens | None = None,
    ) -> tuple[Tensor, Residuals, Memory]:
        """Drive an avatar by the next stretch of sound; a whole utterance by default.

        Any split into stretches gives the same frames. The encoder looks 80 ms ahead, so a stretch that is not the
        last one yields fewer frames than it holds (`AudioEncoder.n_tokens`).

        Args:
            context: From `prepare`.
            heard: What the model's listener gave: normalised log-mel at 100 Hz [t_mel, 80], or A_t [T, d_a].
            innovations: Noise of the T frames that come out, [T, 8].
            memory: What the previous call returned; None at the start.
            last: The sound ends here.
            text: What is said in the whole sound, for a model that takes text; None for unknown.

        Returns:
            States of the particles [T, M, 6], residuals [T, n, ...] and the memory for the next call.
        """
        encoder = None if memory is None else memory.encoder
        driving, encoder = self.audio(heard[None], innovations[None], encoder, last, text)  # [1, T, d]
        if memory is None:
            still = driving.new_zeros(1, self.particles.n_particles, 6)
            silence = driving.new_zeros(1, self.config.window_past, driving.shape[-1])
            memory = Memory(encoder, still, still, silence)
        memory = memory._replace(encoder=encoder)
        window = torch.cat([memory.driving, driving], 1)  # [1, past + T, d]
        # A processor takes one frame after the other, which stay in its caches; a GPU wants them all at once.
        head = self.head if driving.is_cuda and driving.shape[1] else self.head.frame_by_frame
        with self.lower_precision():
            residuals = head(window, context.points, context.region)
        if not driving.shape[1]:
            return memory.states[0, None][:0], Residuals(*(part[0] for part in residuals)), memory
        with self.lower_precision():
            proposals = self.particles.proposals(driving, context.static)  # [1, T, M, 6]
        twists = self.particles.twists(proposals, memory.proposals)
        states = self.particles.integrate(twists, memory.states)
        memory = Memory(encoder, proposals[:, -1], states[:, -1], window[:, driving.shape[1] :])
        return self.particles.clamp(states)[0], Residuals(*(part[0] for part in residuals)), memory

    def lower_precision(self) -> AbstractContextManager[object]:
        """Within it matrices are multiplied in bfloat16, if the model is set to."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.use_bfloat16, cache_enabled=False
        )


def load_model(path: Path | None = None) -> AvatarModel:
    """The trained model, ready for inference.

    Args:
        path: Weights file; the shipped preset when None.

    Raises:
        AvatarBenchError: E502, the weights are missing or damaged.
    """
    path = WEIGHTS if path is None else path
    config = ModelConfig(**read_metadata(path, "AvatarModel")["config"])
    model = AvatarModel(config)
    load_weights(path, model)
    return model.eval().requires_grad_(False)


def _audio_encoder(config: ModelConfig) -> AudioEncoder | FeatureEncoder:
    dim, dropout, pool = config.dim_driving, config.dropout, config.text_pool
    if config.audio == "wav2vec2":
        return FeatureEncoder(dim, config.dim_audio, config.dim_text, N_CHANNELS, dropout, pool)
    dim_text = None if config.text == "none" else config.dim_text
    return AudioEncoder(dim, N_MELS, N_CHANNELS, dropout, dim_text, pool)


def config_dict(config: ModelConfig) -> dict[str, int | float | str]:
    """The configuration as it stands in a weights file."""
    return asdict(config)
