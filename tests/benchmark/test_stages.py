"""What one command works on: parts of a run, work made again, work only foretold, a folder that had another plan."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_methods
from moving_clips import write_clip
from tiny_methods import tiny_spec
from tiny_runs import contents, install_tiny_protocol, silent

import benchmark.observations
from benchmark.cli import main
from benchmark.plan import RunOptions, plan_run, propose_run
from benchmark.results import PLAN, RunPlan, read_model
from benchmark.runner import predict_run
from benchmark.stages import (
    Done,
    Work,
    foresee_predictions,
    foresee_scores,
    predict_stage,
    run_stages,
    score_stage,
)
from media.errors import AvatarBenchError

SLIDING = tiny_spec("sliding", "Sliding")
NAMES = ("ada_clip", "ben_clip", "eve_clip", "kim_clip")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with one short clip each: four samples."""
    folder = tmp_path_factory.mktemp("crowd")
    for seed, name in enumerate(NAMES):
        write_clip(folder / name.removesuffix("_clip") / "clip.mp4", seed)
    return folder


@pytest.fixture(autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs here are tiny, and begin with no method called."""
    install_tiny_protocol(tmp_path_factory.mktemp("tiny") / "protocols", monkeypatch)
    tiny_methods.generated.clear()


def options(crowd: Path, out: Path | None, **changes: object) -> RunOptions:
    return RunOptions(**{"methods": (SLIDING,), "protocol": "tiny-v1", "dataset": crowd, "out": out, "device": "cpu"}
                      | changes)  # fmt: skip


def run(crowd: Path, out: Path, work: Work = Work(), **changes: object) -> Done:  # noqa: B008  # frozen
    return run_stages(options(crowd, out, **changes), work, silent)


def everything_in(*folders: Path) -> list[tuple[str, int]]:
    return [(str(path), path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.rglob("*"))]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that scoring has decoded, without their endings."""
    names: list[str] = []
    read_frames = benchmark.observations.read_frames

    def watched(path: Path, **settings: object):
        names.append(path.stem if path.stem != "clip" else f"true {path.parent.name}_clip")
        return read_frames(path, **settings)

    monkeypatch.setattr(benchmark.observations, "read_frames", watched)
    yield names


def test_a_limit_takes_nested_parts_of_the_split_and_makes_another_run(crowd: Path, tmp_path: Path):
    plans = [propose_run(options(crowd, tmp_path, limit=limit)).plan for limit in (1, 2, 3, 4, None)]
    for fewer, more in itertools.pairwise(plans[:4]):
        assert set(fewer.sample_ids) < set(more.sample_ids)
    assert len({plan.run_id for plan in plans[:4]}) == 4
    assert plans[3].run_id == plans[4].run_id  # a limit that cuts nothing off changes nothing
    assert "Only 1 of the 4 test clips" in plans[0].notes[-1]
    with pytest.raises(AvatarBenchError, match="E504: a run needs a sample"):
        propose_run(options(crowd, tmp_path, limit=0))


def test_another_split_is_another_run_and_an_unknown_one_gets_the_nearest_name(crowd: Path, tmp_path: Path):
    usual = propose_run(options(crowd, tmp_path)).plan
    other = propose_run(options(crowd, tmp_path, split="unseen-identity")).plan
    assert (usual.split, other.split) == ("identity-holdout-10", "unseen-identity")
    assert usual.run_id != other.run_id
    assert usual.protocol_sha256 == other.protocol_sha256
    with pytest.raises(
        AvatarBenchError, match=r"E504: unknown split 'unseen-identities'\. Did you mean 'unseen-id"
    ):
        propose_run(options(crowd, tmp_path, split="unseen-identities"))


def test_a_chosen_sample_is_worked_on_alone_and_the_rest_stays_to_do(crowd: Path, tmp_path: Path):
    done = run(crowd, tmp_path / "run", Work(samples=("ben_clip", "eve_clip")))
    assert tiny_methods.generated == ["ben_clip", "eve_clip"]
    assert (done.unfinished, (tmp_path / "run/result.json").exists()) == (2, False)
    assert read_model(tmp_path / "run" / PLAN, RunPlan).sample_ids == NAMES
    assert run(crowd, tmp_path / "run").unfinished == 0
    assert sorted(tiny_methods.generated) == list(NAMES)  # each of them once
    run(crowd, tmp_path / "whole")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_sample_that_the_run_does_not_have_gets_the_nearest_name(crowd: Path, tmp_path: Path):
    with pytest.raises(
        AvatarBenchError, match=r"E504: the run has no sample 'ben_clop'\. Did you mean 'ben_clip'"
    ):
        run(crowd, tmp_path / "run", Work(samples=("ben_clop",)))
    assert not (tmp_path / "run").exists()


def test_force_makes_the_chosen_predictions_again_and_no_other(crowd: Path, tmp_path: Path):
    run(crowd, tmp_path / "run")
    before = contents(tmp_path / "run")
    tiny_methods.generated.clear()
    predict_stage(options(crowd, tmp_path / "run"), Work(samples=("kim_clip",), force=True), silent)
    assert tiny_methods.generated == ["kim_clip"]
    run(crowd, tmp_path / "run", Work(force=True))
    assert tiny_methods.generated == ["kim_clip", *NAMES]
    assert contents(tmp_path / "run") == before


def test_force_observes_the_chosen_samples_again_and_no_other(
    crowd: Path, tmp_path: Path, decoded: list[str]
):
    run(crowd, tmp_path / "run")
    before = contents(tmp_path / "run")
    decoded.clear()
    score_stage(tmp_path / "run", crowd, Work(), silent)
    assert decoded == []
    score_stage(tmp_path / "run", crowd, Work(samples=("eve_clip",), force=True), silent)
    assert sorted(decoded) == ["eve_clip", "true eve_clip"]
    assert contents(tmp_path / "run")[0] == before[0]


def test_a_dry_run_says_what_is_to_be_made_and_writes_nothing(
    crowd: Path, tmp_path: Path, own_cache: Path, decoded: list[str]
):
    out = tmp_path / "run"
    wanted = options(crowd, out)
    folder, (outlook,) = foresee_predictions(wanted, Work(), silent)
    assert (folder, outlook.what, outlook.to_make, outlook.finished) == (out, "sliding", 4, 0)
    assert not out.exists()
    assert everything_in(own_cache) == []

    run(crowd, out, Work(samples=("ada_clip",)))
    state = everything_in(out, own_cache)
    assert foresee_predictions(wanted, Work(), silent)[1][0].to_make == 3
    assert foresee_predictions(wanted, Work(samples=("ada_clip",)), silent)[1][0].to_make == 0
    assert foresee_predictions(wanted, Work(force=True), silent)[1][0].to_make == 4
    assert everything_in(out, own_cache) == state
    assert tiny_methods.generated == ["ada_clip"]

    predict_stage(wanted, Work(), silent)
    decoded.clear()
    state = everything_in(out, own_cache)
    before = foresee_scores(out, crowd, Work(), silent)
    assert (before.to_make, before.finished) == (8, 0)  # PSNR and SSIM look at each of four pairs
    assert everything_in(out, own_cache) == state
    score_stage(out, crowd, Work(), silent)
    after = foresee_scores(out, crowd, Work(), silent)
    assert (after.to_make, after.finished) == (0, 8)


def test_a_folder_that_held_another_plan_keeps_what_fits_and_loses_its_results(crowd: Path, tmp_path: Path):
    out = tmp_path / "run"
    first = run(crowd, out)
    said: list[str] = []
    both = (SLIDING, tiny_spec("other", "Sliding"))
    predict_stage(options(crowd, out, methods=both), Work(), lambda what, done, total: said.append(what))
    assert any(line.startswith(f"{out} held the run ") for line in said)
    assert len(tiny_methods.generated) == 4 + 4  # the first method's were there
    assert not (out / "result.json").exists() and not (out / "samples.parquet").exists()
    assert first.folder == out


def test_clocks_are_kept_by_stage_and_sample(crowd: Path, tmp_path: Path):
    run(crowd, tmp_path / "run", methods=(tiny_spec("sliding", "Sliding", preparation=True),))
    timings = json.loads((tmp_path / "run/timings.json").read_text())
    assert set(timings) == {f"{what} {name}" for what in ("predict sliding", "score") for name in NAMES}
    assert set(timings["predict sliding ada_clip"]) == {"prepare", "generate", "generate.draw", "check"}
    assert timings["predict sliding ada_clip"]["generate.draw"] == 0.5  # as the method says
    assert all(seconds >= 0 for entry in timings.values() for seconds in entry.values())


def test_the_command_line_says_what_is_left_and_exits_with_6(
    crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["run", "-m", "frozen", "--no-controls", "--protocol", "tiny-v1", "--dataset", str(crowd)]
    command += ["--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*command, "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert main([*command, "--sample", "ada_clip"]) == 6
    assert "3 predictions of the run are still to be made" in capsys.readouterr().err.replace("\n", " ")
    assert main(command) == 0
    assert main(["score", str(tmp_path / "run"), "--dataset", str(crowd), "--dry-run"]) == 0
    assert main(["score", str(tmp_path / "run"), "--dataset", str(crowd), "--force"]) == 0


def test_a_method_that_changed_since_the_plan_is_not_run_under_its_old_name(crowd: Path, tmp_path: Path):
    planned = plan_run(options(crowd, tmp_path / "run"), silent)
    newer = replace(SLIDING, version="2")
    with pytest.raises(AvatarBenchError, match="E504: the method 'sliding' is not the one of the plan"):
        predict_run(planned, {"sliding": newer}, silent)
    assert tiny_methods.generated == []


def test_a_plan_that_is_none_of_ours_is_left_alone_with_all_that_stands_beside_it(
    people: Path, tmp_path: Path
):
    folder = tmp_path / "project"
    (folder / "features").mkdir(parents=True)
    (folder / "plan.json").write_text('{"holiday": "sea"}')
    (folder / "features" / "list.txt").write_text("mine")
    assert main(["run", "-m", "frozen", "--dataset", str(people), "--out", str(folder)]) == 3
    assert (folder / "plan.json").read_text() == '{"holiday": "sea"}'
    assert (folder / "features" / "list.txt").read_text() == "mine"
