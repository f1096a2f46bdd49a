"""Adapters against source code: every option that they pass is defined there, and what they rely on still stands.

The fakes are always compared. A real clone is, where an environment variable such as `CHECKOUT_LHM` names one.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
from fake_checkouts import FAKES

from baselines.echomimic_v2 import ECHOMIMIC_V2
from baselines.external.declaration import Stage
from baselines.external.state import commit_of
from baselines.hunyuan_video_avatar import HUNYUAN_VIDEO_AVATAR
from baselines.lhm import LHM
from baselines.omniavatar import OMNIAVATAR
from baselines.persona import PERSONA

STAGES: dict[str, list[Stage]] = {}
for method in (OMNIAVATAR, HUNYUAN_VIDEO_AVATAR, ECHOMIMIC_V2, LHM, PERSONA):
    for stage in method.stages:
        if stage.command and stage.tool and stage not in STAGES.setdefault(stage.tool.id, []):
            STAGES[stage.tool.id].append(stage)
RELIED_ON = {
    "omniavatar": ["silence_duration_s", "/usr/bin/ffmpeg", "demo_out", "@@"],
    "hunyuan_video_avatar": ["_audio.mp4", "min(num_frames, 400)", "-shortest"],
    "echomimic_v2": ["_sig.mp4", "draw_pose_params", "split('/')[-2]"],
    "lhm": ["motion_seqs_dir", "video_dump", "pad_ratio", "[0.0] * 100"],
    "persona": ["something bad happened when", "snapshot_", "frame_idx_list.txt"],
    "motioncraft": ["/workspace/user_code/STMoGen", "res_", "new_cache"],
}


def python_files(checkout: Path) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in checkout.rglob("*.py")}


def defined_options(sources: dict[Path, str]) -> set[str]:
    """All names that any `add_argument` of the checkout defines."""
    found = set()
    for text in sources.values():
        if "add_argument" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def passed_options(stage: Stage) -> list[str]:
    """Options of the tool itself: `torchrun`'s own stand before the script."""
    words = list(stage.command)
    script = next(i for i, word in enumerate(words) if word.endswith(".py") or word == "-m")
    return [word.partition("=")[0] for word in words[script + 1 :] if re.match(r"--?[A-Za-z]", word)]


def unknown_options(tool: str, sources: dict[Path, str]) -> list[str]:
    defined = defined_options(sources)
    passed = [option for stage in STAGES[tool] for option in passed_options(stage)]
    # argparse takes an unambiguous beginning of a long option, such as --hp for --hparams.
    return [
        option
        for option in passed
        if option not in defined and not any(d.startswith(option) for d in defined)
    ]


@pytest.mark.parametrize("tool", sorted(STAGES))
def test_a_fake_defines_every_option_that_its_adapter_passes(tool: str):
    sources = python_files(FAKES / tool)
    assert unknown_options(tool, sources) == []
    declared = STAGES[tool][0].tool
    assert declared is not None
    assert any(declared.commit in text and declared.repository in text for text in sources.values())
    for name in declared.files:
        assert (FAKES / tool / name).is_file() or name.startswith("assets/"), name


def test_an_option_that_is_not_there_is_found(tmp_path: Path):
    (tmp_path / "infer.py").write_text(
        "import argparse\nargparse.ArgumentParser().add_argument('--config')\n"
    )
    assert "--pose_dir" in unknown_options("echomimic_v2", python_files(tmp_path))


@pytest.mark.parametrize("tool", sorted(STAGES))
def test_a_real_clone_has_what_the_adapter_relies_on(tool: str):
    named = os.environ.get(f"CHECKOUT_{tool.upper()}")
    if not named:
        pytest.skip(f"CHECKOUT_{tool.upper()} names no clone")
    checkout, declared = Path(named), STAGES[tool][0].tool
    assert declared is not None and commit_of(checkout).commit == declared.commit
    sources = python_files(checkout)
    assert [name for name in declared.files if not (checkout / name).is_file()] == []
    assert unknown_options(tool, sources) == []
    assert [text for text in RELIED_ON[tool] if not any(text in source for source in sources.values())] == []
