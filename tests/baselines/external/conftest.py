"""A cache and settings of its own for each test; helpers that fakes and tests share can be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "helpers"))  # a stage's function is a module:function that must be importable


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AVATARBENCH_CACHE", str(folder))
    monkeypatch.setenv("AVATARBENCH_TOOLS", str(folder / "tools.toml"))
    return folder
