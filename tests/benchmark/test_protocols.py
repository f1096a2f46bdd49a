"""Protocols: every number that decides a score is a field, and the hash is the hash of their meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import benchmark.protocol
from benchmark.cli import main
from benchmark.extractors import weights_of
from benchmark.metrics.catalogue import METRICS, metrics_of, missing_metrics
from benchmark.metrics.settings import SETTINGS
from benchmark.protocol import Protocol, list_protocols, load_protocol
from media.errors import AvatarBenchError

PAPER_TABLE = {"iqa", "ase", "sync_c", "sync_d", "hkc_mp_handedness", "csim", "ssim_gauss11_rgb", "psnr_rgb_full",
               "fid", "fvd_sgv16"}  # fmt: skip
"""Columns of the paper's table 2."""


def changed(protocol: Protocol, **values: object) -> Protocol:
    return Protocol.model_validate(protocol.model_dump() | values)


def test_mini_v1_keeps_its_hash():
    """Of the second edition; a new hash would forbid to compare with its results."""
    assert (
        load_protocol("mini-v1").sha256 == "f487bb8ff8da681935eccfb8ee475b2c549ad3a00283fac8fd23922e2b2f2928"
    )


def test_mini_v1_fills_nine_columns_of_the_paper_without_weights_and_says_what_it_cannot():
    mini = load_protocol("mini-v1")
    filled = {rule.stands_in_for or rule.id for rule in mini.metrics}
    assert filled & PAPER_TABLE == PAPER_TABLE - {"ase"}
    assert mini.needs_weights == ("ase",)
    assert all(not weights_of(metric) for metric in metrics_of(mini))


def test_no_stand_in_carries_the_name_of_what_it_stands_for():
    for rule in load_protocol("mini-v1").metrics:
        if rule.stands_in_for is not None:
            metric, real = METRICS[rule.id], METRICS[rule.stands_in_for]
            assert metric.id != real.id and metric.column != real.column
            assert f"no {real.column}" in metric.variant or f"not {real.column}" in metric.variant
            assert weights_of(real)


def test_paper_v1_asks_for_all_columns_of_the_paper_and_hkv():
    ids = {rule.id for rule in load_protocol("paper-v1").metrics}
    assert ids >= PAPER_TABLE | {"hkv_std"}
    assert load_protocol("paper-v1").split == "identity-holdout-10"


def test_a_protocol_whose_metrics_are_not_all_here_is_refused_with_the_whole_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for metric_id in PAPER_TABLE - {"psnr_rgb_full", "ssim_gauss11_rgb"}:
        monkeypatch.delitem(METRICS, metric_id, raising=False)
    paper = load_protocol("paper-v1")
    assert main(["run", "-m", "frozen", "--protocol", "paper-v1", "--out", str(tmp_path / "run")]) == 3
    message = capsys.readouterr().err
    count = f"({len(missing_metrics(paper))} of {len(paper.metrics)})"
    assert (
        f"E503: the protocol 'paper-v1' asks for metrics that this release does not have {count}" in message
    )
    assert all(
        f"{metric_id}: no such metric" in message for metric_id in ("iqa", "sync_c", "fvd_sgv16", "csim")
    )
    assert "psnr_rgb_full: " not in message
    assert not (tmp_path / "run").exists()


def test_a_metric_of_another_version_or_cost_of_a_miss_is_another_metric():
    mini = load_protocol("mini-v1")
    assert [metric.id for metric in metrics_of(mini)] == [rule.id for rule in mini.metrics]
    for change in ({"version": "2"}, {"on_miss": "zero"}):
        first = mini.metrics[0].model_dump() | change
        with pytest.raises(
            AvatarBenchError, match=r"E503: the protocol 'mini-v1' asks for metrics .* \(1 of 1\)"
        ):
            metrics_of(changed(mini, metrics=[first]))


def test_a_setting_that_the_code_does_not_have_makes_another_metric():
    paper = load_protocol("paper-v1")
    rules = {rule.id: rule for rule in paper.metrics}
    assert {rule.id for rule in paper.metrics if rule.settings} == SETTINGS.keys()
    assert all(rules[name].settings == dict(SETTINGS[name]) for name in SETTINGS)
    fvd = rules["fvd_sgv16"].model_dump() | {"settings": {"window_frames": 128}}
    with pytest.raises(AvatarBenchError, match=r"E503(.|\n)*window_frames 16, not 128"):
        metrics_of(changed(paper, metrics=[fvd]))


@pytest.mark.parametrize(
    ("field", "value"), [("fps", 30.0), ("long_side", 256), ("max_duration_s", 5.0), ("min_duration_s", 1.0)]
)
def test_every_number_of_the_video_is_part_of_the_hash(field: str, value: float):
    mini = load_protocol("mini-v1")
    other = changed(mini, video=mini.video.model_dump() | {field: value})
    assert other.sha256 != mini.sha256


def test_comments_and_layout_are_not_part_of_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for protocol in list_protocols():
        (tmp_path / f"{protocol.id}.yaml").write_text(yaml.safe_dump(protocol.model_dump(mode="json")))
    before = {protocol.id: protocol.sha256 for protocol in list_protocols()}
    monkeypatch.setattr(benchmark.protocol, "_FOLDER", tmp_path)
    assert {protocol.id: protocol.sha256 for protocol in list_protocols()} == before


def test_the_list_shows_what_this_release_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):

    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delitem(METRICS, "iqa", raising=False)
    assert main(["protocols"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "-v1" in line]
    mini, paper = (next(row for row in rows if name in row) for name in ("mini-v1", "paper-v1"))
    assert mini.split("│")[5].strip() == ""
    assert "iqa" in paper.split("│")[5]
