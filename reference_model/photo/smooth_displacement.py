"""Displacements that pull some vertices to targets and are smooth elsewhere: `(A + W) x = W target`.

A, what keeps a mesh in shape, is the same for everybody; W is diagonal, and 0 but for some hundred vertices of a rim.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.sparse as sparse
import torch
from scipy.sparse.linalg import splu

__all__ = ["DenseSolver", "Solver", "SparseSolver"]


class Solver(Protocol):
    """Solves for one right side after the other."""

    def solve(self, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Displacements `[V, 3]` near `target` where the weights `[V]` are 1, smooth where they are 0."""
        ...


class SparseSolver:
    """On the CPU, by a factorisation for each set of weights.

    Args:
        matrix: A, `[V, V]`, symmetric and positive definite.
    """

    def __init__(self, matrix: sparse.csc_matrix) -> None:
        self._matrix = matrix

    def solve(self, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Solver`."""
        # A symmetric, positive matrix needs no pivots; without them an order of small fill stays one.
        factor = splu(
            self._matrix + sparse.diags(weight, format="csc"),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        return factor.solve(weight[:, None] * target)


class DenseSolver:
    """On a GPU, which keeps the inverse of A: a solution takes only the rim's rows of it.

    With U the rim's columns of the unit matrix and W = U U^T, `x = A^-1 U (1 + U^T A^-1 U)^-1 U^T target`.

    Args:
        matrix: A, `[V, V]`, symmetric and positive definite; V = 13,854 takes 1.5 GB.
        device: Where.
    """

    def __init__(self, matrix: sparse.csc_matrix, device: torch.device | str) -> None:
        dense = torch.as_tensor(matrix.toarray(), device=device)
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(dense))  # [V, V]

    def solve(self, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Solver`."""
        rim = np.flatnonzero(weight)
        index = torch.as_tensor(rim, device=self._inverse.device)
        rows = self._inverse[index]  # [R, V]
        among = rows[:, index] + torch.eye(len(rim), dtype=rows.dtype, device=rows.device)
        pull = torch.linalg.solve(among, torch.as_tensor(target[rim], device=rows.device))  # [R, 3]
        return (rows.T @ pull).cpu().numpy()
