"""`bench leaderboard reported`: what the paper prints, and which of its percentages its own table supports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table

    from leaderboard.reported import Claim, ReportedTable

__all__ = ["reported"]

_ARROWS = {"higher": "↑", "lower": "↓"}


def reported() -> None:
    """Print the paper's tables 2 and 3, and compute the nine percentages of its section 4.2 again.

    The numbers are reported, not measured here: another data set, and no predictions to check. They are never ranked.
    """
    from benchmark.console import out
    from leaderboard.reported import PAPER, load_claims, load_reported

    tables = load_reported()
    for printed in tables:
        out.print(_printed(printed))
    out.print(_claims(load_claims(), tables[0]))
    notes = [
        "* the printed number. Reported, not measured here; never ranked with measured rows.",
        *_lost(tables),
    ]
    for note in (*notes, f"source: {PAPER}, tables 2 and 3, section 4.2"):
        out.print(f"  {note}", style="dim", soft_wrap=True)


def _printed(printed: ReportedTable) -> Table:
    from rich.table import Table

    table = Table(title=f"table {printed.number}, as printed", title_justify="left", header_style="bold")
    table.add_column("method")
    for value in printed.methods[0].values.values():
        table.add_column(f"{value.column} {_ARROWS[value.arrow]}", justify="right")
    for method in printed.methods:
        table.add_row(method.name, *(value.printed for value in method.values.values()))
    return table


def _claims(claims: Sequence[Claim], table_2: ReportedTable) -> Table:
    from rich.table import Table

    from leaderboard.reported import GROUPS
    from leaderboard.reported.claims import BASELINE_GROUPS, check_claim

    title = "section 4.2, computed again from table 2"
    table = Table(title=title, title_justify="left", header_style="bold")
    for header in ("metric", "printed", *(f"best of {GROUPS[group]}" for group in BASELINE_GROUPS)):
        table.add_column(header)
    table.add_column("printed number is against")
    table.add_column("as the sentence says")
    for claim in claims:
        checked = check_claim(claim, table_2)
        cells = [f"{v.comparator} {v.percent:+.1f}%{' *' if v.holds else ''}" for v in checked.versus]
        stated = [f"no: {v.percent:+.1f}% there" for v in checked.versus if v.group == claim.stated_group]
        said = "holds" if checked.holds_as_stated else (stated or ["names no group"])[0]
        comparators = ", ".join(checked.comparators) or "nobody"
        table.add_row(claim.column, f"{claim.printed}%", *cells, comparators, said)
    return table


def _lost(tables: Sequence[ReportedTable]) -> Iterator[str]:
    """Where the paper's method does not lead: by the printed arrow, or by the metric's usual direction."""
    from leaderboard.reported.claims import better_than_ours

    for table in tables:
        for value in table.methods[0].values.values():
            better = better_than_ours(table, value.column, value.arrow)
            if better:
                other: Literal["higher", "lower"] = "lower" if value.arrow == "higher" else "higher"
                turned = better_than_ours(table, value.column, other)
                yield (
                    f"table {table.number}, {value.column}: by the printed arrow ({value.arrow} is better) better than "
                    f"ours: {', '.join(better)}; by the other: {', '.join(turned) or 'none'}"
                )
