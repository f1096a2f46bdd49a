"""A process that has everything imported and forks a child for each run, so that many runs can be killed quickly.

    python forking.py DATASET PROTOCOLS

reads one JSON object a line, {"out", "cache", "kill_after_s", "kill_at", "shards"}, and answers with one, {"killed",
"failed", "seconds", "operations"}. `kill_after_s` kills the child with SIGKILL after that time; `kill_at` lets it kill
itself just before its n-th operation on a file; `shards` is null or the number of jobs, which run in the child itself.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from tiny_methods import tiny_spec

import benchmark.protocol
import benchmark.timings
from benchmark.cluster import ClusterOptions
from benchmark.plan import RunOptions
from benchmark.stages import Work, run_stages

SPECS = (tiny_spec("sliding", "NeedsPrepared", preparation=True), tiny_spec("still", "Sliding"))
LATE_IMPORTS = (
    "pandas",
    "PIL.PngImagePlugin",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.special",
    "submitit",
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def run_once(dataset: Path, out: Path, cache: Path, shards: int | None) -> None:
    os.environ["AVATARBENCH_CACHE"] = str(cache)
    options = RunOptions(SPECS, "tiny-v1", dataset, out, "cpu")
    cluster = None if shards is None else ClusterOptions("debug", shards, {})
    done = run_stages(options, Work(cluster=cluster), lambda what, done, total: None)
    assert (done.failed, done.unfinished) == (0, 0)


def count_operations(kill_at: int | None, report: int) -> None:
    """Count what changes files from now on, and tell the number through the pipe `report` when asked to."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        flags = arguments[2] if event == "open" else 0
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir") or (
            isinstance(flags, int) and flags & WRITES
        ):
            count += 1
            os.pwrite(report, str(count).encode(), 0)
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def serve(dataset: Path) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        report = os.memfd_create("operations")
        begin = time.perf_counter()
        child = os.fork()
        if child == 0:
            count_operations(request["kill_at"], report)
            run_once(dataset, Path(request["out"]), Path(request["cache"]), request["shards"])
            os._exit(0)
        if request["kill_after_s"] is not None:
            time.sleep(request["kill_after_s"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        answer = {
            "killed": killed,
            "failed": not killed and status != 0,
            "seconds": time.perf_counter() - begin,
            "operations": int(os.pread(report, 20, 0) or b"0"),
        }
        os.close(report)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    for name in LATE_IMPORTS:  # once here, and not in every child
        importlib.import_module(name)
    benchmark.protocol._FOLDER = Path(sys.argv[2])
    benchmark.timings.describe_environment = lambda: {"machine": "this one"}  # the real one imports torch
    serve(Path(sys.argv[1]))
