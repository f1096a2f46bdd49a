"""The sample's sound in the form that a tool takes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_padded"]


def write_padded(path: Path, audio: Path, silence_s: float) -> int:
    """Write the sound with silence behind it: tools drop the last frames of what they hear.

    Returns:
        The number of samples at 16 kHz.
    """
    import numpy as np

    from media.audio import SAMPLE_RATE, load_audio, write_wav

    sound = load_audio(audio)
    padded = np.concatenate([sound, np.zeros(round(silence_s * SAMPLE_RATE), np.float32)])
    write_wav(path, padded)
    return len(padded)
