"""The three encoders of the preset `base` together: crops of a photograph to tokens."""

from __future__ import annotations

from torch import Tensor, nn

from reference_model.reconstruction.body_encoder import BodyEncoder
from reference_model.reconstruction.hand_encoder import HandEncoder
from reference_model.reconstruction.head_encoder import HeadEncoder
from reference_model.reconstruction.reconstructor import PhotoTokens

__all__ = ["PhotoEncoder"]


class PhotoEncoder(nn.Module):
    """Image, head and hand encoder.

    Args:
        body: Sapiens.
        head: DINOv2 with its fusion.
        hand: HaMeR's transformer; None for a network without hand enhancement.
    """

    def __init__(self, body: BodyEncoder, head: HeadEncoder, hand: HandEncoder | None) -> None:
        super().__init__()
        self.body, self.head, self.hand = body, head, hand

    def forward(
        self,
        picture: Tensor,  # [B, 3, 1024, 1024]
        head: Tensor,  # [B, 3, 448, 448]
        hands: Tensor | None = None,  # [B, 2, 3, 256, 192]
        hand_present: Tensor | None = None,  # [B, 2] bool
    ) -> PhotoTokens:
        """Encode B photographs, all sRGB in [0, 1].

        Args:
            picture: The whole person on white.
            head: Crop of the head.
            hands: Crops of the person's left and right hand.
            hand_present: Which hands are in sight; both when None.
        """
        tokens = None if self.hand is None or hands is None else self.hand(hands)
        return PhotoTokens(self.body(picture), self.head(head), tokens, hand_present)
