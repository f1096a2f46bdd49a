"""Weights of metrics: where they are found, what is checked before use, and fetched whole or not at all."""

from __future__ import annotations

import errno
import io
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from weights_server import Server, serving, sha256, some_bytes, tiny_weight

from benchmark import downloading
from benchmark.cache import clean_cache
from benchmark.fetching import fetch_weight
from benchmark.weights import WEIGHTS, Archive, Weight, weight_path, weight_sha256, weights_folder
from media.errors import AvatarBenchError

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = some_bytes(300_000)


def silent(_name: str, _done: int, _total: int | None) -> None:
    """Takes the progress and shows nothing."""


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVATARBENCH_WEIGHTS", raising=False)
    monkeypatch.delenv("AVATARBENCH_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloading, "_PAUSE_S", 0.0)
    monkeypatch.setattr(downloading, "_CHUNK", 1 << 14)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server({"/tiny.bin": CONTENT})) as running:
        yield running


@pytest.fixture
def tiny(server: Server, monkeypatch: pytest.MonkeyPatch) -> Weight:
    return register(monkeypatch, tiny_weight(f"{server.url}/tiny.bin", CONTENT))


def register(monkeypatch: pytest.MonkeyPatch, weight: Weight) -> Weight:
    monkeypatch.setitem(WEIGHTS, weight.id, weight)
    return weight


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refused(code: str, weight: Weight) -> str:
    with pytest.raises(AvatarBenchError) as caught:
        fetch_weight(weight, silent)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def test_the_registry_names_every_file_once_with_size_hash_licence_and_source() -> None:
    for weight_id, weight in WEIGHTS.items():
        assert weight.id == weight_id and weight.purpose and weight.licence
        assert weight.url.startswith(("http://", "https://"))
        if not weight.parts:
            assert weight.bytes and re.fullmatch("[0-9a-f]{64}", weight.sha256 or "")
    names = [name for weight in WEIGHTS.values() for name in weight.names]
    assert len(names) == len(set(names))
    assert WEIGHTS["one_align"].sha256 is None and len(WEIGHTS["one_align"].revision or "") == 40
    # torch.hub's convention: the first digits of the hash are part of the name.
    assert (WEIGHTS["inception_fid"].sha256 or "").startswith("6726825d")


def test_missing_weights_are_said_with_the_command_that_brings_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path / "unmounted"))
    with pytest.raises(AvatarBenchError) as caught:
        weight_path("syncnet_v2")
    assert caught.value.code == "E502"
    for part in ("syncnet_v2.model", "bench weights fetch syncnet_v2", "unmounted (no such folder)"):
        assert part in str(caught.value)
    with pytest.raises(AvatarBenchError, match="E504"):
        weight_path("syncnet_v3")


def test_what_was_fetched_is_found_and_nothing_else_is_left_in_the_cache(tiny: Weight) -> None:
    steps: list[tuple[int, int | None]] = []
    done = fetch_weight(tiny, lambda _name, at, total: steps.append((at, total)))
    assert done.downloaded and not done.recorded
    assert weight_path("tiny").read_bytes() == CONTENT
    assert files_below(weights_folder()) == {"tiny.bin"}
    assert [at for at, _ in steps] == sorted(at for at, _ in steps) and len(steps) > 3
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_a_second_fetch_asks_nobody(tiny: Weight, server: Server) -> None:
    fetch_weight(tiny, silent)
    assert not fetch_weight(tiny, silent).downloaded
    assert len(server.requests) == 1


def test_a_cut_connection_goes_on_at_the_byte_where_it_broke_off(tiny: Weight, server: Server) -> None:
    server.cuts = [70_001, 100_000]
    fetch_weight(tiny, silent)
    assert weight_path("tiny").read_bytes() == CONTENT
    etag = f'"{sha256(CONTENT)[:16]}"'
    assert [asked for _, *asked in server.requests] == [
        [None, None],
        ["bytes=70001-", etag],
        ["bytes=170001-", etag],
    ]
    assert server.sent == len(CONTENT)  # no byte came twice


