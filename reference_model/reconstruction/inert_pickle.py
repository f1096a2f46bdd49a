"""Read the tensors of a pickled checkpoint without running anything that it names.

A checkpoint of PyTorch Lightning holds settings of classes that need not be installed, so `weights_only` refuses it.
Here tensors are built as always, and whatever else the file names becomes an empty stand-in that is never called.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

__all__ = ["load_inert"]

_BUILT = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}  # torch itself sees to the storages


class _StandIn(dict):
    """Takes the place of any other object: can be made, filled and changed like most, and keeps nothing."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """A list's."""

    def add(self, value: Any) -> None:
        """A set's."""

    def extend(self, values: Any) -> None:
        """A list's."""


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _BUILT.get((module, name), _StandIn)


_inert = ModuleType("inert_pickle_module")
_inert.Unpickler = _InertUnpickler  # type: ignore[attr-defined]
_inert.load = lambda file, **named: _InertUnpickler(file, **named).load()  # type: ignore[attr-defined]


def load_inert(path: Path) -> Any:
    """What a checkpoint holds, on the CPU.

    Raises:
        pickle.UnpicklingError, RuntimeError, EOFError, ValueError: It is not a checkpoint of torch.
    """
    return torch.load(path, map_location="cpu", pickle_module=_inert, weights_only=False)
