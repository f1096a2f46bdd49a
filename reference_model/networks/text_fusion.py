"""Gated fusion of what is heard with what is read: the driving token of section 3.2.

`D_t = gamma_t Proj_a(A~_t) + (1 - gamma_t) Pool(Proj_z(Z))`, `A~_t = [PE(t) || A_t]`, `gamma_t = sigmoid(w A~_t + b)`.
Without text the gate is exactly 1, not a gate that has learned to be nearly so, and the sound passes unchanged.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["TEXT_LOOKAHEAD_FRAMES", "Clock", "GatedFusion", "TextTokens"]

TEXT_LOOKAHEAD_FRAMES = 2
"""A token of the text is seen 80 ms before it is spoken, as far ahead as the sound."""
_WINDOW = 32  # tokens of the text that a frame sees at most: some three seconds of phonemes
_DIM_KEY = 64


class TextTokens(NamedTuple):
    """A text with times; an utterance's tokens are computed once."""

    features: Tensor
    """Z, [B, L, d_z]."""
    start: Tensor
    """When each token begins, frames from the start of the sound, ascending, [B, L]; infinite where there is none."""


class Clock(nn.Module):
    """PE(t): sines and cosines of the frame number, of period 256 frames (10 s): no utterance outgrows it.

    Args:
        dim: Number of features, even.
    """

    period = 256
    rates: Tensor

    def __init__(self, dim: int = 64) -> None:
        super().__init__()
        self.dim = dim
        rates = 2 * math.pi / self.period * torch.arange(1, dim // 2 + 1)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, frame: Tensor) -> Tensor:
        """Frame numbers [...] as features [..., dim]."""
        phase = (frame % self.period)[..., None] * self.rates
        return torch.cat([phase.sin(), phase.cos()], -1)


class GatedFusion(nn.Module):
    """Driving tokens from audio embeddings and, where there is one, a text.

    Args:
        dim_audio: Width of A_t.
        dim_text: Width of Z.
        dim: Width of D_t.
        project_audio: Whether Proj_a is learned; if not, it is the identity and `dim_audio` must be `dim`.
        pool: "attention" over the tokens that have begun, or "mean" over the whole text, which is the paper's wording
            and tells nothing about time.
        text_dropout: Share of items that lose their text in training.
    """

    def __init__(
        self,
        dim_audio: int,
        dim_text: int,
        dim: int,
        *,
        project_audio: bool = True,
        pool: Literal["attention", "mean"] = "attention",
        text_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if not project_audio and dim_audio != dim:
            raise ValueError(f"without a projection dim_audio must be {dim}, got {dim_audio}")
        self.pool, self.text_dropout = pool, text_dropout
        self.clock = Clock()
        dim_placed = self.clock.dim + dim_audio
        self.project_audio = nn.Linear(dim_placed, dim) if project_audio else None
        self.project_text = nn.Linear(dim_text, dim)
        self.gate = nn.Linear(dim_placed, 1)
        nn.init.constant_(self.gate.bias, 2.0)  # the sound leads until the text has shown its worth
        if pool == "attention":
            self.query = nn.Linear(dim_placed, _DIM_KEY)
            self.key = nn.Linear(dim_text, _DIM_KEY)
            self.fade = nn.Parameter(torch.zeros(()))

    def forward(self, audio: Tensor, text: TextTokens | None = None, first_frame: int = 0) -> Tensor:
        """Fuse T frames.

        Args:
            audio: A, [B, T, dim_audio].
            text: The text of each item; None for none.
            first_frame: Number of the first frame in its sound.

        Returns:
            D, [B, T, dim].
        """
        frame = first_frame + torch.arange(audio.shape[1], device=audio.device)  # [T]
        shift = frame.new_zeros(audio.shape[0])
        if self.training:  # crops begin anywhere in an utterance
            shift = torch.randint(0, self.clock.period, shift.shape, device=audio.device)
        placed = torch.cat([self.clock(frame + shift[:, None]), audio], -1)  # A~   [B, T, p + d_a]
        heard = audio if self.project_audio is None else self.project_audio(placed)
        if text is None or not text.features.shape[1]:
            return heard
        read, present = self._read(placed, text, frame)
        if self.training:
            kept = torch.rand(len(audio), 1, 1, device=audio.device) >= self.text_dropout
            present = present & kept
        gate = torch.where(present, torch.sigmoid(self.gate(placed)), 1.0)  # gamma   [B, T, 1]
        return gate * heard + (1 - gate) * torch.where(present, read, 0.0)

    def _read(self, placed: Tensor, text: TextTokens, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Pool(Proj_z(Z)) [B, T, dim] and whether there is anything to read, [B, T, 1]."""
        value = self.project_text(text.features)  # [B, L, dim]
        if self.pool == "mean":
            is_token = text.start.isfinite()[..., None]  # [B, L, 1]
            mean = (value * is_token).sum(1) / is_token.sum(1).clamp(min=1)
            shape = (-1, len(frame), -1)
            return mean[:, None].expand(*shape), is_token.any(1, keepdim=True).expand(*shape)
        start = text.start.contiguous()
        now = frame.to(start.dtype).expand(len(start), -1).contiguous()  # [B, T]
        begun = torch.searchsorted(start, now + TEXT_LOOKAHEAD_FRAMES, right=True)  # [B, T] tokens
        index = begun[..., None] - 1 - torch.arange(_WINDOW, device=start.device)  # [B, T, W], newest first
        seen = index >= 0
        index = index.clamp(min=0)
        item = torch.arange(len(start), device=start.device)[:, None, None]
        # Older tokens fade by a learned rate: attention by content alone could not tell "now" from "before".
        # An item without a text begins at infinity, which would make the fade's gradient NaN even where it is masked.
        began = start[item, index].where(seen, 0.0)
        age = (now[..., None] - began + TEXT_LOOKAHEAD_FRAMES) * self.fade.exp() / 8
        key = self.key(text.features)[item, index]  # [B, T, W, k]
        logits = (self.query(placed)[..., None, :] * key).sum(-1) / math.sqrt(_DIM_KEY) - age
        present = seen.any(-1, keepdim=True)
        weight = logits.masked_fill(~seen, -torch.inf).masked_fill(~present, 0.0).softmax(-1)
        return (weight[..., None, :] @ value[item, index]).squeeze(-2), present
