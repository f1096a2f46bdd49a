"""Runs that take a fraction of a second: a protocol without networks, and what tests ask of a run's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import benchmark.protocol

TINY_PROTOCOL = """
id: tiny-v1
title: What needs no network
split: identity-holdout-10
video: {fps: 25, long_side: 128, max_duration_s: 10.0, min_duration_s: 0.2, codec: h264-yuv420p}
reference: first_frame
audio: wav-16k-mono
aggregation: frames-clip-identity-dataset
metrics:
  - {id: psnr_rgb_full, version: "1", on_miss: excluded}
  - {id: ssim_gauss11_rgb, version: "1", on_miss: excluded}
min_coverage_ranked: 0.95
"""
RESULTS = ("samples.parquet", "result.json")


def install_tiny_protocol(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Add `tiny-v1` to the protocols, in this process only, and describe the machine without importing torch."""
    shutil.copytree(benchmark.protocol._FOLDER, folder)
    (folder / "tiny-v1.yaml").write_text(TINY_PROTOCOL)
    monkeypatch.setattr(benchmark.protocol, "_FOLDER", folder)
    monkeypatch.setattr("benchmark.timings.describe_environment", lambda: {"machine": "this one"})
    return "tiny-v1"


def silent(what: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


def contents(out: Path) -> list[bytes]:
    """The bytes that must not differ between equal runs."""
    return [(out / name).read_bytes() for name in RESULTS]


def hidden(folder: Path) -> list[str]:
    """Names of what only stands in a run while it is being worked on: locks and half-written files."""
    return sorted(path.name for path in folder.rglob(".*"))
