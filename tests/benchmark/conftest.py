"""A tiny data set of moving shapes and tones, and a cache of its own for each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # a spec's factory is a module:Class that must be importable

from moving_clips import write_clip  # found by the line above


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two clips each, one folder a person."""
    folder = tmp_path_factory.mktemp("people")
    for seed, name in enumerate(("ada/one", "ada/two", "ben/one", "ben/two")):
        write_clip(folder / f"{name}.mp4", seed)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AVATARBENCH_CACHE", str(folder))
    return folder
