"""Starts a program in a process group of its own, with a time limit and its output in files.

Nobody survives: not a grandchild after the program has ended or timed out, and not the group of a benchmark that was
killed itself, which the next start ends (`end_orphans`).
"""

from __future__ import annotations

import contextlib
import json
import os
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
        note: File that names the group while it runs, for `end_orphans`.
        container: Name of the docker container that the program is, which no signal to the group reaches.

    Raises:
        AvatarBenchError: E706 when it cannot be started.
    """
    begin = time.monotonic()
    with open(logs / LOG[0], "wb") as out, open(logs / LOG[1], "wb") as err:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(variables),
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
            write_json(note, {"group": process.pid, "born": _born(process.pid), "container": container})
            timed_out = not _wait(process, begin + limit_s)
            if timed_out:
                _end_container(container)
                _signal(process.pid, signal.SIGTERM)
                _wait(process, time.monotonic() + GRACE_S)
        except BaseException:
            _end_container(container)
            raise
        finally:
            _signal(process.pid, signal.SIGKILL)  # the group: children that outlived the program, too
            code = process.wait()
            note.unlink(missing_ok=True)
    return Ended(code, timed_out, time.monotonic() - begin)


def end_orphans(note: Path) -> bool:
    """End the group that a killed benchmark left behind; only for the holder of the lock that guards `note`.

    Returns:
        Whether there was one.
    """
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        group, born, container = int(found["group"]), found["born"], found["container"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    alive = born is not None and _born(group) == born  # else the number belongs to somebody else by now
    if alive:
        _signal(group, signal.SIGKILL)
        while _born(group) == born and _state(group) != "Z":
            time.sleep(_POLL_S)
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


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on; None without such a process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _born(pid: int) -> str | None:
    """When a process was started, in ticks since the machine was: with its number a name that is not used twice."""
    fields = _stat(pid)
    return None if fields is None else fields[19]


def _state(pid: int) -> str | None:
    fields = _stat(pid)
    return None if fields is None else fields[0]
