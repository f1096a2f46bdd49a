"""Dense alignment of face and hand points in the picture, and the opening between the lips (section 3.3, equation 10).

Detectors are not differentiable. The points here are bound to the avatar's surface, moved by the rig and projected;
what they are compared with are the true points of the made clips, or a detector's on a teacher's frames.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reference_model.training.losses import lip_gap_loss

__all__ = ["Robust", "box_diagonal", "keypoint_loss", "projected_gap_loss", "robust"]

Robust = Literal["charbonnier", "geman_mcclure"]


def robust(squared: Tensor, sigma: float, kind: Robust) -> Tensor:
    """Robust penalty of squared errors, any shape; about `squared / sigma^2` while errors are small.

    Charbonnier grows with the error itself, Geman-McClure levels off at 1: a wrong point then has no pull.
    """
    if kind == "charbonnier":
        return 2 * ((1 + squared / sigma**2).sqrt() - 1)
    return squared / (squared + sigma**2)


def box_diagonal(points: Tensor, seen: Tensor) -> Tensor:
    """Diagonal of the box about the points that are seen.

    Args:
        points: Pixels, [..., P, 2].
        seen: [..., P] bool.

    Returns:
        Pixels, [...]; at least 1.
    """
    far = torch.finfo(points.dtype).max / 4
    low = torch.where(seen[..., None], points, points.new_tensor(far)).amin(-2)
    high = torch.where(seen[..., None], points, points.new_tensor(-far)).amax(-2)
    return (high - low).clamp_min(0).norm(dim=-1).clamp_min(1.0)


def keypoint_loss(
    points: Tensor,
    truth: Tensor,
    confidence: Tensor,
    diagonal: Tensor,
    sigma: float = 0.02,
    kind: Robust = "charbonnier",
) -> Tensor:
    """Equation 10: robust distance of projected points, in shares of the face's (the hand's) box diagonal.

    Args:
        points: Ours, px, [..., P, 2].
        truth: Where they should be, px, [..., P, 2]; whatever stands at points without confidence is ignored.
        confidence: In [0, 1], 0 for hidden points, [..., P].
        diagonal: Of the box about the part, px, [...].
        sigma: Error that counts as large, in diagonals.
        kind: The penalty.

    Returns:
        Scalar; 0 where nothing is seen.
    """
    truth = torch.where(confidence[..., None] > 0, truth, points.detach())
    squared = ((points - truth) / diagonal[..., None, None]).square().sum(-1)
    return (robust(squared, sigma, kind) * confidence).sum() / confidence.sum().clamp_min(1e-6)


def projected_gap_loss(
    gap: Tensor, truth: Tensor, closed: Tensor, frame_weight: Tensor, extra: float = 4.0
) -> Tensor:
    """Huber loss of the opening between the inner lips as it is seen, in shares of the face's height.

    Args:
        gap: Ours, shares of the distance from forehead to chin, [..., T].
        truth: The clip's, [..., T].
        closed: The lips touch in the clip, [..., T] bool: these frames weigh `1 + extra` times.
        frame_weight: [..., T].
        extra: See `closed`.

    Returns:
        Scalar, in hundredths of the face's height (about a millimetre and a half).
    """
    error = 0.1 * (gap - truth)  # `lip_gap_loss` counts thousandths
    return lip_gap_loss(error[..., None], closed, extra, frame_weight)
