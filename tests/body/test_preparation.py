"""The steps that make the template, on small problems with known answers; Anny itself is not needed."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.sparse.csgraph import dijkstra

from reference_model.body.preparation.landmarks import _closest_barycentric
from reference_model.body.preparation.particle_binding import surface_graph
from reference_model.body.preparation.shape_space import fit_shape_space, sample_adults


def test_distances_along_a_flat_sheet_are_nearly_straight_lines() -> None:
    n = 21
    y, x = np.mgrid[:n, :n]
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3) / (n - 1)
    a = (y * n + x)[:-1, :-1].ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)])
    distance = dijkstra(surface_graph(vertices, faces), indices=0)
    straight = np.linalg.norm(vertices - vertices[0], axis=1)
    assert (distance >= straight - 1e-9).all()
    assert distance[1:].max() < 1.5 and (distance[1:] / straight[1:]).max() < 1.09


def test_the_closest_point_of_a_triangle_agrees_with_a_numerical_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        triangle, point = rng.normal(size=(3, 3)), 2 * rng.normal(size=3)
        found = _closest_barycentric(triangle[None], point)[0]
        bounds = [(0, 1), (0, 1)]
        constraint = {"type": "ineq", "fun": lambda s: 1 - s.sum()}

        def distance(s: np.ndarray, triangle: np.ndarray = triangle, point: np.ndarray = point) -> float:
            return float(np.square(np.array([1 - s.sum(), *s]) @ triangle - point).sum())

        best = minimize(distance, [0.3, 0.3], bounds=bounds, constraints=constraint).fun
        assert abs(np.square(found @ triangle - point).sum() - best) < 1e-5
        assert found.min() >= 0 and abs(found.sum() - 1) < 1e-9


def test_a_shape_space_of_a_few_causes_is_recovered_exactly() -> None:
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(300, 5))
    directions, joint_directions = rng.normal(size=(5, 60, 3)), rng.normal(size=(5, 7, 3))
    vertices, joints = np.tensordot(causes, directions, 1), np.tensordot(causes, joint_directions, 1)
    blocks = {
        "body": np.arange(60),
        "face": np.arange(20),
        "hand_left": np.arange(20, 30),
        "hand_right": np.arange(30, 40),
    }
    space = fit_shape_space(
        vertices.astype(np.float32), joints.astype(np.float32), blocks, 50, n_components=5
    )
    assert max(space.errors_mm.values()) < 20  # millimetres, of bodies several metres large
    assert space.basis.shape == (5, 60, 3) and space.joint_basis.shape == (5, 7, 3)


def test_sampled_adults_are_of_both_sexes_and_nearly_symmetric() -> None:
    phenotypes = ["gender", "age", "muscle", "weight", "height", "proportions"]
    phenotypes += ["cupsize", "firmness", "african", "asian", "caucasian"]
    local = ["l-ear-lobe-incr", "r-ear-lobe-incr", "head-trans-out", "nose-hump-incr"]
    values, changes = sample_adults(phenotypes, local, 2_000, np.random.default_rng(0))
    gender, age = values[:, 0], values[:, 1]
    assert 0.25 < (gender < 0.25).mean() and 0.25 < (gender > 0.75).mean()
    assert 0.64 <= age.min() <= age.max() <= 1.0
    assert np.corrcoef(changes[:, 0], changes[:, 1])[0, 1] > 0.98
    assert np.abs(changes[:, 2]).max() == 0  # a head beside its neck is no adult's
