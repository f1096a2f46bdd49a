"""Places on the template's surface and what moves them: skinning bones and local particles.

Gaussians of an avatar, particle anchors and the points that training supervises are all (triangle, barycentric)
places; binding each to its particles and bones happens here, once, so that training and animation agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference_model.body.particles import GROUPS, ParticleSet, fit_particle_twists, load_particles
from reference_model.body.se3 import retention
from reference_model.body.template import REGIONS, BodyTemplate, load_template
from reference_model.networks.particle_deformer import ParticleLayout

__all__ = [
    "FPS",
    "HEAD_REGIONS",
    "BoundBones",
    "SurfacePoints",
    "bind_bones",
    "bind_points",
    "particle_layout",
    "particle_places",
    "rest_twists",
]

FPS = 25.0
PARTICLES_PER_POINT = 6
BONES_PER_POINT = 8

HEAD_REGIONS = np.array([name != "body" and not name.startswith("foot") for name in REGIONS])
"""[R] regions whose Gaussians the Gaussian head corrects: head with eyes and mouth, and hands."""

# Largest twist of one frame by group: radians, metres (the particles of a face move less than those of a hand).
_TWIST_BOUND = {
    "lips": (0.10, 0.006),
    "face": (0.10, 0.006),
    "eyes_lids_brows": (0.60, 0.015),  # a lid is down two frames after a blink has set in
    "hand_left": (0.25, 0.020),
    "hand_right": (0.25, 0.020),
    "body": (0.15, 0.020),
}


@dataclass(frozen=True, slots=True, eq=False)
class SurfacePoints:
    """n places on the template with their bindings."""

    position: np.ndarray
    """Place on the neutral mean template, metres, [n, 3] float32."""
    region: np.ndarray
    """Index into REGIONS, [n] int64."""
    particle_index: np.ndarray
    """Local particles, 0 .. 767, [n, 6] int32."""
    particle_weight: np.ndarray
    """Their shares, [n, 6] float32; what is missing to 1 stays where it is."""
    bone_index: np.ndarray
    """Joints, [n, 8] int32, heaviest first."""
    bone_weight: np.ndarray
    """Skinning weights, [n, 8] float32, rows sum to 1."""


class BoundBones(NamedTuple):
    """n places on the template with their bones."""

    position: np.ndarray
    """Place on the neutral mean template, metres, [n, 3] float32."""
    index: np.ndarray
    """Joints, [n, 8] int32, heaviest first."""
    weight: np.ndarray
    """Skinning weights, [n, 8] float32, rows sum to 1."""


def bind_points(
    template: BodyTemplate, particles: ParticleSet, triangle: np.ndarray, barycentric: np.ndarray
) -> SurfacePoints:
    """Bind places on the surface.

    Args:
        template: The body template.
        particles: Its particles.
        triangle: Triangle of each place, [n].
        barycentric: Place inside it, [n, 3].

    Returns:
        The places with their bindings, interpolated from those of the triangle's corners.
    """
    corners = template.faces[triangle]  # [n, 3]
    barycentric = np.asarray(barycentric, np.float32)
    bones = bind_bones(template, triangle, barycentric)
    particle_index, particle_weight = _interpolate(
        particles.vertex_particles[corners],
        particles.vertex_weights[corners],
        barycentric,
        PARTICLES_PER_POINT,
    )
    return SurfacePoints(
        position=bones.position,
        region=template.region[triangle].astype(np.int64),
        particle_index=particle_index,
        particle_weight=particle_weight,
        bone_index=bones.index,
        bone_weight=bones.weight,
    )


def bind_bones(template: BodyTemplate, triangle: np.ndarray, barycentric: np.ndarray) -> BoundBones:
    """Bind places on the surface to bones alone; arguments as of `bind_points`."""
    corners = template.faces[triangle]  # [n, 3]
    barycentric = np.asarray(barycentric, np.float32)
    index, weight = _interpolate(
        template.skin_index[corners], template.skin_weight[corners], barycentric, BONES_PER_POINT
    )
    return BoundBones((template.vertices[corners] * barycentric[..., None]).sum(1), index, weight)


def _interpolate(
    index: np.ndarray, weight: np.ndarray, barycentric: np.ndarray, keep: int
) -> tuple[np.ndarray, np.ndarray]:
    """Blend sparse rows of three corners and keep the heaviest entries, scaled to the full row sum.

    Args:
        index: [n, 3, k], entries of each corner.
        weight: [n, 3, k], their weights.
        barycentric: [n, 3], shares of the corners.
        keep: Entries that remain.

    Returns:
        Index [n, keep] int32 and weight [n, keep] float32, heaviest first.
    """
    n = len(index)
    index = index.reshape(n, -1)  # [n, 3k]
    weight = (weight * barycentric[..., None]).reshape(n, -1)
    order = np.argsort(index, axis=1, kind="stable")
    index, weight = np.take_along_axis(index, order, 1), np.take_along_axis(weight, order, 1)
    # Entries of equal index now stand side by side: add them up in the slot of the first.
    first = np.diff(index, axis=1, prepend=-1) != 0
    slot = first.cumsum(1) - 1
    merged_index = np.zeros_like(index)
    rows = np.arange(n)[:, None]
    merged_index[rows, slot] = index
    places = (rows * index.shape[1] + slot).ravel()
    merged_weight = np.bincount(places, weight.ravel(), index.size).reshape(index.shape)
    heaviest = np.argsort(-merged_weight, axis=1, kind="stable")[:, :keep]
    kept = np.take_along_axis(merged_weight, heaviest, 1)
    total = merged_weight.sum(1, keepdims=True)
    kept *= total / np.maximum(kept.sum(1, keepdims=True), 1e-12)
    return np.take_along_axis(merged_index, heaviest, 1).astype(np.int32), kept.astype(np.float32)


def particle_places(
    template: BodyTemplate, particles: ParticleSet, vertices: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """Centres of the M particles on some body: joint heads, then anchors on the surface.

    Args:
        template: The template that `vertices` belong to.
        particles: Its particles.
        vertices: [..., V, 3] metres.
        joints: [..., J, 3] metres.

    Returns:
        [..., M, 3].
    """
    corners = template.faces[particles.anchor_triangle]  # [768, 3]
    anchors = (vertices[..., corners, :] * particles.anchor_barycentric[..., None]).sum(-2)
    return np.concatenate([joints, anchors], -2)


@lru_cache(maxsize=1)
def _action_twists() -> np.ndarray:
    """Motion of each particle from the neutral face at each full facial action, [52, M, 6]."""
    template, particles = load_template(), load_particles()
    local = fit_particle_twists(template.vertices + template.actions, template.vertices)  # [52, 768, 6]
    joints = np.zeros((len(local), particles.n_joints, 6), np.float32)
    return np.concatenate([joints, np.asarray(local, np.float32)], 1)


def rest_twists(actions: Tensor) -> Tensor:
    """How the expression of a photo has moved the particles of the neutral face, to first order.

    Args:
        actions: Facial actions of the photo, [..., 52].

    Returns:
        Log-twists in the axes of the bones, [..., M, 6].
    """
    table = torch.from_numpy(_action_twists()).to(actions.device)
    return torch.einsum("...a,amk->...mk", actions, table)


def particle_layout(template: BodyTemplate, particles: ParticleSet, n_tokens: int) -> ParticleLayout:
    """Positions, groups, time constants and bounds of the particles, for the deformer."""
    position = particle_places(template, particles, template.vertices, template.joints)  # [M, 3]
    group = torch.from_numpy(particles.group.astype(np.int64))
    tau_s = torch.tensor([particles.tau_s[name] for name in GROUPS])[group]
    bound = torch.tensor([[_TWIST_BOUND[name][0]] * 3 + [_TWIST_BOUND[name][1]] * 3 for name in GROUPS])[
        group
    ]
    return ParticleLayout(
        position=torch.from_numpy(np.ascontiguousarray(position, np.float32)),
        group=group,
        retention=retention(tau_s, FPS),
        bound=bound,
        token_particles=torch.from_numpy(_spread(position, particles.n_joints, n_tokens)),
    )


def _spread(position: np.ndarray, n_joints: int, n_tokens: int) -> np.ndarray:
    """Farthest-point choice among the local particles; anchors are dense where detail is, so half go by order.

    Returns:
        [n_tokens] int64 indices into the M particles, ascending.
    """
    local = position[n_joints:]
    by_order = np.arange(0, len(local), 2 * len(local) // n_tokens)[: n_tokens // 2]
    chosen = list(by_order)
    distance = np.linalg.norm(local[:, None] - local[by_order][None], axis=-1).min(1)
    while len(chosen) < n_tokens:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(local - local[chosen[-1]], axis=-1))
    return np.sort(np.array(chosen, np.int64)) + n_joints
