"""Methods by entry point."""

from __future__ import annotations

import subprocess
import sys
import types
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tiny_methods import tiny_spec

from benchmark import registry
from benchmark.contract import MethodSpec, Preparation
from benchmark.registry import GROUP, find_method, fingerprint, list_methods
from media.errors import AvatarBenchError


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A third party's module with the spec of a method called `theirs`."""
    module = types.ModuleType("their_plugin")
    module.SPEC = tiny_spec("theirs", "Sliding")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_plugin", module)
    return module


def test_the_projects_methods_are_registered_ours_first():
    listings = list_methods()
    oracles = {"ground_truth", "codec", "shift", "other_speech", "wrong_identity", "blur", "noise"}
    oracles |= {"ours+gt_pose", "lhm+gt_pose", "persona+gt_pose"}
    published = {"omniavatar", "hunyuan_video_avatar", "echomimic_v2", "lhm", "persona"}
    names = [listing.name for listing in listings]
    assert names[0] == "ours"
    assert names[1:] == sorted({"pose_driven", "frozen"} | published | oracles)
    assert [listing.error for listing in listings] == [None] * len(names)
    assert {listing.name for listing in listings if listing.spec and listing.spec.privileged} == oracles


def test_a_third_party_adds_a_method_by_entry_point(plugin):
    assert find_method("theirs", [entry("theirs", "their_plugin:SPEC")]) is plugin.SPEC


def test_an_unknown_method_gets_the_nearest_name():
    with pytest.raises(AvatarBenchError, match=r"E501: unknown method 'our'\. Did you mean 'ours'"):
        find_method("our")


def test_a_method_that_does_not_load_is_listed_with_its_error_and_hides_nobody(plugin):
    entries = [entry("broken", "no_such_module_anywhere:SPEC"), entry("theirs", "their_plugin:SPEC")]
    broken, theirs = list_methods(entries)
    assert broken.spec is None and "No module named 'no_such_module_anywhere'" in (broken.error or "")
    assert theirs.error is None
    with pytest.raises(AvatarBenchError, match="E501: the method 'broken' is registered but does not load"):
        find_method("broken", entries)


def test_two_packages_cannot_claim_one_name(plugin):
    with pytest.raises(AvatarBenchError, match="E501: two methods are registered as 'theirs'"):
        list_methods([entry("theirs", "their_plugin:SPEC"), entry("theirs", "another:SPEC")])


def test_a_missing_optional_package_is_named_before_any_work(plugin):
    plugin.SPEC = replace(plugin.SPEC, needs=("a_package_nobody_has",))
    with pytest.raises(AvatarBenchError, match="E603: the method 'theirs' needs the package"):
        find_method("theirs", [entry("theirs", "their_plugin:SPEC")])


def test_the_fingerprint_follows_the_bytes_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "weighty"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "weights.bin").write_bytes(b"one")
    monkeypatch.syspath_prepend(tmp_path)
    spec = replace(
        tiny_spec("theirs", "Sliding"), preparation=Preparation("p", "1", ("weighty/weights.bin",))
    )
    before = fingerprint(spec)
    assert fingerprint(spec) == before
    (package / "weights.bin").write_bytes(b"two")
    assert fingerprint(spec) != before
    assert fingerprint(replace(spec, version="2")) != fingerprint(spec)


def test_all_sources_that_specs_name_exist():
    root = Path(registry.__file__).parents[1]
    specs = [listing.spec for listing in list_methods() if isinstance(listing.spec, MethodSpec)]
    sources = {
        s for spec in specs for s in (*spec.sources, *(spec.preparation.sources if spec.preparation else ()))
    }
    assert [source for source in sorted(sources) if not (root / source).exists()] == []


@pytest.mark.parametrize("arguments", [["--help"], ["methods"], ["metrics"], ["protocols"], ["show", "E402"]])
def test_listing_imports_no_torch_and_no_mediapipe(arguments: list[str]):
    code = (
        "import sys; from benchmark.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'mediapipe', 'cv2', 'av', 'pandas'} & set(sys.modules); assert not heavy, heavy;"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_stands_outside_of_packages_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch):
    outside = types.SimpleNamespace(state=lambda: {"commit": "a"})
    monkeypatch.setitem(sys.modules, "outside", types.SimpleNamespace(TOOL=outside))
    spec = MethodSpec("x", "1", "X", "MIT", "x:X", state="outside:TOOL")
    before = fingerprint(spec)
    assert before == fingerprint(spec) != fingerprint(replace(spec, state=""))
    outside.state = lambda: {"commit": "b"}
    assert fingerprint(spec) != before
