"""Tokens of the whole picture: Sapiens-1B, as LHM uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from media.errors import AvatarBenchError
from reference_model.networks.pretrained import PinnedModel, find_model
from reference_model.reconstruction.pinned_encoders import SAPIENS

__all__ = ["BODY_SIZE", "BodyEncoder"]

BODY_SIZE = 1024
"""Side of the picture in px; the published program is traced for it."""
_MEAN, _STD = (0.4844, 0.4570, 0.4062), (0.2295, 0.2236, 0.2256)


class BodyEncoder(nn.Module):
    """Frozen Sapiens.

    Args:
        program: What `load` opened: normalised pictures [B, 3, H, W] to a tuple with one map [B, c, h, w].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    @classmethod
    def load(cls, folder: Path | None = None, pinned: PinnedModel = SAPIENS) -> BodyEncoder:
        """Open the published TorchScript program; its bytes are compared first, for a program runs what it holds.

        Args:
            folder: Where it stands; looked for when None (see `find_model`).
            pinned: Which model.

        Raises:
            AvatarBenchError: E303 missing, E304 other bytes, E305 no TorchScript program, E603 no transformers.
        """
        path = find_model(pinned, folder) / pinned.weights_file
        try:
            program = torch.jit.load(str(path), map_location="cpu")
        except RuntimeError as error:
            raise AvatarBenchError(
                "E305", "the file is no TorchScript program", where=path, got=str(error).splitlines()[0]
            ) from error
        for parameter in program.parameters():  # programs do not know requires_grad_
            parameter.requires_grad_(False)
        return cls(program.eval())

    @torch.no_grad()
    def forward(self, picture: Tensor) -> Tensor:
        """Tokens of pictures.

        Args:
            picture: [B, 3, 1024, 1024] sRGB in [0, 1], the person on white.

        Returns:
            [B, 4096, 1536], row by row.
        """
        (features,) = self.program((picture - self.mean) / self.std)  # [B, c, h, w]
        return features.flatten(2).transpose(1, 2)
