"""The weight decoder: skinning weights that adapt to the person (Figure 2 and Table 3 of the paper; formula ours)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["WeightDecoder", "allowed_bones", "divergence", "near_bones", "roughness"]

_FLOOR = 1e-4
_FIRST_RANGE = 2.0


def allowed_bones(weights: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Which bones a point may hang on: those of the template and their parents and children.

    Args:
        weights: The template's, [N, J].
        parents: [J], -1 for the root.

    Returns:
        [N, J] bool.
    """
    return (weights > 0).astype(np.float32) @ near_bones(parents).numpy() > 0


def near_bones(parents: np.ndarray) -> Tensor:
    """1 where two bones are the same or parent and child, [J, J] float32.

    Args:
        parents: [J], -1 for the root.
    """
    near = np.eye(len(parents), dtype=np.float32)
    child = np.flatnonzero(parents >= 0)
    near[child, parents[child]] = near[parents[child], child] = 1
    return torch.from_numpy(near)


class WeightDecoder(nn.Module):
    """W from Q: the logarithms of the template's weights, moved by a bounded amount.

    Args:
        dim: Width of the tokens.
        n_joints: J.
        dim_hidden: Width of the hidden layer.
    """

    def __init__(self, dim: int, n_joints: int, dim_hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim_hidden)
        self.output = nn.Linear(dim_hidden, n_joints)
        self.range = nn.Parameter(torch.tensor(_FIRST_RANGE))
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, tokens: Tensor, weights: Tensor, allowed: Tensor) -> Tensor:
        """Skinning weights of the person; exactly the template's at the start.

        W = W0 + softmax(l + s tanh(MLP(Q))) - softmax(l) with l = log(W0 + 1e-4): the floor lets a neighbouring bone
        gain weight where it has none, and the difference keeps it from giving any before something is learned.

        Args:
            tokens: Q, [B, N, d].
            weights: W0, [N, J], rows sum to 1.
            allowed: [N, J] bool, from `allowed_bones`.

        Returns:
            [B, N, J], not negative, rows sum to 1, zero where not allowed.
        """
        moved = self.range * self.output(nn.functional.silu(self.hidden(tokens))).float().tanh()  # [B, N, J]
        base = _log_floored(weights, allowed)
        change = (base + moved).softmax(-1) - base.expand_as(moved).softmax(-1)
        found = (weights + change).clamp_min(0.0)
        return found * (weights.sum(-1, keepdim=True) / found.sum(-1, keepdim=True))


def divergence(found: Tensor, weights: Tensor, allowed: Tensor) -> Tensor:
    """Mean KL(W || W0) over the points, with the floor under both; zero for W = W0.

    Args:
        found: W, [B, N, J].
        weights: W0, [N, J].
        allowed: [N, J] bool.
    """
    log_found = _log_floored(found, allowed.expand_as(found)).log_softmax(-1)
    log_base = _log_floored(weights, allowed).log_softmax(-1)
    terms = log_found.exp() * (log_found - log_base)
    return terms.masked_fill(~allowed, 0.0).sum(-1).mean()


def roughness(found: Tensor, weights: Tensor, neighbours: Tensor) -> Tensor:
    """Mean squared difference of W - W0 between neighbouring points; the template's own seams cost nothing.

    Args:
        found: W, [B, N, J].
        weights: W0, [N, J].
        neighbours: [N, K] indices.
    """
    change = found - weights
    return (change[:, :, None] - change[:, neighbours]).square().sum(-1).mean()


def _log_floored(weights: Tensor, allowed: Tensor) -> Tensor:
    # A large finite number: with an infinite one, 0 * (inf - inf) makes the gradient of the divergence NaN.
    return (weights + _FLOOR).log().masked_fill(~allowed, -1e4)
