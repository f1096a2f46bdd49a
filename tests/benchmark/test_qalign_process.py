"""The process of Q-Align: what goes through its pipes, and how it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.qalign_process import QAlignProcess, qalign_command, read_message, write_message
from media.errors import AvatarBenchError

WORKER = [sys.executable, str(Path(__file__).parent / "qalign_made_worker.py")]
FAILS, DIES, CONNECTS, HANGS = (np.full((4, 6, 3), value, np.uint8) for value in (1, 2, 3, 4))


def noise(seed: int, height: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def process() -> Iterator[QAlignProcess]:
    with QAlignProcess(WORKER) as running:
        yield running


def test_messages_come_out_as_they_went_in():
    stream = io.BytesIO()
    write_message(stream, {"a": [1, None, "ä"]}, b"\x00\xff" * 1000)
    write_message(stream, {})
    stream.seek(0)
    assert read_message(stream) == ({"a": [1, None, "ä"]}, b"\x00\xff" * 1000)
    assert read_message(stream) == ({}, b"")
    assert read_message(stream) is None


def test_a_message_that_is_cut_off_or_none_is_not_believed():
    stream = io.BytesIO()
    write_message(stream, {"shape": [2]}, b"12")
    for size in (5, 20, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError, match="the message ends"):
            read_message(io.BytesIO(stream.getvalue()[:size]))
    with pytest.raises(ValueError, match="cannot have"):
        read_message(io.BytesIO(b"a line that some library printed"))


def test_frames_of_any_size_arrive_whole_though_libraries_print(process: QAlignProcess):
    for seed, size in enumerate(((8, 6), (1, 1), (1080, 1920))):
        frame = noise(seed, *size)
        found = process.logits(frame, ["quality", "aesthetics"])
        head = [frame.mean(), *frame[0, 0]]
        np.testing.assert_allclose(found["quality"], [*head, 7], rtol=1e-6)
        np.testing.assert_allclose(found["aesthetics"], [*head, 10], rtol=1e-6)


def test_a_view_of_a_frame_arrives_as_it_looks(process: QAlignProcess):
    frame = noise(0)[::2, ::-1, ::-1]
    assert process.logits(frame, ["quality"])["quality"][1:4].tolist() == frame[0, 0].tolist()


@pytest.mark.parametrize("frame", [noise(0).astype(np.float32), noise(0)[..., 0], noise(0)[:0]])
def test_what_is_no_frame_is_refused(process: QAlignProcess, frame: np.ndarray):
    with pytest.raises(ValueError, match="a frame is"):
        process.logits(frame, ["quality"])


def test_a_frame_that_fails_costs_itself_alone(process: QAlignProcess):
    with pytest.raises(RuntimeError, match="FloatingPointError: a frame it cannot bear"):
        process.logits(FAILS, ["quality"])
    process.check_alive()
    assert process.logits(noise(0), ["quality"])["quality"][4] == 7


def test_the_process_cannot_use_the_network(process: QAlignProcess):
    with pytest.raises(RuntimeError, match="may not use the network"):
        process.logits(CONNECTS, ["quality"])


def test_a_death_is_one_error_with_the_last_lines(process: QAlignProcess):
    with pytest.raises(AvatarBenchError, match="says the made worker") as caught:
        process.logits(DIES, ["quality"])
    assert caught.value.code == "E605"
    assert f"signal {signal.SIGABRT.value}" in str(caught.value.got)
    for again in (process.check_alive, lambda: process.logits(noise(0), ["quality"])):
        with pytest.raises(AvatarBenchError, match="E605"):
            again()


def test_errors_come_home_with_their_code():
    with pytest.raises(AvatarBenchError) as caught, QAlignProcess([*WORKER, "no weights"]):
        pytest.fail("there is nothing to run")
    error = caught.value
    assert (error.code, error.what, error.where, error.fix) == (
        "E502", "made weights are missing", "nowhere", "make them"
    )  # fmt: skip


def test_a_process_that_does_not_start_is_the_same_error(tmp_path: Path):
    with pytest.raises(AvatarBenchError, match="No such file or directory") as caught:
        QAlignProcess([sys.executable, str(tmp_path / "nothing.py")]).__enter__()
    assert caught.value.code == "E605"


def test_the_process_ends_with_the_block():
    with QAlignProcess(WORKER) as process:
        pid = process.pid
    assert not runs(pid)


def test_the_process_dies_with_its_parent_though_it_computes(tmp_path: Path):
    code = (
        "import sys, numpy as np\n"
        "from benchmark.qalign_process import QAlignProcess\n"
        f"process = QAlignProcess({WORKER!r}).__enter__()\n"
        "print(process.pid, flush=True)\n"
        "process.logits(np.full((4, 6, 3), 4, np.uint8), ['quality'])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert runs(pid)
    time.sleep(0.5)  # so that the request is under way
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(pid)


def test_weights_that_were_never_fetched_end_it_before_any_package_is_imported(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(AvatarBenchError, match="bench weights fetch one_align") as caught:
        QAlignProcess(qalign_command("cpu")).__enter__()
    assert caught.value.code == "E502"


def test_one_wrong_bit_in_a_part_of_the_weights_is_refused(monkeypatch, tmp_path: Path):
    from benchmark.hashing import sha256_file
    from benchmark.weights import WEIGHTS, weights_folder
    from benchmark.weights_lock import FileFacts, record_file

    weight = WEIGHTS["one_align"]
    weights_folder().mkdir(parents=True)
    for name in weight.names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
        facts = FileFacts(bytes=path.stat().st_size, sha256=sha256_file(path))
        record_file(weights_folder(), weight.id, name, facts, weight.revision)
    bad = tmp_path / weight.names[3]
    bad.write_bytes(bytes([bad.read_bytes()[0] ^ 1]) + bad.read_bytes()[1:])
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(AvatarBenchError, match="are damaged") as caught:
        QAlignProcess(qalign_command("cpu")).__enter__()
    assert (caught.value.code, caught.value.where) == ("E502", str(bad))


def runs(pid: int) -> bool:
    """Whether a process is at work: one that ended and was not waited for is not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
