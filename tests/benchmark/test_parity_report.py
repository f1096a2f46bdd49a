"""Parity comparisons: what counts as equal, what the tests report, and what `bench parity` makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

import benchmark.cli_parity as command
from benchmark.parity import REPORT_VARIABLE, ParityCase, check_parity, read_report
from media.errors import AvatarBenchError

CASE = ParityCase(
    name="made",
    canonical_code="numpy",
    ours=np.array([1.0, -4.0001]),
    canonical=np.array([1.0, -4.0]),
    tolerance=1e-4,
    mutants={"sign": np.array([1.0, 4.0])},
)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(REPORT_VARIABLE, str(tmp_path / "report.jsonl"))
    return tmp_path / "report.jsonl"


def test_differences_are_the_largest_one_over_the_largest_canonical_magnitude():
    assert CASE.difference_of(CASE.ours) == pytest.approx(1e-4 / 4)
    assert replace(CASE, unit="absolute").difference_of(CASE.ours) == pytest.approx(1e-4)
    assert CASE.difference_of(CASE.canonical) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_never_equal(value: float):
    broken = np.array([1.0, value])
    with pytest.raises(AssertionError, match="differs from numpy by inf"):
        check_parity(replace(CASE, ours=broken, canonical=broken, mutants={}))


def test_nothing_is_not_equal_to_nothing():
    with pytest.raises(AssertionError, match="inf"):
        check_parity(ParityCase("made", "numpy", np.empty(0), np.empty(0), 1.0))


def test_arrays_of_other_shapes_are_not_broadcast():
    with pytest.raises(ValueError, match="canonical"):
        replace(CASE, ours=np.ones(1))


def test_a_difference_above_the_tolerance_fails(report: Path):
    check_parity(CASE)
    with pytest.raises(AssertionError, match=r"differs from numpy by 2\.5e-05"):
        check_parity(replace(CASE, tolerance=1e-5))
    (row,) = read_report(report)
    assert not row.passed  # the worse of both comparisons of this name


def test_a_mutant_that_is_not_seen_fails(report: Path):
    with pytest.raises(AssertionError, match="does not see: sign"):
        check_parity(replace(CASE, tolerance=2.0))
    with pytest.raises(AssertionError, match="does not see: none at all"):
        check_parity(replace(CASE, mutants={"none at all": CASE.ours}))
    (row,) = read_report(report)
    assert row.missed == ("none at all",)
    assert set(row.mutants) == {"sign", "none at all"}


def test_a_tolerance_of_zero_asks_for_equal_bits():
    check_parity(replace(CASE, ours=CASE.canonical, tolerance=0.0))
    with pytest.raises(AssertionError):
        check_parity(replace(CASE, ours=np.nextafter(CASE.canonical, 9), tolerance=0.0))


PASSES = """
import numpy as np
from benchmark.parity import ParityCase, check_parity

def test_made():
    check_parity(ParityCase("made: values", "numpy", np.ones(3), np.ones(3), 0.0, {"minus": -np.ones(3)}))
"""
FAILS = PASSES.replace("np.ones(3), 0.0", "2 * np.ones(3), 0.1").replace("def test_made", "def test_wrong")
BREAKS = "def test_broken():\n    raise RuntimeError('no comparison is made')\n"
SKIPS = "import pytest\n\ndef test_later():\n    pytest.skip('needs weights')\n"


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *names: str, **tests: str) -> None:
    folder = tmp_path / "tests" / "parity"
    folder.mkdir(parents=True)
    for name, text in tests.items():
        (folder / f"test_{name}.py").write_text(text)
    monkeypatch.setattr(command, "_tests_folder", lambda: folder)
    monkeypatch.setenv("COLUMNS", "200")
    command.parity(list(names))


def test_the_command_prints_what_the_tests_compared(monkeypatch, tmp_path: Path, capsys):
    run(monkeypatch, tmp_path, first=PASSES, later=SKIPS)
    shown = capsys.readouterr()
    assert "made: values" in shown.out and "1 of 1: minus" in shown.out
    assert "skipped 1: needs weights" in shown.err


@pytest.mark.parametrize("bad", [FAILS, BREAKS])
def test_the_command_ends_with_4_when_a_test_fails(monkeypatch, tmp_path: Path, capsys, bad: str):
    with pytest.raises(typer.Exit) as caught:
        run(monkeypatch, tmp_path, bad=bad)
    assert caught.value.exit_code == 4
    assert "failed: " in capsys.readouterr().err


def test_the_command_chooses_tests_by_name(monkeypatch, tmp_path: Path, capsys):
    run(monkeypatch, tmp_path, "first", first=PASSES, bad=FAILS)
    assert "made: values" in capsys.readouterr().out


def test_a_name_that_no_test_has_is_refused_with_those_there_are(monkeypatch, tmp_path: Path):
    with pytest.raises(AvatarBenchError, match="first") as caught:
        run(monkeypatch, tmp_path, "nothing", first=PASSES)
    assert caught.value.code == "E504"


def test_where_all_is_skipped_nothing_was_compared(monkeypatch, tmp_path: Path):
    with pytest.raises(AvatarBenchError, match="no comparison could be made") as caught:
        run(monkeypatch, tmp_path, later=SKIPS)
    assert caught.value.code == "E506"


def test_an_installed_package_without_tests_says_where_they_are(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(command, "__file__", str(tmp_path / "site-packages" / "benchmark" / "cli_parity.py"))
    with pytest.raises(AvatarBenchError, match="clone the repository") as caught:
        command.parity()
    assert caught.value.code == "E603"
