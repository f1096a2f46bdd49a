"""Speech to driving tokens: the audio encoder of section 3.2 in its causal, weight-free form.

The paper takes wav2vec 2.0 for A_t. This encoder hears normalised log-mel instead (`networks.features`), is trained
from nothing, and is causal up to a fixed lookahead: token `t` uses mel frames `4t - 8 .. 4t + 8` through the
convolutions (80 ms past its instant, plus half an analysis window) and all earlier ones through the recurrence.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LOOKAHEAD_FRAMES", "MEL_PER_FRAME", "AudioEncoder", "EncoderState", "tokens_of"]

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
    """What the encoder carries from one stretch of sound to the next."""

    mel: Tensor
    """Mel frames that later tokens still need, [B, 13..16, 80]."""
    hidden: Tensor
    """Recurrent state, [B, d]."""


class AudioEncoder(nn.Module):
    """Two stride-2 convolutions with a residual convolution between them, then a GRU.

    The residual convolution stands at 50 Hz, between the two strides, so that the whole stack looks exactly
    80 ms ahead (2 + 2 + 4 mel frames).

    Args:
        dim: Width d of the driving token.
        n_mels: Mel bands of the input.
        n_innovations: Noise channels joined to each token before the recurrence.
        dropout: Share of features dropped before and after the recurrence, in training.
    """

    def __init__(
        self, dim: int = 256, n_mels: int = 80, n_innovations: int = 8, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.dim = dim
        self.to_50_hz = nn.Conv1d(n_mels, dim, 5, stride=2)
        self.residual = nn.Conv1d(dim, dim, 3)
        self.to_25_hz = nn.Conv1d(dim, dim, 5, stride=2)
        self.innovations = nn.Sequential(nn.Linear(n_innovations, 64), nn.GELU(), nn.Linear(64, dim))
        self.recurrence = nn.GRU(dim, dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        mel: Tensor,  # [B, t_mel, 80]
        innovations: Tensor,  # [B, T, 8]
        state: EncoderState | None = None,
        last: bool = True,
    ) -> tuple[Tensor, EncoderState]:
        """Encode the next stretch of sound; a whole sound by default.

        Any split into stretches gives the same tokens. A stretch that is not the last one yields the tokens whose
        lookahead has arrived: `n_tokens(state, t_mel, last)` tells how many.

        Args:
            mel: Normalised log-mel at 100 Hz, [B, t_mel, 80]; 4T frames for a whole sound of T pictures.
            innovations: Noise of the T pictures that come out, [B, T, 8].
            state: What the previous call returned; None at the start of a sound.
            last: The sound ends here; its last mel frame stands for what would follow.

        Returns:
            Driving tokens D, [B, T, d], and the state for the next call.
        """
        expected = self.n_tokens(state, mel.shape[1], last)
        if innovations.shape[1] != expected:
            raise ValueError(f"innovations must hold {expected} frames, got {innovations.shape[1]}")
        heard = mel[:, :1].expand(-1, _CONTEXT, -1) if state is None else state.mel
        parts = [heard, mel]
        if last:
            parts.append((mel if mel.shape[1] else heard)[:, -1:].expand(-1, _CONTEXT, -1))
        buffer = torch.cat(parts, 1)
        hidden = mel.new_zeros(mel.shape[0], self.dim) if state is None else state.hidden
        if expected == 0:
            return mel.new_zeros(mel.shape[0], 0, self.dim), EncoderState(buffer, hidden)
        used = MEL_PER_FRAME * (expected - 1) + _REACH
        features = self._convolve(buffer[:, :used])  # [B, T, d]
        features = self.dropout(features + self.innovations(innovations))
        tokens, final = self.recurrence(features, hidden[None].contiguous())
        return self.dropout(tokens), EncoderState(buffer[:, MEL_PER_FRAME * expected :], final[0])

    @staticmethod
    def n_tokens(state: EncoderState | None, n_mel: int, last: bool) -> int:
        """How many tokens `forward` yields for `n_mel` further mel frames."""
        before = 0 if state is None else state.mel.shape[1] - _CONTEXT
        return tokens_of(before + n_mel, last)

    def _convolve(self, mel: Tensor) -> Tensor:
        """Unpadded convolutions, [B, 4T + 13, 80] -> [B, T, d]."""
        x = F.gelu(self.to_50_hz(mel.transpose(1, 2)))  # [B, d, 2T + 5]
        x = x[..., 1:-1] + F.gelu(self.residual(x))  # [B, d, 2T + 3]
        return F.gelu(self.to_25_hz(x)).transpose(1, 2)  # [B, T, d]
