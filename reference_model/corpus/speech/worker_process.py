"""A synthesiser in a process of its own, asked by lines of JSON; the workers' docstrings say for what."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A running worker.

    Args:
        script: The worker, `espeak_worker.py` or `flite_worker.py`.
        arguments: Of its command line.
    """

    def __init__(self, script: Path, arguments: Sequence[str]) -> None:
        self._name = script.stem
        self._process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The header of the answer, and the sound that follows it: `n_samples` of 16 bits, if it names them."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended while it spoke {request}")
        header = json.loads(line)
        return header, stdout.read(2 * header.get("n_samples", 0))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
