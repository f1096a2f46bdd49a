"""Compiled inner loops of `deform`: the kinematic chain and the motion of every Gaussian, for both processors.

Motions are kept as *differences from the identity* (`R - I`, t) throughout, so that zero states leave every bit of
the avatar as it is. Quaternions travel as tuples of four numbers: arrays would cost an allocation each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

__all__ = ["SHARED", "compose_chain", "move_frames", "move_gaussians"]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@njit(cache=True, inline="always")
def _multiply(a, b):
    """Hamilton product a b of wxyz tuples."""
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


@njit(cache=True, inline="always")
def _normalise(q):
    length = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    return (q[0] / length, q[1] / length, q[2] / length, q[3] / length)


@njit(cache=True, inline="always")
def _add_aligned(total, q, reference, weight):
    """Add a quaternion on the reference's side of the sphere: q and -q are one rotation."""
    dot = q[0] * reference[0] + q[1] * reference[1] + q[2] * reference[2] + q[3] * reference[3]
    w = -weight if dot < 0 else weight
    return (total[0] + w * q[0], total[1] + w * q[1], total[2] + w * q[2], total[3] + w * q[3])


@njit(cache=True, inline="always")
def _affine(r, s, x, y, z):
    """Displacement `r (x, y, z) + s`."""
    return (
        r[0, 0] * x + r[0, 1] * y + r[0, 2] * z + s[0],
        r[1, 0] * x + r[1, 1] * y + r[1, 2] * z + s[1],
        r[2, 0] * x + r[2, 1] * y + r[2, 2] * z + s[2],
    )


@njit(cache=True, inline="always")
def _quaternion(quaternions, i):
    return (quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3])


@njit(cache=True)
def compose_chain(
    parents: np.ndarray,  # [J] int32, parents before children
    turn: np.ndarray,  # [J, 3, 3] R - I of each joint's own motion, world axes
    shift: np.ndarray,  # [J, 3] own motion's translation
    center: np.ndarray,  # [J, 3] joint heads in the photo
    quaternion: np.ndarray,  # [J, 4] own rotation
    linear: np.ndarray,  # [J, 3, 3] out: accumulated R - I
    offset: np.ndarray,  # [J, 3] out: accumulated translation, x -> x + linear x + offset
    orientation: np.ndarray,  # [J, 4] out: accumulated rotation
) -> None:
    """Compose the joints' motions along the kinematic tree, `T_b = T_parent(b) o L_b`."""
    for b in range(parents.shape[0]):
        c, p = center[b], parents[b]
        ux, uy, uz = _affine(
            turn[b], shift[b], -c[0], -c[1], -c[2]
        )  # the own motion's translation about the origin
        q = _quaternion(quaternion, b)
        if p < 0:
            for i in range(3):
                for j in range(3):
                    linear[b, i, j] = turn[b, i, j]
            offset[b, 0], offset[b, 1], offset[b, 2] = ux, uy, uz
        else:
            above = linear[p]
            for i in range(3):
                for j in range(3):
                    product = _ZERO
                    for k in range(3):
                        product += above[i, k] * turn[b, k, j]
                    linear[b, i, j] = turn[b, i, j] + above[i, j] + product
            ex, ey, ez = _affine(above, offset[p], ux, uy, uz)
            offset[b, 0], offset[b, 1], offset[b, 2] = ux + ex, uy + ey, uz + ez
            q = _multiply(_quaternion(orientation, p), q)
        for k in range(4):
            orientation[b, k] = q[k]


