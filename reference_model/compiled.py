"""One source for two processors: plain functions that numba compiles for the CPU and for CUDA.

A kernel function is written without a decorator, in the subset that both targets compile: scalars, tuples, fixed
loops, `math`, array indexing. `compile_together` compiles a family of them with one compiler, so that each calls
the compiled others; the plain functions stay as they are and can be compiled again for the other processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from numba import njit

__all__ = ["compile_together", "cpu"]


def compile_together(
    compiler: Callable[[Any], Any], functions: Sequence[Any], known: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compile plain functions that call one another by name.

    numba resolves a called function in the caller's globals and takes only compiled ones there. Every function is
    therefore copied with globals in which the names of the family stand for the compiled functions.

    Args:
        compiler: Makes a compiled function of a plain one, e.g. `njit(fastmath=True)`.
        functions: Plain functions of one or more modules, callees before their callers.
        known: Functions compiled before that these may call, by name.

    Returns:
        The compiled functions by name, with the known ones.
    """
    compiled: dict[str, Any] = dict(known or {})
    for function in functions:
        space = {**function.__globals__, **compiled}
        copy = FunctionType(function.__code__, space, function.__name__, function.__defaults__)
        copy.__doc__ = function.__doc__
        compiled[function.__name__] = compiler(copy)
    return compiled


def cpu(*functions: Any) -> dict[str, Any]:
    """Compile plain functions of one module for the CPU and keep the machine code between runs.

    numba notices a stale file by the source file of the compiled function only: keep callers and callees in one
    module, or an edited callee lives on inside its caller.
    """
    return compile_together(njit(fastmath=True, cache=True), functions)
