"""What kinds of avatars there are: the paper's table 1 as data."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Capabilities", "read_capabilities"]

_FILE = Path(__file__).parent / "capabilities.yaml"
_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Ability(BaseModel):
    """A column of the table."""

    model_config = _STRICT

    id: str
    title: str
    meaning: str


class Kind(BaseModel):
    """A line of the table."""

    model_config = _STRICT

    name: str
    cite: str
    has: frozenset[str]
    """Ids of the abilities."""


class Capabilities(BaseModel):
    """The whole table and where it comes from."""

    model_config = _STRICT

    source: str
    columns: tuple[Ability, ...]
    methods: tuple[Kind, ...]

    @model_validator(mode="after")
    def _known_abilities(self) -> Self:
        known = {column.id for column in self.columns}
        for method in self.methods:
            if unknown := method.has - known:
                raise ValueError(f"{method.name} has abilities that are no columns: {sorted(unknown)}")
        return self


def read_capabilities() -> Capabilities:
    """The table that ships."""
    return Capabilities.model_validate(yaml.safe_load(_FILE.read_text(encoding="utf-8")))