@njit(cache=True, inline="always")
def _move_one(i, points, particles, bones, residual, out_means, out_quats):
    """`move_gaussians` for Gaussian `i`."""
    means, quats, particle_index, particle_weight, bone_index, bone_weight = points
    turn, shift, center, quaternion = particles
    linear, offset, orientation = bones
    x, y, z = means[i, 0], means[i, 1], means[i, 2]
    dx, dy, dz, rest = _ZERO, _ZERO, _ZERO, _ONE
    turned = (_ZERO, _ZERO, _ZERO, _ZERO)
    for k in range(particle_index.shape[1]):
        w = particle_weight[i, k]
        m = particle_index[i, k]
        c = center[m]
        ux, uy, uz = _affine(turn[m], shift[m], x - c[0], y - c[1], z - c[2])
        dx, dy, dz, rest = dx + w * ux, dy + w * uy, dz + w * uz, rest - w
        turned = _add_aligned(turned, _quaternion(quaternion, m), (_ONE, _ZERO, _ZERO, _ZERO), w)
    turned = _normalise((turned[0] + rest, turned[1], turned[2], turned[3]))
    x, y, z = x + dx + residual[i, 0], y + dy + residual[i, 1], z + dz + residual[i, 2]
    ex, ey, ez = _ZERO, _ZERO, _ZERO
    posed = (_ZERO, _ZERO, _ZERO, _ZERO)
    heaviest = _quaternion(orientation, bone_index[i, 0])
    for k in range(bone_index.shape[1]):
        w = bone_weight[i, k]
        b = bone_index[i, k]
        ux, uy, uz = _affine(linear[b], offset[b], x, y, z)
        ex, ey, ez = ex + w * ux, ey + w * uy, ez + w * uz
        posed = _add_aligned(posed, _quaternion(orientation, b), heaviest, w)
    out_means[i, 0], out_means[i, 1], out_means[i, 2] = x + ex, y + ey, z + ez
    q = _multiply(_multiply(_normalise(posed), turned), _quaternion(quats, i))
    for k in range(4):
        out_quats[i, k] = q[k]


@njit(parallel=True, cache=True)
def move_gaussians(
    points: tuple,
    particles: tuple,
    bones: tuple,
    residual: np.ndarray,  # [N, 3] world axes of the photo
    out_means: np.ndarray,  # [N, 3]
    out_quats: np.ndarray,  # [N, 4]
) -> None:
    """Level 1 (local particles), the residual offset, then level 0 (joints), for every Gaussian.

    Args:
        points: Photo means [N, 3] and quaternions [N, 4]; particle index [N, K] and weight; bone index [N, B] and
            weight.
        particles: R - I [m, 3, 3] in world axes, translation [m, 3], centre [m, 3], quaternion [m, 4].
        bones: R - I [J, 3, 3], translation [J, 3], quaternion [J, 4], all accumulated from the root.
        residual: Offset of each Gaussian between the levels, [N, 3], world axes of the photo.
        out_means: Result, [N, 3].
        out_quats: Result, [N, 4].
    """
    for i in prange(len(out_means)):
        _move_one(i, points, particles, bones, residual, out_means, out_quats)


SHARED = tuple(
    function.py_func
    for function in (_multiply, _normalise, _add_aligned, _affine, _quaternion, _move_one, compose_chain)
)
"""Plain functions, callees first, that `deform_cuda` compiles again for the GPU."""


def move_frames(
    parents: Tensor,
    joints: tuple[Tensor, ...],
    local: tuple[Tensor, ...],
    points: tuple[Tensor, ...],
    offset: Tensor,
) -> tuple[Tensor, Tensor]:
    """Carry Gaussians along, frame by frame: a frame stays in the processor's caches.

    Args:
        parents: Parent of each joint, [J] int32, -1 for the root.
        joints: Own motions: R - I [..., J, 3, 3], translation, centre [J, 3], quaternion, world axes.
        local: The same of the local particles, [..., m, ...].
        points: As in `move_gaussians`.
        offset: Between the levels, [..., N, 3]; its leading dimension, if any, counts the frames.

    Returns:
        Means [..., N, 3] and quaternions [..., N, 4].
    """
    means = torch.empty_like(offset)
    quats = offset.new_empty(*offset.shape[:-1], 4)
    fixed = tuple(part.numpy() for part in points)

    def at(motions: tuple[Tensor, ...], frame: int | None) -> tuple[np.ndarray, ...]:
        turn, shift, center, quaternion = motions
        moving = ((part if frame is None else part[frame]).numpy() for part in (turn, shift, quaternion))
        turned, shifted, rotated = (np.ascontiguousarray(part) for part in moving)
        return turned, shifted, center.numpy(), rotated

    for frame in [None] if offset.ndim == 2 else range(len(offset)):
        turn, shift, center, quaternion = at(joints, frame)
        bones = (np.empty_like(turn), np.empty_like(shift), np.empty_like(quaternion))
        compose_chain(parents.numpy(), turn, shift, center, quaternion, *bones)
        residual, out_means, out_quats = (
            (part if frame is None else part[frame]).numpy() for part in (offset, means, quats)
        )
        move_gaussians(fixed, at(local, frame), bones, residual, out_means, out_quats)
    return means, quats