def test_a_fetch_that_was_given_up_is_taken_up_by_the_next_one(tiny: Weight, server: Server) -> None:
    server.cuts = [123_456] + [0] * 5
    message = refused("E502", tiny)
    assert "123456 bytes" in message and "goes on where it stopped" in message
    with pytest.raises(AvatarBenchError, match="missing"):
        weight_path("tiny")
    server.requests.clear()
    fetch_weight(tiny, silent)
    assert server.requests[0][1] == "bytes=123456-"
    assert weight_path("tiny").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server, monkeypatch) -> None:
    new = some_bytes(300_000, seed=1)
    weight = register(monkeypatch, tiny_weight(f"{server.url}/tiny.bin", new))
    server.cuts = [50_000] + [0] * 5
    refused("E502", weight)
    server.files["/tiny.bin"] = new
    fetch_weight(weight, silent)
    assert weight_path("tiny").read_bytes() == new


@pytest.mark.parametrize(("etags", "ranges"), [(False, True), (True, False), (False, False)])
def test_servers_without_etag_or_ranges_give_the_same_file(tiny, server, etags, ranges) -> None:
    server.etags, server.ranges, server.cuts = etags, ranges, [90_000]
    fetch_weight(tiny, silent)
    assert weight_path("tiny").read_bytes() == CONTENT
    assert server.sent == len(CONTENT) + (0 if ranges else 90_000)


def test_without_hash_and_etag_two_halves_are_never_joined(server: Server, monkeypatch) -> None:
    weight = tiny_weight(f"{server.url}/tiny.bin", CONTENT, sha256=None, bytes=None)
    register(monkeypatch, weight)
    server.etags, server.cuts = False, [90_000]
    fetch_weight(weight, silent)
    assert [asked for _, asked, _ in server.requests] == [None, None]
    assert weight_path("tiny").read_bytes() == CONTENT


def test_a_part_that_was_whole_when_the_process_died_is_not_asked_for_again(tiny, server) -> None:
    server.cuts = [len(CONTENT) - 1] + [0] * 5
    refused("E502", tiny)
    with open(weights_folder() / ".tiny.bin.part", "ab") as part:
        part.write(CONTENT[-1:])
    server.requests.clear()
    fetch_weight(tiny, silent)
    assert server.requests == [] and weight_path("tiny").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_now_is_begun_anew(server: Server, monkeypatch) -> None:
    shorter = CONTENT[:100_000]
    weight = register(monkeypatch, tiny_weight(f"{server.url}/tiny.bin", shorter, bytes=None))
    server.etags, server.cuts = False, [200_000] + [0] * 5
    refused("E502", weight)
    server.files["/tiny.bin"] = shorter
    fetch_weight(weight, silent)
    assert weight_path("tiny").read_bytes() == shorter


def test_what_came_from_the_source_is_not_continued_from_a_mirror(tiny, server, monkeypatch) -> None:
    server.cuts = [50_000] + [0] * 5
    refused("E502", tiny)
    monkeypatch.setenv("AVATARBENCH_MIRROR", f"{server.url}/mirror")
    server.files["/mirror/tiny.bin"] = CONTENT
    fetch_weight(tiny, silent)
    assert server.requests[-1] == ("/mirror/tiny.bin", None, None)


def test_without_hash_and_length_a_file_could_be_cut_unseen_and_is_refused(
    server: Server, monkeypatch
) -> None:
    server.lengths = False
    weight = tiny_weight(f"{server.url}/tiny.bin", CONTENT, sha256=None, bytes=None)
    assert "no length" in refused("E502", register(monkeypatch, weight))
    assert files_below(weights_folder()) == set()
    known = register(monkeypatch, tiny_weight(f"{server.url}/tiny.bin", CONTENT))
    server.cuts = [80_000]
    fetch_weight(known, silent)
    assert weight_path("tiny").read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_nothing_stays(tiny: Weight, server: Server) -> None:
    server.files["/tiny.bin"] = CONTENT[:-1] + b"?"
    message = refused("E502", tiny)
    assert sha256(CONTENT) in message and sha256(server.files["/tiny.bin"]) in message
    assert files_below(weights_folder()) == set()


