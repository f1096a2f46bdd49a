"""What a run leaves: strict files, old versions, features, intervals, tables and figures of speed."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_runs import (
    FRECHET,
    KERNEL,
    METRICS,
    PROTOCOL,
    make_plan,
    make_run,
    method_info,
    people_features,
    sample_names,
)
from pydantic import ValidationError
from rich.console import Console
from scipy import stats

from benchmark.aggregate import aggregate
from benchmark.efficiency import efficiency, sample_durations
from benchmark.environment import Environment, describe_environment
from benchmark.features import TRUTH, features_path, load_features, read_features, write_features
from benchmark.frechet import frechet_distance
from benchmark.hashing import sha256_file
from benchmark.metrics.catalogue import METRICS as CATALOGUE
from benchmark.metrics.definition import set_measurement
from benchmark.migrations import result_from_1_to_2
from benchmark.results import read_model, read_samples, write_json, write_model
from benchmark.schema import MetricSummary, RunPlan, RunResult
from benchmark.table import efficiency_table, result_table
from media.errors import AvatarBenchError

STORED = Path(__file__).parent / "data"
PSNR = "psnr_rgb_full"


def shown(renderable: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def summary_of(result: RunResult, method: str, metric: str) -> MetricSummary:
    found = next(entry for entry in result.methods if entry.id == method)
    return next(summary for summary in found.metrics if summary.metric_id == metric)


def noise(seed: int, n_people: int, n_clips: int, mean: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, (n_people, n_clips))


def clip_features(
    seed: int, shift: float = 0.0, n_people: int = 4, n_clips: int = 3
) -> dict[str, np.ndarray]:
    """Two features a clip, [2, 16]."""
    rows = people_features(seed, shift, n_people, 2 * n_clips, d=16)
    return {
        name: rows[name.split("_")[0]][2 * int(name[-1]) :][:2] for name in sample_names(n_people, n_clips)
    }


# ---- Versions


def test_a_result_of_version_1_is_read_as_one_of_today():
    old = json.loads((STORED / "result_v1.json").read_text())
    assert old["schema_version"] == 1
    result = read_model(STORED / "result_v1.json", RunResult)
    assert (result.schema_version, result.run_id, result.features_sha256) == (2, old["run_id"], {})
    summary = summary_of(result, "frozen", PSNR)
    stored = next(m for m in old["methods"] if m["id"] == "frozen")["metrics"][0]
    assert (summary.value, summary.kind, summary.interval) == (stored["value"], "sample", None)


def test_migrating_changes_no_number_and_only_adds():
    old = json.loads((STORED / "result_v1.json").read_text())
    new = result_from_1_to_2(old)
    assert {name: new[name] for name in old if name not in ("schema_version", "methods")} == {
        name: old[name] for name in old if name not in ("schema_version", "methods")
    }
    for before, after in zip(old["methods"], new["methods"], strict=True):
        for stored, migrated in zip(before["metrics"], after["metrics"], strict=True):
            assert migrated == stored | {"kind": "sample", "interval": None}


def test_rows_of_version_1_aggregate_to_the_numbers_stored_then_with_intervals_now():
    plan = read_model(STORED / "plan_v1.json", RunPlan)
    rows = read_samples(STORED / "samples_v1.parquet")
    then = read_model(STORED / "result_v1.json", RunResult)
    stored = then.methods[0].metrics
    metrics = [replace(CATALOGUE[summary.metric_id], version=summary.metric_version) for summary in stored]
    now = aggregate(plan, PROTOCOL, metrics, rows, sha256_file(STORED / "samples_v1.parquet"))
    without = [
        method.model_copy(
            update={"metrics": tuple(m.model_copy(update={"interval": None}) for m in method.metrics)}
        )
        for method in now.methods
    ]
    assert now.model_copy(update={"methods": tuple(without)}) == then
    assert summary_of(now, "frozen", PSNR).interval is not None
    assert summary_of(now, "faulty", PSNR).interval is None  # one person is left


@pytest.mark.parametrize("version", [3, 0, None, "2"])
def test_a_result_of_an_unknown_version_is_refused(tmp_path: Path, version: object):
    data = json.loads((STORED / "result_v1.json").read_text()) | {"schema_version": version}
    write_json(tmp_path / "result.json", data)
    with pytest.raises(AvatarBenchError, match=r"E504.*newer release") as refusal:
        read_model(tmp_path / "result.json", RunResult)
    assert f"schema version {version}" in str(refusal.value)


@pytest.mark.parametrize("text", ["[]", "{", '{"schema_version": 1}', '{"schema_version": 2}', "\udcff"])
def test_a_damaged_result_is_refused(tmp_path: Path, text: str):
    (tmp_path / "result.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(AvatarBenchError, match="E504"):
        read_model(tmp_path / "result.json", RunResult)


def test_rows_of_another_version_are_refused(tmp_path: Path):
    table = pq.read_table(STORED / "samples_v1.parquet")
    pq.write_table(table.replace_schema_metadata({"schema_version": "7"}), tmp_path / "samples.parquet")
    with pytest.raises(AvatarBenchError, match="E504") as refusal:
        read_samples(tmp_path / "samples.parquet")
    assert "schema version 7" in str(refusal.value)


def test_no_model_takes_a_number_that_is_none_or_a_field_that_it_does_not_know():
    row = read_samples(STORED / "samples_v1.parquet")[0].model_dump()
    kind = type(read_samples(STORED / "samples_v1.parquet")[0])
    for change in (
        {"value": float("nan")},
        {"value": float("inf")},
        {"extra": 1},
        {"value": None, "reason": None},
    ):
        with pytest.raises(ValidationError):
            kind.model_validate(row | change)


# ---- Features


def test_features_survive_writing_and_equal_ones_have_equal_bytes(tmp_path: Path):
    samples = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.zeros((0, 3), np.float32)}
    write_features(tmp_path, "fd", "ours", samples)
    first = features_path(tmp_path, "fd", "ours").read_bytes()
    found = read_features(tmp_path, "fd", "ours")
    assert list(found) == ["a", "b"]
    assert all(
        np.array_equal(found[name], samples[name]) and found[name].dtype == np.float32 for name in found
    )
    write_features(tmp_path, "fd", "ours", dict(reversed(samples.items())))
    assert features_path(tmp_path, "fd", "ours").read_bytes() == first
    with zipfile.ZipFile(features_path(tmp_path, "fd", "ours")) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}  # no clock in the bytes
    write_features(tmp_path, "fd", "nobody", {})
    assert read_features(tmp_path, "fd", "nobody") == {}


def test_absent_and_damaged_features_are_refused_with_the_next_command(tmp_path: Path):
    with pytest.raises(AvatarBenchError, match=r"E504.*no features of ours") as refusal:
        read_features(tmp_path, "fd", "ours")
    assert "bench score" in str(refusal.value)
    write_features(tmp_path, "fd", "ours", {"a": np.ones((4, 3))})
    path = features_path(tmp_path, "fd", "ours")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AvatarBenchError, match="E504: the file of features is damaged"):
        read_features(tmp_path, "fd", "ours")


def test_features_of_different_width_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="one d"):
        write_features(tmp_path, "fd", "ours", {"a": np.ones((4, 3)), "b": np.ones((4, 2))})
    assert not (tmp_path / "features").exists()


def test_a_row_of_a_set_metric_counts_features_and_says_why_it_has_no_value():
    rows = [set_measurement(np.zeros((n, 3)), np.zeros((m, 3))) for n, m in ((4, 4), (0, 4), (0, 0))]
    assert [(r.value, r.n_valid, r.n_total, r.status, r.reason) for r in rows] == [
        (None, 4, 4, "ok", "set_only"),
        (None, 0, 4, "undetected", "too_few"),
        (None, 0, 0, "not_applicable", "too_short"),
    ]


# ---- Aggregation


def test_intervals_are_over_people_and_cut_to_what_the_metric_can_be(tmp_path: Path):
    values = {
        PSNR: noise(0, 6, 3),
        "hkc_mp_handedness": np.array([[0.99, 0.99, 0.9]] * 5 + [[0.7, 0.7, 0.7]]),
    }
    result = read_model(make_run(tmp_path / "run", {"ours": values}) / "result.json", RunResult)
    interval = summary_of(result, "ours", PSNR).interval
    means = values[PSNR].mean(axis=1)
    expected = stats.t.interval(0.95, df=5, loc=means.mean(), scale=stats.sem(means))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-12)
    assert (interval.level, interval.method, interval.n_identities) == (0.95, "t_over_identities", 6)
    assert summary_of(result, "ours", "hkc_mp_handedness").interval.high == 1.0
    two = {PSNR: np.array([[3.0], [9.0]])}
    result = read_model(make_run(tmp_path / "two", {"ours": two}) / "result.json", RunResult)
    assert summary_of(result, "ours", PSNR).interval.low == 0.0


def test_a_set_metric_is_one_distance_with_a_jackknife_interval_and_its_counts(tmp_path: Path):
    features = {"ours": clip_features(0, 0.3), "truth": clip_features(1)}
    folder = make_run(
        tmp_path / "run", {"ours": {PSNR: noise(0, 4, 3)}}, features=features, set_metrics=[FRECHET, KERNEL]
    )
    result = read_model(folder / "result.json", RunResult)
    summary = summary_of(result, "ours", "fd_test")
    expected = frechet_distance(
        *(np.concatenate(list(features[owner].values())) for owner in ("ours", "truth"))
    )
    assert summary.value == pytest.approx(expected, rel=1e-12)
    assert (summary.kind, summary.mean_over_clips, summary.reason) == ("set", None, None)
    assert (summary.n_samples, summary.n_scored, summary.n_valid, summary.n_total) == (12, 12, 24, 24)
    assert (summary.interval.method, summary.interval.n_identities) == ("jackknife_over_identities", 4)
    assert summary.interval.low < summary.value < summary.interval.high
    assert result.features_sha256 == {
        f"{metric}/{owner}": sha256_file(features_path(folder, metric, owner))
        for metric in ("fd_test", "kd_test")
        for owner in ("ours", TRUTH)
    }


def test_a_failed_sample_shows_in_the_counts_of_a_set_metric_and_costs_the_rank(tmp_path: Path):
    ours = clip_features(0)
    del ours["p01_c2"]
    values = noise(0, 4, 3)
    values[1, 2] = np.nan
    folder = make_run(
        tmp_path / "run", {"ours": {PSNR: values}}, features={"ours": ours, "truth": clip_features(1)},
        set_metrics=[FRECHET],
    )  # fmt: skip
    result = read_model(folder / "result.json", RunResult)
    summary = summary_of(result, "ours", "fd_test")
    assert (summary.n_samples, summary.n_scored, summary.n_valid, summary.n_total) == (12, 11, 22, 24)
    assert (result.methods[0].coverage, result.methods[0].ranked) == (11 / 12, False)
    assert "n 22 of 24" in shown(result_table(result, [*METRICS, FRECHET]))


def test_a_set_that_is_too_small_has_no_value_and_says_so(tmp_path: Path):
    one = {"p00_c0": np.ones((1, 16))}
    folder = make_run(
        tmp_path / "run", {"ours": {PSNR: np.array([[20.0]])}}, features={"ours": one, "truth": one},
        set_metrics=[FRECHET],
    )  # fmt: skip
    summary = summary_of(read_model(folder / "result.json", RunResult), "ours", "fd_test")
    assert (summary.value, summary.reason, summary.interval) == (None, "too_few", None)


def test_equal_inputs_give_equal_bytes_and_features_of_another_scoring_are_refused(tmp_path: Path):
    features = {"ours": clip_features(0), "truth": clip_features(1)}
    values = {"ours": {PSNR: noise(0, 4, 3)}}
    runs = [
        make_run(tmp_path / name, values, features=features, set_metrics=[FRECHET]) for name in ("a", "b")
    ]
    assert len({(run / "result.json").read_bytes() for run in runs}) == 1
    plan, rows = read_model(runs[0] / "plan.json", RunPlan), read_samples(runs[0] / "samples.parquet")
    write_features(runs[0], "fd_test", "ours", dict(list(features["ours"].items())[1:]))
    metrics = [*METRICS, FRECHET]
    loaded = load_features(runs[0], ["ours"], metrics)
    with pytest.raises(AvatarBenchError, match=r"E504: the features of ours .* do not belong"):
        aggregate(plan, PROTOCOL, metrics, rows, "0" * 64, loaded)


# ---- Tables


def test_the_table_shows_intervals_and_says_that_two_people_mean_little(tmp_path: Path):
    infos = [method_info("ours"), method_info("oracle", privileged=True)]
    values = {name: {PSNR: np.array([[20.0], [22.0]])} for name in ("ours", "oracle")}
    result = read_model(make_run(tmp_path / "two", values, methods=infos) / "result.json", RunResult)
    text = shown(result_table(result, METRICS))
    assert "21.00" in text and "[8.29, 33.71]" in text  # t of one degree of freedom is 12.7
    assert "oracle (sees the truth)" in text
    assert "with 2 people the intervals mean little" in text and "takes 6 or more" in text
    many = read_model(make_run(tmp_path / "six", {"ours": {PSNR: noise(0, 6, 1)}}) / "result.json", RunResult)
    assert "mean little" not in shown(result_table(many, METRICS))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"protocol_sha256": "0" * 64}, "protocol"),
        ({"dataset": {"id": "made", "sha256": "e" * 64, "n_clips": 3}}, "data set"),
        ({"split": "unseen-identity"}, "split"),
    ],
)
def test_results_that_were_made_differently_never_share_a_table(tmp_path: Path, change: dict, word: str):
    values = {"ours": {PSNR: noise(0, 3, 1)}}
    first = read_model(make_run(tmp_path / "a", values) / "result.json", RunResult)
    same = read_model(make_run(tmp_path / "b", values, seed=1) / "result.json", RunResult)
    other = read_model(make_run(tmp_path / "c", values, **change) / "result.json", RunResult)
    assert same.run_id[:8] in shown(result_table([first, same], METRICS))
    with pytest.raises(AvatarBenchError, match=f"E505: the runs .* differ in {word}"):
        result_table([first, other], METRICS)


# ---- Clocks and places


def test_speed_is_the_median_over_samples_with_the_first_apart_and_preparation_by_person():
    plan = make_plan(["a_1", "a_2", "b_1", "b_2"], [method_info("ours")])
    seconds = {"a_1": (30.0, 9.0), "a_2": (2.0, 0.0), "b_1": (4.0, 5.0), "b_2": (12.0, 0.0)}
    timings = {f"predict ours {s}": {"generate": g, "prepare": p} for s, (g, p) in seconds.items()}
    durations = {"a_1": 4.0, "a_2": 4.0, "b_1": 4.0, "b_2": 6.0}
    (figure,) = efficiency(timings, plan, durations, {s: s[0] for s in seconds})
    assert figure.first_real_time_factor == 7.5
    assert figure.real_time_factor == 1.0  # of 0.5, 1 and 2
    assert figure.prepare_s == 7.0  # of 9 and 5
    assert figure.n_samples == 3
    assert "7.5" in shown(efficiency_table([figure]))


def test_what_was_not_timed_is_not_made_up():
    plan = make_plan(["a_1", "b_1"], [method_info("ours")])
    (figure,) = efficiency(
        {"predict ours a_1": {"prepare": 1.0}}, plan, {"a_1": 4.0}, {"a_1": "a", "b_1": "b"}
    )
    assert (figure.real_time_factor, figure.first_real_time_factor, figure.n_samples) == (None, None, 0)


def test_durations_come_from_the_predicted_videos(tmp_path: Path, people: Path):
    plan = make_plan(["ada", "ben"], [method_info("failed"), method_info("ours")])
    (tmp_path / "predictions/ours").mkdir(parents=True)
    shutil.copy(people / "ada/one.mp4", tmp_path / "predictions/ours/ada.mp4")
    assert sample_durations(tmp_path, plan) == {"ada": pytest.approx(12 / 25)}


def test_the_environment_names_commit_packages_and_hardware():
    facts = describe_environment()
    environment = Environment.model_validate(facts)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert {"numpy", "torch", "pydantic", "avatarbench"} <= {name.lower() for name in environment.packages}
    assert environment.hardware.cpu_available >= 1
    if environment.checkout.commit is not None:
        assert len(environment.checkout.commit) == 40 and environment.checkout.dirty is not None


def test_a_result_survives_writing_to_the_last_bit(tmp_path: Path):
    result = read_model(
        make_run(tmp_path / "run", {"ours": {PSNR: noise(0, 3, 2)}}) / "result.json", RunResult
    )
    write_model(tmp_path / "again.json", result)
    assert read_model(tmp_path / "again.json", RunResult) == result
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run/result.json").read_bytes()
