"""A linear shape space of adults: sampled Anny bodies, then a principal component analysis that favours the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ShapeSpace", "fit_shape_space", "sample_adults"]

N_COMPONENTS = 64

BLOCK_SHARES = {"body": 0.35, "face": 0.50, "hand_left": 0.075, "hand_right": 0.075}
"""Share of the variance that each block has in the analysis. By surface the face is 2 % of a person and height and
weight would take nearly all components; by attention it is half."""

_LOCAL_SIGMA = 0.22
_LOCAL_CLIP = 0.6
_BODY_SIGMA = 0.15
_PLACEMENT_SIGMA = 0.12
_ASYMMETRY = 0.1

_FACE_TARGETS = ("chin-", "mouth-", "nose-", "head-", "forehead", "eyebrows", "eye-", "cheek", "ear-")
_PLACEMENT_TARGETS = (
    "eye-trans-up", "eye-trans-out", "eye-scale", "eye-push", "nose-trans-up", "nose-trans-forward",
    "mouth-trans-up", "mouth-trans-forward", "mouth-scale-depth", "head-scale", "ear-rot", "ear-wing", "ear-trans",
    "nose-septum", "mouth-angles", "mouth-laugh", "eye-bag", "head-back", "head-fat",
)  # fmt: skip
"""Targets that move or scale a whole organ: needed, since eye distance and mouth height tell people apart, but at full
strength they tear the face apart."""
_SKIPPED_TARGETS = (
    "head-age", "head-angle", "head-trans", "mouth-trans-out", "nose-trans-out", "neck-trans", "neck-double",
    "neck-back", "neck-scale", "eyebrows-trans-forward", "torso-trans", "hip-trans", "foot-", "leg-valgus",
    "hand-trans", "stomach-pregnant", "bulge", "breast-point", "stomach-navel",
)  # fmt: skip
"""Targets that make a deformed or displaced person, or that clothes hide."""


def sample_adults(
    phenotype_names: list[str],
    local_names: list[str],
    n: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw adults of both sexes, all ages from 18 and all builds.

    Args:
        phenotype_names: Anny's phenotypes.
        local_names: Anny's local changes.
        n: Number of people.
        rng: Source of randomness.

    Returns:
        Phenotypes [n, P] in [0, 1] and local changes [n, L] in [-0.6, 0.6].
    """
    ancestry = rng.dirichlet(np.ones(3), n)
    columns = {
        "gender": rng.uniform(0, 1, n),
        "age": rng.uniform(0.64, 1.0, n),
        "muscle": rng.normal(0.52, 0.18, n).clip(0.1, 0.95),
        "weight": rng.normal(0.52, 0.18, n).clip(0.1, 0.95),
        # Anny's 0.5 is 1.90 m for men and 1.76 m for women, a unit is 1.09 m: adults are 1.76 and 1.62 m, sd 8 cm.
        "height": rng.normal(0.37, 0.07, n).clip(0.2, 0.6),
        "proportions": rng.uniform(0.3, 0.9, n),
        "cupsize": rng.normal(0.5, 0.15, n).clip(0.1, 0.9),
        "firmness": rng.normal(0.5, 0.15, n).clip(0.1, 0.9),
        "african": ancestry[:, 0],
        "asian": ancestry[:, 1],
        "caucasian": ancestry[:, 2],
    }
    # Uniform gender alone would leave the two ends thin: two in three people stand near one end.
    ends = rng.uniform(size=n) < 2 / 3
    near_end = np.abs(rng.normal(0, 0.06, n)).clip(0, 0.2)
    columns["gender"] = np.where(
        ends, np.where(rng.uniform(size=n) < 0.5, near_end, 1 - near_end), columns["gender"]
    )
    phenotypes = np.stack([columns[name] for name in phenotype_names], 1)

    local = np.zeros((n, len(local_names)))
    for i, name in enumerate(local_names):
        sigma = _target_sigma(name)
        if sigma == 0:
            continue
        if name.startswith("r-"):
            twin = local[:, local_names.index("l-" + name[2:])]
            local[:, i] = twin + _ASYMMETRY * sigma * rng.normal(size=n)
        else:
            local[:, i] = (sigma * rng.normal(size=n)).clip(-_LOCAL_CLIP, _LOCAL_CLIP)
    return phenotypes, local.clip(-_LOCAL_CLIP, _LOCAL_CLIP)


