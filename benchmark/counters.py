"""Counters: what a scoring has really done, so that tests and users can see that nothing is done twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Work of one process."""

    decodes: Counter[Path] = field(default_factory=Counter)
    """Begun passes over a stretch of a file, by file."""
    loads: Counter[str] = field(default_factory=Counter)
    """Loads of a network, by its id; never more than one."""
    forwards: Counter[str] = field(default_factory=Counter)
    """Calls of a network, by its id: one a frame, or one a batch."""
