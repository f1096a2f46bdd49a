"""Parity with canonical code: one comparison as data, its check, and the report that `bench parity` reads.

The tests below `tests/parity` make the comparisons, and each of them calls `check_parity`; `bench parity` runs these
tests and prints what they reported. So a row of the table is a test that has passed or failed, and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

__all__ = ["REPORT_VARIABLE", "ParityCase", "ParityRow", "check_parity", "read_report"]

REPORT_VARIABLE = "AVATARBENCH_PARITY_REPORT"
"""Environment variable: a file that `check_parity` appends its rows to."""


@dataclass(frozen=True, slots=True)
class ParityCase:
    """One comparison on one input."""

    name: str
    """What is compared, such as `csim: ArcFace embedding`."""
    canonical_code: str
    """Package and version that made `canonical`."""
    ours: np.ndarray
    """Values of our code, any shape."""
    canonical: np.ndarray
    """Values of the canonical code for the same input, same shape."""
    tolerance: float
    """Largest allowed difference; 0 where equal arithmetic gives equal bits."""
    mutants: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Our values with one mistake put in, by the mistake's name; same shape."""
    unit: Literal["relative", "absolute"] = "relative"
    """Whether differences are divided by the largest magnitude among `canonical`."""

    def __post_init__(self) -> None:
        for name, values in {"ours": self.ours, **self.mutants}.items():
            if np.shape(values) != np.shape(self.canonical):
                shapes = f"{np.shape(values)}, canonical {np.shape(self.canonical)}"
                raise ValueError(f"{self.name}: {name} has the shape {shapes}")

    def difference_of(self, values: np.ndarray) -> float:
        """Largest absolute difference from the canonical values, in `unit`; infinite where one is not finite."""
        with np.errstate(invalid="ignore"):  # infinity from infinity: not finite, and said so below
            gap = np.abs(np.asarray(values, np.float64) - np.asarray(self.canonical, np.float64))
        if gap.size == 0 or not np.isfinite(gap).all():
            return float("inf")
        if self.unit == "absolute" or not gap.any():
            return float(gap.max())
        scale = float(np.abs(np.asarray(self.canonical, np.float64)).max())
        return float(gap.max()) / scale if scale > 0 else float("inf")

    def row(self) -> ParityRow:
        """The comparison's outcome."""
        caught = {name: self.difference_of(values) for name, values in self.mutants.items()}
        return ParityRow(
            name=self.name,
            canonical_code=self.canonical_code,
            ours=_mean(self.ours),
            canonical=_mean(self.canonical),
            difference=self.difference_of(self.ours),
            tolerance=self.tolerance,
            unit=self.unit,
            mutants=caught,
        )


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One line of the table."""

    name: str
    canonical_code: str
    ours: float
    """Mean of our values."""
    canonical: float
    """Mean of the canonical values."""
    difference: float
    tolerance: float
    unit: str
    mutants: Mapping[str, float]
    """Difference of each mutant."""

    @property
    def passed(self) -> bool:
        """Whether our values are within the tolerance."""
        return self.difference <= self.tolerance

    @property
    def missed(self) -> tuple[str, ...]:
        """The mistakes that the comparison does not see."""
        return tuple(name for name, difference in self.mutants.items() if difference <= self.tolerance)

    def joined(self, other: ParityRow) -> ParityRow:
        """One line for two comparisons of this name: the one that is further from its tolerance, all mutants."""
        worse = other if other.difference - other.tolerance > self.difference - self.tolerance else self
        mutants = {
            name: min(found[name] for found in (self.mutants, other.mutants) if name in found)
            for name in {**self.mutants, **other.mutants}
        }
        return ParityRow(
            worse.name,
            worse.canonical_code,
            worse.ours,
            worse.canonical,
            worse.difference,
            worse.tolerance,
            worse.unit,
            mutants,
        )


def check_parity(case: ParityCase) -> None:
    """Report a comparison, and fail when it does not hold or does not see one of its mutants.

    Raises:
        AssertionError: our values differ by more than the tolerance, or a mutant's do not.
    """
    row = case.row()
    path = os.environ.get(REPORT_VARIABLE)
    if path:
        line = json.dumps({name: getattr(row, name) for name in ParityRow.__slots__}) + "\n"
        with open(path, "a", encoding="utf-8") as report:
            report.write(line)
    if not row.passed:
        raise AssertionError(
            f"{row.name}: differs from {row.canonical_code} by {row.difference:.3g} ({row.unit}), "
            f"allowed are {row.tolerance:.3g}"
        )
    if row.missed:
        found = ", ".join(f"{name} ({row.mutants[name]:.3g})" for name in row.missed)
        raise AssertionError(f"{row.name}: a tolerance of {row.tolerance:.3g} does not see: {found}")


def read_report(path: Path) -> list[ParityRow]:
    """What `check_parity` reported, one row a name in the order of first mention; empty where there is no file."""
    rows: dict[str, ParityRow] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row = ParityRow(**json.loads(line))
            rows[row.name] = rows[row.name].joined(row) if row.name in rows else row
    return list(rows.values())


def _mean(values: np.ndarray) -> float:
    return float(np.mean(np.asarray(values, np.float64))) if np.size(values) else float("nan")
