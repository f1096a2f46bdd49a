"""A finished run of moving shapes, 20 people with a clip each, and its entry; both are made once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Behind everything else: the folder of the benchmark's tests has a `conftest` that its own tests import by name.
sys.path += [str(Path(__file__).parent / "helpers"), str(Path(__file__).parents[1] / "benchmark")]

import forgery
from forgery import PEOPLE, SUBMISSION, silent, small_protocol

from baselines.controls import FROZEN
from benchmark.manifest import Dataset, load_dataset
from benchmark.plan import RunOptions
from benchmark.stages import Work, run_stages
from leaderboard.submission import pack


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def protocols(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("protocols")


@pytest.fixture(autouse=True)
def small(protocols: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol `small-v1`, and one cache for all tests here: what was observed once is known."""
    small_protocol(protocols, monkeypatch)
    monkeypatch.setenv("AVATARBENCH_CACHE", str(shared_cache))


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crowd")
    for seed, name in enumerate(PEOPLE):
        forgery.write_clip(folder / name / "clip.mp4", seed)
        (folder / f"{name}.json").write_text(f'{{"hair": "{("red", "black")[seed % 2]}"}}')
    return folder


@pytest.fixture(scope="session")
def dataset(crowd: Path) -> Dataset:
    return load_dataset(crowd)


@pytest.fixture(scope="session")
def run(tmp_path_factory, crowd: Path, protocols: Path, shared_cache: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        small_protocol(protocols, patch)
        patch.setenv("AVATARBENCH_CACHE", str(shared_cache))
        options = RunOptions((FROZEN,), "small-v1", crowd, folder, "cpu")
        run_stages(options, Work(), silent)
    yield folder


@pytest.fixture
def entry(run: Path, dataset: Dataset, tmp_path: Path, small: None) -> Path:
    """Folder of a fresh entry of the run, on a board of its own."""
    return pack(run, None, SUBMISSION, tmp_path / "board", dataset, n_videos=1).folder


@pytest.fixture
def predictions(run: Path, tmp_path: Path) -> Path:
    """A copy of the run's predictions."""
    return Path(shutil.copytree(run / "predictions" / "frozen", tmp_path / "predictions" / "frozen"))
