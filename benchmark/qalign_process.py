"""The process that runs Q-Align: how it is started, asked and ended, and the messages on its pipes.

A message is two lengths (header and body, 8 bytes each, big-endian), a header in JSON, and a body of bytes. The process
reads requests from its standard input and ends when that is closed, which also happens when this process is killed.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from media.errors import AvatarBenchError

__all__ = ["QAlignProcess", "error_fields", "qalign_command", "read_message", "write_message"]

_LENGTHS = struct.Struct(">QQ")
_MAX_HEADER = 1 << 20
_MAX_BODY = 1 << 31  # a frame of 4k has 25 MB
_LAST_LINES = 20
_REPOSITORY = Path(__file__).resolve().parents[1]  # holds the packages, installed or not


def write_message(stream: IO[bytes], header: Mapping[str, Any], body: bytes | memoryview = b"") -> None:
    """Write one message and flush."""
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(body)))
    stream.write(text)
    stream.write(body)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """The next message, or None where the stream ends between two messages.

    Raises:
        EOFError: the stream ends within a message.
        ValueError: the bytes are no message.
    """
    lengths = stream.read(_LENGTHS.size)
    if not lengths:
        return None
    header_size, body_size = _LENGTHS.unpack(_whole(lengths, _LENGTHS.size))
    if header_size > _MAX_HEADER or body_size > _MAX_BODY:
        raise ValueError(f"a message cannot have {header_size} and {body_size} bytes")
    header = json.loads(_whole(stream.read(header_size), header_size))
    return header, _whole(stream.read(body_size), body_size)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise EOFError(f"the message ends after {len(data)} of {size} bytes")
    return data


def error_fields(error: AvatarBenchError) -> dict[str, str | None]:
    """What makes the error again on the other side: arguments of `AvatarBenchError`."""
    names = ("code", "what", "where", "expected", "got", "fix")
    return {name: getattr(error, name) for name in names}


def qalign_command(device: str) -> list[str]:
    """How the process is started that computes on `device`, `cpu` or `cuda`."""
    return [sys.executable, "-m", "benchmark.qalign_worker", device]


class QAlignProcess:
    """Q-Align in a process of its own, ready when the `with` block begins."""

    def __init__(self, command: Sequence[str]) -> None:
        """Nothing starts before the `with` block; `command` is `qalign_command(device)`."""
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener: threading.Thread | None = None

    def __enter__(self) -> QAlignProcess:
        """Start the process and wait until its network is loaded.

        Raises:
            AvatarBenchError: E502 for weights, E603 for packages, E605 when it died.
        """
        paths = [str(_REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it holds nothing but memory
        process.wait()
        if self._listener is not None:
            self._listener.join(timeout=5)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # what was still in the buffer: nobody is left to read it
                    continue

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._running().pid

    def check_alive(self) -> None:
        """Raise E605, with the last lines that the process wrote, when it has died."""
        if self._running().poll() is not None:
            raise self._death()

    def logits(self, frame: np.ndarray, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Logits of the five levels for each of `words`.

        Args:
            frame: [H, W, 3] uint8 sRGB.
            words: What to ask for: `quality`, `aesthetics`.

        Returns:
            [5] float32 by word, in the order of `benchmark.qalign.LEVELS`.

        Raises:
            AvatarBenchError: E605 when the process died.
            RuntimeError: the network failed on this frame.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            raise ValueError(f"a frame is [H, W, 3] uint8, got {frame.dtype} {frame.shape}")
        stdin = self._running().stdin
        assert stdin is not None
        try:
            write_message(stdin, {"shape": frame.shape, "words": list(words)}, frame.tobytes())
        except OSError:
            raise self._death() from None
        found = self._answer()["logits"]
        return {word: np.array(found[word], np.float32) for word in words}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the process runs only within its `with` block")
        return self._process

    def _answer(self) -> dict[str, Any]:
        """The next answer; an error comes home as the same error."""
        stdout = self._running().stdout
        assert stdout is not None
        try:
            message = read_message(stdout)
        except (EOFError, ValueError):
            message = None
        if message is None:
            raise self._death()
        header = message[0]
        if "error" in header:
            raise AvatarBenchError(**header["error"])
        if "bug" in header:
            raise RuntimeError(f"Q-Align failed: {header['bug']}")
        return header

    def _listen(self) -> None:
        stderr = self._running().stderr
        assert stderr is not None
        for line in stderr:
            self._last_lines.append(line.decode(errors="replace").rstrip())

    def _death(self) -> AvatarBenchError:
        process = self._running()
        process.kill()  # it may have written what is no message and live on
        code = process.wait()
        if self._listener is not None:
            self._listener.join(timeout=5)
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = " | ".join(line for line in self._last_lines if line)
        return AvatarBenchError(
            "E605",
            "the process that runs Q-Align (iqa, ase) died",
            expected="a process that ends with the scoring",
            got=f"{end}; its last lines: {lines or 'none'}",
            fix="see that 20 GB of memory are free, and score again: what is finished is kept",
        )
