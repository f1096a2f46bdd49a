"""Samples of unequal length as one batch, posed and drawn from all their views at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from reference_model.avatar.forward import corrected
from reference_model.avatar.gaussians import BACK_FACING_COSINE, Gaussians
from reference_model.avatar.optimise import Canvas
from reference_model.body.se3 import matrix_to_quaternion, quaternion_multiply
from reference_model.reconstruction.canvas_network import CanvasPass, CanvasPhoto
from reference_model.reconstruction.gaussian_decoder import Corrections
from reference_model.reconstruction.posing import blended_rotations
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.training.reconstruction_samples import OTHER, Sample

__all__ = ["Batch", "Drawn", "collate", "drawn_gaussians", "drawn_views", "to_device"]

_PADDED = (
    "attributes",
    "places",
    "detail_places",
    "detail",
    "nearest",
    "share",
    "bone_index",
    "bone_weight",
    "reach",
)


class Batch(NamedTuple):
    """B samples, padded to N Gaussians; those that pad have no opacity and hang on the root."""

    photo: CanvasPhoto
    canvas: Canvas
    """Fields [B, N, ...]."""
    samples: tuple[Sample, ...]
    motion: Tensor
    """[B, J, 3, 4]."""
    region: Tensor
    """[B, N]."""
    position: Tensor
    """[B, N, 3]."""
    real: Tensor
    """[B, N] bool, false for padding."""


class Drawn(NamedTuple):
    """One view of all samples of a batch, with what it should be."""

    rgb: Tensor
    """Over the target's background, [B, H, W, 3]."""
    alpha: Tensor
    """[B, H, W]."""
    true_rgb: Tensor
    true_alpha: Tensor
    weight: Tensor
    """[B], 0 for views that show nothing."""