def test_a_wrong_size_is_refused_before_anything_is_written(tiny: Weight, server: Server) -> None:
    server.files["/tiny.bin"] = b"<html>sign in to this network</html>"
    assert "36 bytes" in refused("E502", tiny)
    assert files_below(weights_folder()) == set()


def test_a_file_that_is_not_there_and_a_dead_server_are_e502(server: Server, monkeypatch) -> None:
    assert "HTTP 404" in refused("E502", tiny_weight(f"{server.url}/moved.bin", CONTENT))
    dead = refused("E502", tiny_weight("http://127.0.0.1:9/tiny.bin", CONTENT))
    assert "AVATARBENCH_MIRROR" in dead and "AVATARBENCH_WEIGHTS" in dead
    assert files_below(weights_folder()) == set()


def test_too_little_space_is_said_before_the_first_byte(tiny: Weight, monkeypatch) -> None:
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: SimpleNamespace(free=299_999))
    assert "0.3 MB free" in refused("E601", tiny)
    assert files_below(weights_folder()) == set()


def test_a_disk_that_fills_up_is_e601_and_what_came_is_used_later(tiny, server, monkeypatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(downloading.os, "fsync", full)
        server.cuts = [200_000]
        refused("E601", tiny)
    assert not (weights_folder() / "tiny.bin").exists()
    fetch_weight(tiny, silent)
    assert server.requests[-1][1] == "bytes=200000-"
    assert weight_path("tiny").read_bytes() == CONTENT


def test_a_mirror_is_asked_instead_of_the_source(tiny: Weight, server: Server, monkeypatch) -> None:
    monkeypatch.setitem(WEIGHTS, "tiny", tiny_weight(tiny.url, CONTENT, file="a folder/tiny.bin"))
    server.files["/mirror/a%20folder/tiny.bin"] = server.files.pop("/tiny.bin")
    monkeypatch.setenv("AVATARBENCH_MIRROR", f"{server.url}/mirror/")
    fetch_weight(WEIGHTS["tiny"], silent)
    assert weight_path("tiny") == weights_folder() / "a folder" / "tiny.bin"
    monkeypatch.setenv("AVATARBENCH_MIRROR", "/mnt/mirror")
    monkeypatch.setitem(WEIGHTS, "tiny", tiny_weight(tiny.url, CONTENT, file="other.bin"))
    assert "http or https" in refused("E504", WEIGHTS["tiny"])


def test_a_mirror_with_another_file_is_refused(tiny: Weight, server: Server, monkeypatch) -> None:
    server.files["/mirror/tiny.bin"] = some_bytes(300_000, seed=2)
    monkeypatch.setenv("AVATARBENCH_MIRROR", f"{server.url}/mirror")
    refused("E502", tiny)
    assert files_below(weights_folder()) == set()


def test_offline_folders_come_first_and_in_order(tiny: Weight, server: Server, tmp_path, monkeypatch) -> None:
    put(weights_folder(), "tiny.bin", CONTENT)
    second = put(tmp_path / "two", "tiny.bin", CONTENT)
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    assert weight_path("tiny") == second
    first = put(tmp_path / "one", "tiny.bin", CONTENT)
    assert weight_path("tiny") == first
    assert fetch_weight(tiny, silent).path == first and server.requests == []


def test_a_damaged_offline_file_is_refused_and_left_alone(
    tiny: Weight, server, tmp_path, monkeypatch
) -> None:
    put(weights_folder(), "tiny.bin", CONTENT)
    damaged = put(tmp_path, "tiny.bin", b"!" + CONTENT[1:])
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(AvatarBenchError, match="damaged") as caught:
        weight_path("tiny")
    assert caught.value.code == "E502" and str(damaged) in str(caught.value)
    refused("E502", tiny)
    assert damaged.read_bytes()[:1] == b"!" and server.requests == []


def test_a_damaged_file_of_the_cache_is_refused_and_replaced_by_fetch(tiny: Weight) -> None:
    fetch_weight(tiny, silent)
    assert weight_path("tiny")
    put(weights_folder(), "tiny.bin", CONTENT[:-1] + b"?")  # after it was checked once
    with pytest.raises(AvatarBenchError, match="bench weights fetch tiny replaces it"):
        weight_path("tiny")
    assert fetch_weight(tiny, silent).downloaded
    assert weight_path("tiny").read_bytes() == CONTENT


def fetching_process(weight: Weight) -> subprocess.Popen[str]:
    """A process that fetches `weight` (of `CONTENT`) once it is sent a line, and prints whether it downloaded."""
    script = (
        "import sys; sys.path.insert(0, 'tests/benchmark')\n"
        "from weights_server import some_bytes, tiny_weight\n"
        "from benchmark.fetching import fetch_weight\n"
        f"weight = tiny_weight({weight.url!r}, some_bytes(300_000))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(fetch_weight(weight, lambda *step: None).downloaded)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def test_two_processes_that_fetch_at_once_download_it_once(tiny: Weight, server: Server) -> None:
    server.cuts, server.delay_s = [100_000], 0.3  # the first is still at work when the second begins
    both = [fetching_process(tiny) for _ in range(2)]
    start(both)
    assert sorted(process.communicate(timeout=60)[0] for process in both) == ["False\n", "True\n"]
    assert server.sent == len(CONTENT)
    assert weight_path("tiny").read_bytes() == CONTENT
    assert files_below(weights_folder()) == {"tiny.bin"}


def test_what_a_killed_fetch_had_received_is_not_asked_for_again(tiny: Weight, server: Server) -> None:
    server.stalls = [150_000]
    process = fetching_process(tiny)
    start([process])
    part, deadline = weights_folder() / ".tiny.bin.part", time.monotonic() + 30
    while not part.is_file() or part.stat().st_size == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)
    server.stalled.set()
    kept = part.stat().st_size
    assert not (weights_folder() / "tiny.bin").exists()
    fetch_weight(tiny, silent)
    assert server.requests[-1][1] == f"bytes={kept}-"
    assert weight_path("tiny").read_bytes() == CONTENT
    assert files_below(weights_folder()) == {"tiny.bin"}


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_two_weights_of_one_zip_come_over_the_net_once(server: Server, monkeypatch) -> None:
    contents = {"detect.onnx": some_bytes(5_000, 1), "recognise.onnx": some_bytes(7_000, 2)}
    zipped = packed(contents | {"never_asked_for.onnx": b"x"})
    server.files = {"/pack.zip": zipped}
    for member, content in contents.items():
        archive = Archive(len(zipped), sha256(zipped), member)
        url = f"{server.url}/pack.zip"
        weight = tiny_weight(url, content, id=member[:-5], file=f"pack/{member}", archive=archive)
        register(monkeypatch, weight)
    fetch_weight(WEIGHTS["detect"], silent)
    assert not fetch_weight(WEIGHTS["recognise"], silent).downloaded
    for member, content in contents.items():
        assert weight_path(member[:-5]).read_bytes() == content
    assert files_below(weights_folder()) == {"pack/detect.onnx", "pack/recognise.onnx"}
    assert len(server.requests) == 1


def test_a_wrong_zip_is_never_unpacked(server: Server, monkeypatch) -> None:
    good, wrong = packed({"detect.onnx": b"1234"}), packed({"detect.onnx": b"4321"})
    assert len(good) == len(wrong)
    server.files = {"/pack.zip": wrong}
    archive = Archive(len(good), sha256(good), "detect.onnx")
    weight = tiny_weight(f"{server.url}/pack.zip", b"1234", file="detect.onnx", archive=archive)
    refused("E502", register(monkeypatch, weight))
    assert files_below(weights_folder()) == set()


@pytest.fixture
def folder_weight(server: Server, monkeypatch: pytest.MonkeyPatch) -> Weight:
    """As `one_align`: a folder of files at a revision, of which no hashes are published."""
    server.files = {"/at/r1/config.json": b"{}", "/at/r1/model.bin": CONTENT}
    weight = tiny_weight(
        f"{server.url}/at/r1",
        b"",
        file="tiny",
        bytes=None,
        sha256=None,
        revision="r1",
        parts=("config.json", "model.bin"),
    )
    return register(monkeypatch, weight)


def test_unpublished_hashes_are_recorded_at_the_first_fetch_and_demanded_afterwards(folder_weight) -> None:
    assert fetch_weight(folder_weight, silent).recorded
    assert weight_path("tiny") == weights_folder() / "tiny"
    before = weight_sha256("tiny")
    assert not fetch_weight(folder_weight, silent).recorded
    put(weights_folder(), "tiny/model.bin", some_bytes(300_000, seed=3))
    with pytest.raises(AvatarBenchError, match=sha256(CONTENT)):
        weight_path("tiny")
    assert weight_sha256("tiny") == before  # what it must be, not what stands there


def test_the_source_may_not_change_what_was_recorded(folder_weight: Weight, server: Server) -> None:
    fetch_weight(folder_weight, silent)
    (weights_folder() / "tiny" / "config.json").unlink()
    server.files["/at/r1/config.json"] = b"[]"
    refused("E502", folder_weight)
    assert not (weights_folder() / "tiny" / "config.json").exists()


def test_a_fetch_of_a_folder_that_broke_off_keeps_the_finished_files(folder_weight, server) -> None:
    model = server.files.pop("/at/r1/model.bin")
    refused("E502", folder_weight)
    with pytest.raises(AvatarBenchError, match=r"expected: tiny/model\.bin"):
        weight_path("tiny")
    server.files["/at/r1/model.bin"] = model
    server.requests.clear()
    fetch_weight(folder_weight, silent)
    assert [path for path, *_ in server.requests] == ["/at/r1/model.bin"]
    assert weight_path("tiny")


def test_an_offline_folder_of_unknown_hash_is_not_opened_before_fetch_recorded_it(
    folder_weight: Weight, server: Server, tmp_path, monkeypatch
) -> None:
    for name in ("config.json", "model.bin"):
        put(tmp_path / "tiny", name, b"offline")
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    for ask in (weight_path, weight_sha256):
        with pytest.raises(AvatarBenchError, match="not opened"):
            ask("tiny")
    assert fetch_weight(folder_weight, silent).recorded
    assert weight_path("tiny") == tmp_path / "tiny" and server.requests == []


def test_what_was_recorded_for_one_revision_says_nothing_about_another(folder_weight, monkeypatch) -> None:
    fetch_weight(folder_weight, silent)
    url = folder_weight.url.replace("r1", "r2")
    known = {"file": "tiny", "bytes": None, "sha256": None, "parts": folder_weight.parts}
    register(monkeypatch, tiny_weight(url, b"", revision="r2", **known))
    with pytest.raises(AvatarBenchError, match="not opened"):
        weight_path("tiny")


def test_a_damaged_record_is_said_and_not_forgotten(folder_weight: Weight) -> None:
    fetch_weight(folder_weight, silent)
    put(weights_folder(), "lock.json", b'{"tiny": 1}')
    with pytest.raises(AvatarBenchError, match="record of fetched weights cannot be read") as caught:
        weight_path("tiny")
    assert caught.value.code == "E502"


def test_emptying_the_cache_leaves_weights_alone(tiny: Weight) -> None:
    fetch_weight(tiny, silent)
    clean_cache()
    assert weight_path("tiny").read_bytes() == CONTENT
