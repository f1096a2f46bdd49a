"""The observation store: keyed by content, never wrong, and shared by any number of processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_engine import (
    MEAN_COLOUR,
    TINY_CNN,
    arrays_of,
    clip_requests,
    observe_in_process,
    register,
    view,
    write_blobs,
)

import benchmark.cache
from benchmark.cache import cache_folder, load_arrays, remove_leftovers, save_arrays
from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Extractor, Network, Networks
from benchmark.observations import ClipView, Target
from media.errors import AvatarBenchError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipView:
    return view(write_blobs(tmp_path_factory.mktemp("clip") / "clip.mp4", 1))


@pytest.fixture(autouse=True)
def extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, TINY_CNN, MEAN_COLOUR)


def with_weights(digest: str) -> Network:
    def never() -> None:
        raise AssertionError("a key needs no loaded network")

    return Network("net", never, lambda: digest)  # pyright: ignore[reportArgumentType]


BASE = replace(TINY_CNN, network=with_weights("a"))


@pytest.mark.parametrize(
    "changed",
    [
        replace(BASE, version="2"),
        replace(BASE, preprocessing="BGR / 255"),
        replace(BASE, dtype="float16"),
        replace(BASE, batch_size=16),
        replace(BASE, network=with_weights("b")),
    ],
)
def test_whatever_decides_an_extractors_arrays_is_in_the_key(clip: ClipView, changed: Extractor):
    assert Target(changed, clip, None).place() != Target(BASE, clip, None).place()


@pytest.mark.parametrize(
    "change",
    [{"sha256": "0" * 64}, {"start_s": 0.04}, {"n_frames": 7}, {"fps": 30.0}, {"width": 32}, {"height": 32}],
)
def test_whatever_decides_the_frames_is_in_the_key_and_the_path_is_not(clip: ClipView, change: dict):
    pair = EXTRACTORS["pixel_error"]
    other = replace(clip, **change)
    assert Target(BASE, other, None).place() != Target(BASE, clip, None).place()
    places = {Target(pair, *views).place() for views in ((clip, clip), (clip, other), (other, clip))}
    assert len(places) == 3
    assert (
        Target(BASE, replace(clip, path=Path("elsewhere")), None).place() == Target(BASE, clip, None).place()
    )


def test_what_stands_in_the_store_is_neither_decoded_nor_loaded(clip: ClipView):
    for work in (1, 0):
        networks = Networks()
        (found,) = observe(clip_requests([clip], "mean_colour", "tiny_cnn"), networks, pytest.fail)
        assert arrays_of(found, "mean_colour")["mean"].shape == (8,)
        assert networks.counters.decodes.total() == work
        assert networks.counters.forwards.total() == work


def test_a_damaged_entry_is_said_and_made_again(clip: ClipView):
    (first,) = observe(clip_requests([clip], "tiny_cnn"), Networks(), pytest.fail)
    (entry,) = cache_folder().rglob("*.npz")
    good = entry.read_bytes()
    flipped = [
        good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), len(good) // 9)
    ]
    for bad in (*flipped, good[:-1], good[:20], b"", good + b"\0"):
        entry.write_bytes(bad)
        said: list[str] = []
        networks = Networks()
        (again,) = observe(clip_requests([clip], "tiny_cnn"), networks, said.append)
        assert said == [f"the observation {entry} is damaged and is made again"]
        assert networks.counters.decodes.total() == 1
        assert (
            arrays_of(again, "tiny_cnn")["feature"].tobytes()
            == arrays_of(first, "tiny_cnn")["feature"].tobytes()
        )
        assert load_arrays(entry, pytest.fail) is not None


def test_arrays_come_back_as_they_were(tmp_path: Path):
    arrays = {
        "points": np.array([[1.5, np.nan], [-np.inf, 0.1]], np.float32),
        "count": np.arange(3, dtype=np.int64),
        "none": np.zeros((0, 7)),
    }
    save_arrays(tmp_path / "x.npz", arrays)
    found = load_arrays(tmp_path / "x.npz", pytest.fail)
    assert found is not None and list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    assert list(np.load(tmp_path / "x.npz")["count"]) == [0, 1, 2]  # any reader of .npz can open it


def test_processes_at_once_agree_and_leave_nothing_unfinished(tmp_path: Path, own_cache: Path):
    clips = [view(write_blobs(tmp_path / f"{seed}.mp4", seed)) for seed in range(20)]
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=observe_in_process, args=(own_cache, clips, barrier, answers))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    networks = Networks()
    here = observe(clip_requests(clips, "mean_colour"), networks, pytest.fail)
    expected = [arrays_of(observed, "mean_colour")["mean"].tolist() for observed in here]
    assert found == [(expected, [])] * 3
    assert networks.counters.decodes.total() == 0
    files = [path.name for path in own_cache.rglob("*") if path.is_file()]
    assert len(files) == 20 + 1 and ".lock" in files


WRITER = """
import sys, time
from pathlib import Path
import numpy as np
import benchmark.cache
from benchmark.cache import build_folder, cache_folder, save_arrays

def stop_here(*_):
    print("writing", flush=True)
    time.sleep(120)

if sys.argv[1] == "entry":
    import os
    os.replace = stop_here
    save_arrays(cache_folder() / "observations" / "x" / "ab" / "key.npz", {"a": np.zeros(3)})
else:
    with build_folder(cache_folder() / "inputs" / "key") as building:
        (building / "half").write_text("half")
        stop_here()
"""


@pytest.mark.parametrize("what", ["entry", "folder"])
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    own_cache: Path, what: str
):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, what], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
        assert remove_leftovers() == 0
        unfinished = [path for path in own_cache.rglob("*") if path.is_file() and path.name != ".lock"]
        assert len(unfinished) == 1
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert remove_leftovers() == 1
    assert not [path for path in own_cache.rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_full_disk_ends_the_scoring_and_keeps_what_was_finished(
    clip: ClipView, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    other = view(write_blobs(tmp_path / "other.mp4", 2))
    requests = clip_requests([clip, other], "mean_colour")
    found = observe(requests, Networks(), pytest.fail)
    next(found)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(benchmark.cache.os, "replace", full)  # as atomic_write ends
    with pytest.raises(AvatarBenchError, match="E601"):
        next(found)
    monkeypatch.undo()
    monkeypatch.setenv("AVATARBENCH_CACHE", str(own_cache))
    register(monkeypatch, MEAN_COLOUR)
    assert len([path for path in own_cache.rglob("*") if path.is_file()]) == 1 + 1
    networks = Networks()
    assert len(list(observe(requests, networks, pytest.fail))) == 2
    assert networks.counters.decodes == {other.path: 1}


def test_a_cache_that_is_no_folder_has_its_own_message(
    clip: ClipView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("AVATARBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(AvatarBenchError, match="E602"):
        list(observe(clip_requests([clip], "mean_colour"), Networks(), pytest.fail))