def to_device(sample: Sample, device: torch.device | str) -> Sample:
    """The sample with all its tensors on a device."""
    canvas = Canvas(*(getattr(sample.canvas, field.name).to(device) for field in fields(Canvas)))
    targets = tuple(
        replace(t, camera=t.camera.to(device), rgb=t.rgb.to(device), alpha=t.alpha.to(device))
        for t in sample.targets
    )
    rest = (part.to(device) for part in (sample.motion, sample.region, sample.position))
    return Sample(sample.photo.to(device), canvas, targets, *rest)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one device as a batch."""

    def padded(parts: Sequence[Tensor]) -> Tensor:
        return pad_sequence(list(parts), batch_first=True)

    photo = CanvasPhoto(
        *(
            padded([getattr(s.photo, field.name)[0] for s in samples])
            if field.name in _PADDED
            else torch.cat([getattr(s.photo, field.name) for s in samples])
            for field in fields(CanvasPhoto)
        )
    )
    canvas = Canvas(*(padded([getattr(s.canvas, field.name) for s in samples]) for field in fields(Canvas)))
    real = padded([torch.ones(len(s.region), dtype=torch.bool, device=s.region.device) for s in samples])
    on_root = torch.zeros_like(photo.bone_weight)
    on_root[..., 0] = 1
    photo = replace(photo, bone_weight=torch.where(real[..., None], photo.bone_weight, on_root))
    # A frame of zeros has no orientation and a spacing of zero no ratio: padding gets harmless ones.
    identity = torch.eye(3, device=real.device)
    canvas = replace(
        canvas,
        frames=torch.where(real[..., None, None], canvas.frames, identity),
        turns=torch.where(real[..., None], canvas.turns, identity.new_tensor([1.0, 0, 0, 0])),
        spacing=torch.where(real, canvas.spacing, 1.0),
        foot=torch.where(real[..., None], canvas.foot, identity.new_tensor([0.0, 0.0, -50.0])),
    )
    return Batch(
        photo,
        canvas,
        tuple(samples),
        torch.stack([s.motion for s in samples]),
        padded([s.region for s in samples]),
        padded([s.position for s in samples]),
        real,
    )


def drawn_views(
    batch: Batch, found: CanvasPass | None, groups: Sequence[Sequence[int]], grey: Tensor
) -> list[list[Drawn]]:
    """Draw views of all samples; views of one group have one size and are drawn together.

    Args:
        batch: B samples.
        found: What the network made of them; None draws the canvases with the template's weights.
        groups: Places in `Sample.targets`.
        grey: Behind the person, [B].
    """
    canvas, skin = batch.canvas, None
    if found is not None:
        canvas = corrected(canvas, Corrections(*(_masked(part, batch.real) for part in found.corrections)))
        skin = found.skin
    return drawn_gaussians(batch, canvas.gaussians(), skin, groups, grey)


def drawn_gaussians(
    batch: Batch, still: Gaussians, skin: Tensor | None, groups: Sequence[Sequence[int]], grey: Tensor
) -> list[list[Drawn]]:
    """As `drawn_views`, of any Gaussians [B, N] on the points of the canvases.

    Args:
        batch: B samples.
        still: In the pose of the photographs.
        skin: Skinning weights [B, N, J]; None for the template's.
        groups: Places in `Sample.targets`.
        grey: Behind the person, [B].
    """
    moved = still
    if any(OTHER in group for group in groups):
        moved = _moved(still, _template_skin(batch) if skin is None else skin, batch.motion)
    return [_drawn_group(batch, still, moved, group, grey) for group in groups]


def _masked(part: Tensor, real: Tensor) -> Tensor:
    return torch.where(
        real.view(*real.shape, *[1] * (part.ndim - 2)), part, 0.0 if part.shape[-1] != 4 else 0.5
    )


def _template_skin(batch: Batch) -> Tensor:
    skin = batch.position.new_zeros(*batch.real.shape, batch.motion.shape[1])
    return skin.scatter_add_(-1, batch.photo.bone_index, batch.photo.bone_weight)


def _moved(gaussians: Gaussians, skin: Tensor, motion: Tensor) -> Gaussians:
    """Linear blend skinning of Gaussians [B, N] by motions [B, J, 3, 4]."""
    blend = (skin @ motion.flatten(2)).unflatten(-1, (3, 4))  # [B, N, 3, 4]
    means = (blend[..., :3] @ gaussians.means[..., None]).squeeze(-1) + blend[..., 3]
    turn = blended_rotations(skin, matrix_to_quaternion(motion[..., :3]))
    return replace(gaussians, means=means, quats=quaternion_multiply(turn, gaussians.quats))


def _drawn_group(
    batch: Batch, still: Gaussians, moved: Gaussians, group: Sequence[int], grey: Tensor
) -> list[Drawn]:
    n_samples = len(batch.samples)
    targets = [sample.targets[view] for view in group for sample in batch.samples]  # views before samples
    gaussians = _stacked([moved if view == OTHER else still for view in group])
    two_sided, real = (part.repeat(len(group), 1) for part in (batch.canvas.two_sided, batch.real))
    center = torch.stack([t.camera.center for t in targets])[:, None]
    with torch.no_grad():
        to_camera = center - gaussians.means
        cosine = (gaussians.normals * to_camera).sum(-1) / to_camera.norm(dim=-1).clamp_min(1e-9)
        visible = ((cosine > BACK_FACING_COSINE) | two_sided) & real
    rgb, alpha = _rendered(gaussians, [t.camera for t in targets], visible)
    true_alpha = torch.stack([t.alpha for t in targets]).float() / 255
    behind = grey.repeat(len(group))[:, None, None, None]
    cover = true_alpha[..., None]
    true_rgb = torch.stack([t.rgb for t in targets]).float() / 255 * cover + behind * (1 - cover)
    rgb = rgb + (1 - alpha[..., None]) * behind
    weight = torch.tensor([t.weight for t in targets], device=rgb.device)
    parts = zip(*(part.split(n_samples) for part in (rgb, alpha, true_rgb, true_alpha, weight)), strict=True)
    return [Drawn(*part) for part in parts]


def _stacked(parts: Sequence[Gaussians]) -> Gaussians:
    return Gaussians(*(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Gaussians)))


def _rendered(gaussians: Gaussians, cameras: Sequence[Camera], visible: Tensor) -> tuple[Tensor, Tensor]:
    """Over black, [K, H, W, 3] and [K, H, W]."""
    size = cameras[0].width, cameras[0].height
    if not gaussians.means.is_cuda:
        pictures = [
            render(gaussians.select(k), camera, visible=visible[k]) for k, camera in enumerate(cameras)
        ]
        return torch.stack([p.rgb for p in pictures]), torch.stack([p.alpha for p in pictures])
    from reference_model.render.cuda import render_cuda_views

    views = torch.eye(4, device=visible.device).repeat(len(cameras), 1, 1)
    views[:, :3, :3] = torch.stack([c.rotation for c in cameras])
    views[:, :3, 3] = torch.stack([c.translation for c in cameras])
    intrinsics = torch.tensor(
        [[[c.focal, 0, c.cx], [0, c.focal, c.cy], [0, 0, 1]] for c in cameras], device=visible.device
    )
    return render_cuda_views(gaussians, views, intrinsics, size, visible)
