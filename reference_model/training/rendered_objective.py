"""Loss of our model on drawn pictures: sound to states, states to Gaussians, Gaussians to pixels (section 3.3).

What is trained is decided by the scope. "appearance" trains the rows of the Gaussian head's last layer that give scale,
opacity and colour, 287 numbers, and leaves every bit of the motion. "all" trains the whole model, and can be mixed with
geometric supervision, whose points say more about motion than pixels do.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.avatar.io import Avatar
from reference_model.body.particles import GROUPS
from reference_model.body.se3 import quaternion_multiply, quaternion_to_matrix
from reference_model.body.template import load_template
from reference_model.deform import Rig
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import AvatarModel
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.training.keypoint_losses import Robust, box_diagonal, keypoint_loss, projected_gap_loss
from reference_model.training.markers import N_FACE, Markers, lip_opening
from reference_model.training.picture_losses import gradient_loss, mask_loss, masked_l1
from reference_model.training.regularisers import (
    acap_loss,
    arap_loss,
    asap_loss,
    jerk_loss,
    neighbours_on_surface,
    spectral_loss,
)
from reference_model.training.rendered_file import PackedPerson

__all__ = ["ClipBatch", "RenderedObjective", "RenderedWeights", "Scope", "TrainedPerson"]

Scope = Literal["appearance", "all"]
FPS = 25.0
_MASK_MARGIN = 9
"""Side of the square by which the person's mask grows, px: errors beside the outline count, too."""
_TREMBLE = (0.002, 0.0005)
"""Radians and metres that count as one in jerk and spectrum."""
_FACE_SIGMA, _HAND_SIGMA = 0.02, 0.25  # of the diagonal of the box about the part
_HANDS = (slice(N_FACE, N_FACE + 21), slice(N_FACE + 21, N_FACE + 42))


class RenderedWeights(NamedTuple):
    """Weights of the terms."""

    picture: float = 1.0
    perceptual: float = 0.5
    mask: float = 1.0
    face: float = 1.0
    hand: float = 0.5
    gap: float = 1.0
    arap: float = 10.0
    asap: float = 10.0
    acap: float = 1000.0
    jerk: float = 1e-3
    spectrum: float = 0.02
    appearance: float = 0.01
    """Keeps scale, opacity and colour near the avatar's where pictures say nothing."""


class ClipBatch(NamedTuple):
    """B clips of T pictures; F of them are drawn."""

    people: list[int]
    """Index of each clip's person."""
    mel: Tensor
    """Normalised log-mel, [B, 4T, 80]."""
    innovations: Tensor
    """[B, T, 8]."""
    points: Tensor
    """True places, px, [B, T, 510, 2]."""
    seen: Tensor
    """[B, T, 510] bool."""
    closed: Tensor
    """[B, T] bool."""
    shown: Tensor
    """Which pictures are drawn, [B, F] int64."""
    rgb: list[Tensor]
    """For each view, sRGB times alpha, [B, F, h, w, 3] in [0, 1]."""
    alpha: list[Tensor]
    """[B, F, h, w] in [0, 1]."""


class TrainedPerson:
    """What stays the same of a person in training.

    Args:
        person: The person of the prepared data.
        size: Width and height of the clips' pictures, px.
        device: Where to train.
    """

    def __init__(self, person: PackedPerson, size: tuple[int, int], device: torch.device) -> None:
        avatar = person.avatar
        rig = Rig(avatar)
        whole = avatar.camera.resized(*size)
        markers = Markers(avatar, rig)
        still = torch.zeros(rig.n_particles, 6)
        # Where the detector or the truth puts a point differs from where the fit does, by the same in every frame.
        bias = markers.project(still, whole) - person.rest_points
        self.known = (markers.known & bias.isfinite().all(-1)).to(device)
        self.bias = bias.nan_to_num(0.0).to(device)  # [510, 2] px
        self.camera = whole.to(device)
        self.views: list[Camera] = [view.camera(whole).to(device) for view in person.views]
        self.markers = markers.to(device)
        self.rig = rig.to(device)
        self.two_sided = avatar.two_sided.to(device)
        gaussians = avatar.gaussians
        rows, points = rig.head_rows, rig.points
        head = rows.numpy()
        edges, weights = neighbours_on_surface(gaussians.means[rows].numpy(), _parts(avatar)[head])
        self.edges, self.edge_weights = (
            torch.from_numpy(edges).to(device),
            torch.from_numpy(weights).to(device),
        )
        self.means, self.quats = gaussians.means[rows].to(device), gaussians.quats[rows].to(device)
        self.point_parts = tuple(
            part.to(device)
            for part in (
                torch.from_numpy(points.position)[rows],
                torch.from_numpy(points.region)[rows],
                torch.from_numpy(points.particle_index).long()[rows],
                torch.from_numpy(points.particle_weight)[rows],
                rig.rest_offset,
            )
        )
        self.person_offset = self.rig.person_offset
        self.rest_twist = self.rig.rest_twist


