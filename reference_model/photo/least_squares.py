"""Levenberg-Marquardt with bounds, for robust sums of squares of a few hundred unknowns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Quadratic", "minimise"]

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1.0, 1e-5, 1e6
_TIGHTER, _LOOSER = 3.0, 6.0
_FLOOR = 1.0  # added to every curvature that is damped: what is hardly seen must not swing to and fro


class Quadratic(NamedTuple):
    """An objective around one place, to second order."""

    value: Tensor
    """[]."""
    gradient: Tensor
    """[n]."""
    hessian: Tensor
    """[n, n], positive semi-definite (Gauss-Newton)."""


def minimise(
    expand: Callable[[Tensor], Quadratic],
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    iterations: int,
    tolerance: float,
) -> Tensor:
    """Go down from `start` by damped Gauss-Newton steps.

    What lies at a bound and is pushed against it is left out of a step (Bertsekas, 1982); each accepted step lowers the
    objective. Equal bounds hold an unknown fast.

    Args:
        expand: The objective around a place [n].
        start: [n], within the bounds.
        lower: Bounds, [n].
        upper: [n].
        iterations: Steps that are tried at most.
        tolerance: Ends where a step lowers the objective by less than this share of it.
    """
    place, here = start, expand(start)
    damping = _FIRST_DAMPING
    for _ in range(iterations):
        pushed = torch.where(here.gradient > 0, place <= lower, place >= upper)
        there = (place + _step(here, pushed, damping)).clamp(lower, upper)
        found = expand(there)
        gain = float(1 - found.value / here.value)
        if gain > 0:
            place, here = there, found
            damping = max(damping / _TIGHTER, _LEAST_DAMPING)
            if gain < tolerance:
                break
        else:
            damping *= _LOOSER
            if damping > _MOST_DAMPING:
                break
    return place


def _step(quadratic: Quadratic, held: Tensor, damping: float) -> Tensor:
    """The step of the free unknowns, 0 for those that are held; in double precision, for weights differ by 1e6."""
    free = (~held).double()
    hessian = quadratic.hessian.double() * free * free[:, None]
    diagonal = hessian.diagonal()
    system = hessian + torch.diag(damping * (diagonal + _FLOOR))
    # Nobody waits here to hear of a failure: a step that does not lower the objective is not taken anyway.
    factor = torch.linalg.cholesky_ex(system).L
    gradient = (quadratic.gradient.double() * free)[:, None]
    return -torch.cholesky_solve(gradient, factor)[:, 0].to(quadratic.gradient)
