"""Adam, small: `torch.optim` would load torch's compiler on its first step, some seconds and 250 MB."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Adam"]


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1) with a step size for each tensor.

    Args:
        parameters: Leaf tensors; updated in place.
        learning_rates: Step size of each.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rates: Sequence[float]) -> None:
        self._parameters = list(parameters)
        self._rates = list(learning_rates)
        self._mean = [torch.zeros_like(p) for p in parameters]
        self._square = [torch.zeros_like(p) for p in parameters]
        self._count = 0

    @torch.no_grad()
    def step(self, rate_factor: float = 1.0) -> None:
        """Move against the gradients, by `rate_factor` times the step sizes, and clear them."""
        self._count += 1
        bias1, bias2 = 1 - 0.9**self._count, 1 - 0.999**self._count
        for parameter, rate, mean, square in zip(
            self._parameters, self._rates, self._mean, self._square, strict=True
        ):
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 0.1)
            square.mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=0.001)
            size = (square / bias2).sqrt_().add_(1e-8)
            parameter.addcdiv_(mean, size, value=-rate * rate_factor / bias1)
            parameter.grad = None
