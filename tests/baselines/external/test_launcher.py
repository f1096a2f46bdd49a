"""Programs that end, fail, hang and leave children behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from baselines.external import launcher
from baselines.external.launcher import end_orphans, last_lines, launch
from media.errors import AvatarBenchError

HANGS = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"])
open(sys.argv[1], "w").write(str(child.pid))
print("half way", flush=True)
time.sleep(300)
"""


def run(tmp_path: Path, code: str, *arguments: str, limit_s: float = 60) -> launcher.Ended:
    return launch(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        variables={"PATH": os.environ["PATH"], "SAID": "hello"},
        logs=tmp_path,
        limit_s=limit_s,
        note=tmp_path / "note.json",
    )


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(path: Path) -> str:
    while not (path.is_file() and path.read_text()):
        time.sleep(0.02)
    return path.read_text()


def test_output_goes_to_files_and_the_exit_code_is_told(tmp_path: Path):
    ended = run(tmp_path, "import sys; print('out'); sys.stderr.write('one\\ntwo\\n'); sys.exit(7)")
    assert (ended.code, ended.timed_out, str(ended)) == (7, False, "exit code 7")
    assert (tmp_path / "stdout.log").read_text() == "out\n"
    assert last_lines(tmp_path, 1) == "two"
    assert not (tmp_path / "note.json").exists()


def test_the_program_sees_the_given_variables_and_no_terminal(tmp_path: Path):
    run(tmp_path, "import os, sys; print(sorted(os.environ)); print(repr(sys.stdin.read()))")
    shown = (tmp_path / "stdout.log").read_text()
    assert "SAID" in shown and "AVATARBENCH_CACHE" not in shown
    assert shown.endswith("''\n")


def test_at_the_limit_the_whole_group_ends_although_it_ignores_the_polite_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(launcher, "GRACE_S", 0.3)
    ended = run(tmp_path, HANGS, str(tmp_path / "child"), limit_s=1.5)
    assert ended.timed_out and ended.code == -signal.SIGKILL
    assert not is_alive(int((tmp_path / "child").read_text()))
    assert last_lines(tmp_path) == "half way"


def test_a_child_that_outlives_its_program_is_ended(tmp_path: Path):
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']).pid)"
    assert run(tmp_path, code).code == 0
    time.sleep(0.1)
    assert not is_alive(int((tmp_path / "stdout.log").read_text()))


def test_what_a_killed_benchmark_leaves_running_is_ended_by_the_next(tmp_path: Path):
    (tmp_path / "hangs.py").write_text(HANGS)
    outer = (
        "import os, sys\nfrom pathlib import Path\nfrom baselines.external.launcher import launch\n"
        f"here = Path({str(tmp_path)!r})\n"
        "launch([sys.executable, here / 'hangs.py', here / 'child'], cwd=here, variables=os.environ,"
        " logs=here, limit_s=300, note=here / 'note.json')"
    )
    benchmark = subprocess.Popen([sys.executable, "-c", outer], cwd=Path(__file__).parents[3])
    child = int(wait_for(tmp_path / "child"))
    benchmark.kill()
    benchmark.wait()
    assert is_alive(child)
    assert end_orphans(tmp_path / "note.json")
    time.sleep(0.1)
    assert not is_alive(child)
    assert not end_orphans(tmp_path / "note.json")


def test_a_child_in_a_session_of_its_own_is_ended_too(tmp_path: Path):
    """As torchrun starts its workers."""
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'],"
        " start_new_session=True).pid)"
    )
    assert run(tmp_path, code).code == 0
    assert not is_alive(int((tmp_path / "stdout.log").read_text()))


def test_a_process_of_somebody_else_is_left_alone(tmp_path: Path):
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True
    )
    (tmp_path / "note.json").write_text(json.dumps({"mark": "0123456789abcdef", "container": None}))
    assert not end_orphans(tmp_path / "note.json")
    assert is_alive(bystander.pid)
    bystander.kill()
    bystander.wait()


def test_a_program_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(AvatarBenchError, match="E706"):
        launch(["/none"], cwd=tmp_path, variables={}, logs=tmp_path, limit_s=1, note=tmp_path / "note.json")
