"""The bounded Levenberg-Marquardt against scipy's."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import least_squares

from reference_model.photo.least_squares import Quadratic, minimise


def rosenbrock(place: torch.Tensor) -> Quadratic:
    """Half of the squares of 10 (y - x^2) and 1 - x."""
    x, y = place
    residual = torch.stack([10 * (y - x * x), 1 - x])
    derivative = torch.stack([torch.stack([-20 * x, torch.full_like(x, 10)]), torch.tensor([-1.0, 0.0])])
    return Quadratic(residual.square().sum() / 2, residual @ derivative, derivative.T @ derivative)


def test_a_bent_valley_is_followed_to_its_lowest_place() -> None:
    free = torch.full((2,), torch.inf)
    found = minimise(rosenbrock, torch.tensor([-1.2, 1.0]), -free, free, iterations=60, tolerance=0.0)
    np.testing.assert_allclose(found.numpy(), [1, 1], atol=1e-3)


def test_bounds_hold_and_what_lies_within_them_is_the_best() -> None:
    lower, upper = torch.tensor([-2.0, -1.0]), torch.tensor([0.5, 3.0])
    found = minimise(rosenbrock, torch.tensor([-1.2, 1.0]), lower, upper, iterations=60, tolerance=0.0)

    expected = least_squares(
        lambda p: [10 * (p[1] - p[0] ** 2), 1 - p[0]], [-1.2, 1.0], bounds=([-2, -1], [0.5, 3])
    )
    np.testing.assert_allclose(found.numpy(), expected.x, atol=1e-3)


def test_equal_bounds_hold_an_unknown_fast() -> None:
    bound = torch.tensor([-1.2, torch.inf])
    lower = torch.tensor([-1.2, -torch.inf])
    found = minimise(rosenbrock, torch.tensor([-1.2, 1.0]), lower, bound, iterations=60, tolerance=0.0)
    np.testing.assert_allclose(found.numpy(), [-1.2, 1.44], atol=1e-3)
