"""Expressions that people show on photographs, and what of them stays while they talk.

The avatar's neutral is its photo, not a closed mouth: targets are relative to the photo's expression, so that a
mouth that stands open or smiles on the photo can still close for a "b".
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["ExpressionSampler"]

# action stem -> (how often it shows, largest value); left and right sides come together.
_SHOWN = {
    "browInnerUp": (0.25, 0.6),
    "browDown": (0.25, 0.5),
    "browOuterUp": (0.2, 0.5),
    "cheekSquint": (0.2, 0.5),
    "eyeSquint": (0.25, 0.5),
    "eyeWide": (0.15, 0.4),
    "eyeBlink": (0.3, 0.4),
    "eyeLookDown": (0.2, 0.4),
    "eyeLookUp": (0.1, 0.3),
    "jawOpen": (0.4, 0.35),
    "mouthLowerDown": (0.35, 0.6),
    "mouthUpperUp": (0.35, 0.6),
    "mouthStretch": (0.2, 0.3),
    "mouthDimple": (0.2, 0.3),
    "mouthFrown": (0.2, 0.4),
    "mouthPress": (0.2, 0.4),
    "mouthRollLower": (0.15, 0.4),
    "mouthRollUpper": (0.15, 0.4),
    "mouthShrugLower": (0.15, 0.3),
    "mouthPucker": (0.15, 0.4),
    "mouthFunnel": (0.1, 0.3),
    "mouthClose": (0.1, 0.2),
    "noseSneer": (0.1, 0.3),
}
_SMILE = "mouthSmile"
_SIDE_SPREAD = 0.15
_PLAIN_SHARE = 0.15

# While a person talks the speech sets the mouth, but brows, cheeks and a half-closed eye remain as they were, and
# most of a smile does (on the template a smile never opens lips that are shut).
_LASTING = {
    **dict.fromkeys(("brow", "cheekSquint", "eyeSquint", "eyeWide", "eyeBlink", "eyeLook", "noseSneer"), 1.0),
    **{"mouthSmile": 0.7, "mouthDimple": 0.5, "mouthFrown": 0.5},
}


class ExpressionSampler:
    """Draws photo expressions and turns the animator's actions into changes against them.

    Args:
        action_names: The 52 names in the order of the template.
        device: Where the results live.
    """

    def __init__(self, action_names: tuple[str, ...], device: torch.device | str = "cpu") -> None:
        stems = [name.removesuffix("Left").removesuffix("Right") for name in action_names]
        unique = sorted(set(stems))
        self._stem = torch.tensor([unique.index(stem) for stem in stems], device=device)
        shown = np.array([_SHOWN.get(stem, (0.0, 0.0)) for stem in unique], np.float32)
        self._probability, self._largest = torch.tensor(shown, device=device).unbind(1)  # [stems]
        self._smile = torch.tensor([stem == _SMILE for stem in stems], device=device)
        self._lasting = torch.tensor([_lasting_share(name) for name in action_names], device=device)

    def draw(self, smile: Tensor, generator: torch.Generator) -> Tensor:
        """Random photo expressions.

        Args:
            smile: How much each person smiles on the photo, [B] in [0, 1].
            generator: Source of randomness, on the device of this object.

        Returns:
            Facial actions, [B, 52] in [0, 1]; some people show none but the smile.
        """
        batch, device = len(smile), self._stem.device

        def uniform(*size: int) -> Tensor:
            return torch.rand(size, generator=generator, device=device)

        value = self._largest * uniform(batch, len(self._largest))
        value = value * (uniform(batch, len(self._largest)) < self._probability)
        value = value * (uniform(batch, 1) > _PLAIN_SHARE)
        side = 1 + _SIDE_SPREAD * torch.randn(batch, len(self._stem), generator=generator, device=device)
        expression = value[:, self._stem] * side  # [B, 52]
        smiles = smile[:, None] * (0.7 + 0.6 * uniform(batch, 1)) * side
        return torch.where(self._smile, smiles, expression).clamp(0, 1)

    def change(self, actions: Tensor, expression: Tensor) -> Tensor:
        """Actions of a performance relative to the photo.

        Args:
            actions: Absolute actions of the animator, [B, T, 52].
            expression: Actions of the photo, [B, 52].

        Returns:
            [B, T, 52]; adding `expression` gives the absolute actions of this person.
        """
        lasting = self._lasting * expression[:, None]  # [B, 1, 52]
        return lasting + (1 - lasting) * actions - expression[:, None]


def _lasting_share(action: str) -> float:
    """Share of a photo's action that remains while its owner talks."""
    return next((share for stem, share in _LASTING.items() if action.startswith(stem)), 0.0)
