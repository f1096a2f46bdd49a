"""`bench compare`: what it says of methods that differ, that are alike, and of runs that must not be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from made_runs import (
    FRECHET,
    KERNEL,
    METRICS,
    PROTOCOL,
    make_run,
    method_info,
    people_features,
    sample_names,
    use_made_protocol,
)
from scipy import stats
from tiny_methods import tiny_spec
from typer.testing import CliRunner

from baselines.controls import FROZEN
from benchmark import extractors, protocol
from benchmark.cli_compare import compare
from benchmark.compare import Comparison, MetricComparison, compare_sides
from benchmark.extractors import Extractor
from benchmark.features import write_features
from benchmark.metrics import catalogue
from benchmark.plan import RunOptions, plan_run
from benchmark.protocol import MetricRule
from benchmark.run_files import choose_sides, open_run_files, require_same_samples
from benchmark.runner import aggregate_run, predict_run, score_run
from media.errors import AvatarBenchError

PSNR, SSIM, HKV = "psnr_rgb_full", "ssim_gauss11_rgb", "hkv_std"


def noise(seed: int, n_people: int = 12, n_clips: int = 2, mean: float = 20.0, sd: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, sd, (n_people, n_clips))


def compared(
    run: Path, names: str = "good,bad", other: Path | None = None, metrics=METRICS
) -> tuple[Comparison, dict[str, MetricComparison]]:
    a, b = open_run_files(run), None if other is None else open_run_files(other)
    if b is not None:
        require_same_samples(a, b)
    comparison = compare_sides(*choose_sides(a, b, names.split(",")), metrics, lambda line: None)
    return comparison, {entry.metric.id: entry for entry in comparison.metrics}


def bench_compare(*arguments: object) -> str:
    """What `bench compare` prints; its errors are raised."""
    app = typer.Typer()
    app.command()(compare)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, AvatarBenchError):
        result.exception.printed = result.output  # type: ignore[attr-defined]
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(autouse=True)
def _made_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_protocol(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """12 people, 2 clips each: `bad` is 1 dB and 1.0 below `good` in everything, with noise of 0.1 of its own."""
    level = noise(0)
    values = {
        "good": {PSNR: level},
        "bad": {PSNR: level - 1 + noise(1, mean=0, sd=0.1)},
        "alike": {PSNR: level + noise(2, mean=0, sd=0.3)},
    }
    return make_run(tmp_path / "run", values)


# ---- Means


def test_a_worse_method_is_found_however_much_people_differ(run: Path):
    comparison, found = compared(run)
    entry = found[PSNR]
    assert (entry.verdict, entry.n_identities, entry.n_samples, entry.wins) == ("a", 12, 24, 1.0)
    assert entry.p == 2 / 2**12
    assert entry.p_holm == pytest.approx(3 * entry.p)  # PSNR, SSIM and HKC have a direction
    assert comparison.refusals == ()


def test_the_difference_and_its_interval_are_those_of_the_paired_t(run: Path):
    _, found = compared(run)
    rows = open_run_files(run).rows
    by_method = {
        method: np.array([r.value for r in rows if (r.method_id, r.metric_id) == (method, PSNR)]).reshape(
            12, 2
        )
        for method in ("good", "bad")
    }
    differences = (by_method["good"] - by_method["bad"]).mean(axis=1)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert found[PSNR].difference == pytest.approx(differences.mean(), rel=1e-12)
    assert found[PSNR].interval == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found[PSNR].value_a - found[PSNR].value_b == pytest.approx(found[PSNR].difference, rel=1e-9)


def test_swapping_the_sides_turns_everything_round(run: Path):
    forward, backward = compared(run)[1][PSNR], compared(run, "bad,good")[1][PSNR]
    assert (backward.verdict, backward.wins, backward.p) == ("b", 0.0, forward.p)
    assert backward.difference == pytest.approx(-forward.difference)
    assert backward.interval == pytest.approx((-forward.interval.high, -forward.interval.low))


def test_methods_that_differ_by_noise_are_not_distinguishable(run: Path):
    _, found = compared(run, "good,alike")
    assert found[PSNR].verdict == "not distinguishable"
    assert found[PSNR].p_holm > 0.05 and 0 < found[PSNR].wins < 1


def test_a_metric_without_a_direction_is_shown_and_not_tested(run: Path):
    entry = compared(run)[1][HKV]
    assert (entry.verdict, entry.p, entry.wins) == ("not ranked", None, None)
    assert entry.difference == pytest.approx(1, abs=0.1)


def test_a_lower_value_wins_where_lower_is_better(run: Path, monkeypatch: pytest.MonkeyPatch):
    lower = [replace(METRICS[0], direction="lower")]
    assert compared(run, metrics=lower)[1][PSNR].verdict == "b"


def test_a_difference_that_only_one_test_in_many_would_show_does_not_count(tmp_path: Path):
    """Two of eight people like the other a little better: 8 of 256 patterns are as extreme, p = 0.03."""
    level = noise(0, 8, 1)
    change = np.full((8, 1), -1.0)
    change[:2] = 0.1
    run = make_run(tmp_path / "run", {"good": {PSNR: level}, "bad": {PSNR: level + change}})
    alone = compared(run, metrics=METRICS[:1])[1][PSNR]
    among = compared(run)[1][PSNR]
    assert (alone.p, among.p, alone.verdict) == (8 / 256, 8 / 256, "a")
    assert among.p_holm == pytest.approx(3 * alone.p) and among.verdict == "not distinguishable"


def test_only_clips_that_have_a_value_of_both_are_compared_and_it_is_said(tmp_path: Path):
    level = noise(0)
    holes = level - 1
    holes[3] = np.nan
    holes[4, 0] = np.nan
    run = make_run(tmp_path / "run", {"good": {PSNR: level}, "bad": {PSNR: holes}})
    entry = compared(run)[1][PSNR]
    assert (entry.n_identities, entry.n_samples) == (11, 21)
    assert entry.difference == pytest.approx(1.0)
    printed = bench_compare(run)
    assert "not all 24 clips have a value of both: PSNR" in printed
    assert "bad is not ranked: coverage 88%" in printed


# ---- Too few people


def test_a_test_of_two_people_is_refused_with_what_it_would_take_and_the_differences_are_shown(
    tmp_path: Path,
):
    run = make_run(tmp_path / "run", {n: {PSNR: noise(s, 2, 1)} for s, n in enumerate(("good", "bad"))})
    comparison, found = compared(run)
    assert found[PSNR].verdict == "too few people"
    assert found[PSNR].difference is not None and found[PSNR].p is None
    assert [error.code for error in comparison.refusals] == ["E506"]
    with pytest.raises(AvatarBenchError, match="E506") as refusal:
        bench_compare(run)
    message = str(refusal.value)
    assert "PSNR, SSIM, HKC" in message and "at least 7 identities for 3 tests" in message
    assert "too few people" in refusal.value.printed and "difference" in refusal.value.printed


def test_seven_people_are_enough_for_three_metrics(tmp_path: Path):
    level = noise(0, 7, 1)
    run = make_run(tmp_path / "run", {"good": {PSNR: level}, "bad": {PSNR: level - 1}})
    comparison, found = compared(run)
    assert comparison.refusals == () and found[PSNR].verdict == "a"
    assert found[PSNR].p_holm == pytest.approx(3 * 2 / 2**7)


# ---- Sets


def clouds(seed: int, shift: float = 0.0, n_people: int = 8) -> dict[str, np.ndarray]:
    """Three features a clip, two clips a person."""
    rows = people_features(seed, shift, n_people, 6, d=16)
    return {name: rows[name.split("_")[0]][3 * int(name[-1]) :][:3] for name in sample_names(n_people, 2)}


def set_run(folder: Path, methods: dict[str, dict[str, np.ndarray]], **changes: object) -> Path:
    values = {name: {PSNR: noise(0, 8)} for name in methods}
    features = {**methods, "truth": clouds(1)}
    return make_run(folder, values, features=features, set_metrics=[FRECHET, KERNEL], **changes)


def test_sets_are_tested_by_exchanging_people_and_have_no_wins(tmp_path: Path):
    run = set_run(tmp_path / "run", {"good": clouds(2), "bad": clouds(3, 0.8), "alike": clouds(4)})
    _, found = compared(run, metrics=[FRECHET, KERNEL])
    for entry in found.values():
        assert (entry.verdict, entry.p, entry.wins, entry.n_identities) == ("a", 2 / 2**8, None, 8)
        assert entry.interval.high < 0
    _, found = compared(run, "good,alike", metrics=[FRECHET, KERNEL])
    assert {entry.verdict for entry in found.values()} == {"not distinguishable"}


def test_frechet_distances_of_different_n_are_refused_and_the_rest_is_compared(tmp_path: Path):
    short = clouds(3, 0.8)
    del short["p05_c1"]
    run = set_run(tmp_path / "run", {"good": clouds(2), "bad": short})
    comparison, found = compared(run, metrics=[*METRICS, FRECHET])
    assert [error.code for error in comparison.refusals] == ["E505"]
    assert "good has 48 in all, 6 of p05" in str(comparison.refusals[0])
    assert (found["fd_test"].verdict, found["fd_test"].difference) == ("not comparable", None)
    assert found[PSNR].verdict == "not distinguishable"


def test_sets_against_other_truths_are_refused(tmp_path: Path):
    a = set_run(tmp_path / "a", {"good": clouds(2)})
    values = {"bad": {PSNR: noise(0, 8)}}
    other = {"bad": clouds(3), "truth": clouds(9)}
    b = make_run(tmp_path / "b", values, features=other, set_metrics=[FRECHET, KERNEL], seed=1)
    comparison, _ = compared(a, "good,bad", b, metrics=[FRECHET])
    assert "E505: the runs saw other features of the true videos" in str(comparison.refusals[0])


def test_features_that_changed_since_the_run_was_aggregated_are_refused(tmp_path: Path):
    run = set_run(tmp_path / "run", {"good": clouds(2), "bad": clouds(3)})
    write_features(run, "fd_test", "bad", clouds(7))
    with pytest.raises(AvatarBenchError, match=r"E504: bad.npz has changed since the run was aggregated"):
        compared(run, metrics=[FRECHET])


# ---- Which runs and methods


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"protocol_sha256": "0" * 64}, "protocol mini-v1 (000000000000)"),
        ({"dataset": {"id": "made", "sha256": "e" * 64, "n_clips": 24}}, "data set made (eeeeeeeeeeee)"),
        ({"split": "unseen-identity"}, "split unseen-identity"),
    ],
)
def test_runs_that_were_made_differently_are_refused(tmp_path: Path, run: Path, change: dict, word: str):
    other = make_run(tmp_path / "other", {"good": {PSNR: noise(0)}}, **change)
    with pytest.raises(AvatarBenchError, match="E505") as refusal:
        bench_compare(run, other, "--methods", "good,good")
    assert word in str(refusal.value)


def test_runs_of_other_clips_are_refused(tmp_path: Path, run: Path):
    fewer = make_run(tmp_path / "fewer", {"good": {PSNR: noise(0, 11)}},
                     dataset={"id": "made", "sha256": "d" * 64, "n_clips": 24})  # fmt: skip
    with pytest.raises(AvatarBenchError, match=r"E505: the runs .* differ in number of clips"):
        bench_compare(run, fewer, "--methods", "good,good")
    others = make_run(tmp_path / "others", {"good": {PSNR: noise(0, 8, 3)}},
                      dataset={"id": "made", "sha256": "d" * 64, "n_clips": 24})  # fmt: skip
    with pytest.raises(AvatarBenchError, match="E505: the runs hold different clips"):
        bench_compare(run, others, "--methods", "good,good")


def test_another_seed_is_compared_and_named(tmp_path: Path, run: Path):
    other = make_run(tmp_path / "other", {"good": {PSNR: noise(7)}}, seed=5)
    printed = bench_compare(run, other / "result.json", "--methods", "good,good")
    assert "the runs differ in seed: 0 and 5" in printed
    ids = [open_run_files(folder).plan.run_id[:8] for folder in (run, other)]
    assert all(f"good ({name})" in printed for name in ids)


def test_seeds_are_pooled_and_a_person_still_counts_once(tmp_path: Path):
    level, folders = noise(0), {}
    for seed in (0, 1, 2):
        for side, below in (("new", 0.0), ("old", 0.3)):
            made = {"ours": {PSNR: level - below + noise(10 + seed, mean=0, sd=0.5) * (side == "new")}}
            folders[side, seed] = make_run(tmp_path / f"{side}{seed}", made, seed=seed)
    also = [part for seed in (1, 2) for part in ("--also", f"{folders['new', seed]},{folders['old', seed]}")]
    printed = bench_compare(folders["new", 0], folders["old", 0], "--methods", "ours,ours", *also)
    assert "pools the clips of 3 runs, of seeds 0, 1, 2" in printed
    a, b = (
        choose_sides(open_run_files(folders[side, 0]), open_run_files(folders["old", 0]), ["ours", "ours"])[0]
        for side in ("new", "old")
    )
    a, b = (
        side.with_seeds([open_run_files(folders[name, seed]) for seed in (1, 2)])
        for side, name in ((a, "new"), (b, "old"))
    )
    found = compare_sides(a, b, METRICS, lambda line: None).metrics[0]
    expected = 0.3 + np.mean([noise(10 + seed, mean=0, sd=0.5) for seed in (0, 1, 2)])
    assert (found.n_identities, found.n_samples) == (12, 72)
    assert found.difference == pytest.approx(expected)
    assert found.interval is not None and found.interval.low < expected < found.interval.high


def test_a_seed_does_not_count_twice(tmp_path: Path, run: Path):
    with pytest.raises(AvatarBenchError, match="E504: runs that are pooled repeat a seed"):
        bench_compare(run, "--methods", "good,bad", "--also", run)


def test_pooling_refuses_another_method_and_a_run_too_few(tmp_path: Path):
    runs = [
        make_run(tmp_path / name, {"ours": {PSNR: noise(0)}, "frozen": {PSNR: noise(1)}}, seed=seed,
                 methods=[method_info("ours", fingerprint=name), method_info("frozen")])
        for seed, name in enumerate(("one", "two"))
    ]  # fmt: skip
    with pytest.raises(AvatarBenchError, match="E504: the method 'ours' is another one"):
        bench_compare(runs[0], "--methods", "ours,frozen", "--also", runs[1])
    with pytest.raises(AvatarBenchError, match="E504: further runs are given as the first ones are"):
        bench_compare(runs[0], "--methods", "ours,frozen", "--also", f"{runs[1]},{runs[1]}")


def test_a_changed_method_is_found_by_itself_between_runs_with_the_same_controls(tmp_path: Path):
    control, oracle = method_info("frozen"), method_info("truth", privileged=True)
    runs = []
    for name in ("old", "new"):
        infos = [method_info("ours", fingerprint=name), control, oracle]
        values = {info.id: {PSNR: noise(0)} for info in infos}
        runs.append(open_run_files(make_run(tmp_path / name, values, methods=infos)))
    a, b = choose_sides(*runs, [])
    assert (a.method.fingerprint, b.method.fingerprint) == ("old", "new")
    a, b = choose_sides(runs[0], None, [])
    assert (a.label, b.label) == ("ours", "frozen")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "it is not plain which two methods"),
        (["--methods", "good"], "two methods are compared"),
        (["--methods", "good,wrong"], "the run has no method 'wrong'"),
        (["--methods", "good,good"], "a method is not compared with itself"),
    ],
)
def test_methods_that_cannot_be_chosen_are_refused(run: Path, options: list[str], message: str):
    with pytest.raises(AvatarBenchError, match=f"E504: {message}"):
        bench_compare(run, *options)


def test_rows_that_changed_since_the_run_was_aggregated_are_refused(tmp_path: Path, run: Path):
    other = make_run(tmp_path / "other", {"good": {PSNR: noise(5)}})
    (run / "samples.parquet").write_bytes((other / "samples.parquet").read_bytes())
    with pytest.raises(AvatarBenchError, match=r"E504: samples.parquet has changed"):
        open_run_files(run)


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path):
    with pytest.raises(AvatarBenchError, match="E504: the folder is not a run"):
        bench_compare(tmp_path)


def test_a_protocol_that_has_changed_since_is_refused(tmp_path: Path):
    values = {name: {PSNR: noise(0)} for name in ("good", "bad")}
    old = make_run(tmp_path / "old", values, protocol_sha256="0" * 64)
    with pytest.raises(AvatarBenchError, match="E503: the protocol 'mini-v1' is not the one"):
        bench_compare(old)


# ---- What is printed


def test_the_table_names_the_better_method_and_says_plainly_when_there_is_none(run: Path):
    printed = bench_compare(run, "--methods", "good,bad")
    line = next(line for line in printed.splitlines() if line.strip().startswith("│ PSNR"))
    cells = [cell.strip() for cell in line.split("│")]
    assert cells[-2] == "good" and "+0.988" in line and "100%" in line and "0.0015" in line
    printed = bench_compare(run, "--methods", "good,alike")
    line = next(line for line in printed.splitlines() if line.strip().startswith("│ PSNR"))
    assert "not distinguishable" in line


def test_speed_is_shown_below_and_never_stands_in_the_result(run: Path):
    printed = bench_compare(run, "--methods", "good,bad")
    assert "speed of this run" in printed and "s a second of video" in printed
    assert "generate" not in json.dumps(json.loads((run / "result.json").read_text()))


def test_the_verb_loads_nothing_heavy_until_it_works():
    code = "import sys, benchmark.cli_compare; print([m for m in ('torch', 'numpy', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- From videos to the comparison


class FrameColours:
    """Mean colour of the four quarters of each frame."""

    def __init__(self, networks: object) -> None:
        self.found: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        half = frame.shape[0] // 2, frame.shape[1] // 2
        quarters = [frame[rows, columns].mean(axis=(0, 1)) for rows, columns in (
            (slice(half[0]), slice(half[1])), (slice(half[0]), slice(half[1], None)),
            (slice(half[0], None), slice(half[1])), (slice(half[0], None), slice(half[1], None)),
        )]  # fmt: skip
        self.found.append(np.concatenate(quarters))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"colour": np.array(self.found, np.float32)}


def test_a_set_metric_goes_from_the_videos_of_a_run_into_its_result_and_its_comparison(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    colours = Extractor("frame_colours", "1", "clip", FrameColours, "none", "float32")
    metric = replace(
        FRECHET, needs=("frame_colours",), features=lambda arrays: arrays["frame_colours"]["colour"]
    )
    monkeypatch.setitem(extractors.EXTRACTORS, colours.id, colours)
    monkeypatch.setitem(catalogue.METRICS, metric.id, metric)
    with_set = PROTOCOL.model_copy(
        update={"metrics": (PROTOCOL.metrics[0], MetricRule(id=metric.id, version="1", on_miss="excluded"))}
    )
    monkeypatch.setattr(protocol, "_read", lambda path: with_set)
    specs = (tiny_spec("sliding", "Sliding"), FROZEN)
    options = RunOptions(specs, dataset=people, out=tmp_path / "run", device="cpu")
    run = plan_run(options, lambda what, done, total: None)
    predict_run(run, {spec.id: spec for spec in specs}, lambda what, done, total: None)
    score_run(run, lambda what, done, total: None)
    result, failed = aggregate_run(run.folder)
    assert failed == 0
    first = (run.folder / "result.json").read_bytes()
    aggregate_run(run.folder)
    assert (run.folder / "result.json").read_bytes() == first
    sliding, frozen = (next(m for m in method.metrics if m.kind == "set") for method in result.methods)
    assert sliding.value > frozen.value > 0  # a falling picture has other colours in its quarters
    assert (sliding.n_valid, sliding.n_total, sliding.interval.n_identities) == (24, 24, 2)
    assert set(result.features_sha256) == {f"fd_test/{owner}" for owner in ("sliding", "frozen", "truth")}
    with pytest.raises(AvatarBenchError, match="E506") as refusal:
        bench_compare(run.folder)
    printed = refusal.value.printed
    assert "FD" in printed and "too few people" in printed
    speeds = [line for line in printed.splitlines() if line.strip().startswith(("│ sliding", "│ frozen"))]
    assert len(speeds) == 2 and all(
        line.rstrip(" │").endswith("1") for line in speeds
    )  # one sample but the first
