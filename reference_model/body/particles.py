"""The deformer's particles: where they sit, which surface they move, and the motion that best explains a surface's.

One particle for each joint turns with its bone (level 0); 768 local particles move the surface about their own
anchors (level 1). The paper gives neither their number nor their binding; sections "deformer" of docs/architecture.md
and docs/model.md say what stands here instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array

from reference_model.body.se3 import log_se3
from reference_model.body.template import load_arrays, load_template

__all__ = [
    "GROUPS",
    "N_LOCAL",
    "TAU_S",
    "ParticleSet",
    "blend_particles",
    "fit_particle_twists",
    "load_particles",
]

GROUPS: tuple[str, ...] = ("lips", "face", "eyes_lids_brows", "hand_left", "hand_right", "body")
"""Names of the values of `ParticleSet.group`, by index."""

TAU_S: dict[str, float] = {
    "lips": 0.2,
    "face": 0.2,
    "eyes_lids_brows": 0.2,
    "hand_left": 0.6,
    "hand_right": 0.6,
    "body": 2.0,
}
"""Time constant of the leaky integration by group, seconds: how long a pose is held without new twists."""

N_LOCAL = 768

_ISOTROPY = 0.003
"""Share of isotropic spread added to each neighbourhood, so that a nearly straight one does not spin freely."""
_ANCHORING = 0.02
"""Weight that holds a particle to its own best motion while the blend as a whole is fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class ParticleSet:
    """The J joint particles, then the 768 local ones."""

    n_joints: int
    """J."""
    anchor_triangle: np.ndarray
    """[768] int32, triangle of the template on which each local particle sits."""
    anchor_barycentric: np.ndarray
    """[768, 3] float32."""
    bone: np.ndarray
    """[768] int32, joint that carries the anchor."""
    group: np.ndarray
    """[J + 768] uint8, index into `GROUPS`."""
    vertex_particles: np.ndarray
    """[V, 4] int32, local particles (0..767) that move each vertex."""
    vertex_weights: np.ndarray
    """[V, 4] float32; what a row lacks to 1 stays where it is (the identity's share)."""
    tau_s: dict[str, float]
    """Time constant by group, seconds."""

    @property
    def weights(self) -> csr_array:
        """[V, 768] the same weights as a sparse matrix."""
        n, k = self.vertex_particles.shape
        rows = np.repeat(np.arange(n), k)
        entries = (self.vertex_weights.astype(np.float64).ravel(), (rows, self.vertex_particles.ravel()))
        matrix = csr_array(entries, shape=(n, N_LOCAL))
        matrix.eliminate_zeros()
        return matrix

    def anchors(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Places of the local particles on some body, [..., 768, 3], from vertices [..., V, 3]."""
        corners = vertices[..., faces[self.anchor_triangle], :]  # [..., 768, 3, 3]
        return (corners * self.anchor_barycentric[..., None]).sum(-2)


@lru_cache(maxsize=1)
def load_particles() -> ParticleSet:
    """The shipped particles; the same object on every call.

    Raises:
        AvatarBenchError: E502, the shipped template file is missing or damaged.
    """
    stored = load_arrays()
    return ParticleSet(
        n_joints=len(stored["joints"]),
        anchor_triangle=stored["particle_triangle"].astype(np.int32),
        anchor_barycentric=stored["particle_barycentric"].astype(np.float32),
        bone=stored["particle_bone"].astype(np.int32),
        group=stored["particle_group"],
        vertex_particles=stored["vertex_particles"].astype(np.int32),
        vertex_weights=stored["vertex_particle_weights"].astype(np.float32),
        tau_s=dict(TAU_S),
    )


def fit_particle_twists(displaced: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Local particle motions that reproduce a displacement of the surface: training targets of the deformer.

    Each particle takes the rotation of the weighted Procrustes fit of its neighbourhood; then all translations are
    solved together, so that the *blend* of neighbours, not each particle alone, lands on the surface.

    Args:
        displaced: [T, V, 3] moved vertices, before any bone turns.
        rest: [V, 3] vertices of the same person at rest.

    Returns:
        [T, 768, 6] float32 log-twists (w, v) about the anchors in the axes of the bones, which are the world's here.
    """
    particles = load_particles()
    weights = particles.weights
    rest = np.asarray(rest, np.float64)
    motion = np.asarray(displaced, np.float64) - rest  # [T, V, 3]
    n_frames, n_vertices, _ = motion.shape
    flat = motion.transpose(1, 0, 2).reshape(n_vertices, -1)  # [V, 3T]

    normalised = weights.T.tocsr()  # [768, V]
    normalised = csr_array(normalised.multiply(1 / normalised.sum(1)[:, None]))
    centre = normalised @ rest  # [768, 3]
    mean_motion = (normalised @ flat).reshape(N_LOCAL, n_frames, 3)

    spread = np.empty((N_LOCAL, n_frames, 3, 3))
    size = np.zeros(N_LOCAL)
    for axis in range(3):  # covariance of moved and resting places, column by column
        lever = normalised.multiply(rest[:, axis][None]) - normalised.multiply(centre[:, axis][:, None])
        at_rest = lever @ rest  # [768, 3]
        spread[..., axis] = at_rest[:, None] + (lever @ flat).reshape(N_LOCAL, n_frames, 3)
        size += at_rest[:, axis]
    spread += _ISOTROPY * size[:, None, None, None] * np.eye(3)
    rotation = _nearest_rotation(spread)  # [768, T, 3, 3]

    anchor = particles.anchors(rest, load_template().faces)
    lever = centre - anchor
    turned = np.einsum("mtij,mj->mti", rotation, lever) - lever[:, None]
    translation = mean_motion - turned  # [768, T, 3], each particle's own best
    translation += _blend_correction(weights, particles, rest, anchor, flat, rotation, translation)
    twist = log_se3(torch.from_numpy(rotation), torch.from_numpy(translation))
    return twist.transpose(0, 1).float().numpy()


def blend_particles(rotation: np.ndarray, translation: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Displacement of the surface by local particles, `sum_m w_m (R_m (x - c_m) + c_m + t_m - x)`.

    Args:
        rotation: [T, 768, 3, 3].
        translation: [T, 768, 3].
        rest: [V, 3].

    Returns:
        [T, V, 3].
    """
    particles = load_particles()
    weights = particles.weights
    rest = np.asarray(rest, np.float64)
    anchor = particles.anchors(rest, load_template().faces)
    turn = np.asarray(rotation, np.float64).transpose(1, 0, 2, 3) - np.eye(3)
    return _blend(weights, rest, anchor, turn, np.asarray(translation, np.float64).transpose(1, 0, 2))


def _blend(
    weights: csr_array, rest: np.ndarray, anchor: np.ndarray, turn: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """As `blend_particles` with `turn` = R - I [768, T, 3, 3] and `translation` [768, T, 3]."""
    n_frames = turn.shape[1]
    constant = translation - np.einsum("mtij,mj->mti", turn, anchor)
    moved = (weights @ constant.reshape(N_LOCAL, -1)).reshape(-1, n_frames, 3)
    linear = (weights @ turn.reshape(N_LOCAL, -1)).reshape(-1, n_frames, 3, 3)
    moved += np.einsum("vtij,vj->vti", linear, rest)
    return moved.transpose(1, 0, 2)


def _blend_correction(
    weights: csr_array,
    particles: ParticleSet,
    rest: np.ndarray,
    anchor: np.ndarray,
    flat: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> np.ndarray:
    """Change of the translations [768, T, 3] that makes the blended surface fit best; least squares, held lightly."""
    n_frames = rotation.shape[1]
    blended = _blend(weights, rest, anchor, rotation - np.eye(3), translation).transpose(1, 0, 2)
    missing = flat - blended.reshape(len(flat), -1)  # [V, 3T]
    normal = (weights.T @ weights).toarray()
    normal += _ANCHORING * np.diag(np.asarray(weights.sum(0)).ravel())
    return np.linalg.solve(normal, weights.T @ missing).reshape(N_LOCAL, n_frames, 3)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """Rotation closest to each 3x3 matrix (Kabsch 1976), [..., 3, 3]."""
    u, _, vt = np.linalg.svd(matrix)
    u[..., 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[..., None]
    return u @ vt
