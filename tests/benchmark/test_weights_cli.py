"""`bench weights list | fetch | verify`, and that `fetch` is the one verb that uses the network."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from weights_server import Server, serving, some_bytes, tiny_weight

from benchmark.cli_weights import weights
from benchmark.weights import WEIGHTS, weights_folder
from media.errors import AvatarBenchError

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("benchmark", "media", "baselines", "reference_model", "leaderboard")
CONTENT = some_bytes(50_000)


@pytest.fixture(autouse=True)
def only_two_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """`tiny` with a published hash, `open` without one; a source for both."""
    for variable in ("AVATARBENCH_WEIGHTS", "AVATARBENCH_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("benchmark.downloading._PAUSE_S", 0.0)
    with serving(Server({"/tiny.bin": CONTENT, "/open/model.bin": CONTENT})) as server:
        for weight_id in tuple(WEIGHTS):
            monkeypatch.delitem(WEIGHTS, weight_id)
        monkeypatch.setitem(WEIGHTS, "tiny", tiny_weight(f"{server.url}/tiny.bin", CONTENT))
        folder = {"file": "open", "bytes": None, "sha256": None, "parts": ("model.bin",), "revision": "r1"}
        monkeypatch.setitem(WEIGHTS, "open", tiny_weight(f"{server.url}/open", b"", id="open", **folder))
        yield server


def call(*arguments: str) -> Result:
    return CliRunner().invoke(weights, list(arguments))


def test_list_says_what_is_there_and_what_is_known_of_it(only_two_weights: Server) -> None:
    before = call("list")
    assert before.exit_code == 0 and before.output.count("missing") == 2
    for fact in (WEIGHTS["tiny"].sha256, WEIGHTS["tiny"].url, "r1", "0.1 MB", "recorded at first fetch"):
        assert fact and fact in before.output
    assert only_two_weights.requests == []
    call("fetch")
    after = call("list")
    assert "missing" not in after.output and after.output.count("there") == 2


def test_fetch_brings_all_and_says_which_hash_nobody_has_checked() -> None:
    result = call("fetch")
    assert result.exit_code == 0, result.output
    assert f"tiny: fetched: {weights_folder() / 'tiny.bin'}" in result.output
    assert "open: no hash is published" in result.output and "tiny: no hash" not in result.output
    again = call("fetch", "open")
    assert "stands already" in again.output and "no hash" not in again.output


def test_fetch_goes_on_with_the_others_after_a_failure_and_exits_with_3(only_two_weights: Server) -> None:
    del only_two_weights.files["/tiny.bin"]
    result = call("fetch")
    assert result.exit_code == 3
    assert "HTTP 404" in result.output and "open: fetched" in result.output


def test_verify_exits_with_3_while_something_is_missing_or_wrong() -> None:
    assert call("verify").exit_code == 3
    call("fetch", "tiny")
    assert call("verify", "tiny").exit_code == 0
    partly = call("verify")
    assert partly.exit_code == 3 and "tiny: right" in partly.output and "'open'" in partly.output
    call("fetch")
    assert call("verify").exit_code == 0
    (weights_folder() / "tiny.bin").write_bytes(CONTENT[::-1])
    wrong = call("verify")
    assert wrong.exit_code == 3 and "damaged" in wrong.output and "open: right" in wrong.output


def test_an_unknown_id_is_refused_before_anything_is_fetched(only_two_weights: Server) -> None:
    result = call("fetch", "tiny", "tyni")
    assert isinstance(result.exception, AvatarBenchError) and result.exception.code == "E504"
    assert only_two_weights.requests == []


_BLOCKED = """
import json, os, socket, sys

def refuse(*arguments, **named):
    os.write(2, b"the network was used\\n")
    os._exit(99)  # no `except` can hide it

socket.socket.__init__ = refuse
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse

from benchmark.cli import main
from benchmark.cli_weights import weights
from media.errors import AvatarBenchError

codes = {}
for line in json.loads(sys.argv[1]):
    if line[0] == "weights":
        codes[" ".join(line)] = weights(line[1:], standalone_mode=False) or 0
    else:
        codes[" ".join(line)] = main(line)
os.write(1, b"\\n" + json.dumps(codes).encode())
"""


def _without_network(folder: Path, *lines: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", _BLOCKED, json.dumps(lines)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_no_other_verb_touches_the_network(tmp_path: Path) -> None:
    lines = (
        ["methods"],
        ["metrics"],
        ["protocols"],
        ["doctor"],
        ["show", "E502"],
        ["dataset", "show"],
        ["dataset", "split"],
        ["weights", "list"],
        ["run", "--method", "ours", "--device", "cpu", "--dry-run"],
    )
    done = _without_network(tmp_path, *lines)
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes == {" ".join(line): 0 for line in lines}, done.stdout + done.stderr


def test_the_block_of_the_test_above_catches_a_download(tmp_path: Path) -> None:
    done = _without_network(tmp_path, ["weights", "fetch", "syncnet_v2"])
    assert done.returncode == 99 and "the network was used" in done.stderr


_CLIENTS = ("urllib.request", "http.client", "requests", "httpx", "aiohttp", "urllib3", "huggingface_hub")
_DOWNLOADERS = {
    "hf_hub_download",
    "snapshot_download",
    "load_state_dict_from_url",
    "download_url_to_file",
    "urlretrieve",
    "urlopen",
}


def _uses_network(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names} | {str(node.module)}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return {name for name in found if name.startswith(_CLIENTS) or name.split(".")[-1] in _DOWNLOADERS}


def test_one_module_of_the_project_can_download() -> None:
    able = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if _uses_network(path.read_text(encoding="utf-8"))
    }
    assert able == {"benchmark/downloading.py", "reference_model/networks/pretrained.py"}
    looks_up = (REPOSITORY / "reference_model/networks/pretrained.py").read_text(encoding="utf-8")
    calls = looks_up.count("snapshot_download(") + looks_up.count("from_pretrained(")
    assert calls == looks_up.count("local_files_only=True") == 2  # a cache, no network
