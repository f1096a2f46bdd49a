"""Person-specific fine-tuning of a reconstruction (end of section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from reference_model.avatar.gaussians import Gaussians
from reference_model.body.template import REGIONS
from reference_model.reconstruction.query_points import QueryPoints
from reference_model.reconstruction.reconstructor import PhotoTokens, Reconstruction, Reconstructor
from reference_model.reconstruction.weight_decoder import divergence, roughness

__all__ = ["FineTune", "fine_tune", "point_penalty", "shape_penalty", "skin_penalty", "tuned_modules"]

FineTune = Literal["decoder", "transformer"]
"""What is fitted to the person: the Gaussian decoder and the hands' keys and values, or the transformer as well."""

_LARGEST_ASPECT = 5.0  # ASAP of LHM
_FREE_OFFSET_M = 0.05625  # ACAP of LHM
_ASAP, _ACAP = 10.0, 1000.0
# Groups of points by the care they need: weights of ASAP and of ACAP (LHM).
_GROUPS = {"head": (1.0, 1.0), "lower": (100.0, 1.0), "upper": (1000.0, 100.0), "hands": (10_000.0, 1000.0)}
_DIVERGENCE, _ROUGHNESS = 1e-2, 1e-2
_LARGEST_GRADIENT = 0.1  # norm; LHM


def tuned_modules(model: Reconstructor, scope: FineTune) -> list[nn.Module]:
    """The modules that fine-tuning changes; all others keep every bit."""
    if scope not in ("decoder", "transformer"):
        raise ValueError(f"scope must be 'decoder' or 'transformer', got {scope!r}")
    modules: list[nn.Module] = [model.decoder]
    if model.weights is not None:
        modules.append(model.weights)
    if scope == "transformer":
        return [*modules, model.transformer]
    if model.transformer.hand is not None:
        modules.append(model.transformer.hand)
        modules += [layer["body_dit"].attn.hand for layer in model.transformer.layers]  # type: ignore[index, union-attr]
    return modules


def fine_tune(
    model: Reconstructor,
    points: QueryPoints,
    photo: PhotoTokens,
    photo_loss: Callable[[Reconstruction], Tensor],
    *,
    scope: FineTune = "decoder",
    steps: int = 300,
    learning_rate: float = 1e-4,
) -> list[float]:
    """Fit a reconstruction network to one person, in place.

    Args:
        model: The network.
        points: Query points.
        photo: Tokens of the person's photograph.
        photo_loss: What the reconstruction lacks, a scalar; poses and draws it as it likes.
        scope: What is fitted.
        steps: Steps of AdamW.
        learning_rate: Of AdamW.

    Returns:
        The loss before each step, penalties included.
    """
    with _only(model, tuned_modules(model, scope)) as parameters:
        optimiser = torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
        reached = []
        for _ in range(steps):
            found = model(points, photo)
            loss = photo_loss(found) + shape_penalty(found.gaussians, points)
            if model.weights is not None:
                loss = loss + skin_penalty(found.skin, points)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
            optimiser.step()
            reached.append(loss.item())
    return reached


def shape_penalty(gaussians: Gaussians, points: QueryPoints) -> Tensor:
    """LHM's ASAP and ACAP: Gaussians shall be round and stay near the template, hands above all.

    10 sum_g w_g mean relu(s_max / s_min - 5) + 1000 sum_g w'_g mean relu(|dmu| - 0.05625 m) over groups of points.

    Args:
        gaussians: Canonical, [B, N, ...].
        points: N query points.
    """
    offset = gaussians.means - points.position  # [B, N, 3]
    every = offset.shape[:-1]
    region, position = points.region.expand(every), points.position.expand(*every, 3)
    return point_penalty(gaussians.scales, offset, region, position)


def point_penalty(scales: Tensor, offset: Tensor, region: Tensor, position: Tensor) -> Tensor:
    """The penalty of `shape_penalty` for any points.

    Args:
        scales: Standard deviations, [..., 3] metres.
        offset: From the points, [..., 3] metres.
        region: Index into `REGIONS`, [...].
        position: Of the points on the template, [..., 3] metres.
    """
    smallest, largest = scales.amin(-1), scales.amax(-1)
    needle = (largest / smallest - _LARGEST_ASPECT).relu()
    # Its gradient at zero offset is 0 / 0 unless the root is kept away from it.
    stray = ((offset.square().sum(-1) + 1e-12).sqrt() - _FREE_OFFSET_M).relu()
    total = needle.new_zeros(())
    for rows, asap, acap in _groups(region, position):
        total = total + _ASAP * asap * needle[rows].mean() + _ACAP * acap * stray[rows].mean()
    return total


def skin_penalty(skin: Tensor, points: QueryPoints) -> Tensor:
    """Skinning weights [B, N, J] shall stay near the template's and change smoothly."""
    return _DIVERGENCE * divergence(skin, points.skin, points.allowed) + _ROUGHNESS * roughness(
        skin, points.skin, points.neighbours
    )


def _groups(region: Tensor, position: Tensor) -> Iterator[tuple[Tensor, float, float]]:
    """Groups that have points: which, [...] bool, weight of ASAP, weight of ACAP."""
    hands, feet, body = (
        torch.isin(region, torch.tensor(indices, device=region.device))
        for indices in (
            _indices("hand_left", "hand_right"),
            _indices("foot_left", "foot_right"),
            _indices("body"),
        )
    )
    upper = body & (position[..., 2] > 0)  # above the pelvis
    rows = {"head": ~(hands | feet | body), "lower": feet | (body & ~upper), "upper": upper, "hands": hands}
    yield from ((rows[name], *weights) for name, weights in _GROUPS.items() if bool(rows[name].any()))


def _indices(*names: str) -> list[int]:
    return [REGIONS.index(name) for name in names]


@contextmanager
def _only(model: nn.Module, modules: list[nn.Module]) -> Iterator[list[nn.Parameter]]:
    """Let gradients reach the parameters of `modules` alone, as long as the context lasts."""
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(False)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield parameters
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
            parameter.grad = None
