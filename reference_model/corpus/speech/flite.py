"""flite, which speaks English with voices made of recordings; out of process, like all synthesisers here."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.speech.segments import Segment, Spoken
from reference_model.corpus.speech.worker_process import WorkerProcess

__all__ = ["Flite"]


class Flite:
    """A running flite process.

    Args:
        voices: Names such as "slt".

    Raises:
        AvatarBenchError: E603, flite or one of the voices is not installed.
    """

    def __init__(self, voices: list[str]) -> None:
        libraries = [_library("flite"), *(_library(f"flite_cmu_us_{name}") for name in voices)]
        self._process = WorkerProcess(Path(__file__).with_name("flite_worker.py"), libraries)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def say(self, text: str, voice: str, stretch: float) -> Spoken:
        """Speak; without segments when the text has nothing to say."""
        header, sound = self._process.ask({"text": text, "voice": voice, "stretch": stretch})
        samples = np.frombuffer(sound, np.int16)
        return Spoken(samples, header["sample_rate"], [Segment(*entry) for entry in header["segments"]])


def _library(name: str) -> str:
    path = ctypes.util.find_library(name)
    if path is None:
        raise AvatarBenchError(
            "E603",
            f"the library {name} is missing; without it there are no recorded voices",
            fix="install flite with its voices, e.g. apt install flite",
        )
    return path
