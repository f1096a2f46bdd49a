"""The quality gate: planted losses are stopped, and runs that are alike pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import METRICS, make_run, method_info, use_made_protocol

from benchmark.cli import main
from benchmark.run_files import open_run_files
from leaderboard.gate_power import count_fires, simulate
from leaderboard.gate_report import quality_markdown
from leaderboard.limits import load_limits
from leaderboard.quality import QualityReport, judge_quality, open_reference_run
from media.errors import AvatarBenchError

PSNR, SSIM, HKV = "psnr_rgb_full", "ssim_gauss11_rgb", "hkv_std"
N_PEOPLE, N_CLIPS = 12, 2


@pytest.fixture(autouse=True)
def few_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_protocol(monkeypatch)


def level(seed: int = 0, n_people: int = N_PEOPLE) -> np.ndarray:
    return 30 + 2 * np.random.default_rng(seed).normal(size=(n_people, N_CLIPS))


def noisy(values: np.ndarray, seed: int = 1) -> np.ndarray:
    return values + 0.3 * np.random.default_rng(seed).normal(size=values.shape)


def run_of(folder: Path, psnr: np.ndarray, method: str = "ours", **others: np.ndarray) -> Path:
    return make_run(folder, {method: {PSNR: psnr, **others}})


def judge(reference: Path, candidate: Path, *methods: str) -> QualityReport:
    files = [open_reference_run(path) for path in (candidate, reference)]
    return judge_quality(*files, methods, load_limits(), lambda line: None)


def verdicts(report: QualityReport) -> dict[str, str]:
    return {m.comparison.metric.id: m.verdict for m in report.methods[0].metrics}


@pytest.fixture
def accepted(tmp_path: Path) -> Path:
    return run_of(tmp_path / "accepted", level())


def test_a_run_passes_against_itself_and_says_that_nothing_was_lost(accepted):
    report = judge(accepted, accepted)
    assert report.passed
    assert verdicts(report)[PSNR] == "no loss"


@pytest.mark.parametrize(("n_people", "n_metrics", "loss"), [(12, 3, 1.4), (12, 8, 1.6), (16, 3, 1.1)])
def test_planted_losses_of_stated_size_fire_in_95_of_100_seeds(n_people, n_metrics, loss):
    assert count_fires(n_people, n_metrics, loss, 100) >= 95


@pytest.mark.parametrize(("n_people", "n_metrics"), [(12, 3), (12, 8)])
def test_without_a_loss_at_most_5_of_100_seeds_fire(n_people, n_metrics):
    assert count_fires(n_people, n_metrics, 0.0, 100) <= 5


def test_the_shipped_critical_limits_do_not_fire_without_a_loss():
    assert count_fires(12, 3, 0.0, 100, load_limits()) <= 5


def test_a_gain_is_no_loss():
    found = [simulate(12, 3, -2.0, seed, load_limits()).metrics[0] for seed in range(10)]
    assert {metric.verdict for metric in found} == {"better"}
    assert all(metric.loss < 0 for metric in found)


def test_a_significant_loss_above_the_limit_fails(accepted, tmp_path):
    report = judge(accepted, run_of(tmp_path / "new", noisy(level()) - 0.4))
    assert not report.passed
    assert verdicts(report)[PSNR] == "worse"
    assert [m.loss > 0 for m in report.methods[0].metrics if m.comparison.metric.id == PSNR] == [True]


def test_a_significant_loss_within_the_limit_passes(accepted, tmp_path):
    new = run_of(tmp_path / "new", level() - 0.02, **{SSIM: 0.01 * level()})
    report = judge(accepted, new)
    assert verdicts(report)[PSNR] == "within the limit"
    assert report.methods[0].metrics[0].comparison.p_holm < 0.05


def test_a_critical_limit_fails_without_significance(tmp_path):
    few = level(n_people=3)
    report = judge(run_of(tmp_path / "a", few), run_of(tmp_path / "b", few - 1.2, **{SSIM: 0.01 * few}))
    assert verdicts(report)[PSNR] == "far worse"
    assert not report.passed


def test_with_too_few_people_only_critical_limits_hold_and_the_report_says_so(tmp_path):
    few = level(n_people=3)
    report = judge(run_of(tmp_path / "a", few), run_of(tmp_path / "b", few - 0.4))
    assert verdicts(report)[PSNR] == "not tested"
    assert report.passed
    text = quality_markdown(report)
    assert "Not tested, because of too few people: PSNR" in text


def test_where_no_metric_could_have_failed_the_gate_fails(tmp_path):
    few = level(n_people=3)
    runs = [run_of(tmp_path / name, few) for name in ("a", "b")]
    own = tmp_path / "limits.yaml"
    own.write_text("metrics:\n" + "".join(f"  {m.id}: {{critical: null}}\n" for m in METRICS))
    report = judge_quality(*map(open_run_files, runs), (), load_limits(own), lambda line: None)
    assert not report.passed
    assert "Nothing was judged" in quality_markdown(report)


def test_a_metric_without_a_direction_may_move_freely(accepted, tmp_path):
    new = run_of(tmp_path / "new", level(), **{HKV: 500 + level()})
    report = judge(accepted, new)
    assert verdicts(report)[HKV] == "not ranked"
    assert report.passed


def test_coverage_that_falls_by_one_clip_fails_even_where_all_values_are_better(accepted, tmp_path):
    better = level() + 3
    better[4, 1] = np.nan
    report = judge(accepted, run_of(tmp_path / "new", better))
    assert not report.passed
    assert report.methods[0].coverage_fell
    assert verdicts(report)[PSNR] == "coverage fell"


def test_a_method_that_is_gone_fails_and_a_control_that_saw_the_truth_is_not_judged(tmp_path):
    methods = [method_info("ours"), method_info("other"), method_info("truth_itself", privileged=True)]
    values = {method.id: {PSNR: level()} for method in methods}
    both = make_run(tmp_path / "both", values, methods=methods)
    one = run_of(tmp_path / "one", level())
    report = judge(both, one)
    assert (report.missing, report.passed) == (("other",), False)
    assert [m.method for m in report.methods] == ["ours"]
    assert "has no method other" in quality_markdown(report)
    assert judge(both, one, "ours").passed


def test_runs_that_cannot_stand_beside_each_other_are_refused(accepted, tmp_path):
    other = make_run(tmp_path / "other", {"ours": {PSNR: level()}}, split="unseen-identity")
    with pytest.raises(AvatarBenchError, match="E505"):
        judge(accepted, other)
    with pytest.raises(AvatarBenchError, match="E821: the gate has no method"):
        judge(accepted, accepted, "theirs")


def test_the_accepted_run_may_be_an_entry_of_a_board(entry, run):
    report = judge(entry, run)
    assert report.passed
    assert verdicts(report)[PSNR] == "no loss"
    assert len(report.methods[0].metrics) == 3


def test_an_entry_whose_numbers_do_not_follow_is_no_reference(entry, run):
    from forgery import edit_json

    edit_json(entry, lambda data: data["result"]["methods"][0]["metrics"][0].update(value=1.0))
    with pytest.raises(AvatarBenchError, match="E822"):
        judge(entry, run)


def test_the_command_ends_with_4_and_leaves_markdown_for_the_pull_request(accepted, tmp_path, capsys):
    report = tmp_path / "report.md"
    worse = run_of(tmp_path / "new", level() - 2)
    arguments = ["check", str(worse), "--against", str(accepted), "--markdown", str(report)]
    assert main(arguments) == 4
    text = report.read_text()
    assert text.startswith("## Quality gate: FAILED")
    assert "| PSNR ↑ |" in text
    assert "**far worse**" in text
    assert main(["check", str(accepted), "--against", str(accepted)]) == 0
    assert main(["check"]) == 3
    assert main(["check", str(accepted), "--against", str(tmp_path / "nothing")]) == 3


def test_names_in_the_report_are_neither_markdown_nor_html(tmp_path):
    methods = [method_info("<script>a|b</script>")]
    run = make_run(tmp_path / "run", {methods[0].id: {PSNR: level()}}, methods=methods)
    text = quality_markdown(judge(run, run))
    assert "<script>" not in text
    assert "a\\|b" in text


@pytest.mark.parametrize(
    "text",
    [
        "units: [1]",
        "metrics:\n  fid: {critical: -1}",
        "metrics:\n  fid: {critcal: 1}",
        "units:\n  dB: 3",
        "[]",
        "\t",
    ],
)
def test_limits_that_are_not_right_are_refused(tmp_path, text):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(AvatarBenchError, match="E823"):
        load_limits(path)


def test_own_limits_replace_only_what_they_name(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text(f"metrics:\n  {PSNR}: {{critical: 0.5}}\n")
    metric = next(m for m in METRICS if m.id == PSNR)
    ours, own = load_limits().of(metric), load_limits(path).of(metric)
    assert (own.critical, own.quality, own.drift) == (0.5, ours.quality, ours.drift)


def test_every_metric_of_the_catalogue_has_limits():
    from benchmark.metrics.catalogue import METRICS as ALL

    for metric in ALL.values():
        limit = load_limits().of(metric)
        assert limit.audit.around(1.0) >= limit.drift.around(1.0)
