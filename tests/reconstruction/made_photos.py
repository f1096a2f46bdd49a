"""Tiny reconstruction networks with random weights, and tokens for them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from reference_model.body.template import load_template
from reference_model.reconstruction.query_points import QueryPoints, sample_query_points
from reference_model.reconstruction.reconstructor import PhotoTokens, ReconstructionConfig, Reconstructor

TINY = ReconstructionConfig(
    dim=32, n_heads=4, n_layers=2, dim_body=24, dim_head=16, dim_hand=20, dim_decoder=24
)


def randomised(module: nn.Module, seed: int = 0, scale: float = 0.2) -> nn.Module:
    """All parameters random, so that none is zero by its initialisation; but the hand branch's gates stay shut."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if not name.endswith("hand.gate"):
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return module


def tiny_reconstructor(seed: int = 0, **changes) -> Reconstructor:
    torch.manual_seed(seed)
    return Reconstructor(replace(TINY, **changes))


def tiny_points(n: int = 64) -> QueryPoints:
    return sample_query_points(load_template(), n)


def tiny_tokens(n_photos: int = 2, config: ReconstructionConfig = TINY, seed: int = 0) -> PhotoTokens:
    generator = torch.Generator().manual_seed(seed)

    def tokens(*shape: int) -> torch.Tensor:
        return torch.randn(n_photos, *shape, generator=generator)

    return PhotoTokens(
        tokens(9, config.dim_body),
        tokens(4, config.dim_head),
        tokens(2, 6, config.dim_hand),
        torch.ones(n_photos, 2, dtype=torch.bool),
    )
