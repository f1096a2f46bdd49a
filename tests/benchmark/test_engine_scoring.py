"""Scoring: one pass for everything, exactly what is missing, and every failure at its own price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_engine import (
    LARGEST_ERROR,
    MEAN_COLOUR,
    N_FRAMES,
    RECONSTRUCTION,
    TINY_CNN,
    MeanColour,
    TinyCnn,
    TinyRun,
    register,
    tiny_metric,
    tiny_run,
)

from benchmark.cache import cache_folder
from benchmark.extractors import EXTRACTORS, Extractor, Networks
from benchmark.hashing import sha256_file
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Arrays, Metric, SetMetric
from benchmark.results import PredictionRecord, SampleRow
from benchmark.scorer import SampleScore, observe_samples, score_samples
from media.errors import AvatarBenchError

MEAN_LEVEL = tiny_metric(
    "mean_level", "mean_colour", value=lambda seen: float(seen.prediction["mean_colour"]["mean"].mean())
)
WORST_PIXEL = tiny_metric(
    "worst_pixel", "largest_error", value=lambda seen: float(seen.pair["largest_error"]["error"].max())
)
PSNR_OF_MEAN = tiny_metric(
    "psnr_of_mean",
    "pixel_error",
    value=lambda seen: -10 * np.log10(seen.pair["pixel_error"]["mse"].mean() / 255**2),
)


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    return tiny_run(tmp_path_factory.mktemp("hundred"), 100)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    return tiny_run(tmp_path_factory.mktemp("three"), 3, ("left", "right"))


@pytest.fixture(autouse=True)
def extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, TINY_CNN, MEAN_COLOUR, LARGEST_ERROR)


def score(
    run: TinyRun,
    metrics: Sequence[Metric | SetMetric],
    networks: Networks | None = None,
    report: Callable[[str], None] = pytest.fail,
) -> list[SampleScore]:
    return list(score_samples(run.folder, run.plan, run.tasks, metrics, networks or Networks(), report))


def rows_of(scores: list[SampleScore]) -> dict[tuple[str, str, str], SampleRow]:
    return {(row.sample_id, row.method_id, row.metric_id): row for one in scores for row in one.rows}


def _without_weights() -> list[Metric | SetMetric]:
    """The metrics whose networks ship inside installed packages, or are made from a seed."""
    shipped = {None, "mediapipe_hands", "mediapipe_face", "mediapipe_selfie", "random_cnn"}

    def network_of(extractor: Extractor) -> str | None:
        return extractor.network.id if extractor.network else None

    return [m for m in METRICS.values() if {network_of(EXTRACTORS[need]) for need in m.needs} <= shipped]


def test_each_file_is_decoded_once_and_each_network_loaded_once_for_all_metrics_and_methods(three: TinyRun):
    with Networks() as networks:
        scores = score(three, [*_without_weights(), MEAN_LEVEL, WORST_PIXEL], networks)
        counters = networks.counters
    assert counters.decodes == dict.fromkeys(three.files(), 1)
    assert len(three.files()) == 3 * (1 + 2)
    networks_of_metrics = {"mediapipe_hands", "mediapipe_face", "mediapipe_selfie", "random_cnn"}
    assert set(counters.loads) == networks_of_metrics | {"ssim"}  # the map that two extractors share
    assert set(counters.loads.values()) == {1}
    assert counters.forwards["mediapipe_hands"] == 9 * N_FRAMES
    assert [one.sample_id for one in scores] == list(three.plan.sample_ids)
    assert {row.status for one in scores for row in one.rows} <= {"ok", "not_applicable", "undetected"}


def test_a_metric_added_to_a_finished_run_decodes_only_what_it_lacks(hundred: TinyRun):
    assert len(score(hundred, RECONSTRUCTION)) == 100

    over_known_observations = Networks()
    score(hundred, [*RECONSTRUCTION, PSNR_OF_MEAN], over_known_observations)
    assert over_known_observations.counters.decodes == {}

    over_a_new_pair = Networks()
    score(hundred, [*RECONSTRUCTION, PSNR_OF_MEAN, WORST_PIXEL], over_a_new_pair)
    assert over_a_new_pair.counters.decodes == dict.fromkeys(hundred.files(), 1)

    for path in list((cache_folder() / "observations/largest_error").rglob("*.npz"))[:7]:
        path.unlink()
    after_a_loss = Networks()
    score(hundred, [*RECONSTRUCTION, PSNR_OF_MEAN, WORST_PIXEL], after_a_loss)
    assert len(after_a_loss.counters.decodes) == 7 * 2 == after_a_loss.counters.decodes.total()


def test_a_second_method_decodes_the_truth_again_only_to_compare_with_it(three: TinyRun, tmp_path: Path):
    first = TinyRun(
        three.folder,
        three.plan.model_copy(update={"methods": three.plan.methods[:1]}),
        [replace(task, records={"left": task.records["left"]}) for task in three.tasks],
    )
    score(first, [MEAN_LEVEL])
    networks = Networks()
    score(three, [MEAN_LEVEL], networks)
    assert {path.parent.name for path in networks.counters.decodes} == {"right"}
    networks = Networks()
    score(three, [MEAN_LEVEL, WORST_PIXEL], networks)
    assert networks.counters.decodes == dict.fromkeys(three.files(), 1)


def test_observing_first_changes_nothing_but_leaves_nothing_to_decode(
    three: TinyRun, monkeypatch, tmp_path: Path
):
    metrics = [*RECONSTRUCTION, MEAN_LEVEL, SPREAD]
    observe_samples(three.folder, three.plan, three.tasks[::-1], metrics, Networks(), pytest.fail)
    networks = Networks()
    from_store = score(three, metrics, networks)
    assert (networks.counters.decodes, networks.counters.forwards) == ({}, {})
    monkeypatch.setenv("AVATARBENCH_CACHE", str(tmp_path / "empty"))
    at_once = score(three, metrics)
    assert [one.rows for one in from_store] == [one.rows for one in at_once]
    for stored, fresh in zip(from_store, at_once, strict=True):
        assert list(stored.features) == list(fresh.features)
        assert all((stored.features[key] == fresh.features[key]).all() for key in stored.features)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_a_failed_row_and_said(three: TinyRun, value: float):
    bad = tiny_metric("bad", "mean_colour", value=lambda seen: value)
    said: list[str] = []
    rows = rows_of(score(three, [bad, MEAN_LEVEL], report=said.append))
    row = rows["clip0000", "left", "bad"]
    assert (row.value, row.status, row.reason) == (None, "failed", "not_finite")
    assert said[0] == f"left clip0000 bad: the value is {value}, not a finite number"
    assert len(said) == 3 * 2
    assert {row.status for key, row in rows.items() if key[2] == "mean_level"} == {"ok"}


class CrashesOnClip(MeanColour):
    """A bug that one clip brings out, in its fourth frame."""

    level = 0.0

    def add(self, frame: np.ndarray) -> None:
        super().add(frame)
        if len(self.means) == 4 and abs(self.means[0] - self.level) < 1e-9:
            raise IndexError("a bug")


def first_mean(path: Path) -> float:
    from media.video import read_frames

    return float(next(iter(read_frames(path))).mean())


def test_an_extractor_that_crashes_on_one_clip_costs_this_clip_alone(
    three: TinyRun, monkeypatch: pytest.MonkeyPatch
):
    crashing = replace(MEAN_COLOUR, build=CrashesOnClip)
    register(monkeypatch, crashing)
    guilty = three.folder / "predictions/left/clip0001.mp4"
    monkeypatch.setattr(CrashesOnClip, "level", first_mean(guilty))
    said: list[str] = []
    networks = Networks()
    rows = rows_of(score(three, [*RECONSTRUCTION, MEAN_LEVEL], networks, said.append))
    failed = {key: (row.value, row.reason) for key, row in rows.items() if row.status == "failed"}
    assert failed == {("clip0001", "left", "mean_level"): (None, "crash")}
    assert len(said) == 1 and said[0].startswith("left clip0001 mean_colour: IndexError: a bug (test_engine")
    assert networks.counters.decodes == dict.fromkeys(three.files(), 1)

    register(monkeypatch, MEAN_COLOUR)  # the bug is mended: only what is missing is decoded
    networks = Networks()
    mended = rows_of(score(three, [*RECONSTRUCTION, MEAN_LEVEL], networks))
    assert networks.counters.decodes == {guilty: 1}
    assert {row.status for row in mended.values()} == {"ok"}


def with_prediction(run: TinyRun, folder: Path, index: int, content: bytes) -> TinyRun:
    """A copy of the run in which one prediction of `left` has other bytes."""
    import shutil

    shutil.copytree(run.folder / "predictions", folder / "predictions")
    task = run.tasks[index]
    path = folder / "predictions/left" / f"{task.inputs.sample.sample_id}.mp4"
    path.write_bytes(content)
    record = task.records["left"].model_copy(update={"sha256": sha256_file(path)})
    tasks = list(run.tasks)
    tasks[index] = replace(task, records={**task.records, "left": record})
    return TinyRun(folder, run.plan, tasks)


def test_a_prediction_that_breaks_off_costs_itself_alone(three: TinyRun, tmp_path: Path):
    from media.video import read_frames, write_video

    whole = three.folder / "predictions/left/clip0001.mp4"
    short = [frame for frame, _ in zip(read_frames(whole), range(5), strict=False)]
    write_video(tmp_path / "short.mp4", short, 25)
    for content, message in (
        ((tmp_path / "short.mp4").read_bytes(), "E402: the video ends too early (got 5 frames)"),
        (whole.read_bytes()[: whole.stat().st_size // 2], "E206: "),
        (b"", "E206: "),
    ):
        folder = tmp_path / f"run{len(content)}"
        run = with_prediction(three, folder, 1, content)
        said: list[str] = []
        metrics = [*RECONSTRUCTION, MEAN_LEVEL, SPREAD]
        rows = rows_of(score(run, metrics, report=said.append))
        failed = {key[:2]: row.reason for key, row in rows.items() if row.status == "failed"}
        assert failed == {("clip0001", "left"): "decode"}
        assert sum(row.status == "failed" for row in rows.values()) == len(metrics)
        assert len(said) == 1 and said[0].startswith(f"left clip0001: {message}")


def test_a_truth_that_vanishes_costs_its_sample_and_no_other(three: TinyRun, tmp_path: Path):
    task = three.tasks[2]
    gone = replace(
        task,
        inputs=replace(
            task.inputs, truth=replace(task.inputs.truth, path=tmp_path / "gone.mp4", sha256="f" * 64)
        ),
    )
    said: list[str] = []
    scores = score(
        TinyRun(three.folder, three.plan, [*three.tasks[:2], gone]), [MEAN_LEVEL, SPREAD], report=said.append
    )
    assert {(row.sample_id, row.status, row.reason) for one in scores for row in one.rows} == {
        ("clip0000", "ok", None), ("clip0001", "ok", None), ("clip0002", "failed", "decode"),
        ("clip0000", "ok", "set_only"), ("clip0001", "ok", "set_only"),
    }  # fmt: skip
    assert said == ["truth clip0002: E206: the video file does not exist"]
    assert scores[2].features == {}


def _weights_are_missing(*_: object) -> None:
    raise AvatarBenchError("E502", "weights are missing")


@pytest.mark.parametrize(
    "extractor",
    [
        replace(MEAN_COLOUR, build=_weights_are_missing),
        replace(MEAN_COLOUR, build=type("Add", (MeanColour,), {"add": _weights_are_missing})),
        replace(TINY_CNN, build=type("Prepare", (TinyCnn,), {"prepare": _weights_are_missing})),
        replace(TINY_CNN, build=type("Run", (TinyCnn,), {"run": _weights_are_missing})),
    ],
    ids=["build", "add", "prepare", "run"],
)
def test_missing_weights_end_the_scoring_wherever_they_are_missed(
    three: TinyRun, monkeypatch: pytest.MonkeyPatch, extractor: Extractor
):
    register(monkeypatch, extractor)
    with pytest.raises(AvatarBenchError, match="E502"):
        score(three, [tiny_metric("any", extractor.id, value=lambda seen: 0.0)])


def _features(arrays: Mapping[str, Arrays]) -> np.ndarray:
    return arrays["tiny_cnn"]["feature"]


SPREAD = SetMetric(
    id="spread", version="1", column="spread", variant="for tests", unit="1", low=0.0, high=float("inf"),
    direction="lower", needs=("tiny_cnn",), features=_features, distance=lambda p, t: 0.0, depends_on_n=False,
)  # fmt: skip


def test_a_set_metric_gives_features_of_methods_and_truth_and_rows_without_value(three: TinyRun):
    networks = Networks()
    scores = score(three, [SPREAD], networks)
    for one in scores:
        assert list(one.features) == [("spread", "truth"), ("spread", "left"), ("spread", "right")]
        assert {array.shape for array in one.features.values()} == {(N_FRAMES, 37)}
        assert {(row.value, row.status, row.reason, row.n_valid, row.n_total) for row in one.rows} == {
            (None, "ok", "set_only", N_FRAMES, N_FRAMES)
        }
    assert networks.counters.forwards == {"tiny_cnn": 9 * N_FRAMES // TINY_CNN.batch_size}


def test_the_true_features_are_given_even_when_no_method_made_a_video(three: TinyRun):
    failed = PredictionRecord(
        method_id="left", sample_id="clip0000", key="0" * 64, status="failed", reason="length_mismatch"
    )
    task = replace(three.tasks[0], records={"left": failed, "right": failed})
    networks = Networks()
    (one,) = score(TinyRun(three.folder, three.plan, [task]), [SPREAD, MEAN_LEVEL], networks)
    assert list(one.features) == [("spread", "truth")]
    assert {(row.value, row.status, row.reason) for row in one.rows} == {(None, "failed", "length_mismatch")}
    assert networks.counters.decodes == {task.inputs.truth.path: 1}


def test_features_that_are_not_finite_are_a_failed_row_and_not_kept(three: TinyRun):
    def broken(arrays: Mapping[str, Arrays]) -> np.ndarray:
        features = arrays["tiny_cnn"]["feature"].copy()
        features[features == largest] = np.nan
        return features

    whole = score(three, [SPREAD])
    largest = whole[1].features["spread", "left"].max()
    said: list[str] = []
    scores = score(three, [replace(SPREAD, features=broken)], report=said.append)
    assert said == ["left clip0001 spread: the value is nan, not a finite number"]
    assert list(scores[1].features) == [("spread", "truth"), ("spread", "right")]
    failed = [
        (row.sample_id, row.method_id, row.reason)
        for one in scores
        for row in one.rows
        if row.status == "failed"
    ]
    assert failed == [("clip0001", "left", "not_finite")]
