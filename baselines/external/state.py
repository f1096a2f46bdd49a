"""What outside of our packages decides a tool's output: its commit, what was changed in it, weights, environment.

Plain data without paths of this machine: two machines with equal content have equal keys.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from pathlib import Path

from baselines.external.declaration import ExternalMethod, Tool, Value
from baselines.external.settings import Environment, ToolSettings, parameters_of, settings_of

__all__ = ["Commit", "commit_of", "digest", "method_state", "parameter_state", "tool_state"]

_ENDS = 1 << 20


@dataclass(frozen=True, slots=True)
class Commit:
    """Where a clone stands."""

    commit: str | None
    """None where it is no clone, or git is not there."""
    changes: str | None
    """SHA-256 of what differs in tracked files; None where nothing does."""


def commit_of(checkout: Path) -> Commit:
    """The commit of a clone, and whether its tracked files differ from it."""
    commit = _git(checkout, "rev-parse", "HEAD")
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if commit is None or top is None or Path(top.decode().strip()).resolve() != checkout.resolve():
        return Commit(None, None)
    difference = _git(checkout, "diff", "HEAD", "--binary", "--no-ext-diff") or b""
    return Commit(commit.decode().strip(), hashlib.sha256(difference).hexdigest() if difference else None)


def _git(checkout: Path, *arguments: str) -> bytes | None:
    command = ["git", "-c", "safe.directory=*", "-C", str(checkout), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def digest(path: Path) -> str:
    """A quick SHA-256 over a file or folder: names, sizes, and the first and last megabyte of each file.

    Weights have tens of gigabytes and would take minutes at each start to be hashed whole; `bench doctor` does that
    for files with a known hash.
    """
    found = hashlib.sha256()
    for file in _files(path):
        size = file.stat().st_size
        found.update(f"{file.relative_to(path)}\0{size}\0".encode())
        with open(file, "rb") as stream:
            found.update(stream.read(_ENDS))
            if size > _ENDS:
                stream.seek(max(_ENDS, size - _ENDS))
                found.update(stream.read())
    return found.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path, followlinks=True):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names) if (Path(folder) / name).is_file())


def tool_state(tool: Tool, settings: ToolSettings) -> dict[str, object]:
    """What of a tool decides its output."""
    weights = {
        weight.path: sorted(digest(path) for path in settings.checkout.glob(weight.path))
        for weight in tool.weights
    }
    return {
        "tool": asdict(tool) | {"faults": None},
        "commit": asdict(commit_of(settings.checkout)),
        "weights": weights,
        "environment": _environment_state(settings.environment),
        "variables": settings.variables,
    }


def _environment_state(environment: Environment) -> list[str]:
    """Kind and installed packages, by the names of their metadata folders; a docker image by its name."""
    if environment.kind == "docker":
        return ["docker", environment.image or ""]
    if environment.kind == "current":
        return ["current", *sorted(f"{dist.metadata['Name']}-{dist.version}" for dist in distributions())]
    prefix = (environment.prefix or Path()).expanduser()
    names = {path.name for path in prefix.glob("lib/python*/site-packages/*.dist-info")}
    return [environment.kind, *sorted(names)]


def method_state(method: ExternalMethod) -> dict[str, object]:
    """What outside of our packages decides a method's output; part of its fingerprint.

    Raises:
        AvatarBenchError: E701, E702.
    """
    tools = {tool.id: tool_state(tool, settings_of(tool)) for tool in method.tools}
    # As JSON would have it: tuples are lists, so that the hash of the plan is the hash of what is read back.
    return json.loads(json.dumps({"tools": tools, "parameters": parameter_state(parameters_of(method))}))


def parameter_state(parameters: Mapping[str, Value]) -> dict[str, object]:
    """Parameters as they enter keys: one that names a file or folder is what stands there."""
    return {
        name: ["content", digest(Path(value))]
        if isinstance(value, str) and value.startswith("/") and Path(value).exists()
        else value
        for name, value in parameters.items()
    }
