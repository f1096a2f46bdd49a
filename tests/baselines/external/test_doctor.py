"""`bench doctor --method ID` names what a row's tools are and what is missing, with the next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_checkouts import describe, make_checkout, make_environment

from baselines.hunyuan_video_avatar import TOOL
from benchmark.doctor import examine_one
from media.errors import AvatarBenchError


def bad(method: str) -> dict[str, str]:
    return {check.name: f"{check.found} | {check.fix}" for check in examine_one(method) if not check.ok}


def test_a_row_whose_tools_are_not_set_up_says_how_to():
    told = [f"{check.name}: {check.fix}" for check in examine_one("lhm") if not check.ok]
    assert len(told) == 2 and all(line.startswith("E701: clone github.com/") for line in told)
    assert "[tools.motioncraft]" in told[1]


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path):
    checkout = make_checkout(TOOL, tmp_path / "hunyuan")
    (checkout / "weights/ckpts/det_align/detface.pt").unlink()
    environment = make_environment(tmp_path / "env")
    text = describe(TOOL, checkout, environment, allow_changes="false", licence_accepted="false")
    Path(os.environ["AVATARBENCH_TOOLS"]).write_text(text)
    found = bad("hunyuan_video_avatar")
    assert set(found) == {"E703", "E704", "E705"}
    assert TOOL.commit in found["E703"] and "detface.pt" in found["E704"]
    assert "huggingface tencent/HunyuanVideo-Avatar" in found["E704"]
    assert "European Union" in found["E705"]


def test_a_checkout_that_is_ready_has_no_bad_line(tmp_path: Path):
    checkout, environment = make_checkout(TOOL, tmp_path / "hunyuan"), make_environment(tmp_path / "env")
    Path(os.environ["AVATARBENCH_TOOLS"]).write_text(describe(TOOL, checkout, environment))
    assert bad("hunyuan_video_avatar") == {}


def test_methods_of_our_own_can_be_looked_at_too():
    assert bad("frozen") == {}
    with pytest.raises(AvatarBenchError, match="E501"):
        bad("frozn")
