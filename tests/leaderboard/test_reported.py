"""The paper's tables as data, and its percentages computed again."""

from __future__ import annotations

from typer.testing import CliRunner

from leaderboard.cli import leaderboard
from leaderboard.reported import load_claims, load_reported
from leaderboard.reported.claims import better_than_ours, check_claim

TABLE_2, TABLE_3 = load_reported()


def test_tables_are_whole_and_each_value_names_its_cell() -> None:
    assert [len(table.methods) for table in (TABLE_2, TABLE_3)] == [6, 9]
    for table in (TABLE_2, TABLE_3):
        assert len(table.columns) == 10
        for number, method in enumerate(table.methods, start=1):
            for column, value in method.values.items():
                expected = f"table {table.number}, row {number} ({method.name}), column {column}"
                assert value.source == expected


def test_the_full_model_is_the_same_in_both_tables() -> None:
    rows = [{c: v.printed for c, v in table.method("Ours").values.items()} for table in (TABLE_2, TABLE_3)]
    assert rows[0] == rows[1]


def test_each_of_the_nine_percentages_has_one_comparator() -> None:
    checked = {claim.column: check_claim(claim, TABLE_2) for claim in load_claims()}
    assert len(checked) == 9
    comparators = {column: found.comparators for column, found in checked.items()}
    assert comparators == {column: ("HunyuanVideo-Avatar",) for column in checked} | {"SyncD": ("PERSONA",)}


def test_five_percentages_are_not_against_the_group_that_the_sentence_names() -> None:
    said = {claim.column: check_claim(claim, TABLE_2).holds_as_stated for claim in load_claims()}
    assert {column for column, holds in said.items() if holds is False} == {
        *("IQA", "ASE", "SyncC", "SSIM", "PSNR")
    }
    assert {column for column, holds in said.items() if holds} == {"SyncD", "FID", "FVD"}
    assert said["HKC"] is None


def test_against_the_named_group_the_gain_is_larger_than_printed() -> None:
    for claim in load_claims():
        checked = check_claim(claim, TABLE_2)
        stated = [v for v in checked.versus if v.group == claim.stated_group]
        assert all(abs(v.percent) >= abs(float(claim.printed)) - 0.05 for v in stated)


def test_csim_contradicts_its_printed_arrow() -> None:
    assert len(better_than_ours(TABLE_2, "CSIM", "lower")) == 5
    assert better_than_ours(TABLE_2, "CSIM", "higher") == ()
    assert better_than_ours(TABLE_3, "CSIM", "higher") == ("w/o hand enhancement", "w/o hand gesture offsets")
    for column in set(TABLE_2.columns) - {"CSIM"}:
        arrow = TABLE_2.methods[0].values[column].arrow
        assert better_than_ours(TABLE_2, column, arrow) == ()


def test_the_command_prints_comparators_and_verdicts() -> None:
    done = CliRunner().invoke(leaderboard, ["reported"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "PERSONA -20.3% *" in done.output
    assert "no: +8.8% there" in done.output
    assert "never ranked" in done.output
