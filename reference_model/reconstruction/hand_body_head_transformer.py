"""The Hand++ Body-Head Transformer: LHM's transformer, whose body blocks also look at hand tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reference_model.reconstruction.joint_attention import HandTokens, JointBlock

__all__ = ["BODY_SHARE", "HandBodyHeadTransformer"]

BODY_SHARE = 0.75
"""Of the points, which come first; the rest lie on the head (LHM)."""


class HandBodyHeadTransformer(nn.Module):
    """Points look at the photograph: those of the head at the head crop first, then all at the body's tokens and hands.

    Args:
        dim: Width d of the tokens.
        n_heads: Heads.
        n_layers: Layers, of two blocks each.
        dim_picture: Width of the body tokens; head tokens are filled up with zeros.
        dim_hand: Width of the hand encoder's tokens.
        hand_enhance: Whether there is a hand branch at all.
    """

    def __init__(
        self,
        dim: int,
        n_heads: int,
        n_layers: int,
        dim_picture: int,
        dim_hand: int,
        hand_enhance: bool = True,
    ) -> None:
        super().__init__()
        if dim % n_heads:
            raise ValueError(f"the width {dim} must be divisible by the number of heads, {n_heads}")
        self.dim_picture = dim_picture
        self.linear_cond_proj = nn.Linear(dim_picture, dim)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "head_dit": JointBlock(dim, n_heads, last),
                    "body_dit": JointBlock(dim, n_heads, last, with_hands=hand_enhance),
                }
            )
            for last in [False] * (n_layers - 1) + [True]
        )
        self.norm = nn.LayerNorm(dim, 1e-6)
        self.hand = _HandTokenizer(dim_hand, dim) if hand_enhance else None

    def forward(
        self,
        points: Tensor,  # [B, N, d]
        body: Tensor,  # [B, S_b, c]
        head: Tensor,  # [B, S_h, c_h], c_h <= c
        condition: Tensor,  # [B, 2 d]
        hands: Tensor | None = None,  # [B, 2, S, c_hand]
        hand_present: Tensor | None = None,  # [B, 2] bool
    ) -> Tensor:
        """Query tokens Q of the person.

        Args:
            points: Embedded query points, the first three quarters on the body, the rest on the head.
            body: Tokens of the whole picture.
            head: Tokens of the head crop.
            condition: What modulates the body blocks, and then the head blocks.
            hands: Tokens of the left and the right hand; None for a photograph without hands.
            hand_present: Which of them are in sight; both when None.

        Returns:
            [B, N, d].
        """
        head = nn.functional.pad(head, (0, self.dim_picture - head.shape[-1]))
        body, head = self.linear_cond_proj(body), self.linear_cond_proj(head)
        body_condition, head_condition = condition.chunk(2, -1)
        hand_tokens = None if self.hand is None or hands is None else self.hand(hands, hand_present)
        n_body = int(points.shape[1] * BODY_SHARE)
        for layer in self.layers:
            head_points, head = layer["head_dit"](points[:, n_body:], head, head_condition)  # type: ignore[index]
            points = torch.cat([points[:, :n_body], head_points], 1)
            points, body = layer["body_dit"](points, body, body_condition, hand_tokens)  # type: ignore[index]
        return self.norm(points)


class _HandTokenizer(nn.Module):
    """Projects the hands' tokens and says which hand they show; a hand out of sight becomes one token "absent"."""

    def __init__(self, dim_hand: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_hand, dim)
        self.side = nn.Parameter(0.02 * torch.randn(2, dim))
        self.absent = nn.Parameter(0.02 * torch.randn(dim))

    def forward(self, hands: Tensor, present: Tensor | None) -> HandTokens:
        if hands.shape[1] != 2:
            raise ValueError(f"hands must have shape [B, 2, S, c], got {tuple(hands.shape)}")
        if present is None:
            present = hands.new_ones(hands.shape[:2], dtype=torch.bool)
        # What an unseen crop holds must not reach anything, not even as NaN times zero.
        seen = torch.where(present[..., None, None], hands, 0)
        seen = self.project(seen) + self.side[:, None]  # [B, 2, S, d]
        absent = (self.absent + self.side).expand(len(hands), -1, -1)  # [B, 2, d]
        valid = present[..., None].expand(-1, -1, hands.shape[2])  # [B, 2, S]
        return HandTokens(
            torch.cat([seen.flatten(1, 2), absent], 1), torch.cat([valid.flatten(1, 2), ~present], 1)
        )
