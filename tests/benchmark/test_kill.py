"""Runs that are killed with SIGKILL and started again: nothing is lost, nothing differs, nothing is left behind."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moving_clips import write_clip
from tiny_runs import TINY_PROTOCOL, contents

N_KILLS = 20


@dataclass
class Outcome:
    killed: bool
    failed: bool
    seconds: float
    operations: int


class Server:
    """Runs in children that are forked from one process; see forking.py."""

    def __init__(self, dataset: Path, protocols: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("forking.py")), str(dataset), str(protocols)]
        paths = [str(Path(__file__).parent), *sys.path]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(
        self,
        home: Path,
        kill_after_s: float | None = None,
        kill_at: int | None = None,
        shards: int | None = None,
    ) -> Outcome:
        assert self.process.stdin and self.process.stdout
        request = {"out": str(home / "run"), "cache": str(home / "cache")}
        request |= {"kill_after_s": kill_after_s, "kill_at": kill_at, "shards": shards}
        (home / "cache").mkdir(parents=True, exist_ok=True)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        outcome = Outcome(**json.loads(self.process.stdout.readline()))
        assert not outcome.failed
        return outcome


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    dataset = tmp_path_factory.mktemp("dataset")
    for seed, person in enumerate(("ada", "ben", "eve")):
        write_clip(dataset / person / "one.mp4", seed)
    protocols = tmp_path_factory.mktemp("protocols")
    (protocols / "tiny-v1.yaml").write_text(TINY_PROTOCOL)
    server = Server(dataset, protocols)
    yield server
    server.process.terminate()
    server.process.wait()


@dataclass
class Undisturbed:
    home: Path
    seconds: float
    operations: int


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    homes = [tmp_path_factory.mktemp("undisturbed") for _ in range(2)]
    server.run(homes[0])  # the first child pays for what only runs once
    outcome = server.run(homes[1])
    assert not outcome.killed
    return Undisturbed(homes[1], outcome.seconds, outcome.operations)


def listing(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def assert_same(home: Path, undisturbed: Undisturbed) -> None:
    assert contents(home / "run") == contents(undisturbed.home / "run")
    assert listing(home) == listing(undisturbed.home)
    timings = [json.loads((at / "run/timings.json").read_text()) for at in (home, undisturbed.home)]
    assert timings[0].keys() == timings[1].keys()


def test_a_run_killed_at_20_random_moments_and_resumed_ends_with_the_same_bytes(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    rng = random.Random(20)
    kills = rounds = 0
    while kills < N_KILLS:
        home = tmp_path / str(rounds)
        rounds += 1
        while kills < N_KILLS and server.run(home, kill_after_s=rng.uniform(0, undisturbed.seconds)).killed:
            kills += 1
        server.run(home)
        assert_same(home, undisturbed)


@pytest.mark.parametrize("shards", [1, 4, 32])
def test_a_run_in_shards_killed_at_random_moments_ends_with_the_bytes_of_a_run_without(
    server: Server, undisturbed: Undisturbed, tmp_path: Path, shards: int
):
    rng = random.Random(shards)
    seconds = server.run(tmp_path / "whole", shards=shards).seconds
    kills = rounds = 0
    while kills < N_KILLS // 3:
        home = tmp_path / str(rounds)
        rounds += 1
        while (
            kills < N_KILLS // 3
            and server.run(home, kill_after_s=rng.uniform(0, seconds), shards=shards).killed
        ):
            kills += 1
        server.run(home, shards=shards)
        for name in ("samples.parquet", "result.json"):
            assert (home / "run" / name).read_bytes() == (undisturbed.home / "run" / name).read_bytes()
        assert listing(home / "run/predictions") == listing(undisturbed.home / "run/predictions")
        assert listing(home / "cache") == listing(undisturbed.home / "cache")
        assert not [path for path in listing(home) if ".part-" in path]


def test_a_run_killed_just_before_any_change_of_a_file_ends_with_the_same_bytes(
    server: Server, undisturbed: Undisturbed, tmp_path: Path
):
    moments = random.Random(3).sample(range(1, undisturbed.operations + 1), N_KILLS)
    for moment in moments:
        home = tmp_path / str(moment)
        assert server.run(home, kill_at=moment).killed
        server.run(home)
        assert_same(home, undisturbed)
