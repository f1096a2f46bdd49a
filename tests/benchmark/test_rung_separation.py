"""Separation of each pair of rungs, read from what a ladder has left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from benchmark.ladder import RUNGS
from benchmark.metrics.catalogue import METRICS
from benchmark.rung_separation import RungValues, main, markdown_table, separate


def test_every_pair_of_clips_counts_once_and_ties_count_half():
    truth, rung = {"a": 3.0, "b": 5.0, "c": 9.0}, {"a": 2.0, "b": 4.0}
    assert separate("higher", truth, rung) == 0.75  # 3 > 2, 5 > 2, 5 > 4, but 3 < 4; c has no partner
    assert separate("lower", truth, rung) == 0.25
    assert separate("higher", truth, dict(truth)) == 0.5
    assert separate("higher", truth, {}) is None


def test_a_table_has_one_entry_a_run_and_says_where_a_rung_has_no_value():
    made = RungValues(dict.fromkeys(RUNGS, 0.5), {rung: {"a": -place} for place, rung in enumerate(RUNGS)})
    filmed = RungValues({RUNGS[0]: 0.25}, {RUNGS[0]: {"a": 1.0}})
    table = markdown_table(METRICS["person_clarity_mini"], [made, filmed]).splitlines()
    assert len(table) == 2 + len(RUNGS)
    assert table[2].split(" | ")[1:3] == ["0.5 / 0.25", "1.00 / none"]
    assert table[-1].startswith("| `wrong_identity` | 0.5 / none")


def test_the_command_reads_runs_and_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    random = np.random.default_rng(0)
    values = {
        rung: {"psnr_rgb_full": random.normal(40 - 5 * place, 0.1, (3, 2))}
        for place, rung in enumerate(RUNGS)
    }
    run = make_run(tmp_path / "run", values)
    main([str(run), str(run), "--metric", "psnr_rgb_full"])
    lines = capsys.readouterr().out.splitlines()
    assert "| 1.00 / 1.00 |" in lines[2]
