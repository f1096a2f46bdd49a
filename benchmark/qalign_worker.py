"""The process behind `benchmark.qalign_process`: loads Q-Align from a folder and answers on its pipes.

Started as `python -m benchmark.qalign_worker DEVICE`. It reads the weights that `weight_path` has compared with their
hashes, and nothing in it can use the network.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import IO, Any, Protocol

import numpy as np

from benchmark.qalign_process import error_fields, read_message, write_message
from media.errors import AvatarBenchError

__all__ = ["block_network", "main", "serve"]

WEIGHT_ID = "one_align"
_FORBIDDEN = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})


def block_network() -> None:
    """Let every use of the network in this process fail, for good."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in _FORBIDDEN:
            raise PermissionError(f"the process of Q-Align may not use the network ({event})")

    sys.addaudithook(refuse)


class Scorer(Protocol):
    """What answers requests."""

    def logits(self, frame: np.ndarray, word: str) -> list[float]:
        """Logits of the levels for a frame [H, W, 3] uint8 sRGB."""
        ...


def main(device: str) -> None:
    """Serve the network of the weight `one_align`."""
    serve(lambda: _load(device))


def serve(load: Callable[[], Scorer]) -> None:
    """Load a network, say so, and answer requests until there are no more; ends the process."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the messages
    block_network()
    try:
        model = load()
    except AvatarBenchError as error:
        write_message(answers, {"error": error_fields(error)})
        return
    write_message(answers, {"ready": True})
    requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, requests), daemon=True).start()
    while True:
        write_message(answers, _answer(model, *requests.get()))


def _load(device: str) -> Scorer:
    from benchmark.weights import weight_path

    folder = weight_path(WEIGHT_ID)  # before any package that could open the files
    from benchmark.qalign_model import QAlignModel

    return QAlignModel(folder, device)


def _receive(requests_in: IO[bytes], requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    """Pass requests on; end the process at once when the other side is gone, whatever is being computed."""
    try:
        while (message := read_message(requests_in)) is not None:
            requests.put(message)
    finally:
        os._exit(0)


def _answer(model: Scorer, request: dict[str, Any], body: bytes) -> dict[str, Any]:
    frame = np.frombuffer(body, np.uint8).reshape(request["shape"])
    try:
        return {"logits": {word: model.logits(frame, word) for word in request["words"]}}
    except AvatarBenchError as error:
        return {"error": error_fields(error)}
    except Exception as error:
        traceback.print_exc()
        return {"bug": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(sys.argv[1])