def _parts(avatar: Avatar) -> np.ndarray:
    """Parts of the surface that no edge may join: regions, and across the seams of lips and lids."""
    template = load_template()
    triangle = avatar.triangle.numpy()
    faces = template.faces[triangle]
    parts = template.region[triangle].astype(int) * 4
    for step, (name, share) in enumerate((("jawOpen", 0.4), ("eyeBlinkLeft", 0.3), ("eyeBlinkRight", 0.3))):
        drop = -template.actions[template.action(name), :, 2][faces].mean(1)
        parts += (1 if step == 0 else 2) * (drop > share * drop.max())
    return parts


class RenderedObjective(nn.Module):
    """Weighted loss terms of a batch of clips.

    Args:
        model: The model that is trained.
        people: Whose clips come.
        size: Width and height of the clips' pictures, px.
        scope: What is trained.
        device: Where to train.
        weights: Weights of the terms.
        bfloat16: Multiply the matrices of deformer and head in bfloat16; all geometry stays in float32.
    """

    def __init__(
        self,
        model: AvatarModel,
        people: list[PackedPerson],
        size: tuple[int, int],
        scope: Scope,
        device: torch.device,
        weights: RenderedWeights | None = None,
        bfloat16: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.scope = model.to(device), scope
        self.model.use_bfloat16 = bfloat16
        self.weights = RenderedWeights() if weights is None else weights
        self.people = [TrainedPerson(person, size, device) for person in people]
        for parameter in model.parameters():
            parameter.requires_grad_(scope == "all")
        if scope == "appearance":
            for parameter in (model.head.output.weight, model.head.output.bias):
                parameter.requires_grad_(True)
        group = model.particles.group
        lips = torch.tensor([GROUPS.index("lips")], device=group.device)
        self.register_buffer("not_lips", (~torch.isin(group, lips)).nonzero().squeeze(-1), persistent=False)

    not_lips: Tensor

    def forward(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Weighted terms; their sum is what is minimised."""
        learns_motion = self.scope == "all"
        with nullcontext() if learns_motion else torch.no_grad():
            states, windows = self._states(batch)
        terms: dict[str, list[Tensor]] = {}
        for row, index in enumerate(batch.people):
            person = self.people[index]
            frames = batch.shown[row]
            residuals = self.residuals(person, windows[row, frames])
            moved = person.rig.apply(states[row, frames], residuals)
            found = self._picture_terms(person, moved, batch, row) | self._shape_terms(
                person, moved, residuals
            )
            if learns_motion:
                found |= self._point_terms(person, states[row], batch, row)
            for name, value in found.items():
                terms.setdefault(name, []).append(value)
        losses = {name: torch.stack(values).mean() for name, values in terms.items()}
        if learns_motion:
            losses |= self._tremble_terms(states)
        return {name: getattr(self.weights, name) * value for name, value in losses.items()}

    def motion(self, batch: ClipBatch, row: int = 0) -> tuple[Tensor, Residuals]:
        """States [F, M, 6] and residuals [F, n, ...] of the pictures that are drawn of one clip."""
        states, windows = self._states(batch)
        frames = batch.shown[row]
        return states[row, frames], self.residuals(self.people[batch.people[row]], windows[row, frames])

    def draw(self, person: TrainedPerson, gaussians: Gaussians, view: int) -> tuple[Tensor, Tensor]:
        """Pictures times alpha [F, h, w, 3] and alpha [F, h, w] in one of the person's views."""
        camera = person.views[view]
        visible = front_facing(gaussians, camera) | person.two_sided
        return render(gaussians, camera, visible=visible)

    def residuals(self, person: TrainedPerson, windows: Tensor) -> Residuals:
        """Residuals of the pictures whose driving tokens are `windows`, [F, past + 1, d]."""
        with self.model.lower_precision():
            tokens = self.model.head.point_tokens(*person.point_parts)
            found = self.model.head(windows, tokens, person.point_parts[1])
        residuals = Residuals(*(part[:, 0] for part in found))
        if self.scope == "appearance":  # the offsets stay as they are, and need no way back
            residuals = residuals._replace(offset=residuals.offset.detach())
        return residuals

    def _states(self, batch: ClipBatch) -> tuple[Tensor, Tensor]:
        """States [B, T, M, 6] and windows of driving tokens [B, T, past + 1, d]."""
        model, deformer = self.model, self.model.particles
        driving, _ = model.audio(batch.mel, batch.innovations)
        offsets = torch.stack([self.people[index].person_offset for index in batch.people])
        twists = torch.stack([self.people[index].rest_twist for index in batch.people])
        with model.lower_precision():
            static = deformer.static_tokens(offsets, twists)
            proposals = deformer.proposals(driving, static)
        states = deformer.clamp(deformer.integrate(deformer.twists(proposals.float())))
        past = model.config.window_past
        padded = F.pad(driving, (0, 0, past, 0))
        return states, padded.unfold(1, past + 1, 1).transpose(-1, -2)

    def _picture_terms(
        self, person: TrainedPerson, moved: Gaussians, batch: ClipBatch, row: int
    ) -> dict[str, Tensor]:
        pictures, details, masks = [], [], []
        for view in range(len(person.views)):
            rgb, alpha = self.draw(person, moved, view)
            truth, true_alpha = batch.rgb[view][row], batch.alpha[view][row]
            mask = F.max_pool2d(true_alpha, _MASK_MARGIN, 1, _MASK_MARGIN // 2)
            pictures.append(masked_l1(rgb, truth, mask))
            details.append(gradient_loss(rgb, truth, mask))
            masks.append(mask_loss(alpha, true_alpha))
        return {
            "picture": torch.stack(pictures).mean(),
            "perceptual": torch.stack(details).mean(),
            "mask": torch.stack(masks).mean(),
        }

    def _shape_terms(
        self, person: TrainedPerson, moved: Gaussians, residuals: Residuals
    ) -> dict[str, Tensor]:
        rows = person.rig.head_rows
        appearance = torch.stack([part.square().mean() for part in residuals[1:]]).sum()
        terms = {"asap": asap_loss(moved.scales[..., rows, :]), "appearance": appearance}
        if self.scope == "all":
            back = person.quats * person.quats.new_tensor([1.0, -1.0, -1.0, -1.0])
            turns = quaternion_to_matrix(quaternion_multiply(moved.quats[..., rows, :], back))
            terms["arap"] = arap_loss(
                moved.means[..., rows, :], person.means, turns, person.edges, person.edge_weights
            )
            terms["acap"] = acap_loss(residuals.offset)
        return terms

    def _point_terms(
        self, person: TrainedPerson, states: Tensor, batch: ClipBatch, row: int
    ) -> dict[str, Tensor]:
        points = person.markers.project(states, person.camera)  # [T, 510, 2]
        seen = batch.seen[row] & person.known
        truth = batch.points[row] + person.bias
        face = _part_loss(points, truth, seen, slice(0, N_FACE), _FACE_SIGMA, "charbonnier")
        # Which gesture comes is chance: a hand that is elsewhere must not pull.
        hands = [_part_loss(points, truth, seen, part, _HAND_SIGMA, "geman_mcclure") for part in _HANDS]
        # With the bias the opening is compared as it grew since the portrait.
        true_gap = lip_opening(truth[:, :N_FACE])
        weight = torch.ones_like(true_gap)
        gap = projected_gap_loss(
            lip_opening(points[:, :N_FACE])[None], true_gap[None], batch.closed[row][None], weight[None]
        )
        return {"face": face, "hand": torch.stack(hands).mean(), "gap": gap}

    def _tremble_terms(self, states: Tensor) -> dict[str, Tensor]:
        scale = states.new_tensor([_TREMBLE[0]] * 3 + [_TREMBLE[1]] * 3)
        calm = states[:, :, self.not_lips]
        return {"jerk": jerk_loss(calm, scale), "spectrum": spectral_loss(calm / scale, FPS, 1.0)}


def _part_loss(
    points: Tensor, truth: Tensor, seen: Tensor, part: slice, sigma: float, kind: Robust
) -> Tensor:
    points, truth, seen = points[:, part], truth[:, part], seen[:, part]
    diagonal = box_diagonal(truth, seen)
    return keypoint_loss(points, truth, seen.to(points.dtype), diagonal, sigma, kind)
