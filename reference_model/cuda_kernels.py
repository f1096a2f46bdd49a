"""Launching numba's CUDA kernels on torch's tensors; importing it needs numba-cuda (the extra `train`)."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

if not hasattr(np, "row_stack"):  # numba-cuda asks for the alias when it is imported; numpy 2.4 dropped it
    np.row_stack = np.vstack  # pyright: ignore[reportAttributeAccessIssue]
from numba import cuda

__all__ = ["cuda", "launch"]

logging.getLogger("numba.cuda").setLevel(logging.WARNING)  # it reports every allocation at INFO

# Of few frames a kernel has few threads; there is nothing to be done about it.
warnings.filterwarnings("ignore", message=".*will likely result in GPU under-utilization")

_THREADS = 128


def launch(kernel: Any, n_threads: int, *arguments: Any, threads: int = _THREADS) -> None:
    """Launch a kernel on torch's current stream, so that a CUDA graph can capture it.

    Args:
        kernel: What `cuda.jit` made.
        n_threads: At least so many threads; the kernel finds its item by `cuda.grid(1)`.
        arguments: Tensors, which are passed without a copy, and numbers.
        threads: Threads of a block.
    """
    arrays = [
        (cuda.as_cuda_array(item, sync=False) if item.is_cuda else item.numpy())
        if isinstance(item, Tensor)
        else item
        for item in arguments
    ]
    # numba's simulator, which the tests of the kernels run on, knows no stream of torch's.
    on_device = any(isinstance(item, Tensor) and item.is_cuda for item in arguments)
    stream = cuda.external_stream(torch.cuda.current_stream().cuda_stream) if on_device else 0
    kernel[(n_threads + threads - 1) // threads, threads, stream](*arrays)
