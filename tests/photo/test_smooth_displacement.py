from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse

from reference_model.photo.smooth_displacement import DenseSolver, Solver, SparseSolver


def chain(n: int) -> sparse.csc_matrix:
    """A chain that is stiff and hardly held."""
    laplacian = sparse.diags([-np.ones(n - 1), np.r_[1, np.full(n - 2, 2.0), 1], -np.ones(n - 1)], [-1, 0, 1])
    return (0.3 * laplacian.T @ laplacian + 0.1 * laplacian + 1e-3 * sparse.eye(n)).tocsc()


@pytest.mark.parametrize("make", [SparseSolver, lambda matrix: DenseSolver(matrix, "cpu")])
def test_solutions_are_those_of_the_equations(make) -> None:
    rng = np.random.default_rng(0)
    matrix, weight = chain(60), (rng.random(60) < 0.2).astype(float)
    target = rng.normal(size=(60, 3))
    solver: Solver = make(matrix)

    for _ in range(2):
        expected = np.linalg.solve(matrix.toarray() + np.diag(weight), weight[:, None] * target)
        np.testing.assert_allclose(solver.solve(weight, target), expected, atol=1e-9)
        weight = np.roll(weight, 7)


@pytest.mark.parametrize("make", [SparseSolver, lambda matrix: DenseSolver(matrix, "cpu")])
def test_nothing_moves_without_a_pull(make) -> None:
    assert not make(chain(20)).solve(np.zeros(20), np.ones((20, 3))).any()
