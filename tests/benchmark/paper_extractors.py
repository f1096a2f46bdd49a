"""Extractors of the paper's networks on made weights, for tests of the engine."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_engine import register

from benchmark.extractors import Extractor
from benchmark.hashing import sha256_file
from benchmark.identity_extractors import FACE_IDENTITY_PREPROCESSING, IDENTITY, FaceIdentity
from benchmark.paper_networks import (
    I3D,
    I3D_PREPROCESSING,
    INCEPTION,
    INCEPTION_PREPROCESSING,
    InceptionFrames,
    VideoWindows,
)
from benchmark.weights import WEIGHTS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))  # the makers of weights stand there

INCEPTION_FRAMES = Extractor(
    "inception_frames", "1", "clip", InceptionFrames, INCEPTION_PREPROCESSING, "float32", network=INCEPTION
)
I3D_WINDOWS = Extractor(
    "i3d_windows", "1", "clip", VideoWindows, I3D_PREPROCESSING, "float32", network=I3D, fps=25.0
)
FACE_IDENTITY = Extractor(
    "face_identity", "1", "pair", FaceIdentity, FACE_IDENTITY_PREPROCESSING, "float32", network=IDENTITY
)


def use_made_weights(monkeypatch: pytest.MonkeyPatch, folder: Path, extractor: Extractor, *ids: str) -> None:
    """Let `folder` hold the weights `ids`, whose made files stand there under the real names."""
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(folder))
    for name in ids:
        path = folder / WEIGHTS[name].file
        made = replace(WEIGHTS[name], bytes=path.stat().st_size, sha256=sha256_file(path))
        monkeypatch.setitem(WEIGHTS, name, made)
    register(monkeypatch, extractor)


def damage(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
