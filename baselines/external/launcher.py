"""Starts a program in a process group of its own, with a time limit and its output in files.

Nobody survives: not a grandchild after the program has ended or timed out, and not what a benchmark that was killed
itself left running, which the next start ends (`end_orphans`). A group is not enough for that, because torchrun gives
each worker a session of its own; so every process that inherits the launch's mark in its environment is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.results import write_json
from media.errors import AvatarBenchError

__all__ = ["LOG", "Ended", "end_orphans", "last_lines", "launch", "read_log"]

LOG = ("stdout.log", "stderr.log")
GRACE_S = 20.0
"""Between the polite signal and the final one."""
_END_S = 10.0  # a process that waits for a driver dies when it returns, not when it is told to
_MARK = "AVATARBENCH_LAUNCH"
_POLL_S = 0.05
_TAIL_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    """Exit code; negative is the signal that killed it."""
    timed_out: bool
    seconds: float

    def __str__(self) -> str:
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        return f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"


def launch(
    command: Sequence[str],
    *,
    cwd: Path,
    variables: Mapping[str, str],
    logs: Path,
    limit_s: float,
    note: Path,
    container: str | None = None,
) -> Ended:
    """Run a program to its end or to its limit.

    Args:
        command: Argument list.
        cwd: Working folder.
        variables: All of its environment.
        logs: Folder of `stdout.log` and `stderr.log`.
        limit_s: Seconds after which the whole group is ended.
        note: File that has the launch's mark while it runs, for `end_orphans`.
        container: Name of the docker container that the program is, which no signal to the group reaches.

    Raises:
        AvatarBenchError: E706 when it cannot be started.
    """
    begin, mark = time.monotonic(), secrets.token_hex(8)
    write_json(note, {"mark": mark, "container": container})
    with open(logs / LOG[0], "wb") as out, open(logs / LOG[1], "wb") as err:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env={**variables, _MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise AvatarBenchError(
                "E706",
                "the tool cannot be started",
                where=command[0],
                got=str(error),
                fix="check its environment.",
            ) from error
        try:
            timed_out = not _wait(process, begin + limit_s)
            if timed_out:
                _end_container(container)
                _signal(process.pid, signal.SIGTERM)
                _wait(process, time.monotonic() + GRACE_S)
        except BaseException:
            _end_container(container)
            raise
        finally:
            _end_marked(mark)
            code = process.wait()
            note.unlink(missing_ok=True)
    return Ended(code, timed_out, time.monotonic() - begin)


def end_orphans(note: Path) -> bool:
    """End what a killed benchmark left running; only for the holder of the lock that guards `note`.

    Returns:
        Whether there was something.
    """
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        mark, container = str(found["mark"]), found["container"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    alive = _end_marked(mark)
    _end_container(container)
    note.unlink(missing_ok=True)
    return alive


def read_log(logs: Path) -> str:
    """The ends of both logs, standard output first."""
    return "\n".join(text for text in (_tail(logs / name) for name in LOG) if text)


def last_lines(logs: Path, n_lines: int = 8) -> str:
    """The last lines that are not empty: of standard error, or of the output where that is silent."""
    for name in reversed(LOG):
        lines = [line.rstrip() for line in _tail(logs / name).splitlines() if line.strip()]
        if lines:
            return "\n    ".join(lines[-n_lines:])
    return "nothing was printed"


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return text.replace("\r", "\n")  # progress bars overwrite their line


def _wait(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for the program itself; False at the deadline."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_container(name: str | None) -> None:
    if name is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["docker", "kill", name], capture_output=True, check=False, timeout=60)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end_marked(mark: str) -> bool:
    """End all processes of a launch, again and again while they start new ones; returns whether there were any."""
    found = False
    deadline = time.monotonic() + _END_S
    while (pids := _marked(mark)) and time.monotonic() < deadline:
        found = True
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)
    return found


def _marked(mark: str) -> list[int]:
    """The living processes that inherited a launch's mark; the environment of a dead one reads as empty."""
    wanted, found = f"{_MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
