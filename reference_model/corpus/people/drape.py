"""Cloth hung on a body once a person: position-based dynamics until it rests.

Mueller et al., Position Based Dynamics, 2007; strength per iteration as there, constraints in a fixed order, so that
the result is the same for any number of threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import KDTree

from reference_model.corpus.people.cloth_mesh import unique_edges

__all__ = ["Stiffness", "drape"]

_GRAVITY = 3.0  # m/s^2: with the few iterations of a sweep, more would stretch jersey like rubber
_STEP_S = 1 / 90
_DAMPING = 0.96  # share of the velocity kept over a step
_REFRESH = 6  # steps between two searches for the nearest skin


class Stiffness(NamedTuple):
    """How a fabric resists, as shares of the error corrected in one iteration."""

    stretch: float
    compression: float
    """Cloth gives way to compression by buckling; the mesh is too coarse to show all of it."""
    bend: float


def _bends(faces: np.ndarray) -> np.ndarray:
    """Pairs of vertices that face each other across an inner edge, [B, 2]."""
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    opposite = faces[:, [2, 0, 1]].reshape(-1)
    order = np.lexsort((sides[:, 1], sides[:, 0]))
    sides, opposite = sides[order], opposite[order]
    twin = np.flatnonzero((sides[1:] == sides[:-1]).all(1))
    return np.stack([opposite[twin], opposite[twin + 1]], 1)


def drape(
    start: np.ndarray,
    pattern: np.ndarray,
    faces: np.ndarray,
    held: np.ndarray,
    skin: tuple[np.ndarray, np.ndarray],
    stiffness: Stiffness,
    *,
    gap: float = 0.004,
    n_steps: int = 66,
    n_iterations: int = 9,
) -> np.ndarray:
    """Let cloth fall on a body that stands still.

    Args:
        start: Where the cloth begins, [N, 3] metres.
        pattern: A shape in which it has its natural lengths, [N, 3] metres.
        faces: [F, 3].
        held: [N] bool: vertices that stay where they start (waistbands, collars).
        skin: The body's vertices [V, 3] metres and unit normals [V, 3].
        stiffness: Of the fabric.
        gap: Least distance from the skin, metres.
        n_steps: Steps of 1/90 s.
        n_iterations: Passes over the constraints in a step.

    Returns:
        Where it rests, [N, 3] float32 metres.
    """
    edges, _ = unique_edges(faces)
    bends = _bends(faces)
    pairs = np.concatenate([edges, bends]).astype(np.int32)
    length = np.linalg.norm(pattern[pairs[:, 0]] - pattern[pairs[:, 1]], axis=1)
    is_bend = np.arange(len(pairs)) >= len(edges)
    now = np.array(start, np.float64, order="C")
    velocity = np.zeros_like(now)
    tree = KDTree(skin[0])
    free = (~held).astype(np.float64)
    for step in range(0, n_steps, _REFRESH):
        near = tree.query(now)[1]
        _advance(
            now, velocity, pairs, length, is_bend, free, skin[0][near].astype(np.float64),
            skin[1][near].astype(np.float64), np.array(stiffness), gap, min(_REFRESH, n_steps - step), n_iterations,
        )  # fmt: skip
    return now.astype(np.float32)


@njit(cache=True, fastmath=True)
def _advance(
    now, velocity, pairs, length, is_bend, free, place, normal, stiffness, gap, n_steps, n_iterations
):  # pragma: no cover - compiled
    before = now.copy()
    for _ in range(n_steps):
        before[:] = now
        for i in range(now.shape[0]):
            if free[i] > 0:
                velocity[i, 2] -= _GRAVITY * _STEP_S
                for k in range(3):
                    now[i, k] += velocity[i, k] * _STEP_S
        for sweep in range(n_iterations):  # to and fro, or the order would pull the cloth one way
            for i in range(pairs.shape[0]):
                c = i if sweep % 2 == 0 else pairs.shape[0] - 1 - i
                _hold_length(now, pairs[c, 0], pairs[c, 1], length[c], is_bend[c], free, stiffness)
            for i in range(now.shape[0]):
                _keep_out(now, before, i, free, place, normal, gap)
        for i in range(now.shape[0]):
            for k in range(3):
                velocity[i, k] = (now[i, k] - before[i, k]) / _STEP_S * _DAMPING


@njit(cache=True, fastmath=True)
def _hold_length(now, a, b, length, bend, free, stiffness):  # pragma: no cover - compiled
    total = free[a] + free[b]
    if total == 0:
        return
    x, y, z = now[b, 0] - now[a, 0], now[b, 1] - now[a, 1], now[b, 2] - now[a, 2]
    distance = math.sqrt(x * x + y * y + z * z) + 1e-9
    strength = stiffness[2] if bend else (stiffness[0] if distance > length else stiffness[1])
    pull = strength * (distance - length) / distance / total
    for k in range(3):
        step = pull * (now[b, k] - now[a, k])
        now[a, k] += free[a] * step
        now[b, k] -= free[b] * step


@njit(cache=True, fastmath=True)
def _keep_out(now, before, i, free, place, normal, gap):  # pragma: no cover - compiled
    """Push a point off the skin; what touches the skin sticks a little."""
    if free[i] == 0:
        return
    height = 0.0
    for k in range(3):
        height += (now[i, k] - place[i, k]) * normal[i, k]
    if height >= gap:
        return
    for k in range(3):
        now[i, k] += (gap - height) * normal[i, k]
        now[i, k] -= 0.35 * (now[i, k] - before[i, k]) * (1 - abs(normal[i, k]))
