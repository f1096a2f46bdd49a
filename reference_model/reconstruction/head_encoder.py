"""Tokens of the head crop: DINOv2 ViT-L/14 with registers and LHM's fusion of four of its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reference_model.networks.pretrained import PinnedModel, load_pretrained, transformers_package
from reference_model.reconstruction.pinned_encoders import DINOV2

__all__ = ["HEAD_SIZE", "FusionHead", "HeadEncoder", "published_dino"]

HEAD_SIZE = 448
"""Side of the crop in px."""
_LAYERS_OF_24 = (4, 11, 17, 23)


class FusionHead(nn.Module):
    """Each of four layers through a 1x1 convolution, then all together through one more.

    Args:
        dim: Width of the layers.
        dim_out: Width of the tokens.
    """

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.projects = nn.ModuleList(nn.Conv2d(dim, dim, 1) for _ in _LAYERS_OF_24)
        self.output_conv = nn.Conv2d(4 * dim, dim_out, 1)

    def forward(self, layers: list[Tensor]) -> Tensor:
        """Fuse four maps [B, c, h, w] to [B, c_out, h, w]."""
        fused = [project(layer) for project, layer in zip(self.projects, layers, strict=True)]
        return self.output_conv(torch.cat(fused, 1))


class HeadEncoder(nn.Module):
    """DINOv2, frozen as published (LHM trains it on), and its fusion.

    Args:
        dino: A `transformers.Dinov2WithRegistersModel`.
        dim_out: Width of the tokens.
        layers: Blocks whose outputs are fused, counted from 0.
    """

    def __init__(self, dino: Any, dim_out: int = 1024, layers: tuple[int, ...] = _LAYERS_OF_24) -> None:
        super().__init__()
        if max(layers) >= dino.config.num_hidden_layers:
            raise ValueError(f"layers {layers} do not exist in {dino.config.num_hidden_layers} blocks")
        self.dino = dino
        self.layers = layers
        self.fusion = FusionHead(dino.config.hidden_size, dim_out)

    @classmethod
    def load(cls, folder: Path | None = None, pinned: PinnedModel = DINOV2) -> HeadEncoder:
        """The published DINOv2 under a new fusion.

        Raises:
            AvatarBenchError: E303 missing, E304 other bytes or tensors, E603 no transformers.
        """
        return cls(load_pretrained(pinned, "Dinov2WithRegistersModel", folder))

    @classmethod
    def empty(cls) -> HeadEncoder:
        """ViT-L/14 with random weights, for a checkpoint that holds its own; E603 without transformers."""
        transformers = transformers_package()
        config = transformers.Dinov2WithRegistersConfig(
            hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=518, patch_size=14
        )
        return cls(transformers.Dinov2WithRegistersModel(config))

    def forward(self, head: Tensor) -> Tensor:
        """Tokens of head crops.

        Args:
            head: [B, 3, H, W] sRGB in [0, 1], sides divisible by 14; not normalised, as LHM feeds it.

        Returns:
            [B, H / 14 * W / 14, c_out], row by row; 1,024 tokens at 448 px.
        """
        size = self.dino.config.patch_size
        height, width = head.shape[-2] // size, head.shape[-1] // size
        states = self.dino(pixel_values=head, output_hidden_states=True).hidden_states
        first = 1 + self.dino.config.num_register_tokens
        maps = [
            self.dino.layernorm(states[layer + 1])[:, first:].transpose(1, 2).unflatten(-1, (height, width))
            for layer in self.layers
        ]  # 4 x [B, c, h, w]; state 0 is the embedding
        return self.fusion(maps).flatten(2).transpose(1, 2)


def published_dino(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of DINOv2 by the names of its authors' code as those of transformers."""
    renamed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if ".attn.qkv." in name:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[_dino_name(name.replace("attn.qkv", f"attention.attention.{part}"))] = third
        else:
            renamed[_dino_name(name)] = value
    return renamed


_DINO_NAMES = (
    ("pos_embed", "embeddings.position_embeddings"),
    ("cls_token", "embeddings.cls_token"),
    ("register_tokens", "embeddings.register_tokens"),
    ("mask_token", "embeddings.mask_token"),
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("norm.", "layernorm."),
)


def _dino_name(name: str) -> str:
    if name.startswith("blocks."):
        name = name.replace("blocks.", "encoder.layer.", 1).replace(".attn.proj.", ".attention.output.dense.")
        return name.replace(".ls1.gamma", ".layer_scale1.lambda1").replace(
            ".ls2.gamma", ".layer_scale2.lambda1"
        )
    for theirs, ours in _DINO_NAMES:
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return name
