"""`bench test-method` finds a method that breaks its duties, and the examples of the documentation keep them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from baselines.contract_check import Finding, examine_method
from benchmark.contract import Generation, MethodSpec, Sample

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "add_a_method"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AVATARBENCH_TOOLS", str(tmp_path / "tools.toml"))
    monkeypatch.syspath_prepend(str(EXAMPLES))


def duties(findings: Iterator[Finding]) -> dict[str, bool]:
    return {finding.duty: finding.ok for finding in findings}


class Forgetful:
    """Breaks one duty after the other, as its class says."""

    n_missing, random, writes = 0, False, False

    def __init__(self, device: str) -> None:
        self.calls = 0

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        import numpy as np

        from media.image import load_image
        from media.video import write_video

        self.calls += 1
        picture = load_image(sample.reference_image)
        shift = self.calls if self.random else 0
        frames = (np.roll(picture, 5 * i + shift, axis=0) for i in range(sample.n_frames - self.n_missing))
        write_video(out, frames, sample.fps)
        if self.writes:
            (prepared / "note").write_text("x")
        return Generation(out)


class TooShort(Forgetful):
    n_missing = 1


class Random(Forgetful):
    random = True


class Writes(Forgetful):
    writes = True


def spec_of(kind: type, monkeypatch: pytest.MonkeyPatch) -> MethodSpec:
    module = type(sys)("a_foreign_method")
    module.Kind = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_foreign_method", module)
    monkeypatch.setattr(
        "baselines.contract_check._light", lambda spec: Finding("is listed at once", True, "")
    )
    return MethodSpec("foreign", "1", "Foreign", "MIT", "a_foreign_method:Kind", sources=("media/errors.py",))


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Forgetful, None),
        (TooShort, "of the frames that were asked for"),
        (Random, "gives the same for the same seed"),
        (Writes, "leaves the prepared folder alone"),
    ],
)
def test_the_broken_duty_is_named(kind: type, broken: str | None, monkeypatch: pytest.MonkeyPatch):
    found = duties(examine_method(spec_of(kind, monkeypatch), "cpu", 0.4))
    assert [duty for duty, ok in found.items() if not ok] == ([broken] if broken else [])


def test_the_example_in_python_keeps_every_duty():
    import my_method

    found = duties(examine_method(my_method.SPEC, "cpu", 0.4))
    assert len(found) == 11 and all(found.values()), found


def test_the_example_of_a_program_keeps_every_duty(tmp_path: Path):
    import my_tool

    checkout = tmp_path / "my_tool_checkout"
    shutil.copytree(EXAMPLES / "my_tool_checkout", checkout)
    (tmp_path / "tools.toml").write_text(
        f"[tools.my_tool]\ncheckout = '{checkout}'\nenvironment = {{ kind = 'current' }}\nallow_changes = true\n"
    )
    found = duties(examine_method(my_tool.SPEC, "cpu", 0.4))
    assert len(found) == 10 and all(found.values()), found


def test_the_command_names_an_unknown_method():
    bench = Path(sys.executable).with_name("bench")
    done = subprocess.run([bench, "test-method", "lmh"], capture_output=True, text=True)
    assert done.returncode == 3 and "Did you mean 'lhm'?" in done.stderr
