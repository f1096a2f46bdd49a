"""Functions of tensors as CUDA graphs: hundreds of small kernels, recorded once and launched by one call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

__all__ = ["Graphed"]


class Graphed:
    """A function of tensors that is captured for the shapes that it meets.

    Args:
        function: Takes and gives tensors, with no look at their values and no copy from the host on the way.
        warm_ups: Calls on the side before the capture, which compile kernels and open libraries.
        at_once: Whether to capture at the first call; else shapes have to come twice in a row.
    """

    def __init__(
        self, function: Callable[..., tuple[Tensor, ...]], *, warm_ups: int = 2, at_once: bool = False
    ) -> None:
        self._function, self._warm_ups, self._at_once = function, warm_ups, at_once
        self._last: tuple[torch.Size, ...] | None = None
        self._captured: (
            tuple[tuple[torch.Size, ...], torch.cuda.CUDAGraph, tuple[Tensor, ...], tuple[Tensor, ...]] | None
        ) = None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The function's result; from a graph it is good until the next call."""
        shapes = tuple(part.shape for part in inputs)
        if self._captured is None or self._captured[0] != shapes:
            if not self._at_once and self._last != shapes:  # a shape that comes once is not worth a capture
                self._last = shapes
                return self._function(*inputs)
            self._captured = (shapes, *self._capture(inputs))
        _, graph, fixed, outputs = self._captured
        for to, value in zip(fixed, inputs, strict=True):
            to.copy_(value)
        graph.replay()
        return outputs

    def _capture(
        self, inputs: tuple[Tensor, ...]
    ) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], tuple[Tensor, ...]]:
        fixed = tuple(part.clone() for part in inputs)
        here, aside = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
        aside.wait_stream(here)
        with torch.cuda.stream(aside):  # kernels are compiled and libraries opened outside of the capture
            for _ in range(self._warm_ups):
                self._function(*fixed)
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=aside):
            outputs = self._function(*fixed)
        return graph, fixed, outputs


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """One for all captures of a device: the libraries keep a workspace for every stream that they meet."""
    return torch.cuda.Stream(device)
