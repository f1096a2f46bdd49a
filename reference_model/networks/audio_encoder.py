"""Speech to driving tokens: the audio encoders of section 3.2, causal from log-mel or over wav2vec 2.0.

The paper takes wav2vec 2.0 for A_t (`FeatureEncoder`). `AudioEncoder` hears normalised log-mel instead
(`networks.features`), is trained from nothing, and is causal up to a fixed lookahead: token `t` uses mel frames
`4t - 8 .. 4t + 8` through the convolutions (80 ms past its instant, plus half an analysis window) and all earlier ones
through the recurrence.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.networks.text_fusion import GatedFusion, TextTokens

__all__ = ["LOOKAHEAD_FRAMES", "MEL_PER_FRAME", "AudioEncoder", "EncoderState", "FeatureEncoder", "tokens_of"]

MEL_PER_FRAME = 4
"""Mel frames (100 Hz) for each picture (25 Hz)."""
LOOKAHEAD_FRAMES = 2
"""Pictures of later sound that a token needs: 80 ms."""
_CONTEXT = LOOKAHEAD_FRAMES * MEL_PER_FRAME  # mel frames on either side of a token's own
_REACH = 2 * _CONTEXT + 1  # mel frames under one token


def tokens_of(n_mel: int, last: bool) -> int:
    """How many tokens `n_mel` mel frames, heard from the start of the sound, complete."""
    if last:  # a token for every four mel frames; a rest of less than four is dropped
        return n_mel // MEL_PER_FRAME
    return max(0, (n_mel + _CONTEXT - _REACH) // MEL_PER_FRAME + 1)


class EncoderState(NamedTuple):
    """What an encoder carries from one stretch of sound to the next."""

    heard: Tensor
    """Input that later tokens still need: mel frames, [B, 13..16, 80]; of `FeatureEncoder` none."""
    hidden: Tensor
    """Recurrent state, [B, d]."""
    frame: int = 0
    """Number of the next token in its sound."""


class _DrivingEncoder(nn.Module):
    """From audio embeddings A_t to driving tokens D_t: innovations, the text, a recurrence.

    Fusion stands before the recurrence, which then coarticulates what was read as it does what was heard.
    """

    def __init__(self, dim: int, n_innovations: int, dropout: float, fusion: GatedFusion | None) -> None:
        super().__init__()
        self.dim = dim
        self.innovations = nn.Sequential(nn.Linear(n_innovations, 64), nn.GELU(), nn.Linear(64, dim))
        self.recurrence = nn.GRU(dim, dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.fusion = fusion

    def _drive(
        self, audio: Tensor, innovations: Tensor, state: EncoderState, text: TextTokens | None
    ) -> tuple[Tensor, EncoderState]:
        """A [B, T, d_a] and noise [B, T, 8] to D [B, T, d]."""
        fused = audio if self.fusion is None else self.fusion(audio, text, state.frame)
        features = self.dropout(fused + self.innovations(innovations))
        tokens, final = self.recurrence(features, state.hidden[None].contiguous())
        return self.dropout(tokens), state._replace(hidden=final[0], frame=state.frame + tokens.shape[1])


class AudioEncoder(_DrivingEncoder):
    """Two stride-2 convolutions with a residual convolution between them, then a GRU.

    The residual convolution stands at 50 Hz, between the two strides, so that the whole stack looks exactly
    80 ms ahead (2 + 2 + 4 mel frames).

    Args:
        dim: Width d of the driving token.
        n_mels: Mel bands of the input.
        n_innovations: Noise channels joined to each token before the recurrence.
        dropout: Share of features dropped before and after the recurrence, in training.
        dim_text: Width of the text's tokens; None for an encoder that takes no text.
        text_pool: See `GatedFusion`.
    """

    def __init__(
        self,
        dim: int = 256,
        n_mels: int = 80,
        n_innovations: int = 8,
        dropout: float = 0.1,
        dim_text: int | None = None,
        text_pool: Literal["attention", "mean"] = "attention",
    ) -> None:
        fusion = None
        if dim_text is not None:
            fusion = GatedFusion(dim, dim_text, dim, project_audio=False, pool=text_pool)
        super().__init__(dim, n_innovations, dropout, fusion)
        self.to_50_hz = nn.Conv1d(n_mels, dim, 5, stride=2)
        self.residual = nn.Conv1d(dim, dim, 3)
        self.to_25_hz = nn.Conv1d(dim, dim, 5, stride=2)

    def forward(
        self,
        mel: Tensor,  # [B, t_mel, 80]
        innovations: Tensor,  # [B, T, 8]
        state: EncoderState | None = None,
        last: bool = True,
        text: TextTokens | None = None,
    ) -> tuple[Tensor, EncoderState]:
        """Encode the next stretch of sound; a whole sound by default.

        Any split into stretches gives the same tokens. A stretch that is not the last one yields the tokens whose
        lookahead has arrived: `n_tokens(state, t_mel, last)` tells how many.

        Args:
            mel: Normalised log-mel at 100 Hz, [B, t_mel, 80]; 4T frames for a whole sound of T pictures.
            innovations: Noise of the T pictures that come out, [B, T, 8].
            state: What the previous call returned; None at the start of a sound.
            last: The sound ends here; its last mel frame stands for what would follow.
            text: What is said, for an encoder that takes text; None for unknown.

        Returns:
            Driving tokens D, [B, T, d], and the state for the next call.
        """
        expected = self.n_tokens(state, mel.shape[1], last)
        if innovations.shape[1] != expected:
            raise ValueError(f"innovations must hold {expected} frames, got {innovations.shape[1]}")
        if state is None:
            state = EncoderState(mel[:, :1].expand(-1, _CONTEXT, -1), mel.new_zeros(len(mel), self.dim))
        parts = [state.heard, mel]
        if last:
            parts.append((mel if mel.shape[1] else state.heard)[:, -1:].expand(-1, _CONTEXT, -1))
        buffer = torch.cat(parts, 1)
        state = state._replace(heard=buffer[:, MEL_PER_FRAME * expected :])
        if expected == 0:
            return mel.new_zeros(len(mel), 0, self.dim), state
        used = MEL_PER_FRAME * (expected - 1) + _REACH
        return self._drive(self._convolve(buffer[:, :used]), innovations, state, text)

    @staticmethod
    def n_tokens(state: EncoderState | None, n_mel: int, last: bool) -> int:
        """How many tokens `forward` yields for `n_mel` further mel frames."""
        before = 0 if state is None else state.heard.shape[1] - _CONTEXT
        return tokens_of(before + n_mel, last)

    def _convolve(self, mel: Tensor) -> Tensor:
        """Unpadded convolutions, [B, 4T + 13, 80] -> [B, T, d]."""
        x = F.gelu(self.to_50_hz(mel.transpose(1, 2)))  # [B, d, 2T + 5]
        x = x[..., 1:-1] + F.gelu(self.residual(x))  # [B, d, 2T + 3]
        return F.gelu(self.to_25_hz(x)).transpose(1, 2)  # [B, T, d]


class FeatureEncoder(_DrivingEncoder):
    """Driving tokens from the embeddings A_t of a pretrained model at 25 Hz, which brings its own lookahead.

    Args:
        dim: Width d of the driving token.
        dim_audio: Width of A_t.
        dim_text: Width of the text's tokens.
        n_innovations: As in `AudioEncoder`.
        dropout: As in `AudioEncoder`.
        text_pool: See `GatedFusion`.
    """

    def __init__(
        self,
        dim: int,
        dim_audio: int,
        dim_text: int,
        n_innovations: int = 8,
        dropout: float = 0.1,
        text_pool: Literal["attention", "mean"] = "attention",
    ) -> None:
        super().__init__(dim, n_innovations, dropout, GatedFusion(dim_audio, dim_text, dim, pool=text_pool))

    def forward(
        self,
        audio: Tensor,  # [B, T, d_a]
        innovations: Tensor,  # [B, T, 8]
        state: EncoderState | None = None,
        last: bool = True,
        text: TextTokens | None = None,
    ) -> tuple[Tensor, EncoderState]:
        """Encode T frames; arguments and results as in `AudioEncoder`, with `audio` for mel frames."""
        del last  # no frame waits for another
        if innovations.shape[1] != audio.shape[1]:
            raise ValueError(f"innovations must hold {audio.shape[1]} frames, got {innovations.shape[1]}")
        if state is None:
            state = EncoderState(audio[:, :0], audio.new_zeros(len(audio), self.dim))
        if not audio.shape[1]:
            return audio.new_zeros(len(audio), 0, self.dim), state
        return self._drive(audio, innovations, state, text)
