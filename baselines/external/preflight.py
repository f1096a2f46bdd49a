"""What a tool lacks before it can run, with the next step; looks at files and programs, never at the GPU."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from baselines.external.declaration import ExternalMethod, Tool
from baselines.external.environments import SYSTEM_PATH, program
from baselines.external.settings import ToolSettings, parameters_of, settings_file, settings_of
from baselines.external.state import commit_of
from benchmark.cache import ENVIRONMENT_VARIABLE, cache_folder
from benchmark.doctor import Check
from benchmark.hashing import sha256_file
from media.errors import AvatarBenchError

__all__ = ["PLAIN_PATH", "check_method", "checks_of", "problems_of"]

PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
"""Paths that survive the tools' own shell strings, OmegaConf lists and `@@` lines."""


def check_method(method: ExternalMethod) -> None:
    """Refuse to start a method with something missing.

    Raises:
        AvatarBenchError: the first of `problems_of`.
    """
    for problem in problems_of(method):
        raise problem


def checks_of(method: ExternalMethod) -> Iterator[Check]:
    """The same for people: what each tool is, and a line for each thing that is missing."""
    yield Check("state", True, method.status)
    if method.reported:
        values = ", ".join(f"{column} {value:g}" for column, value in method.reported)
        yield Check("paper's table 2", True, f"{values} (other data, not comparable)")
    for tool in method.tools:
        needs = tool.requirement
        packages = ", ".join(needs.packages)
        yield Check(tool.id, True, f"github.com/{tool.repository} at {tool.commit}; {tool.paper}")
        yield Check("needs", True, f"Python {needs.python}, {packages}; GPU memory: {needs.memory_gb}")
        licence = f"{tool.licence.code}; weights: {tool.licence.weights}. {tool.licence.notice}"
        yield Check("licence", True, licence.strip())
    for problem in problems_of(method, hash_weights=True):
        found = "; ".join(text for text in (problem.where, problem.got) if text)
        yield Check(problem.code, False, f"{problem.what} ({found})", problem.fix or problem.expected or "")


def problems_of(method: ExternalMethod, *, hash_weights: bool = False) -> Iterator[AvatarBenchError]:
    """All that is missing, in the order in which it is best mended.

    Args:
        method: The method.
        hash_weights: Hash the weights whose SHA-256 is known; takes minutes.
    """
    try:
        parameters_of(method)
    except AvatarBenchError as error:
        yield error
    cache = cache_folder().expanduser().absolute()
    if not PLAIN_PATH.fullmatch(str(cache)):
        yield _path_error(cache, f"set {ENVIRONMENT_VARIABLE} to a folder without such characters.")
    for tool in method.tools:
        try:
            settings = settings_of(tool)
        except AvatarBenchError as error:
            yield error
            continue
        if not settings.checkout.is_dir():
            yield _checkout_error(tool, settings, "the checkout is not there", got="no such folder")
            continue
        if not PLAIN_PATH.fullmatch(str(settings.checkout)):
            yield _path_error(settings.checkout, "move the checkout, or make a link to it.")
        yield from _checkout_problems(tool, settings)
        yield from _weight_problems(tool, settings, hash_weights)
        yield from _environment_problems(method, tool, settings)
        if tool.licence.notice and not settings.licence_accepted:
            yield AvatarBenchError(
                "E705",
                f"the licence notice of '{tool.id}' has not been accepted",
                where=settings_file(),
                expected=f"licence_accepted = true in [tools.{tool.id}]",
                got=tool.licence.notice,
                fix="read the licence, and add that line if you accept it.",
            )


def _checkout_problems(tool: Tool, settings: ToolSettings) -> Iterator[AvatarBenchError]:
    missing = [name for name in tool.files if not (settings.checkout / name).is_file()]
    if missing:
        got = f"missing: {', '.join(missing)}"
        yield _checkout_error(tool, settings, f"the checkout is not one of '{tool.id}'", got=got)
        return
    found = commit_of(settings.checkout)
    if settings.allow_changes:
        return
    if found.commit != tool.commit:
        got = f"commit {found.commit or 'unknown: no clone, or no git'}"
        yield _checkout_error(tool, settings, "the checkout stands at another commit", got=got)
    elif found.changes is not None:
        got = "tracked files that differ from it: see git status"
        yield _checkout_error(tool, settings, "the checkout was changed", got=got)


def _checkout_error(tool: Tool, settings: ToolSettings, what: str, *, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E703",
        what,
        where=settings.checkout,
        expected=f"github.com/{tool.repository} at {tool.commit}",
        got=got,
        fix=f"git -C {settings.checkout} checkout {tool.commit}; or, knowing that the result is of another version, "
        f"allow_changes = true in [tools.{tool.id}].",
    )


def _weight_problems(tool: Tool, settings: ToolSettings, hash_weights: bool) -> Iterator[AvatarBenchError]:
    for weight in tool.weights:
        found = sorted(settings.checkout.glob(weight.path))
        damaged = None
        if found and hash_weights and weight.sha256 is not None and found[0].is_file():
            actual = sha256_file(found[0])
            damaged = None if actual == weight.sha256 else f"sha256 {actual}"
        if found and damaged is None:
            continue
        yield AvatarBenchError(
            "E704",
            f"weights of '{tool.id}' are {'missing' if not found else 'not the published ones'}",
            where=settings.checkout / weight.path,
            expected=f"sha256 {weight.sha256}" if weight.sha256 else "a file or folder there",
            got=damaged,
            fix=f"fetch them from {weight.source} (nothing is downloaded for you).",
        )


def _environment_problems(
    method: ExternalMethod, tool: Tool, settings: ToolSettings
) -> Iterator[AvatarBenchError]:
    environment, where = settings.environment, f"[tools.{tool.id}]"
    names = {stage.command[0] for stage in method.stages if stage.tool == tool and stage.command}
    for name in sorted(names):
        try:
            program(environment, name, where)
        except AvatarBenchError as error:
            yield error
    wanted = ("docker",) if environment.kind == "docker" else tool.programs
    for name in wanted:
        if not _has_program(name, settings):
            yield AvatarBenchError(
                "E706",
                f"'{tool.id}' starts the program {name}, which is not there",
                where=where,
                expected=name,
                fix="install it where the tool looks for it.",
            )


def _has_program(name: str, settings: ToolSettings) -> bool:
    """Whether the tool will find a program: by its absolute path, or by the PATH that it is given."""
    prefix = settings.environment.prefix
    folders = [] if prefix is None else [str(prefix.expanduser() / "bin")]
    return shutil.which(name, path=":".join([*folders, SYSTEM_PATH])) is not None


def _path_error(path: Path, fix: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E707",
        "the path has characters that the tools cannot take",
        where=path,
        expected="letters, digits and _ . / + -",
        fix=fix,
    )
