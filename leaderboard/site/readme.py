"""The board as a Markdown table between two markers of a README."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from leaderboard.site.model import Cell, Line, Table
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["BEGIN", "END", "markdown", "update_readme"]

BEGIN, END = "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->"
_MOST_LINES = 10


def markdown(tables: Sequence[Table]) -> str:
    """Each table's best methods, then those that are only shown."""
    return "\n\n".join(_markdown(table) for table in tables) or "No entries yet."


def update_readme(path: Path, tables: Sequence[Table]) -> bool:
    """Write the tables between the markers of a file; returns whether that changed it.

    Raises:
        AvatarBenchError: E841 when the file has not both markers once, in their order.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise AvatarBenchError(
            "E841", "the file has no place for the table", where=path, expected=f"a line {BEGIN} and a line {END}",
            fix="put the two lines where the table is to stand",
        )  # fmt: skip
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    changed = f"{before}{BEGIN}\n{markdown(tables)}\n{END}{after}"
    if changed == text:
        return False
    with atomic_write(path) as temporary:
        temporary.write_text(changed, encoding="utf-8")
    return True


def _markdown(table: Table) -> str:
    columns = [(i, column) for i, column in enumerate(table.columns) if column.direction != "none"]
    units = {column.id: f" [{column.unit}]" if column.unit else "" for column in table.columns}
    heads = [
        "rank",
        "method",
        *(f"{column.title}{units[column.id]} {column.arrow}" for _, column in columns),
        "badge",
    ]
    first = table.columns[table.sort_column].title if table.sort_column >= 0 else ""
    lines = [
        f"**{_escape(table.protocol_id)}** on {_escape(table.dataset_id)}: {table.n_samples} clips of "
        f"{table.n_identities} people. Rank by {_escape(first)}: the places that it shares with what it cannot be told "
        "apart from. In brackets 95% intervals over people.",
        "",
        "| " + " | ".join(map(_escape, heads)) + " |",
        "|" + "---|" * len(heads),
    ]
    lines += [_line(line, table, [i for i, _ in columns]) for line in table.ranked[:_MOST_LINES]]
    lines += [_line(line, table, [i for i, _ in columns]) for line in table.shown[:_MOST_LINES]]
    return "\n".join(lines)


def _line(line: Line, table: Table, columns: Sequence[int]) -> str:
    first = line.cells[table.sort_column] if table.sort_column >= 0 else None
    rank = "–" if first is None else first.rank_text
    why = {"ranked": "", "privileged": " (sees the truth)", "coverage": f" (coverage {line.coverage:.0%})"}
    name = f"{_escape(line.title)} {_escape(line.version)}{why.get(line.standing, f' ({line.standing})')}"
    cells = [_cell(line.cells[i]) for i in columns]
    return "| " + " | ".join([rank, name, *cells, line.badge]) + " |"


def _cell(cell: Cell) -> str:
    return f"{cell.text} [{cell.interval_text}]" if cell.interval else cell.text


def _escape(text: str) -> str:
    """A text that Markdown takes for nothing but text."""
    return (
        re.sub(r"([\\`*_{}\[\]()#+!|~$@:])", r"\\\1", text.replace("\n", " "))
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
