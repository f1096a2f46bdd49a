"""From a tool's settings to an argument list and a clean set of environment variables. No shell, no activation."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from baselines.external.declaration import Stage, Tool
from baselines.external.settings import Environment, ToolSettings
from media.errors import AvatarBenchError

__all__ = ["SYSTEM_PATH", "container_name", "full_command", "gpus_for", "program", "variables_for"]

_KEPT = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DIFFUSERS_OFFLINE": "1",
    "PIP_NO_INDEX": "1",  # LHM installs packages while it is imported
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",  # else a killed tool takes its last lines with it
}
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def program(environment: Environment, name: str, where: str) -> str:
    """The program `name` of an environment.

    Raises:
        AvatarBenchError: E706 when the environment or the program is not there.
    """
    if environment.kind == "docker":
        if not environment.image:
            raise AvatarBenchError(
                "E706", "docker needs an image", where=where, expected="image = 'name@sha256:...'"
            )
        return name
    if environment.kind == "current":
        folder = Path(sys.executable).parent
        return sys.executable if name == "python" else _existing(folder / name, where)
    if environment.prefix is None:
        raise AvatarBenchError(
            "E706",
            f"the {environment.kind} environment has no prefix",
            where=where,
            expected="prefix = '/path'",
        )
    return _existing(environment.prefix.expanduser() / "bin" / name, where)


def _existing(path: Path, where: str) -> str:
    if not os.access(path, os.X_OK):
        raise AvatarBenchError(
            "E706",
            "the tool's environment lacks a program",
            where=where,
            expected=str(path),
            got="no such program",
            fix="make the environment as the tool's README says, and name its folder as prefix.",
        )
    return str(path.absolute())


def gpus_for(settings: ToolSettings, device: str) -> tuple[int, ...]:
    """The GPUs that a tool may see: the one of `cuda:N`, else those of the settings.

    `--device cpu` is about our own code: the machine's torch may see no GPU where the tool's own does.
    """
    _, _, index = device.partition(":")
    return (int(index),) if index else settings.gpus


def variables_for(tool: Tool, stage: Stage, settings: ToolSettings, device: str) -> dict[str, str]:
    """All environment variables of a stage: few of ours, none that would change what the tool does."""
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment = settings.environment
    folder = Path(sys.executable).parent if environment.kind == "current" else environment.prefix
    if environment.kind in ("conda", "venv") and folder is not None:
        found["CONDA_PREFIX" if environment.kind == "conda" else "VIRTUAL_ENV"] = str(folder.expanduser())
        folder = folder.expanduser() / "bin"
    found["PATH"] = f"{folder}:{SYSTEM_PATH}" if folder and environment.kind != "docker" else SYSTEM_PATH
    found |= _OFFLINE
    found["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # else N is not the N of nvidia-smi
    found["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in gpus_for(settings, device))
    return found | dict(tool.environment) | dict(stage.environment) | settings.variables


def container_name(run: str) -> str:
    """Of the docker container of a stage."""
    return f"avatarbench-{run}"


def full_command(
    arguments: Sequence[str],
    settings: ToolSettings,
    variables: Mapping[str, str],
    *,
    cwd: Path,
    writable: Sequence[Path],
    run: str,
    where: str,
) -> list[str]:
    """The argument list to start: the environment's own program, or docker around it.

    Args:
        arguments: The stage's command, its first word a program's name.
        settings: Of the tool.
        variables: Of the stage.
        cwd: Where it runs.
        writable: Folders that it writes into; docker shows them under the same path.
        run: The job's name.
        where: The tool's section, for messages.

    Raises:
        AvatarBenchError: E706.
    """
    environment = settings.environment
    command = [program(environment, arguments[0], where), *arguments[1:]]
    if environment.kind != "docker":
        return command
    gpus = variables.get("CUDA_VISIBLE_DEVICES", "")
    shown = [f"--volume={path}:{path}" for path in writable]
    for mount in environment.mounts:
        host, _, inside = mount.partition(":")
        shown.append(f"--volume={host}:{inside or host}:ro")
    # Inside, docker numbers the GPUs that it shows from 0.
    passed = {
        name: value
        for name, value in variables.items()
        if name not in ("PATH", "CUDA_VISIBLE_DEVICES", *_KEPT)
    }
    return [
        "docker",
        "run",
        "--rm",
        f"--name={container_name(run)}",
        "--network=none",
        f"--user={os.getuid()}:{os.getgid()}",
        "--ipc=host",
        *([f'--gpus="device={gpus}"'] if gpus else []),
        *shown,
        *(f"--env={name}={value}" for name, value in sorted(passed.items())),
        "--env=HOME=/tmp",
        f"--workdir={cwd}",
        str(environment.image),
        *command,
    ]
