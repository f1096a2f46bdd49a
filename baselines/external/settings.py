"""What a user says about their own checkouts and environments, in one TOML file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from baselines.external.declaration import ExternalMethod, Tool, Value
from media.errors import AvatarBenchError

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "Environment",
    "MethodSettings",
    "Settings",
    "ToolSettings",
    "load_settings",
    "parameters_of",
    "settings_file",
    "settings_of",
]

ENVIRONMENT_VARIABLE = "AVATARBENCH_TOOLS"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Environment(_Strict):
    """Where a tool's programs run."""

    kind: Literal["conda", "venv", "docker", "current"]
    """`conda` and `venv` differ in nothing but the name of the variable that they set."""
    prefix: Path | None = None
    """Folder of the conda environment or virtual environment, with `bin/` in it."""
    image: str | None = None
    """Of docker, best with its digest (`name@sha256:...`)."""
    mounts: tuple[str, ...] = ()
    """Further folders that docker shows the tool, as `HOST` or `HOST:CONTAINER`, read only."""


class ToolSettings(_Strict):
    """One tool on this machine."""

    checkout: Path
    """The user's own clone, weights in place."""
    environment: Environment
    gpus: tuple[int, ...] = (0,)
    """Which GPUs it may see, in the order of `nvidia-smi`; `--device cuda:N` takes precedence."""
    licence_accepted: bool = False
    """The notice of `bench doctor --method ID` was read and accepted."""
    allow_changes: bool = False
    """Run another commit than the one that the adapter was written against, or changed files."""
    time_factor: Annotated[float, Field(gt=0)] = 1.0
    """On the adapter's time limits, for slow machines."""
    variables: dict[str, str] = {}
    """Further environment variables, such as `LD_LIBRARY_PATH`."""


class MethodSettings(_Strict):
    """One row."""

    parameters: dict[str, Value] = {}
    """Instead of the declared defaults."""


class Settings(_Strict):
    """The file."""

    tools: dict[str, ToolSettings] = {}
    methods: dict[str, MethodSettings] = {}


def settings_file() -> Path:
    """Where `AVATARBENCH_TOOLS` points, or `tools.toml` in the platform's configuration folder."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_config_dir("avatarbench")) / "tools.toml"


def load_settings() -> Settings:
    """Read the settings; empty ones where there is no file.

    Raises:
        AvatarBenchError: E702 when the file is not right.
    """
    path = settings_file()
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        got = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except (OSError, ValueError) as error:  # unreadable, no UTF-8, no TOML
        got = str(error).splitlines()[0]
    raise AvatarBenchError(
        "E702",
        "the settings of the external tools are not right",
        where=path,
        got=got,
        fix="docs/baselines.md shows a file with every key.",
    )


def settings_of(tool: Tool) -> ToolSettings:
    """What the user says about one tool, paths absolute.

    Raises:
        AvatarBenchError: E701 when nothing is said; E702 when the file is not right.
    """
    found = load_settings().tools.get(tool.id)
    if found is None:
        raise AvatarBenchError(
            "E701",
            f"the tool '{tool.id}' is not set up",
            where=settings_file(),
            expected=f"a section [tools.{tool.id}]",
            fix=f"clone github.com/{tool.repository} at {tool.commit[:12]}, set it up as its README says, then add:\n"
            f"    [tools.{tool.id}]\n"
            f'    checkout = "/path/to/{tool.repository.split("/")[1]}"\n'
            f'    environment = {{ kind = "conda", prefix = "/path/to/envs/{tool.id}" }}',
        )
    return found.model_copy(update={"checkout": found.checkout.expanduser().absolute()})


def parameters_of(method: ExternalMethod) -> dict[str, Value]:
    """The method's parameters: declared defaults, and what the settings say instead.

    Raises:
        AvatarBenchError: E702 for a name or a kind of value that the method does not have.
    """
    found = dict(method.parameters)
    chosen = load_settings().methods.get(method.id, MethodSettings()).parameters
    for name, value in chosen.items():
        default = found.get(name)
        fits = type(value) is type(default) or (isinstance(default, float) and type(value) is int)
        if default is None or not fits:
            raise AvatarBenchError(
                "E702",
                f"the method '{method.id}' has no parameter '{name}' of this kind",
                where=settings_file(),
                expected=", ".join(f"{key} = {default!r}" for key, default in method.parameters) or "none",
                got=f"{name} = {value!r}",
            )
        found[name] = type(default)(value)
    return found
