"""Runs in shards: on submitit's debug and local executors, and on a real Slurm of one node."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mortal_methods import MARKER, mortal_spec
from moving_clips import write_clip
from slurm.one_node import missing_programs, one_node_slurm
from tiny_methods import tiny_spec
from tiny_runs import contents, hidden, install_tiny_protocol

import benchmark.cluster
import benchmark.protocol
from benchmark.cli import main
from benchmark.cluster import ATTEMPTS, ClusterOptions, make_cluster_options, work_shard
from benchmark.contract import MethodSpec
from benchmark.hashing import shard_of
from benchmark.locking import file_lock, run_lock
from benchmark.plan import RunOptions, propose_run
from benchmark.stages import Done, Work, run_stages
from media.errors import AvatarBenchError

HERE = Path(__file__).parent

pytest.importorskip("submitit")

SLIDING = tiny_spec("sliding", "Sliding")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people with one short clip each: six samples."""
    folder = tmp_path_factory.mktemp("crowd")
    for seed in range(6):
        write_clip(folder / f"person{seed}" / "clip.mp4", seed)
    return folder


@pytest.fixture
def tiny_protocol(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """A protocol without networks, known to this process only and so to the debug executor."""
    return install_tiny_protocol(tmp_path_factory.mktemp("tiny") / "protocols", monkeypatch)


@pytest.fixture
def first_death(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let jobs import the methods of the tests; returns the file that the first death leaves."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv(MARKER, str(tmp_path / "died"))
    return tmp_path / "died"


@pytest.fixture
def tiny_jobs(tiny_protocol: str, first_death: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and let jobs in processes of their own know the tiny protocol."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE / "in_jobs"), str(HERE)]))
    monkeypatch.setenv("TINY_PROTOCOLS", str(benchmark.protocol._FOLDER))
    return first_death


def run(
    spec: MethodSpec,
    dataset: Path,
    out: Path,
    cluster: ClusterOptions | None = None,
    protocol: str = "mini-v1",
) -> tuple[Done, list[str]]:
    """Run all stages; returns what was reported, too."""
    said: list[str] = []
    options = RunOptions((spec,), protocol, dataset, out, "cpu")
    done = run_stages(options, Work(cluster=cluster), lambda what, done, total: said.append(what))
    return done, said


def test_a_sample_falls_to_the_shard_that_its_names_sha256_names():
    assert shard_of("ada_one", 4) == int(hashlib.sha256(b"ada_one").hexdigest(), 16) % 4
    names = [f"clip{number}" for number in range(1000)]
    sizes = [sum(shard_of(name, 32) == shard for name in names) for shard in range(32)]
    assert sum(sizes) == 1000
    assert min(sizes) > 10  # 31 are expected; fewer than 11 has a chance of 1 in 100,000


def test_results_do_not_depend_on_the_number_of_shards(
    crowd: Path, tmp_path: Path, tiny_protocol: str, monkeypatch: pytest.MonkeyPatch
):
    written, measured = [], []
    for n_shards in (None, 1, 4, 32):
        home = tmp_path / str(n_shards)
        (home / "cache").mkdir(parents=True)
        monkeypatch.setenv("AVATARBENCH_CACHE", str(home / "cache"))
        cluster = None if n_shards is None else ClusterOptions("debug", n_shards, {})
        run(SLIDING, crowd, home / "run", cluster, tiny_protocol)
        written.append(contents(home / "run"))
        measured.append(sorted(json.loads((home / "run/timings.json").read_text())))
        assert not (home / "run/jobs").exists()
        assert hidden(home / "run") == []
    assert written[0] == written[1] == written[2] == written[3]
    assert measured[0] == measured[1] == measured[2] == measured[3]
    assert len(measured[0]) == 6 + 6  # each sample's prediction, and its scoring


def test_scoring_after_the_shards_decodes_nothing(
    crowd: Path, tmp_path: Path, tiny_protocol: str, monkeypatch: pytest.MonkeyPatch
):
    import benchmark.observations

    read_frames, places = benchmark.observations.read_frames, []

    def watched(path: Path, **options: object):
        places.append("job" if "SUBMITIT_DEBUG_JOB_ID" in os.environ else "scoring")
        return read_frames(path, **options)

    monkeypatch.setattr(benchmark.observations, "read_frames", watched)
    run(SLIDING, crowd, tmp_path / "run", ClusterOptions("debug", 4, {}), tiny_protocol)
    assert set(places) == {"job"}


def test_a_killed_shard_is_run_again_and_leaves_no_trace_in_the_results(
    people: Path, tmp_path: Path, tiny_jobs: Path
):
    spec = mortal_spec("DiesOnce")
    done, said = run(spec, people, tmp_path / "sharded", ClusterOptions("local", 2, {}), "tiny-v1")
    assert tiny_jobs.exists()  # it did die
    assert done.failed == 0
    assert [line for line in said if "died (killed) and is started again" in line]
    run(spec, people, tmp_path / "whole", None, "tiny-v1")
    assert contents(tmp_path / "sharded") == contents(tmp_path / "whole")
    assert hidden(tmp_path / "sharded") == []
    jobs = json.loads((tmp_path / "sharded/environment_jobs.json").read_text())
    assert sum("attempt 2" in name for name in jobs) == 1


def test_a_shard_that_dies_again_and_again_ends_the_run_with_the_end_of_its_log(
    people: Path, tmp_path: Path, tiny_jobs: Path, monkeypatch: pytest.MonkeyPatch
):
    assert ATTEMPTS == 3
    monkeypatch.setattr(benchmark.cluster, "ATTEMPTS", 2)
    with pytest.raises(AvatarBenchError, match="E605: shard 0 of 1 died 2 times") as caught:
        run(mortal_spec("AlwaysDies"), people, tmp_path / "run", ClusterOptions("local", 1, {}), "tiny-v1")
    assert "the last words of a method" in str(caught.value)
    assert Path(caught.value.where or "").is_file()  # the whole log
    with run_lock(tmp_path / "run"):  # is free again
        assert [path.name for path in (tmp_path / "run/predictions").rglob(".part-*")] == []


def test_what_a_user_can_put_right_comes_home_from_a_job_and_is_not_tried_again(
    crowd: Path, tmp_path: Path, tiny_protocol: str
):
    data = shutil.copytree(crowd, tmp_path / "data")
    video = data / "person3/clip.mp4"
    video.write_bytes(video.read_bytes()[:2000])
    out = tmp_path / "run"
    with pytest.raises(AvatarBenchError, match="E402: the clip 'person3_clip'"):
        run(SLIDING, data, out, ClusterOptions("debug", 3, {}), tiny_protocol)
    jobs = json.loads((out / "environment_jobs.json").read_text())
    assert not [name for name in jobs if "attempt 2" in name]


def test_a_job_of_a_run_that_was_given_up_does_nothing(
    crowd: Path, tmp_path: Path, tiny_protocol: str, monkeypatch: pytest.MonkeyPatch
):
    submitted = []
    monkeypatch.setattr(benchmark.cluster, "work_shard", lambda shard: submitted.append(shard))
    with pytest.raises(
        AvatarBenchError, match="E504: 'person"
    ):  # nothing was predicted, so nothing is scored
        run(SLIDING, crowd, tmp_path / "run", ClusterOptions("debug", 1, {}), tiny_protocol)
    refusal = work_shard(submitted[0])
    assert refusal is not None
    assert (refusal.error().code, refusal.error().what) == (
        "E604",
        "the run that this job belongs to was given up",
    )
    assert not (tmp_path / "run/predictions").exists()


def test_a_run_is_refused_while_a_job_of_its_former_start_is_still_at_work(
    crowd: Path, tmp_path: Path, tiny_protocol: str
):
    (tmp_path / "run").mkdir()
    with (
        file_lock(tmp_path / "run/.lock-shard-2"),
        pytest.raises(AvatarBenchError, match=f"(?s)E604.*process {os.getpid()}"),
    ):
        run(SLIDING, crowd, tmp_path / "run", None, tiny_protocol)


@pytest.mark.parametrize(
    ("kind", "n_shards", "assignments", "message"),
    [
        (None, 4, [], "shards need a cluster"),
        ("slrum", 4, [], "unknown cluster 'slrum'"),
        ("local", None, [], "needs a number of shards"),
        ("local", 0, [], "needs a number of shards"),
        ("local", 2, ["partition"], "not an assignment"),
    ],
)
def test_cluster_options_are_checked(
    kind: str | None, n_shards: int | None, assignments: list[str], message: str
):
    with pytest.raises(AvatarBenchError, match=f"E504: .*{message}"):
        make_cluster_options(kind, n_shards, assignments)


def test_numbers_among_cluster_options_become_integers():
    options = make_cluster_options("slurm", 3, ["timeout_min=90", "slurm_partition=gpu", "slurm_comment=--5"])
    assert options.parameters == {"timeout_min": 90, "slurm_partition": "gpu", "slurm_comment": "--5"}


def test_an_option_that_submitit_does_not_know_is_refused(people: Path, tmp_path: Path, tiny_protocol: str):
    with pytest.raises(AvatarBenchError, match="E504: submitit does not take a cluster option"):
        run(SLIDING, people, tmp_path / "run", ClusterOptions("debug", 2, {"colour": "red"}), tiny_protocol)


def test_a_machine_without_slurm_or_submitit_says_so(
    people: Path, tmp_path: Path, tiny_protocol: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AvatarBenchError, match="E603: this machine has no Slurm"):
        run(SLIDING, people, tmp_path / "run", ClusterOptions("slurm", 2, {}), tiny_protocol)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(AvatarBenchError, match=r"(?s)E603: running in shards.*avatarbench\[cluster\]"):
        run(SLIDING, people, tmp_path / "run", ClusterOptions("local", 2, {}), tiny_protocol)


def test_the_device_of_other_machines_is_not_looked_for_here_but_must_be_named(people: Path, tmp_path: Path):
    options = RunOptions((SLIDING,), dataset=people, out=tmp_path / "run", device="cuda")
    assert propose_run(options, elsewhere=True).plan.device == "cuda"
    with pytest.raises(AvatarBenchError, match="E504: the jobs of a cluster need to be told their device"):
        propose_run(replace(options, device="auto"), elsewhere=True)


def test_the_command_line_takes_shards(people: Path, tmp_path: Path, tiny_protocol: str):
    options = ["-m", "frozen", "--no-controls", "--protocol", tiny_protocol, "--dataset", str(people)]
    options += ["--device", "cpu"]
    assert main(["run", *options, "--out", str(tmp_path / "a"), "--cluster", "debug", "--shards", "3"]) == 0
    assert main(["run", *options, "--out", str(tmp_path / "b")]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_real_slurm_runs_the_shards_and_starts_a_killed_one_again(
    people: Path, tmp_path: Path, first_death: Path, monkeypatch: pytest.MonkeyPatch
):
    missing = missing_programs()
    if missing:
        pytest.skip(f"no Slurm here (missing: {', '.join(missing)}); Debian: apt-get install slurm-wlm munge")
    spec = mortal_spec("DiesOnce")
    with one_node_slurm(tmp_path / "slurm") as environment:
        for name in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(name, environment[name])
        nowhere = ClusterOptions("slurm", 2, {"slurm_partition": "nowhere"})
        with pytest.raises(AvatarBenchError, match=r"(?s)E605: the cluster did not take the jobs.*partition"):
            run(spec, people, tmp_path / "sharded", nowhere)
        done, said = run(spec, people, tmp_path / "sharded", ClusterOptions("slurm", 2, {}, poll_s=0.5))
        queue = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout
    assert queue == ""
    assert first_death.exists()
    assert done.failed == 0
    assert [line for line in said if "died (killed) and is started again" in line]
    run(spec, people, tmp_path / "whole")
    assert contents(tmp_path / "sharded") == contents(tmp_path / "whole")
    assert hidden(tmp_path / "sharded") == []
