"""Fit colours, sizes, offsets and orientations of the Gaussians to the photograph through the renderer.

The surface is known (the fitted body) and only one view is given; therefore opacity is fixed and high, scales
and offsets are bounded and colours are drawn to those of `photo_colors`. Left free, they reach a better picture
in front and fall apart at 15 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.body.se3 import matrix_to_quaternion, quaternion_multiply
from reference_model.photo.adam import Adam
from reference_model.render import render
from reference_model.render.camera import Camera

__all__ = ["Canvas", "View", "crop_view", "first_log_scales", "first_opacities", "optimise"]

_LEARNING_RATE = {"colors": 0.02, "log_scales": 0.012, "offsets": 3e-4, "turns": 0.01}
_SMALLEST, _LARGEST = -0.35, 0.3  # bounds of the change of log-scale
_SMALLEST_LOOSE = -1.2  # loose hair may become fine
_OFFSET_BOUND = 1.5  # of the spacing
_FLATNESS = 0.25  # thickness over width of a surface Gaussian
_WIDTH = 0.85  # standard deviation over spacing
# A hand lets 5 % through: what lies at its edge would turn cyan to make up for errors of the fingers before it.
_COLOR_BOUND_BESIDE_HAND = 0.08
_OPACITY, _OPACITY_LOOSE = 0.953, 0.90
_GRADIENT_WEIGHT, _ALPHA_WEIGHT = 0.5, 0.2
_COLOR_PRIOR, _OFFSET_PRIOR, _SCALE_PRIOR = 0.3, 0.04, 0.02


@dataclass(frozen=True)
class View:
    """A part of the photograph at one resolution."""

    camera: Camera
    colors: Tensor  # [H, W, 3] the person's colours in [0, 1]
    alpha: Tensor  # [H, W]


@dataclass(frozen=True)
class Canvas:
    """Gaussians before optimisation, in the frames of their triangles."""

    foot: Tensor  # [N, 3] m, world
    frames: Tensor  # [N, 3, 3] columns tangent, bitangent, normal
    offsets: Tensor  # [N, 3] m, in the frame
    log_scales: Tensor  # [N, 3] of standard deviations in m, along the axes of the frame
    turns: Tensor  # [N, 4] wxyz, from the frame
    opacities: Tensor  # [N]
    spacing: Tensor  # [N] m
    colors: Tensor  # [N, 3]
    two_sided: Tensor  # [N] bool, never culled
    loose: Tensor  # [N] bool, off the mesh
    seen: Tensor  # [N] bool, nearest surface along its ray
    given: Tensor  # [N] bool, coloured by the photograph itself
    trainable: Tensor  # [N] bool, seen in the photograph, and not inside of the mouth
    doubtful: Tensor  # [N] bool, its pixel may show another surface
    beside_hand: Tensor  # [N] bool, of another part than the hand in front of which the picture ends

    def gaussians(self) -> Gaussians:
        """The canvas as it is."""
        unknowns = _Unknowns(self.colors, self.log_scales, self.offsets, self.turns)
        return _gaussians(self, matrix_to_quaternion(self.frames), unknowns)


@dataclass
class _Unknowns:
    colors: Tensor
    log_scales: Tensor
    offsets: Tensor
    turns: Tensor


def crop_view(
    camera: Camera,
    photo: np.ndarray,
    alpha: np.ndarray,
    box: tuple[float, float, float, float],
    max_pixels: int,
) -> View:
    """The part `box` = (x0, y0, x1, y1) px of the photograph, reduced to at most `max_pixels`."""
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(camera.width, math.ceil(box[2])), min(camera.height, math.ceil(box[3]))
    scale = min(1.0, math.sqrt(max_pixels / ((x1 - x0) * (y1 - y0))))
    width, height = max(16, round((x1 - x0) * scale)), max(16, round((y1 - y0) * scale))

    def resized(picture: np.ndarray) -> Tensor:
        crop = np.ascontiguousarray(picture[y0:y1, x0:x1])
        return torch.as_tensor(cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)).float()

    return View(
        camera=camera.cropped(x0, y0, x1 - x0, y1 - y0).resized(width, height),
        colors=resized(photo) / 255,
        alpha=resized(alpha),
    )


def first_log_scales(spacing: Tensor, loose: Tensor) -> Tensor:
    """Log standard deviations `[N, 3]`: flat discs on the surface, balls where there is none."""
    width = (_WIDTH * spacing).log()[:, None].expand(-1, 3)
    thickness = torch.where(loose, 0.0, math.log(_FLATNESS))
    return torch.cat([width[:, :2], width[:, 2:] + thickness[:, None]], dim=1)


def first_opacities(loose: Tensor) -> Tensor:
    """Opacities `[N]`."""
    return torch.where(loose, _OPACITY_LOOSE, _OPACITY)


def optimise(
    canvas: Canvas,
    views: list[View],
    schedule: list[int],
    generator: torch.Generator,
    progress: Callable[[float], None],
) -> Gaussians:
    """Run Adam over the views.

    Args:
        canvas: The Gaussians' start.
        views: Parts of the photograph.
        schedule: Which view each iteration looks at.
        generator: Draws the grey level behind each iteration, so that no background is learnt.
        progress: Called with the finished fraction.
    """
    log_scales = canvas.log_scales
    unknowns = _Unknowns(
        colors=canvas.colors.clone(),
        log_scales=log_scales.clone(),
        offsets=canvas.offsets.clone(),
        turns=canvas.turns.clone(),
    )
    named = {name: getattr(unknowns, name).requires_grad_() for name in _LEARNING_RATE}
    optimiser = Adam(list(named.values()), [_LEARNING_RATE[name] for name in named])
    frame_quats = matrix_to_quaternion(canvas.frames)
    # On a rim the picture asks for spikes, gaps and the colours of what lies behind: there nothing may change.
    free = canvas.trainable & ~canvas.doubtful
    for iteration, index in enumerate(schedule):
        view = views[index]
        grey = torch.rand(1, generator=generator).expand(3)
        gaussians = _gaussians(canvas, frame_quats, unknowns)
        visible = front_facing(gaussians, view.camera) | canvas.two_sided
        picture = render(gaussians, view.camera, background=grey, visible=visible)
        loss = _image_loss(picture.rgb, picture.alpha, view, grey) + _prior(canvas, unknowns, log_scales)
        loss.backward()
        for value in named.values():
            assert value.grad is not None
            value.grad[~free] = 0
        optimiser.step(0.1 + 0.45 * (1 + math.cos(math.pi * iteration / len(schedule))))
        _clamp(canvas, unknowns, log_scales)
        progress((iteration + 1) / len(schedule))
    return _gaussians(canvas, frame_quats, unknowns).detach()


def _gaussians(canvas: Canvas, frame_quats: Tensor, unknowns: _Unknowns) -> Gaussians:
    lifted = (canvas.frames @ unknowns.offsets[..., None]).squeeze(-1)
    turns = torch.nn.functional.normalize(unknowns.turns, dim=-1)
    return Gaussians(
        means=canvas.foot + lifted,
        quats=quaternion_multiply(frame_quats, turns),
        scales=unknowns.log_scales.exp(),
        opacities=canvas.opacities,
        colors=unknowns.colors,
    )


def _image_loss(rgb: Tensor, alpha: Tensor, view: View, grey: Tensor) -> Tensor:
    cover = view.alpha[..., None]
    # Beyond the matte no colour is asked for: free Gaussians would darken to outweigh frozen neighbours.
    error = (rgb - (view.colors * cover + grey * (1 - cover))) * cover  # [H, W, 3]
    slope = error.diff(dim=0).abs().mean() + error.diff(dim=1).abs().mean()
    hole = (alpha - view.alpha).abs().mean()
    return error.abs().mean() + _GRADIENT_WEIGHT * slope + _ALPHA_WEIGHT * hole


def _prior(canvas: Canvas, unknowns: _Unknowns, log_scales: Tensor) -> Tensor:
    color = (unknowns.colors - canvas.colors).square().mean()
    offset = ((unknowns.offsets - canvas.offsets) / canvas.spacing[:, None]).square().mean()
    scale = (unknowns.log_scales - log_scales).square().mean()
    return _COLOR_PRIOR * color + _OFFSET_PRIOR * offset + _SCALE_PRIOR * scale


@torch.no_grad()
def _clamp(canvas: Canvas, unknowns: _Unknowns, log_scales: Tensor) -> None:
    unknowns.colors.clamp_(0, 1)
    bound = torch.where(canvas.beside_hand, _COLOR_BOUND_BESIDE_HAND, 1.0)[:, None]
    drift = unknowns.colors - canvas.colors
    unknowns.colors.copy_(canvas.colors + torch.minimum(torch.maximum(drift, -bound), bound))
    low = torch.where(canvas.loose, _SMALLEST_LOOSE, _SMALLEST)[:, None]
    unknowns.log_scales.copy_(
        torch.minimum(torch.maximum(unknowns.log_scales, log_scales + low), log_scales + _LARGEST)
    )
    reach = _OFFSET_BOUND * canvas.spacing[:, None]
    moved = unknowns.offsets - canvas.offsets
    unknowns.offsets.copy_(canvas.offsets + torch.minimum(torch.maximum(moved, -reach), reach))
