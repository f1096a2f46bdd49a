"""From settings to an argument list: docker without a docker, and variables that would change what a tool does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_tool import STAGE, TOOL

from baselines.external.environments import full_command, gpus_for, variables_for
from baselines.external.settings import Environment, ToolSettings
from media.errors import AvatarBenchError


def settings(**environment: object) -> ToolSettings:
    return ToolSettings(
        checkout=Path("/data/tiny"),
        environment=Environment.model_validate(environment),
        gpus=(2, 3),
        variables={"OMP_NUM_THREADS": "4"},
    )


def command(chosen: ToolSettings, device: str = "cpu") -> list[str]:
    return full_command(
        ["python", "tool.py", "a b;c"],
        chosen,
        variables_for(TOOL, STAGE, chosen, device),
        cwd=Path("/data/tiny/sub"),
        writable=(Path("/data/tiny"), Path("/cache/external")),
        run="ab12",
        where="[tools.tiny]",
    )


def test_docker_is_given_the_folders_under_their_own_paths_and_no_network():
    words = command(settings(kind="docker", image="tiny@sha256:00", mounts=["/weights", "/a:/b"]))
    assert words[:2] == ["docker", "run"]
    assert {"--rm", "--network=none", "--name=avatarbench-ab12", "--workdir=/data/tiny/sub"} <= set(words)
    assert {"--volume=/data/tiny:/data/tiny", "--volume=/cache/external:/cache/external"} <= set(words)
    assert {"--volume=/weights:/weights:ro", "--volume=/a:/b:ro", '--gpus="device=2,3"'} <= set(words)
    assert {"--env=OMP_NUM_THREADS=4", "--env=HF_HUB_OFFLINE=1"} <= set(words)
    assert not any("CUDA_VISIBLE_DEVICES" in word or word.startswith("--env=PATH") for word in words)
    assert words[-4:] == ["tiny@sha256:00", "python", "tool.py", "a b;c"]


def test_docker_without_an_image_is_refused():
    with pytest.raises(AvatarBenchError, match="E706"):
        command(settings(kind="docker"))


def test_this_python_is_an_environment_too():
    assert command(settings(kind="current")) == [sys.executable, "tool.py", "a b;c"]


def test_few_variables_are_passed_on(monkeypatch: pytest.MonkeyPatch):
    for name in ("PYTHONPATH", "http_proxy", "APP_MODEL_NAME", "LD_PRELOAD", "HF_TOKEN"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HF_HOME", "/models")
    found = variables_for(TOOL, STAGE, settings(kind="current"), "cpu")
    assert not {"PYTHONPATH", "http_proxy", "APP_MODEL_NAME", "LD_PRELOAD", "HF_TOKEN"} & set(found)
    assert found["HF_HOME"] == "/models" and found["PIP_NO_INDEX"] == "1" and found["OMP_NUM_THREADS"] == "4"


@pytest.mark.parametrize(("device", "gpus"), [("cpu", (2, 3)), ("cuda", (2, 3)), ("cuda:1", (1,))])
def test_a_gpu_is_chosen_by_its_index(device: str, gpus: tuple[int, ...]):
    chosen = settings(kind="current")
    assert gpus_for(chosen, device) == gpus
    found = variables_for(TOOL, STAGE, chosen, device)
    assert found["CUDA_VISIBLE_DEVICES"] == ",".join(map(str, gpus))
    assert found["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
