"""Stages: run once for equal content, again where they were interrupted, and never with yesterday's output."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_tool
from tiny_tool import clone, tiny_method

from baselines.external.declaration import ExternalMethod
from baselines.external.preflight import check_method, problems_of
from baselines.external.settings import parameters_of
from baselines.external.stages import Finished, Seen, StageRunner
from benchmark.contract import Sample
from media.audio import write_wav
from media.errors import AvatarBenchError

UPPER = "import sys\nopen(sys.argv[2], 'w').write(open(sys.argv[1]).read().upper() * int(sys.argv[3]))\n"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    import numpy as np

    (tmp_path / "face.png").write_bytes(b"a picture")
    write_wav(tmp_path / "audio.wav", np.zeros(6400, np.float32))
    return Sample("c.1", "ada", tmp_path / "face.png", tmp_path / "audio.wav", "hi ", 10, 25.0, 64, 64, 7)


class Bench:
    """A checkout of the tiny tool with its settings."""

    def __init__(self, folder: Path, settings: Path, script: str = UPPER) -> None:
        self.checkout, self.settings = folder, settings
        self.head = clone(folder, {"tool.py": script})
        self.configure()

    def configure(self, *, method: str = "", **lines: str) -> None:
        keys = {"checkout": f"'{self.checkout}'", "environment": "{ kind = 'current' }"} | lines
        text = "[tools.tiny]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
        self.settings.write_text(f"{text}\n{method}")

    def method(self, **changes: object) -> ExternalMethod:
        return tiny_method(self.head, **changes)

    def run(self, sample: Sample, **changes: object) -> Finished:
        method = self.method(**changes)
        runner = StageRunner(parameters_of(method), "cpu")
        return runner.run(method.stages, Seen(sample.identity(1), sample))["work"]


@pytest.fixture
def bench(tmp_path: Path, own_cache: Path) -> Bench:
    tiny_tool.written.clear()
    return Bench(tmp_path / "checkout", own_cache / "tools.toml")


def test_a_stage_runs_its_command_on_what_its_function_wrote(bench: Bench, sample: Sample):
    done = bench.run(sample)
    assert (done.folder / "result.txt").read_text() == "HI HI HI "


def test_equal_content_is_not_run_again_whatever_the_clip_is_called(bench: Bench, sample: Sample):
    first = bench.run(sample)
    second = bench.run(replace(sample, sample_id="other", identity_id="eve"))
    assert second == first and len(tiny_tool.written) == 1


def test_other_words_parameters_variables_or_code_are_other_content(bench: Bench, sample: Sample):
    keys = [bench.run(sample).key, bench.run(replace(sample, transcript="ho")).key]
    bench.configure(method="[methods.tiny.parameters]\nstrength = 1")
    keys.append(bench.run(sample).key)
    bench.configure(variables="{ LD_LIBRARY_PATH = '/lib' }")
    keys.append(bench.run(sample).key)
    bench.configure()
    (bench.checkout / "tool.py").write_text(UPPER + "# changed\n")
    keys.append(bench.run(sample).key)
    keys.append(bench.run(sample, sources=("media",)).key)
    assert len(set(keys)) == len(keys)


def test_an_output_that_was_changed_since_is_made_again(bench: Bench, sample: Sample):
    done = bench.run(sample)
    (done.folder / "result.txt").write_text("damaged")
    assert (bench.run(sample).folder / "result.txt").read_text() == "HI HI HI "
    assert len(tiny_tool.written) == 2


def test_a_stage_sees_no_more_than_its_scope(bench: Bench, sample: Sample):
    with pytest.raises(AssertionError, match="sees no sample"):
        bench.run(sample, scope="identity")


FAULTS = {
    "E711": "import sys; sys.exit('the wheel came off')",
    "E713": "raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')",
    "E714": "print('something bad happened')",
    "E716": "raise RuntimeError('no kernel image is available for execution')",
    "E706": "import a_module_that_is_not_there",
    "E712": "import time; print('loading', flush=True); time.sleep(300)",
}


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_has_its_code_and_the_last_lines(
    code: str, tmp_path: Path, own_cache: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("baselines.external.launcher.GRACE_S", 0.2)
    bench = Bench(tmp_path / "checkout", own_cache / "tools.toml", FAULTS[code])
    bench.configure(time_factor="0.001" if code == "E712" else "1")
    with pytest.raises(AvatarBenchError) as caught:
        bench.run(sample)
    assert caught.value.code == code
    words = {
        "E711": "wheel",
        "E713": "2 GiB",
        "E714": "bad",
        "E716": "kernel",
        "E706": "there",
        "E712": "loading",
    }
    assert words[code] in (caught.value.got or "")
    assert (Path(caught.value.where or "") / "command.json").is_file()


def test_after_a_fault_the_stage_runs_anew(tmp_path: Path, own_cache: Path, sample: Sample):
    once = "import os, sys\nif not os.path.exists('ran'):\n    open('ran', 'w'); sys.exit(1)\n"
    bench = Bench(tmp_path / "checkout", own_cache / "tools.toml", once + UPPER)
    with pytest.raises(AvatarBenchError, match="E711"):
        bench.run(sample)
    assert (bench.run(sample).folder / "result.txt").exists()


def test_an_old_file_is_not_taken_for_the_output(tmp_path: Path, own_cache: Path, sample: Sample):
    bench = Bench(tmp_path / "checkout", own_cache / "tools.toml", "print('nothing to do')")
    (bench.checkout / "left.txt").write_text("yesterday's")
    output = replace(tiny_tool.STAGE.outputs[0], pattern="{checkout}/left.*")
    import os

    os.utime(bench.checkout / "left.txt", (1, 1))
    with pytest.raises(AvatarBenchError, match="E714"):
        bench.run(sample, outputs=(output,))


def test_a_program_that_crashes_after_its_output_fails_unless_it_is_known_to(
    tmp_path: Path, own_cache: Path, sample: Sample
):
    bench = Bench(tmp_path / "checkout", own_cache / "tools.toml", UPPER + "sys.exit(3)")
    with pytest.raises(AvatarBenchError, match="E711"):
        bench.run(sample)
    assert (bench.run(sample, crash_after_output=True).folder / "result.txt").is_file()


def test_a_placeholder_that_nothing_fills_is_a_wrong_declaration(bench: Bench, sample: Sample):
    with pytest.raises(AvatarBenchError, match=r"E732.*typo"):
        bench.run(sample, command=("python", "{typo}"))


def test_a_path_with_brackets_is_no_pattern(tmp_path: Path, own_cache: Path, sample: Sample):
    bench = Bench(
        tmp_path / "check[out]", own_cache / "tools.toml", UPPER + "open('left.txt', 'w').write('x')"
    )
    output = replace(tiny_tool.STAGE.outputs[0], pattern="{checkout}/left.*")
    assert (bench.run(sample, outputs=(output,)).folder / "result.txt").read_text() == "x"


def test_a_ready_tool_has_no_problems(bench: Bench):
    assert list(problems_of(bench.method())) == []


def test_what_is_missing_is_named_with_the_next_step(bench: Bench, tmp_path: Path, own_cache: Path):
    method = bench.method()
    bench.settings.unlink()
    with pytest.raises(AvatarBenchError, match=r"E701(.|\n)*\[tools.tiny\]\n"):
        check_method(method)
    bench.settings.write_text("[tools.tiny]\ncheckout = 3")
    with pytest.raises(AvatarBenchError, match=r"E702(.|\n)*tools.tiny.checkout"):
        check_method(method)
    bench.configure(checkout=f"'{tmp_path / 'none'}'")
    with pytest.raises(AvatarBenchError, match=r"E703(.|\n)*nobody/tiny"):
        check_method(method)
    bench.configure(environment=f"{{ kind = 'venv', prefix = '{tmp_path}' }}")
    with pytest.raises(AvatarBenchError, match=r"E706(.|\n)*bin/python"):
        check_method(method)
    bench.configure(method="[methods.tiny.parameters]\nspeed = 1")
    with pytest.raises(AvatarBenchError, match=r"E702(.|\n)*strength = 3"):
        check_method(method)
    bench.configure()
    (bench.checkout / "tool.py").write_text(UPPER + "# mine\n")
    with pytest.raises(AvatarBenchError, match=r"E703(.|\n)*was changed"):
        check_method(method)
    bench.configure(allow_changes="true")
    check_method(method)


def test_the_settings_name_an_environment_by_its_folder(bench: Bench, sample: Sample, tmp_path: Path):
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    bench.configure(environment=f"{{ kind = 'conda', prefix = '{tmp_path / 'env'}' }}", gpus="[1]")
    done = bench.run(sample)
    import json

    told = json.loads((done.folder.parent / "logs" / "command.json").read_text())
    assert told["command"][0] == str(python)
    assert told["variables"]["CONDA_PREFIX"] == str(tmp_path / "env")
    assert told["variables"]["PATH"].startswith(f"{tmp_path / 'env'}/bin:")
    assert told["variables"]["CUDA_VISIBLE_DEVICES"] == "1"
    assert not {"PYTHONPATH", "APP_INFER", "http_proxy"} & set(told["variables"])
