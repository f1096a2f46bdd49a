"""The process of Q-Align with a small scorer in place of the network, to be started as a script.

A frame of one value is a command: 1 fails, 2 ends the process as a killed one ends, 3 asks for the network, 4 is never
answered. All others get their mean and corners back.
"""

from __future__ import annotations

import os
import socket
import sys
import time

import numpy as np

from benchmark.qalign_worker import serve
from media.errors import AvatarBenchError


class Corners:
    def logits(self, frame: np.ndarray, word: str) -> list[float]:
        print("libraries may print")  # noqa: T201
        if frame.min() == frame.max():
            _obey(int(frame.flat[0]))
        return [float(frame.mean()), *frame[0, 0].tolist(), float(len(word))]


def _obey(command: int) -> None:
    if command == 1:
        raise FloatingPointError("a frame it cannot bear")
    if command == 2:
        print("out of memory, says the made worker", file=sys.stderr, flush=True)  # noqa: T201
        os.abort()
    if command == 3:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    if command == 4:
        time.sleep(600)


def load() -> Corners:
    if sys.argv[1:] == ["no weights"]:
        raise AvatarBenchError("E502", "made weights are missing", where="nowhere", fix="make them")
    return Corners()


if __name__ == "__main__":
    serve(load)
