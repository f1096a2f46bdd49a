"""The preset `mini` of the reconstruction: one pass that corrects a canvas of Gaussians instead of making them anew.

The canvas (`avatar/canvas.py`) has the photograph's colours on the fitted body. The network sees the photograph and the
canvas as it is drawn, reads the features of each Gaussian's own pixel (the projection sampling of GUAVA), and the query
tokens Q of the Hand++ Body-Head transformer around it; decoder and weight decoder are those of `base`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from reference_model.body.template import BodyTemplate
from reference_model.reconstruction.gaussian_decoder import Corrections, PointLimits
from reference_model.reconstruction.pyramid_encoder import PIXEL_FEATURES, PyramidEncoder
from reference_model.reconstruction.query_points import sample_query_points
from reference_model.reconstruction.reconstructor import (
    MINI,
    PhotoTokens,
    ReconstructionConfig,
    Reconstructor,
)
from reference_model.reconstruction.weight_decoder import near_bones

__all__ = ["ATTRIBUTES", "N_QUERIES", "CanvasNetwork", "CanvasPass", "CanvasPhoto"]

N_QUERIES = 2048
"""Query points of the transformer; Gaussians interpolate their tokens."""
ATTRIBUTES = 26
"""What is known of each Gaussian of the canvas, see `avatar/forward.py`."""


@dataclass(frozen=True, slots=True, eq=False)
class CanvasPhoto:
    """What the pass takes of B photographs, with N Gaussians each."""

    body: Tensor
    """Crop of the person, [B, 8, H, W], see `PyramidEncoder`."""
    head: Tensor
    """Crop of the head, [B, 8, h, h]."""
    hands: Tensor
    """Crops of the person's left hand, mirrored, and right hand, [B, 2, 8, k, k]."""
    hand_present: Tensor
    """[B, 2] bool."""
    query_places: Tensor
    """Query points in the crop of the person, -1 to 1, [B, n, 2]."""
    query_seen: Tensor
    """[B, n] bool."""
    attributes: Tensor
    """[B, N, ATTRIBUTES]."""
    places: Tensor
    """Gaussians in the crop of the person, -1 to 1, [B, N, 2]."""
    detail_places: Tensor
    """The same in the crop of the head or of a hand, [B, N, 2]."""
    detail: Tensor
    """Whose crop that is, [B, N]: 0 none, 1 head, 2 left hand, 3 right hand."""
    nearest: Tensor
    """Query points around each Gaussian, [B, N, k]."""
    share: Tensor
    """Their shares, [B, N, k], rows sum to 1."""
    bone_index: Tensor
    """Bones of the template's weights W0, [B, N, 8]."""
    bone_weight: Tensor
    """[B, N, 8], rows sum to 1."""
    reach: Tensor
    """Largest offset along each axis, [B, N] metres; 0 for Gaussians that stay as they are in all respects."""

    def to(self, device: torch.device | str) -> CanvasPhoto:
        """The same on `device`."""
        return CanvasPhoto(*(getattr(self, field.name).to(device) for field in fields(self)))


class CanvasPass(NamedTuple):
    """What the network makes of B photographs."""

    corrections: Corrections
    """Of the canvas, [B, N, ...]."""
    skin: Tensor
    """Skinning weights W, [B, N, J]."""
    template_skin: Tensor
    """W0, [B, N, J]."""
    allowed: Tensor
    """Bones that a Gaussian may hang on, [B, N, J] bool."""
    tokens: Tensor
    """Query tokens Q, [B, n, d]."""


class CanvasNetwork(nn.Module):
    """Encoders, reconstruction network and what lies between the transformer's points and the Gaussians.

    Args:
        template: The body template.
        config: Of the reconstruction network.
        n_queries: Points of the transformer.
    """

    query_position: Tensor
    near: Tensor

    def __init__(
        self, template: BodyTemplate, config: ReconstructionConfig = MINI, n_queries: int = N_QUERIES
    ) -> None:
        super().__init__()
        points = sample_query_points(template, n_queries)
        self.query_triangle, self.query_barycentric = points.triangle, points.barycentric
        self.register_buffer("query_position", points.position, persistent=False)  # [n, 3]
        self.register_buffer("near", near_bones(template.parents), persistent=False)  # [J, J]
        self.body = PyramidEncoder(config.dim_body)
        self.head = PyramidEncoder(config.dim_head)
        self.hand = PyramidEncoder(config.dim_hand)
        self.reconstructor = Reconstructor(config)
        self.query_pixels = nn.Linear(PIXEL_FEATURES, config.dim)
        self.point_hidden = nn.Linear(ATTRIBUTES + 2 * PIXEL_FEATURES, config.dim)
        self.point_output = nn.Linear(config.dim, config.dim)

    def forward(
        self, photo: CanvasPhoto, *, hand_enhance: bool = True, weight_decoder: bool = True
    ) -> CanvasPass:
        """Correct the canvases of B photographs.

        Args:
            photo: What the photographs show.
            hand_enhance: Whether the transformer looks at the hands' tokens.
            weight_decoder: Whether skinning weights adapt to the person.
        """
        body, head = self.body(photo.body), self.head(photo.head)
        left, right = (self.hand(crops) for crops in photo.hands.unbind(1))
        hands = torch.stack([left.tokens, right.tokens], 1) if hand_enhance else None
        tokens = PhotoTokens(body.tokens, head.tokens, hands, photo.hand_present)
        seen = photo.query_seen[..., None] * body.at(photo.query_places)
        queries = self.reconstructor.query_tokens(self.query_position, tokens, self.query_pixels(seen))

        detail = torch.zeros_like(body.at(photo.places[:, :1]))
        for which, crop in enumerate((head, left, right), start=1):
            detail = detail + (photo.detail == which)[..., None] * crop.at(photo.detail_places)
        known = torch.cat([photo.attributes, body.at(photo.places), detail], -1)
        around = _weighted(queries, photo.nearest, photo.share)
        of_points = around + self.point_output(silu(self.point_hidden(known)))  # [B, N, d]
        limits = PointLimits(photo.reach, photo.reach)
        template_skin = photo.attributes.new_zeros(*photo.nearest.shape[:2], len(self.near))
        template_skin.scatter_add_(-1, photo.bone_index, photo.bone_weight)
        allowed = (template_skin > 0).to(self.near.dtype) @ self.near > 0
        weights = self.reconstructor.weights
        skin = template_skin
        if weights is not None and weight_decoder:
            skin = weights(of_points, template_skin, allowed)
        corrections = self.reconstructor.decoder.corrections(of_points, limits)
        return CanvasPass(_kept(corrections, photo.reach > 0), skin, template_skin, allowed, queries)


def _kept(corrections: Corrections, free: Tensor) -> Corrections:
    """None where not free, [B, N]."""
    offset, log_scale, turn, opacity_logit, color = corrections
    identity = turn.new_tensor([1.0, 0.0, 0.0, 0.0])
    wide = free[..., None]
    return Corrections(
        offset * wide,
        log_scale * wide,
        torch.where(wide, turn, identity),
        opacity_logit * free,
        color * wide,
    )


def _weighted(tokens: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Tokens [B, n, d] blended at [B, N, k] places with shares [B, N, k]: [B, N, d]."""
    batch = torch.arange(len(tokens), device=tokens.device)[:, None]
    total = torch.zeros_like(tokens[:, :1])
    for slot in range(index.shape[-1]):
        total = total + share[..., slot, None] * tokens[batch, index[..., slot]]
    return total
