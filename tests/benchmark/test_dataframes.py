"""Runs as pandas tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import METRICS, make_run

from benchmark.dataframes import sample_table, summary_table
from benchmark.results import RESULT, RunResult, read_model, write_model
from media.errors import AvatarBenchError

PSNR = "psnr_rgb_full"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two people with two clips each; the prediction of one clip failed."""
    return make_run(tmp_path / "run", {"mine": {PSNR: np.array([[30.0, 32.0], [20.0, np.nan]])}})


def test_samples_are_one_row_a_method_clip_and_metric_and_a_failure_is_nan_with_its_reason(run: Path):
    table = sample_table(run)
    assert len(table) == 4 * len(METRICS)
    psnr = table[table.metric_id == PSNR].set_index("sample_id")
    assert psnr.value.dtype == np.float64
    assert psnr.value["p00_c1"] == 32.0
    assert np.isnan(psnr.value["p01_c1"]) and psnr.reason["p01_c1"] == "crash"


def test_the_summary_has_the_values_of_the_result_their_intervals_and_coverage(run: Path):
    table = summary_table(str(run)).set_index("metric_id")
    assert table.value[PSNR] == pytest.approx((31 + 20) / 2)  # clips, then people
    assert table.coverage[PSNR] == 0.75
    assert table.low[PSNR] < table.value[PSNR] < table.high[PSNR]
    assert set(table.method_id) == {"mine"} and set(table.protocol_id) == {"mini-v1"}


def test_a_metric_that_needs_weights_has_a_row_without_a_value(run: Path):
    result = read_model(run / RESULT, RunResult)
    write_model(run / RESULT, result.model_copy(update={"needs_weights": ("ase",)}))
    table = summary_table(run).set_index("metric_id")
    assert np.isnan(table.value["ase"]) and table.reason["ase"] == "weights_missing"


def test_a_folder_without_scores_is_refused(tmp_path: Path):
    for load in (sample_table, summary_table):
        with pytest.raises(AvatarBenchError, match="E504"):
            load(tmp_path)
