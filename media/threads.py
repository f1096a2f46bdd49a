"""How many threads work: one for torch, where sums must not depend on how many cores a machine has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_torch_thread", "tree_workers"]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run torch on one thread: the same bits on any machine, and faster beside numba where tensors are small."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tree_workers() -> int:
    """Threads for queries of scipy's trees, whose answers do not depend on them: as many as numba may use."""
    import numba

    return numba.get_num_threads()
