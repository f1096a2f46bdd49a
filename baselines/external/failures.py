"""What went wrong when a tool failed: exit codes are not trusted, its log and its files are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from baselines.external.declaration import Rule, Stage, Tool
from baselines.external.launcher import Ended, last_lines, read_log
from baselines.external.settings import ToolSettings
from media.errors import AvatarBenchError

__all__ = ["COMMON", "explain"]

COMMON = (
    Rule(
        r"OutOfMemoryError|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        "E713",
        "ran out of GPU memory",
        "free the GPU, choose another one (gpus), or the tool's own options for less memory.",
    ),
    Rule(
        r"no kernel image is available",
        "E716",
        "was built for another generation of GPUs",
        "install a torch that has kernels for this GPU into the tool's environment.",
    ),
    Rule(
        r"ModuleNotFoundError: No module named|ImportError: cannot import name",
        "E706",
        "lacks a package in its environment",
        "install what the tool's README lists into its environment.",
    ),
    Rule(
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|outgoing traffic has been disabled",
        "E704",
        "wanted to download something",
        "fetch what its log names by hand: nothing is downloaded while methods run.",
    ),
)
"""Failures that every tool shares."""


def explain(
    stage: Stage,
    tool: Tool,
    ended: Ended,
    found: Mapping[str, Path | None],
    logs: Path,
    settings: ToolSettings,
) -> None:
    """Raise what went wrong, if something did.

    Raises:
        AvatarBenchError: E712 for the time limit, the code of the first rule that fits the log, E711 for an exit
            code, E714 for a missing output.
    """
    missing = [name for name, path in found.items() if path is None]
    if not ended.timed_out and not missing and (ended.code == 0 or stage.crash_after_output):
        return
    told = f"{ended}; its last lines:\n    {last_lines(logs)}"
    name = f"the stage '{stage.id}' of '{tool.id}'"
    if ended.timed_out:
        raise AvatarBenchError(
            "E712",
            f"{name} did not end in time",
            where=logs,
            got=told,
            fix=f"if it was only slow: time_factor = {2 * settings.time_factor:g} in [tools.{tool.id}].",
        )
    log = read_log(logs)
    for rule in (*tool.faults, *COMMON):
        if re.search(rule.pattern, log):
            raise AvatarBenchError(rule.code, f"{name} {rule.meaning}", where=logs, got=told, fix=rule.fix)
    if ended.code != 0:
        raise AvatarBenchError(
            "E711",
            f"{name} ended with an error",
            where=logs,
            got=told,
            fix="command.json there has the command.",
        )
    patterns = [output.pattern for output in stage.outputs if output.name in missing]
    raise AvatarBenchError(
        "E714",
        f"{name} ended without an error and without its output",
        where=logs,
        expected=", ".join(patterns) or "an output",
        got=told,
        fix="command.json there has the command; try it by hand.",
    )
