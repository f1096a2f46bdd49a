"""Networks as data, and the place that loads each of them once for all extractors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from benchmark.counters import Counters

__all__ = ["Network", "Networks"]

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, slots=True)
class Network(Generic[_Loaded]):
    """A network as data: known, and its weights hashed, without being loaded."""

    id: str
    """Name in the counters; unique."""
    load: Callable[[], AbstractContextManager[_Loaded]]
    """Builds it; what it enters is closed at the end of the scoring."""
    sha256: Callable[[], str]
    """Hash of the weights' bytes."""
    weights: tuple[str, ...] = ()
    """Ids in `WEIGHTS` of the files that have to be fetched for it."""


class Networks:
    """Networks that extractors share: each is loaded once, on first use, and closed with the scoring."""

    def __init__(self) -> None:
        self.counters = Counters()
        self._stack = ExitStack()
        self._loaded: dict[str, Any] = {}

    def __enter__(self) -> Networks:
        return self

    def __exit__(self, *exception: object) -> None:
        self._loaded.clear()
        self._stack.close()

    def get(self, network: Network[_Loaded]) -> _Loaded:
        """The loaded network."""
        if network.id not in self._loaded:
            self._loaded[network.id] = self._stack.enter_context(network.load())
            self.counters.loads[network.id] += 1
        return self._loaded[network.id]
