"""The drift gate: equal bytes, equal scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from forgery import silent

import benchmark.protocol
from benchmark.cli import main
from benchmark.features import read_features, write_features
from benchmark.manifest import Dataset
from benchmark.metrics.catalogue import METRICS
from leaderboard.drift import DriftReport, compare_frozen
from leaderboard.freezing import freeze
from leaderboard.frozen import REFERENCE, read_frozen, score_frozen, write_expected
from leaderboard.limits import load_limits
from media.errors import AvatarBenchError

OURS = Path(__file__).parents[2] / "leaderboard" / "references" / "mini-v1"


@pytest.fixture
def reference(run: Path, dataset: Dataset, tmp_path: Path) -> Path:
    freeze(run, dataset, tmp_path / "frozen", ["frozen"], 2, 0.24, silent)
    return tmp_path / "frozen"


def check(folder: Path) -> DriftReport:
    frozen = read_frozen(folder)
    return compare_frozen(frozen, score_frozen(frozen, silent), load_limits())


def edit(folder: Path, change) -> None:
    data = json.loads((folder / REFERENCE).read_text())
    change(data)
    (folder / REFERENCE).write_text(json.dumps(data))


def test_what_was_frozen_scores_the_same_and_everything_is_compared(reference: Path):
    report = check(reference)
    assert report.passed
    # 2 clips x 2 metrics of samples, 3 values of the set, 2 clips x 2 owners of features
    assert report.n_compared == 4 + 3 + 4
    assert all(metric.largest == 0 for metric in report.metrics)
    assert report.unguarded == ()


def test_a_metric_that_gives_another_value_fails_where_the_change_is_above_the_tolerance(
    reference, monkeypatch
):
    psnr = METRICS["psnr_rgb_full"]

    def shifted(by: float):
        def changed(observations):
            found = psnr.map(observations)
            return replace(found, value=found.value + by)

        return replace(psnr, map=changed)

    monkeypatch.setitem(METRICS, psnr.id, shifted(0.009))
    assert check(reference).passed
    monkeypatch.setitem(METRICS, psnr.id, shifted(-0.011))
    report = check(reference)
    assert not report.passed
    assert {moved.metric for moved in report.moved} == {"psnr_rgb_full"}
    assert len(report.moved) == 3  # two clips and their mean


def test_a_changed_aggregation_or_distance_fails(reference, monkeypatch):
    ssim, distance = METRICS["ssim_gauss11_rgb"], METRICS["kd_random_frames"]
    monkeypatch.setitem(METRICS, ssim.id, replace(ssim, reduce=lambda values: 0.5))
    monkeypatch.setitem(METRICS, distance.id, replace(distance, distance=lambda a, b: 7.0, groups=None))
    assert [m.what for m in check(reference).moved] == ["frozen, all clips", "frozen, all clips"]


def test_changed_features_fail(reference, monkeypatch):
    metric = METRICS["kd_random_frames"]
    monkeypatch.setitem(METRICS, metric.id, replace(metric, features=lambda a: 1.01 * metric.features(a)))
    moved = [m.what for m in check(reference).moved]
    assert sum(what.startswith("features of truth") for what in moved) == 2
    assert sum(what.startswith("features of frozen") for what in moved) == 2


def test_a_value_more_and_a_value_less_fail(reference):
    original = (reference / REFERENCE).read_text()
    edit(reference, lambda data: data["values"].pop(0))
    assert [(m.expected, m.got) for m in check(reference).moved] == [("none", "a value")]
    (reference / REFERENCE).write_text(original)
    edit(reference, lambda data: data["values"].append(data["values"][0] | {"sample": "p99_clip"}))
    assert [(m.expected, m.got) for m in check(reference).moved] == [("a value", "none")]


def test_another_status_or_version_fails_even_with_the_same_value(reference):
    edit(reference, lambda data: data["values"][0].update(metric_version="0"))
    assert len(check(reference).moved) == 1


def test_comparing_nothing_fails(reference, monkeypatch):
    for metric_id in ("psnr_rgb_full", "ssim_gauss11_rgb", "kd_random_frames"):
        metric = METRICS[metric_id]
        crash = {"map": broken} if metric.kind == "sample" else {"features": broken}
        monkeypatch.setitem(METRICS, metric_id, replace(metric, **crash))
    frozen = read_frozen(reference)
    write_expected(frozen, score_frozen(frozen, silent))
    report = check(reference)
    assert (report.n_compared, report.moved) == (0, ())
    assert not report.passed
    assert "nothing was compared" in report.problem


def broken(observations):
    raise RuntimeError("a bug in a metric")


def test_a_changed_protocol_fails_until_its_values_are_accepted(reference, monkeypatch, tmp_path, capsys):
    folder = benchmark.protocol._FOLDER
    changed = tmp_path / "protocols"
    changed.mkdir()
    data = yaml.safe_load((folder / "small-v1.yaml").read_text())
    (changed / "small-v1.yaml").write_text(yaml.safe_dump(data | {"title": "another title"}))
    monkeypatch.setattr(benchmark.protocol, "_FOLDER", changed)
    assert main(["check", "--against", str(reference)]) == 4
    assert "has changed since the values were frozen" in " ".join(capsys.readouterr().out.split())
    assert main(["check", "--against", str(reference), "--accept"]) == 0
    assert main(["check", "--against", str(reference)]) == 0


def test_the_users_cache_is_neither_believed_nor_filled(reference, shared_cache):
    before = sorted(path for path in shared_cache.rglob("*"))
    assert check(reference).passed
    assert sorted(path for path in shared_cache.rglob("*")) == before


def test_a_frozen_file_that_has_changed_is_refused(reference):
    video = next((reference / "predictions" / "frozen").glob("*.mp4"))
    video.write_bytes(video.read_bytes() + b"\0")
    with pytest.raises(AvatarBenchError, match="E822: a frozen prediction"):
        read_frozen(reference)
    with pytest.raises(AvatarBenchError, match="E822: the folder holds no frozen predictions"):
        read_frozen(reference.parent)


def test_edited_features_of_the_reference_are_seen(reference):
    features = read_features(reference, "kd_random_frames", "truth")
    name = next(iter(features))
    write_features(reference, "kd_random_frames", "truth", features | {name: features[name] + np.float32(1)})
    assert not check(reference).passed


def test_the_command_freezes_checks_and_writes_markdown(run, crowd, tmp_path, capsys, monkeypatch):
    folder, report = tmp_path / "frozen", tmp_path / "report.md"
    arguments = ["check", str(run), "--dataset", str(crowd), "--samples", "2", "--freeze", str(folder)]
    assert main([*arguments, "--seconds", "0.1"]) == 3
    assert not folder.exists()
    assert main([*arguments, "--seconds", "0.24"]) == 0
    assert main([*arguments, "--seconds", "0.24"]) == 0  # replaces the one that stands
    said = " ".join(capsys.readouterr().out.split())
    assert "froze 2 predictions of frozen under small-v1" in said
    assert main(["check", "--against", str(folder), "--markdown", str(report)]) == 0
    assert report.read_text().startswith("## Drift gate: passed")
    monkeypatch.setitem(
        METRICS, "psnr_rgb_full", replace(METRICS["psnr_rgb_full"], reduce=lambda values: 1.0)
    )
    assert main(["check", "--against", str(folder), "--markdown", str(report)]) == 4
    text = report.read_text()
    assert text.startswith("## Drift gate: FAILED")
    assert "| psnr\\_rgb\\_full | frozen, all clips |" in text


def test_a_folder_with_other_things_is_not_replaced(run, dataset, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(AvatarBenchError, match="E822: the folder holds something else"):
        freeze(run, dataset, tmp_path / "mine", ["frozen"], 1, 0.24, silent)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_our_own_reference_is_small_and_covers_its_protocol():
    frozen = read_frozen(OURS)
    assert sum(path.stat().st_size for path in OURS.rglob("*") if path.is_file()) <= 300_000
    assert frozen.expected.protocol_sha256 == frozen.protocol.sha256
    valued = {value.metric for value in frozen.expected.values if value.value is not None}
    assert valued == {rule.id for rule in frozen.protocol.metrics}
