"""A tool of one script, and the Python steps of its stages."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from baselines.external.declaration import (
    ExternalMethod,
    Job,
    Licence,
    Output,
    Requirement,
    Stage,
    Tool,
    Video,
)

written: list[str] = []
"""The jobs that `write` was called for."""

TOOL = Tool(
    id="tiny",
    title="A tool for tests",
    repository="nobody/tiny",
    commit="",
    paper="",
    licence=Licence("MIT", "MIT"),
    requirement=Requirement("3.11", (), "none"),
    files=("tool.py",),
)
STAGE = Stage(
    id="work",
    scope="sample",
    parameters=("strength",),
    write="tiny_tool:write",
    tool=TOOL,
    command=("python", "tool.py", "{inputs}/words.txt", "{inputs}/result.txt", "{strength}"),
    outputs=(Output("result.txt", "{inputs}/result.txt"),),
)


def write(job: Job) -> Mapping[str, str]:
    written.append(job.run)
    (job.folder / "words.txt").write_text(job.clip.transcript or "")
    return {}


def read(job: Job) -> Video:
    raise AssertionError("no test of stages reads a video")


def clone(folder: Path, files: Mapping[str, str]) -> str:
    """Make a repository with one commit; returns its hash."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return commit(folder)


def commit(folder: Path) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)
    found = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True)
    return found.stdout.decode().strip()


def tiny_method(head: str, **changes: object) -> ExternalMethod:
    """The method of one stage, for a checkout at the commit `head`; `changes` are the stage's."""
    stage = replace(STAGE, tool=replace(TOOL, commit=head), **changes)
    return ExternalMethod(
        "tiny", "1", "A method for tests", (stage,), "tiny_tool:read", (), parameters=(("strength", 3),)
    )
