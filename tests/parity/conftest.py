"""Canonical packages run in processes of their own, on the same weights and pictures as ours, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

_CANONICAL = Path(__file__).parent / "canonical"
sys.path.insert(0, str(Path(__file__).parent))  # for the helpers that make checkpoints

# Blocks connections, then runs the script as if it had been called by itself.
_OFFLINE = """
import runpy, socket, sys

def refuse(*arguments, **options):
    raise OSError("a canonical package has tried to use the network")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

RunCanonical = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def run_canonical(tmp_path_factory: pytest.TempPathFactory) -> RunCanonical:
    """`run_canonical(script, *arguments) -> arrays`.

    Runs `tests/parity/canonical/<script>` in a new process without a network, in an empty folder. The script gets the
    path of an `.npz` to write as its first argument and `arguments` behind it; what it wrote is returned.
    """

    def run(script: str, *arguments: object) -> dict[str, np.ndarray]:
        folder = tmp_path_factory.mktemp("canonical")
        answer = folder / "answer.npz"
        command = [
            sys.executable,
            "-c",
            _OFFLINE,
            str(_CANONICAL / script),
            str(answer),
            *map(str, arguments),
        ]
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "TORCH_HOME": str(folder),
            "HOME": str(folder),
        }
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, f"{script} has failed:\n{done.stderr[-4000:]}"
        with np.load(answer, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    return run
