"""The sanity ladder: who is chosen for the wrong clips, what is judged, and what the metrics see."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from scipy.stats import mannwhitneyu
from typer.testing import CliRunner

import benchmark.protocol
from benchmark import ladder as ladder_module
from benchmark.cli_ladder import ladder as ladder_command
from benchmark.hashing import sha256_file
from benchmark.ladder import RUNGS, Judgement, Ladder, judge, run_ladder, separation
from benchmark.manifest import MINI
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.metrics.reconstruction import PSNR
from benchmark.plan import RunOptions
from benchmark.results import SAMPLES, MetricSummary, RunResult, SampleRow, read_samples
from media.audio import SAMPLE_RATE
from media.errors import AvatarBenchError
from media.video import write_video

FPS, N_FRAMES = 25, 12

TINY = """
id: tiny-v1
title: For tests
split: identity-holdout-10
video: {fps: 25, long_side: 128, max_duration_s: 10.0, min_duration_s: 0.2, codec: h264-yuv420p}
reference: first_frame
audio: wav-16k-mono
aggregation: frames-clip-identity-dataset
metrics:
  - {id: psnr_rgb_full, version: "1", on_miss: excluded}
  - {id: ssim_gauss11_rgb, version: "1", on_miss: excluded}
min_coverage_ranked: 0.95
"""


def talker(who: int, take: int) -> Iterator[np.ndarray]:
    """A person is a pattern; what they say is how a dark disc moves over it. [128, 96, 3] uint8 each."""
    pattern = np.random.default_rng(who).standard_normal((128, 96, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(pattern, (0, 0), 3)
    ground = np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    path = np.random.default_rng(100 * who + take + 1).integers(-3, 4, (N_FRAMES, 2)).cumsum(0)
    for x, y in path.tolist():
        yield cv2.circle(ground.copy(), (48 + x, 64 + y), 14, (20, 20, 20), -1, cv2.LINE_AA)


@pytest.fixture(scope="module")
def talkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two clips each."""
    folder = tmp_path_factory.mktemp("talkers")
    for (who, name), take in itertools.product(enumerate(("ada", "ben")), (1, 2)):
        (folder / name).mkdir(exist_ok=True)
        sound = np.sin(np.arange(N_FRAMES * SAMPLE_RATE // FPS) / 20).astype(np.float32) / 4
        write_video(folder / name / f"{take}.mp4", talker(who, take), FPS, audio=sound)
    return folder


def silent(what: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all tests here, in place of one a test, and a protocol of small pictures among the shipped."""
    folder = tmp_path_factory.mktemp("protocols")
    shutil.copytree(benchmark.protocol._FOLDER, folder, dirs_exist_ok=True)
    (folder / "tiny-v1.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark.protocol, "_FOLDER", folder)
        patch.setenv("AVATARBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def climb(dataset: Path, out: Path, *metrics: str) -> Ladder:
    return run_ladder(
        RunOptions((), protocol="tiny-v1", dataset=dataset, out=out, device="cpu"), metrics, silent
    )


@pytest.fixture(scope="module")
def climbed(talkers: Path, tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    """The ladder of the made people, two test clips of 12 frames."""
    return climb(talkers, tmp_path_factory.mktemp("ladder") / "run")


def row(rung: str, clip: int, value: float | None, **changes: object) -> SampleRow:
    """A row of PSNR; even clips show ada, odd ones ben."""
    values = {
        "run_id": "r", "protocol_id": "p", "protocol_sha256": "p", "dataset_id": "d", "dataset_sha256": "d",
        "split": "s", "method_id": rung, "method_version": "1", "privileged": True,
        "identity_id": ("ada", "ben")[clip % 2], "sample_id": str(clip), "seed": 0, "metric_id": PSNR.id,
        "metric_version": "1", "unit": "dB", "direction": "higher", "value": value, "status": "ok",
        "reason": None, "n_valid": 1, "n_total": 1, "prediction_sha256": None,
    }  # fmt: skip
    return SampleRow.model_validate(values | changes)


def judged(metric: Metric, better: list[float | None], worse: list[float | None]) -> Judgement:
    """The judgement of `metric` on the pair ground_truth above blur."""
    rows = [row("ground_truth", *entry) for entry in enumerate(better)]
    rows += [row("blur", *entry) for entry in enumerate(worse)]
    empty = RunResult.model_construct(methods=())
    (judgement,) = judge([replace(metric, orders=(("ground_truth", "blur"),))], rows, empty)
    return judgement


@pytest.mark.parametrize("seed", range(5))
def test_separation_is_the_u_of_mann_and_whitney_by_the_number_of_pairs(seed: int):
    random = np.random.default_rng(seed)
    better, worse = random.integers(3, 9, 13).tolist(), random.integers(0, 7, 8).tolist()  # many ties
    expected = mannwhitneyu(better, worse).statistic / (13 * 8)
    assert separation(better, worse) == pytest.approx(expected, abs=1e-12)
    assert separation(worse, better) == pytest.approx(1 - expected, abs=1e-12)


def test_separation_knows_ties_and_infinity():
    assert separation([1.0], [1.0]) == 0.5
    assert separation([np.inf, 2.0], [2.0, -np.inf]) == (1 + 1 + 0.5 + 1) / 4


def test_an_order_that_all_clips_show_is_seen():
    assert judged(PSNR, [40, 41, 42, 43], [30, 31, 32, 33]) == Judgement(
        PSNR.id, "ground_truth", "blur", 4, 1.0, 2, 2, True
    )


def test_an_order_the_wrong_way_round_is_violated():
    judgement = judged(PSNR, [30, 31, 32, 33], [40, 41, 42, 43])
    assert (judgement.auc, judgement.n_ordered, judgement.holds) == (0.0, 0, False)


def test_lower_is_better_turns_the_order_round():
    falling = replace(PSNR, direction="lower")
    assert judged(falling, [30, 31], [40, 41]).holds
    assert judged(falling, [40, 41], [30, 31]).holds is False


def test_equal_rungs_are_not_told_apart():
    judgement = judged(PSNR, [30, 31, 32], [30, 31, 32])
    assert (judgement.auc, judgement.n_ordered, judgement.holds) == (0.5, 0, False)


def test_one_clip_that_lifts_the_mean_does_not_make_an_order():
    """ada 99 and 1 against 2 and 2, ben the same: the means are ordered, half of the pairs are not."""
    judgement = judged(PSNR, [99, 99, 1, 1], [2, 2, 2, 2])
    assert (judgement.auc, judgement.n_ordered, judgement.holds) == (0.5, 2, False)


def test_people_weigh_the_same_however_many_clips_they_have():
    """ada's three clips and ben's one: over people the means are 30 and 28, over clips 20 and 32."""
    rows = [row("ground_truth", clip, value) for clip, value in ((0, 10), (1, 50), (2, 10), (4, 10))]
    rows += [row("blur", clip, value) for clip, value in ((0, 9), (1, 20), (2, 9), (4, 90))]
    metric = replace(PSNR, orders=(("ground_truth", "blur"),))
    (judgement,) = judge([metric], rows, RunResult.model_construct(methods=()))
    assert (judgement.n_clips, judgement.n_identities, judgement.n_ordered) == (4, 2, 1)
    assert (judgement.auc, judgement.holds) == (9 / 16, True)


def test_only_clips_with_a_value_on_both_rungs_are_compared():
    rows = [row("ground_truth", 0, 40), row("ground_truth", 1, 1.0), row("blur", 0, 30)]
    rows += [row("blur", 1, None, status="failed", reason="crash")]
    metric = replace(PSNR, orders=(("ground_truth", "blur"),))
    (judgement,) = judge([metric], rows, RunResult.model_construct(methods=()))
    assert (judgement.n_clips, judgement.auc, judgement.holds) == (1, 1.0, True)


def test_frames_equal_to_the_truth_are_the_best_that_there_is():
    rows = [row("ground_truth", 0, None, reason="identical"), row("blur", 0, 99.0)]
    metric = replace(PSNR, orders=(("ground_truth", "blur"),))
    (judgement,) = judge([metric], rows, RunResult.model_construct(methods=()))
    assert (judgement.auc, judgement.n_ordered, judgement.holds) == (1.0, 1, True)


def test_a_pair_without_values_is_not_judged_and_says_why():
    rows = [row("ground_truth", 0, 40.0), row("blur", 0, None, status="failed", reason="no_other_clip")]
    metric = replace(PSNR, orders=(("ground_truth", "blur"),))
    (judgement,) = judge([metric], rows, RunResult.model_construct(methods=()))
    assert (judgement.holds, judgement.auc, judgement.reason) == (None, None, "no_other_clip")


def set_judgement(truth: tuple[float | None, int], blur: tuple[float | None, int]) -> Judgement:
    """A Frechet-like distance whose (value, number of features) are given at two rungs."""
    metric = SetMetric(
        id="fid", version="1", column="FID", variant="", unit="1", low=0, high=np.inf, direction="lower",
        needs=(), features=lambda arrays: np.zeros((0, 2)), distance=lambda one, other: 0.0,
        depends_on_n=True, orders=(("ground_truth", "blur"),),
    )  # fmt: skip

    def method(name: str, value: float | None, n: int) -> object:
        summary = MetricSummary.model_construct(
            metric_id="fid", value=value, n_valid=n, n_scored=3, reason=None if value else "too_few"
        )
        return type("Method", (), {"id": name, "metrics": (summary,)})()

    result = RunResult.model_construct(methods=(method("ground_truth", *truth), method("blur", *blur)))  # type: ignore[arg-type]
    (judgement,) = judge([metric], [], result)
    return judgement


def test_a_metric_of_a_set_is_judged_by_its_value_alone():
    seen, wrong = set_judgement((1.0, 9), (5.0, 9)), set_judgement((5.0, 9), (1.0, 9))
    assert (seen.auc, seen.n_clips, seen.holds, wrong.holds) == (None, 3, True, False)


def test_distances_of_different_numbers_of_features_are_not_compared():
    judgement = set_judgement((1.0, 9), (5.0, 6))
    assert (judgement.holds, judgement.reason) == (None, "sets of 9 and 6 features")
    assert set_judgement((1.0, 9), (None, 9)).reason == "too_few"


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.id)
def test_what_a_metric_declares_makes_sense(metric: Metric | SetMetric):
    pairs = metric.orders
    assert {rung for pair in pairs for rung in pair} <= set(RUNGS)
    assert len(set(pairs)) == len(pairs)
    assert not pairs or metric.direction != "none"
    above = set(pairs)
    for _ in RUNGS:  # the transitive closure of an order has no circle
        above |= {(a, d) for (a, b), (c, d) in itertools.product(above, above) if b == c}
    assert all(better != worse for better, worse in above)


def test_a_metric_without_a_direction_cannot_declare_an_order():
    with pytest.raises(ValueError, match="no better and worse"):
        judged(replace(PSNR, direction="none"), [1.0], [2.0])


def test_all_rungs_go_through_the_ordinary_stages(climbed: Ladder):
    assert [method.id for method in climbed.result.methods] == list(RUNGS)
    assert {method.id for method in climbed.result.methods if not method.privileged} == {"frozen"}
    assert not any(method.ranked for method in climbed.result.methods if method.privileged)
    rows = read_samples(climbed.folder / SAMPLES)
    assert len(rows) == len(RUNGS) * 2 * 2
    assert climbed.n_failed == 0


def test_reconstruction_sees_all_that_it_declares(climbed: Ladder):
    """PSNR declares 12 pairs and SSIM 11: it does not claim that noise lies above another person."""
    assert Counter(judgement.metric_id for judgement in climbed.judged) == {
        "psnr_rgb_full": 12,
        "ssim_gauss11_rgb": 11,
    }
    assert {(j.auc, j.n_ordered, j.n_identities, j.holds) for j in climbed.judgements} == {(1.0, 2, 2, True)}


def test_a_metric_that_is_wrong_way_round_is_caught(climbed: Ladder):
    rows = read_samples(climbed.folder / SAMPLES)
    judgements = judge([replace(PSNR, direction="lower")], rows, climbed.result)
    assert {judgement.holds for judgement in judgements} == {False}


def test_a_metric_that_is_the_same_for_all_videos_is_caught(climbed: Ladder):
    rows = [r.model_copy(update={"value": 0.5}) for r in read_samples(climbed.folder / SAMPLES)]
    assert {judgement.holds for judgement in judge([PSNR], rows, climbed.result)} == {False}


def invoke(*options: object) -> tuple[int, str]:
    """Exit code and console of `bench ladder`; an error of the project is 3, as in `bench`."""
    app = typer.Typer()
    app.command()(ladder_command)
    done = CliRunner().invoke(app, [str(option) for option in options], env={"COLUMNS": "200"})
    if isinstance(done.exception, AvatarBenchError):
        return 3, str(done.exception)
    return done.exit_code, done.output


def test_the_command_shows_values_orders_and_ends_well(talkers: Path, climbed: Ladder):
    """The run of `climbed` is finished, so that nothing is made again."""
    code, console = invoke(
        "--dataset", talkers, "--protocol", "tiny-v1", "--out", climbed.folder, "--device", "cpu"
    )
    assert code == 0
    for word in (*RUNGS, "PSNR ↑", "SSIM ↑", "AUC", "1.000", "2/2", "seen"):
        assert word in console
    assert "violated" not in console


def test_a_violated_order_is_a_failed_gate(talkers: Path, climbed: Ladder, monkeypatch: pytest.MonkeyPatch):
    """A metric that claims that noise is better than the truth."""
    boast = replace(PSNR, orders=(("noise", "ground_truth"),))
    monkeypatch.setattr(ladder_module, "metrics_of", lambda protocol: [boast])
    code, console = invoke(
        "--dataset", talkers, "--protocol", "tiny-v1", "--out", climbed.folder, "--device", "cpu"
    )
    assert code == 4
    assert "violated" in console and "does not see noise above ground_truth" in console


def test_a_ladder_that_judged_nothing_fails(talkers: Path, climbed: Ladder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ladder_module, "metrics_of", lambda protocol: [replace(PSNR, orders=())])
    code, console = invoke(
        "--dataset", talkers, "--protocol", "tiny-v1", "--out", climbed.folder, "--device", "cpu"
    )
    assert code == 3
    assert "E506: the ladder judged nothing" in console


def test_an_unknown_metric_gets_the_nearest_name(talkers: Path, tmp_path: Path):
    with pytest.raises(AvatarBenchError, match=r"E504: .*'psnr_rgb'\. Did you mean 'psnr_rgb_full'"):
        climb(talkers, tmp_path / "run", "psnr_rgb")


def test_rungs_that_the_data_set_has_no_clip_for_are_not_judged(talkers: Path, tmp_path: Path):
    (tmp_path / "lonely/ada").mkdir(parents=True)
    shutil.copy(talkers / "ada/1.mp4", tmp_path / "lonely/ada")
    alone = climb(tmp_path / "lonely", tmp_path / "run", "psnr_rgb_full")
    not_judged = {
        (judgement.better, judgement.worse, judgement.reason)
        for judgement in alone.judgements
        if judgement.holds is None
    }
    assert ("ground_truth", "other_speech", "no_other_clip") in not_judged
    assert ("ground_truth", "wrong_identity", "no_other_clip") in not_judged
    assert all({better, worse} & {"other_speech", "wrong_identity"} for better, worse, _ in not_judged)
    assert len(alone.judged) == 5 and not alone.violated
    assert alone.n_failed == 0  # what the data set cannot show is no failure


def test_a_rung_that_crashes_is_counted(talkers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(self, sample, ground_truth, out):
        raise RuntimeError("a bug in a control")

    monkeypatch.setattr("baselines.controls.Blurred.generate", broken)
    code, console = invoke(
        "--dataset", talkers, "--protocol", "tiny-v1", "--out", tmp_path / "run", "--device", "cpu"
    )
    assert code == 6
    assert "not judged (crash)" in console and "2 samples of a rung" in console


def short_clips(folder: Path, media_root: Path, lines: list[dict[str, object]]) -> Path:
    """A data set of the first 10 frames of each clip."""
    (folder / "media_root.json").write_text(json.dumps({"media_root": str(media_root)}))
    (folder / "manifest.jsonl").write_text(
        "\n".join(json.dumps(line | {"duration_s": 0.4}) for line in lines)
    )
    return folder


def test_the_shipped_metrics_see_what_they_declare_on_the_shipped_people(tmp_path: Path):
    """One clip in full size, with the real detectors."""
    lines = [json.loads(line) for line in (MINI / "manifest.jsonl").read_text().splitlines()]
    kept = {"mini05-t1-04", "mini05-t1-01", "mini07-t1-04", "mini07-t1-01"}
    dataset = short_clips(tmp_path, MINI, [line for line in lines if line["id"] in kept])
    options = RunOptions((), dataset=dataset, out=tmp_path / "run", device="cpu", limit=1)
    climbed = run_ladder(options, (), silent)
    declared = {(metric.id, *pair) for metric in METRICS.values() for pair in metric.orders}
    protocol = {metric.id for metric in climbed.metrics}
    seen = {(j.metric_id, j.better, j.worse) for j in climbed.judgements if j.holds}
    unseen = {(j.metric_id, j.better, j.worse) for j in climbed.judgements} - seen
    assert seen | unseen == {entry for entry in declared if entry[0] in protocol}
    # Ten frames are too few for lips, for windows of 16 frames, and for distances of sets of one clip.
    short = {"lipsync_c_mini", "lipsync_d_mini", "lipsync_offset_mini", "fd_random_windows_16f"}
    assert {metric for metric, _, _ in unseen} <= short


def test_reconstruction_sees_what_it_declares_on_filmed_people(tmp_path: Path, shared_data: Path):
    """Two stretches of one film and one of another: nobody else speaks in the second one."""
    stretches = (("man_white_shirt", 0.0), ("man_white_shirt", 1.0), ("woman_coat", 0.0))
    lines = [
        {
            "id": f"{name}_{start:.0f}",
            "identity": name,
            "recording": name,
            "media": f"{name}.mp4",
            "start_s": start,
            "sha256": sha256_file(shared_data / "video" / f"{name}.mp4"),
        }
        for name, start in stretches
    ]
    climbed = climb(short_clips(tmp_path, shared_data / "video", lines), tmp_path / "run")
    assert [(j.metric_id, j.better, j.worse) for j in climbed.judgements if not j.holds] == []
    other = {j.n_clips for j in climbed.judgements if "other_speech" in (j.better, j.worse)}
    assert (other, climbed.result.n_samples) == ({2}, 3)