def _target_sigma(name: str) -> float:
    bare = name[2:] if name.startswith(("l-", "r-")) else name
    if bare.startswith(_SKIPPED_TARGETS):
        return 0.0
    if bare.startswith(_PLACEMENT_TARGETS):
        return _PLACEMENT_SIGMA
    return _LOCAL_SIGMA if bare.startswith(_FACE_TARGETS) else _BODY_SIGMA


@dataclass(frozen=True, slots=True)
class ShapeSpace:
    """Mean and basis of vertices and joints over common coefficients of unit variance."""

    vertices: np.ndarray
    """[V, 3] mean."""
    joints: np.ndarray
    """[J, 3] mean."""
    basis: np.ndarray
    """[K, V, 3]."""
    joint_basis: np.ndarray
    """[K, J, 3]."""
    errors_mm: dict[str, float]
    """Root mean square error of held-out people after projection, by part; "face" is about the face's own centre."""


def _features(vertices: np.ndarray, blocks: dict[str, np.ndarray], scales: dict[str, float]) -> np.ndarray:
    """[N, sum of block sizes]: the body as it stands, face and hands about their own centres."""
    columns = []
    for name, members in blocks.items():
        part = vertices[:, members]
        if name != "body":
            part = part - part.mean(1, keepdims=True)
        columns.append(part.reshape(len(part), -1) * scales[name])
    return np.concatenate(columns, 1)


def fit_shape_space(
    vertices: np.ndarray,  # [N, V, 3]
    joints: np.ndarray,  # [N, J, 3]
    blocks: dict[str, np.ndarray],
    held_out: int,
    n_components: int = N_COMPONENTS,
) -> ShapeSpace:
    """Weighted principal components; vertices and joints follow the scores by least squares.

    Args:
        vertices: Bodies in the reference pose.
        joints: Their joint heads.
        blocks: Vertex indices of "body", "face", "hand_left" and "hand_right".
        held_out: The last so many people are kept aside to measure the error.
        n_components: K.

    Returns:
        The shape space.
    """
    n_fit = len(vertices) - held_out
    mean_vertices, mean_joints = vertices[:n_fit].mean(0), joints[:n_fit].mean(0)
    centred = vertices - mean_vertices
    centred_joints = joints - mean_joints
    unit = dict.fromkeys(blocks, 1.0)
    scales = {}
    for name, members in blocks.items():
        variance = np.square(_features(centred[:n_fit], {name: members}, unit)).sum(1).mean()
        scales[name] = float(np.sqrt(BLOCK_SHARES[name] / variance))
    features = _features(centred, blocks, scales)  # [N, D]
    fit, test = features[:n_fit], features[n_fit:]
    values, vectors = np.linalg.eigh((fit @ fit.T).astype(np.float64) / n_fit)
    values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    scores = vectors * np.sqrt(n_fit)  # [N, K], unit variance and uncorrelated
    directions = fit.T @ vectors.astype(np.float32) / np.sqrt(values * n_fit).astype(np.float32)  # [D, K]

    def loadings(samples: np.ndarray) -> np.ndarray:
        flat = samples.reshape(len(samples), -1)  # scores are orthonormal: least squares is one product
        return (scores.T.astype(np.float32) @ flat / n_fit).reshape(n_components, *samples.shape[1:])

    basis, joint_basis = loadings(centred[:n_fit]), loadings(centred_joints[:n_fit])
    test_scores = test @ directions / np.sqrt(values).astype(np.float32)
    residual = centred[n_fit:] - np.tensordot(test_scores, basis, 1)
    residual_joints = centred_joints[n_fit:] - np.tensordot(test_scores, joint_basis, 1)
    return ShapeSpace(
        vertices=mean_vertices,
        joints=mean_joints,
        basis=basis,
        joint_basis=joint_basis,
        errors_mm=_errors(residual, residual_joints, blocks),
    )


def _errors(residual: np.ndarray, joints: np.ndarray, blocks: dict[str, np.ndarray]) -> dict[str, float]:
    def rms(x: np.ndarray) -> float:
        return round(float(np.sqrt(np.square(x).sum(-1).mean())) * 1e3, 3)

    errors = {"body": rms(residual), "joints": rms(joints)}
    for name in ("face", "hand_left", "hand_right"):
        part = residual[:, blocks[name]]
        errors[name] = rms(part - part.mean(1, keepdims=True))
    return errors
