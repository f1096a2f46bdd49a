"""`bench parity`: our metrics beside the canonical packages, as a table."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer
from rich.markup import escape
from rich.table import Column, Table

from benchmark.console import err, out
from benchmark.parity import REPORT_VARIABLE, ParityRow, read_report
from media.errors import AvatarBenchError

__all__ = ["parity"]

EXIT_VIOLATED = 4
_NO_TESTS = 5  # exit code of pytest
_STANDARD_ERROR = 2  # the file descriptor, whatever stands for sys.stderr

_Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Only tests whose name or file holds one of these, such as qalign or syncnet; default: all."
    ),
]


def parity(names: _Names = None) -> None:
    """Compare our metrics with the canonical packages, on made weights and the same pictures, and print the table.

    Runs the tests of a checkout's tests/parity, with the packages of its development environment. Real weights are not
    needed. Ends with 4 when a comparison does not hold or a test fails, 3 when nothing could be compared.
    """
    folder = _tests_folder()
    with tempfile.TemporaryDirectory(prefix="avatarbench-parity-") as place:
        report, outcomes = Path(place) / "report.jsonl", Path(place) / "outcomes.xml"
        code = _run_tests(folder, names or [], report, outcomes)
        rows = read_report(report)
        skipped, failed = _outcomes(outcomes)
    if code == _NO_TESTS:
        raise AvatarBenchError(
            "E504",
            "no parity test has such a name",
            where=folder,
            expected=", ".join(sorted(path.stem.removeprefix("test_") for path in folder.glob("test_*.py"))),
            got=", ".join(names or []),
        )
    if rows:
        out.print(_table(rows))
    for reason, count in skipped.items():
        err.print(f"skipped {count}: {reason}", style="yellow", markup=False, soft_wrap=True)
    for name in failed:
        err.print(f"failed: {name}", style="red", markup=False, soft_wrap=True)
    if code or not all(row.passed and not row.missed for row in rows):
        raise typer.Exit(EXIT_VIOLATED)
    if not rows:
        raise AvatarBenchError(
            "E506",
            "no comparison could be made",
            where=folder,
            got="all tests were skipped, for the reasons above",
        )


def _tests_folder() -> Path:
    """The parity tests of the checkout that this package runs from."""
    folder = Path(__file__).resolve().parents[1] / "tests" / "parity"
    if not folder.is_dir():
        raise AvatarBenchError(
            "E603",
            "the parity comparisons are tests of the source repository and are not installed with the package",
            expected=str(folder),
            fix="clone the repository, install its development packages (uv sync), and call bench parity there",
        )
    if importlib.util.find_spec("pytest") is None:
        raise AvatarBenchError(
            "E603", "bench parity needs pytest", fix="install the development packages (uv sync)"
        )
    return folder


def _run_tests(folder: Path, names: list[str], report: Path, outcomes: Path) -> int:
    """Run the tests; pytest's own lines go to standard error. Returns its exit code."""
    command = [sys.executable, "-m", "pytest", str(folder), "-p", "no:cacheprovider", "--tb=line"]
    command += [f"--junitxml={outcomes}", f"--rootdir={folder.parents[1]}"]
    if names:
        command += ["-k", " or ".join(names)]
    environment = {**os.environ, REPORT_VARIABLE: str(report)}
    return subprocess.run(
        command, cwd=folder.parents[1], env=environment, stdout=_STANDARD_ERROR, check=False
    ).returncode


def _outcomes(path: Path) -> tuple[Counter[str], list[str]]:
    """Numbers of skipped tests by reason, and names of those that failed or broke."""
    skipped: Counter[str] = Counter()
    failed = []
    if path.exists():
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            if (mark := case.find("skipped")) is not None:
                skipped[mark.get("message", "without a reason")] += 1
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(f"{case.get('classname')}::{case.get('name')}")
    return skipped, failed


def _table(rows: list[ParityRow]) -> Table:
    table = Table(
        Column("metric"),
        *(
            Column(name, justify="right", no_wrap=True)
            for name in ("ours", "canonical", "difference", "tolerance")
        ),
        Column("mutants caught"),
        header_style="bold",
    )
    for row in rows:
        caught = f"{len(row.mutants) - len(row.missed)} of {len(row.mutants)}"
        if row.missed:
            caught = f"[red]{caught}, not: {escape(', '.join(row.missed))}[/red]"
        elif row.mutants:
            caught += escape(f": {', '.join(row.mutants)}")
        difference = f"{row.difference:.2g}"
        table.add_row(
            f"{escape(row.name)}\n[dim]{escape(row.canonical_code)}[/dim]",
            f"{row.ours:.6g}",
            f"{row.canonical:.6g}",
            difference if row.passed else f"[red]{difference}[/red]",
            f"{row.tolerance:.2g} {'rel' if row.unit == 'relative' else 'abs'}",
            caught,
        )
    table.caption = "ours, canonical: means; difference: the largest one, of all values"
    return table
