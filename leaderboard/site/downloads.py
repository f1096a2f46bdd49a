"""The tables as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from leaderboard.reported import PAPER, ReportedTable
from leaderboard.site.model import Line, Table

__all__ = ["reported_csv", "table_csv", "table_json"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_json(table: Table) -> str:
    """A table with everything that its page shows."""
    data: dict[str, Any] = {
        "protocol": {"id": table.protocol_id, "sha256": table.protocol_sha256},
        "dataset": {"id": table.dataset_id, "sha256": table.dataset_sha256},
        "split": table.split,
        "n_samples": table.n_samples,
        "n_identities": table.n_identities,
        "metrics": [
            {"id": c.id, "version": c.version, "title": c.title, "unit": c.unit, "direction": c.direction,
             "kind": c.kind, "definition": c.variant}
            for c in table.columns
        ],
        "methods": [_line(line, table) for line in table.lines],
    }  # fmt: skip
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def table_csv(table: Table) -> str:
    """The same numbers, one line a method; ranks are empty where nothing is ranked."""
    head = ["method", "version", "title", "submitter", "date", "badge", "standing", "coverage", "entry"]
    for column in table.columns:
        head += [f"{column.id}{suffix}" for suffix in ("", "_low", "_high", "_best_rank", "_worst_rank")]
    lines: list[list[str]] = [head]
    for line in table.lines:
        texts = [
            line.method_id,
            line.version,
            line.title,
            line.submitter,
            line.date,
            line.badge,
            line.standing,
        ]
        numbers = [_number(line.coverage), _plain_text(line.entry_id)]
        for cell in line.cells:
            low, high = cell.interval or (None, None)
            best, worst = cell.rank or (None, None)
            numbers += [_number(number) for number in (cell.value, low, high, best, worst)]
        lines.append([*map(_plain_text, texts), *numbers])
    return _csv(lines)


def reported_csv(tables: tuple[ReportedTable, ...]) -> str:
    """What the paper reports, one line a value with its source."""
    lines = [["table", "method", "metric", "value", "source", "paper"]]
    for table in tables:
        for method in table.methods:
            lines += [
                [str(table.number), _plain_text(method.name), v.column, v.printed, v.source, PAPER]
                for v in method.values.values()
            ]
    return _csv(lines)


def _line(line: Line, table: Table) -> dict[str, Any]:
    metrics = {
        column.id: {"value": cell.value, "interval": cell.interval, "rank": cell.rank,
                    "without_value": cell.text if cell.value is None else None}
        for column, cell in zip(table.columns, line.cells, strict=True)
    }  # fmt: skip
    return {
        "method": line.method_id,
        "version": line.version,
        "title": line.title,
        "submitter": line.submitter,
        "date": line.date,
        "badge": line.badge,
        "standing": line.standing,
        "coverage": line.coverage,
        "licence": line.licence,
        "entry": line.entry_id,
        "metrics": metrics,
        "provenance": {fact.name: fact.value for fact in line.provenance},
    }


def _csv(lines: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _plain_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
