"""A block of the Body-Head Transformer: joint attention of points and picture tokens (MMDiT), with LHM's quirks.

Parameters carry the names of LHM's checkpoints (those of diffusers' `JointTransformerBlock`), so that an importer needs
no table for them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

__all__ = ["HandTokens", "JointBlock"]

_EPS = 1e-6
_FIRST_HAND_BIAS = -4.0


class HandTokens(NamedTuple):
    """What the hand encoder saw of both hands, as all layers share it."""

    tokens: Tensor
    """[B, S, d]."""
    valid: Tensor
    """[B, S] bool; false for tokens that no query may look at."""


class HandKeysValues(nn.Module):
    """Keys and values of the hands in one layer, and the gate that lets them in.

    Args:
        dim: Width d of the tokens.
        n_heads: Heads of the attention.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.to_k_hand = nn.Linear(dim, dim)
        self.to_v_hand = nn.Linear(dim, dim)
        self.norm_k_hand = nn.RMSNorm(dim // n_heads, _EPS)
        self.bias = nn.Parameter(torch.full((n_heads,), _FIRST_HAND_BIAS))
        self.gate = nn.Parameter(torch.zeros(n_heads))

    def forward(
        self, without: Tensor, query: Tensor, key: Tensor, value: Tensor, hands: HandTokens
    ) -> Tensor:
        """Mix the attention over all keys, K = [K_fb || K_hand], into the one without hands.

        The gate mixes the two results, `without + tanh(g) (with - without)`: at g = 0 nothing changes, to the bit. A
        small logit bias or zero values alone would not do: keys that carry nothing still take their share of the
        softmax.

        Args:
            without: Attention over the keys of face and body, [B, H, N, d / H].
            query: Of the points, normalised, [B, H, N, d / H].
            key: Of face and body, [B, H, S, d / H].
            value: Of face and body, [B, H, S, d / H].
            hands: Tokens of the hands.

        Returns:
            [B, H, N, d / H].
        """
        hand_key = self.norm_k_hand(_split(self.to_k_hand(hands.tokens), self.n_heads))
        hand_value = _split(self.to_v_hand(hands.tokens), self.n_heads)
        bias = self.bias.to(query)[None, :, None, None].masked_fill(
            ~hands.valid[:, None, None], -torch.inf
        )  # [B, H, 1, S_hand]
        none = bias.new_zeros(*bias.shape[:3], key.shape[2])
        # Expanded, not repeated: CUDA's kernels take a mask whose query dimension has stride 0.
        mask = torch.cat([none, bias], -1).expand(-1, -1, query.shape[2], -1)
        with_hands = scaled_dot_product_attention(
            query, torch.cat([key, hand_key], 2), torch.cat([value, hand_value], 2), attn_mask=mask
        )
        return torch.lerp(without, with_hands, self.gate.tanh().to(without)[:, None, None])


class JointAttention(nn.Module):
    """Attention of points and context over both, with RMS-normalised queries and keys.

    Args:
        dim: Width of the tokens.
        n_heads: Heads.
        context_pre_only: The context is only looked at; its own output is not needed.
        with_hands: Whether the points also see hand tokens.
    """

    def __init__(self, dim: int, n_heads: int, context_pre_only: bool, with_hands: bool) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_q, self.norm_k, self.norm_added_q, self.norm_added_k = (
            nn.RMSNorm(dim // n_heads, _EPS) for _ in range(4)
        )
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.to_add_out = None if context_pre_only else nn.Linear(dim, dim)
        self.hand = HandKeysValues(dim, n_heads) if with_hands else None

    def forward(
        self, points: Tensor, context: Tensor, hands: HandTokens | None
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            points: [B, N, d], normalised.
            context: [B, S, d], normalised.
            hands: Tokens of the hands, or None.

        Returns:
            Outputs for points [B, N, d] and context [B, S, d]; None for a context that is only looked at.
        """
        n = points.shape[1]
        query = self.norm_q(_split(self.to_q(points), self.n_heads))  # [B, H, N, d / H]
        key = self.norm_k(_split(self.to_k(points), self.n_heads))
        context_query = self.norm_added_q(_split(self.add_q_proj(context), self.n_heads))  # [B, H, S, d / H]
        context_key = self.norm_added_k(_split(self.add_k_proj(context), self.n_heads))
        value = torch.cat(
            [_split(part, self.n_heads) for part in (self.to_v(points), self.add_v_proj(context))], 2
        )  # [B, H, N + S, d / H]
        key = torch.cat([key, context_key], 2)
        attended = scaled_dot_product_attention(torch.cat([query, context_query], 2), key, value)
        of_points, of_context = attended[:, :, :n], attended[:, :, n:]
        if self.hand is not None and hands is not None:
            of_points = self.hand(of_points, query, key, value, hands)
        out = self.to_out[0](_join(of_points))
        return out, None if self.to_add_out is None else self.to_add_out(_join(of_context))


class JointBlock(nn.Module):
    """One MMDiT block, AdaLN-zero; as in LHM the context's feed-forward is added twice, once through its gate.

    Args:
        dim: Width of the tokens.
        n_heads: Heads.
        context_pre_only: For the last layer, whose context nobody reads.
        with_hands: Whether the points also see hand tokens.
    """

    def __init__(
        self, dim: int, n_heads: int, context_pre_only: bool = False, with_hands: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = _Modulation(dim, 6)
        self.norm1_context = _Modulation(dim, 2 if context_pre_only else 6)
        self.attn = JointAttention(dim, n_heads, context_pre_only, with_hands)
        self.ff = _FeedForward(dim)
        self.ff_context = None if context_pre_only else _FeedForward(dim)

    def forward(
        self, points: Tensor, context: Tensor, condition: Tensor, hands: HandTokens | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Update points and context.

        Args:
            points: [B, N, d].
            context: [B, S, d].
            condition: What modulates the norms, [B, d].
            hands: Tokens of the hands, or None.

        Returns:
            Points [B, N, d] and context [B, S, d]; the last layer gives no context.
        """
        shift, scale, gate, ff_shift, ff_scale, ff_gate = self.norm1(condition)
        of_context = self.norm1_context(condition)
        if self.ff_context is None:
            context_scale, context_shift = of_context  # diffusers' continuous norm has them in this order
        else:
            context_shift, context_scale = of_context[:2]
        attended, context_attended = self.attn(
            _modulated(points, shift, scale), _modulated(context, context_shift, context_scale), hands
        )
        points = points + gate * attended
        points = points + ff_gate * self.ff(_modulated(points, ff_shift, ff_scale))
        if self.ff_context is None or context_attended is None:
            return points, None
        context_gate, context_ff_shift, context_ff_scale, context_ff_gate = of_context[2:]
        context = context + context_gate * context_attended
        fed = self.ff_context(_modulated(context, context_ff_shift, context_ff_scale))
        return points, context + context_ff_gate * fed + fed


class _Modulation(nn.Module):
    """Shifts, scales and gates from the condition, `n` vectors [B, 1, d]."""

    def __init__(self, dim: int, n: int) -> None:
        super().__init__()
        self.n = n
        self.linear = nn.Linear(dim, n * dim)

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        return self.linear(silu(condition))[:, None].chunk(self.n, -1)


class _FeedForward(nn.Module):
    """Two layers with the tanh approximation of GELU; `net` has the gaps of LHM's names."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        first = nn.Module()
        first.proj = nn.Linear(dim, 4 * dim)
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, tokens: Tensor) -> Tensor:
        first, _, last = self.net
        return last(gelu(first.proj(tokens), approximate="tanh"))  # type: ignore[operator]


def _modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return nn.functional.layer_norm(tokens, tokens.shape[-1:], eps=_EPS) * (1 + scale) + shift


def _split(tokens: Tensor, n_heads: int) -> Tensor:
    return tokens.unflatten(-1, (n_heads, -1)).transpose(1, 2)  # [B, H, S, d / H]


def _join(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)  # [B, S, d]
