"""The ladder with random weights: what it says, what it does not say, and what it leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from moving_clips import write_clip

from benchmark.cli import main
from benchmark.protocol import MetricRule, Protocol, load_protocol
from benchmark.weights import WEIGHTS

N_FRAMES = 34
RULES = {"psnr_rgb_full": "excluded", "fid": "excluded", "fvd_sgv16": "excluded", "csim": "excluded"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Protocol:
    """paper-v1 at 96 px with four of its metrics."""
    paper = load_protocol("paper-v1")
    rules = tuple(MetricRule(id=name, version="1", on_miss=cost) for name, cost in RULES.items())
    video = paper.video.model_copy(update={"long_side": 96, "min_duration_s": 1.0})
    protocol = paper.model_copy(update={"metrics": rules, "video": video})
    monkeypatch.setattr("benchmark.protocol._read", lambda path: protocol)
    return protocol


def test_random_weights_are_labelled_prove_nothing_and_leave_nothing(
    small: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("AVATARBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AVATARBENCH_WEIGHTS", raising=False)
    for seed, place in enumerate(("ada/1", "ada/2", "ben/1", "ben/2")):
        write_clip(tmp_path / "data" / f"{place}.mp4", seed, N_FRAMES)
    before, variables = dict(WEIGHTS), dict(os.environ)
    run = tmp_path / "run"
    arguments = ["ladder", "--protocol", "paper-v1", "--random-weights", "--device", "cpu"]
    code = main([*arguments, "--dataset", str(tmp_path / "data"), "--out", str(run)])
    printed = capsys.readouterr().out
    assert code == 0
    psnr, fid = (
        [line for line in printed.splitlines() if "│" in line and name in line]
        for name in ("PSNR", "untrained (fid)")
    )
    assert len([line for line in psnr if "seen" in line]) >= 7
    assert len([line for line in fid if "not proved (random weights)" in line]) == 6
    assert "FID" not in printed and "CSIM" not in printed and "FVD" not in printed
    assert "fid: ground_truth > codec, ground_truth > blur" in printed
    assert before == WEIGHTS and variables == dict(os.environ)
    assert not (run / "result.json").exists() and not (run / "samples.parquet").exists()
    assert not list((tmp_path / "cache").rglob("inception_frames/**/*.npz"))
    assert list((tmp_path / "cache").rglob("pixel_error/**/*.npz"))  # what needs no weights is kept
