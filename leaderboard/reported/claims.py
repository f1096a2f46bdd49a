"""The percentages of the paper's section 4.2, computed again from its table 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leaderboard.reported import Claim, Group, ReportedMethod, ReportedTable

__all__ = ["CheckedClaim", "Versus", "better_than_ours", "check_claim"]

BASELINE_GROUPS: tuple[Group, ...] = ("avatar", "video")


@dataclass(frozen=True, slots=True)
class Versus:
    """The paper's method beside the best baseline of one group."""

    group: Group
    comparator: str
    """The group's best in this column, by the arrow of the table."""
    percent: float
    holds: bool
    """Whether the printed percentage is this one, rounded as printed."""


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A printed percentage, and what table 2 says."""

    claim: Claim
    versus: tuple[Versus, ...]
    """One a group of baselines."""
    comparators: tuple[str, ...]
    """Every baseline against which the printed percentage holds, best in its group or not."""

    @property
    def holds_as_stated(self) -> bool | None:
        """Whether it holds against the group that the sentence names; None where it names none."""
        stated = self.claim.stated_group
        return None if stated is None else any(v.holds for v in self.versus if v.group == stated)


def check_claim(claim: Claim, table: ReportedTable) -> CheckedClaim:
    """Compute a percentage of section 4.2 against every baseline of table 2.

    Args:
        claim: The percentage.
        table: Table 2.
    """
    ours = next(method for method in table.methods if method.group == "ours")
    baselines = [method for method in table.methods if method.group in BASELINE_GROUPS]
    versus = []
    for group in BASELINE_GROUPS:
        best = _best([method for method in baselines if method.group == group], claim.column)
        versus.append(Versus(group, best.name, _percent(ours, best, claim.column), _holds(claim, ours, best)))
    return CheckedClaim(
        claim,
        tuple(versus),
        tuple(method.name for method in baselines if _holds(claim, ours, method)),
    )


def better_than_ours(table: ReportedTable, column: str, arrow: Literal["higher", "lower"]) -> tuple[str, ...]:
    """Rows of a table that beat the paper's method in one column, where `arrow` says which way is better."""
    ours = next(method for method in table.methods if method.group == "ours").values[column].value
    sign = 1 if arrow == "higher" else -1
    return tuple(method.name for method in table.methods if sign * (method.values[column].value - ours) > 0)


def _best(methods: Sequence[ReportedMethod], column: str) -> ReportedMethod:
    choose = max if methods[0].values[column].arrow == "higher" else min
    return choose(methods, key=lambda method: method.values[column].value)


def _percent(ours: ReportedMethod, other: ReportedMethod, column: str) -> float:
    return 100 * (ours.values[column].value / other.values[column].value - 1)


def _holds(claim: Claim, ours: ReportedMethod, other: ReportedMethod) -> bool:
    return f"{_percent(ours, other, claim.column):+.1f}" == claim.printed
