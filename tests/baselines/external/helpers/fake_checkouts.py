"""Fake checkouts with everything that an adapter asks for: files, weights (a few bytes each), an environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from tiny_tool import commit

from baselines.external.declaration import Tool

HELPERS = Path(__file__).parent
FAKES = HELPERS.parent / "fakes"
TORCHRUN = """
import os, runpy, sys
while sys.argv[1].startswith("--"):
    name, _, value = sys.argv.pop(1)[2:].partition("=")
    assert (name, value) in (("standalone", ""), ("nproc_per_node", "1")), name
os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
sys.argv.pop(0)
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def make_environment(folder: Path) -> Path:
    """A folder with the programs of a virtual environment: this Python under other names."""
    (folder / "bin").mkdir(parents=True)
    (folder / "torchrun.py").write_text(TORCHRUN)
    for name, arguments in {
        "python": "",
        "torchrun": f'"{folder}/torchrun.py"',
        "ffmpeg": "--version",
    }.items():
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    return folder


def make_checkout(tool: Tool, folder: Path) -> Path:
    """A clone of the fake of a tool, weights in place."""
    shutil.copytree(FAKES / tool.id, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("/.fake_mode\n__pycache__/\n")
    if tool.id == "echomimic_v2":
        _write_template(folder / "assets/halfbody_demo/pose/01")
    for weight in tool.weights:
        path = folder / weight.path
        if path.name == "smplx":
            path = path / "SMPLX_NEUTRAL.npz"
        elif not path.suffix or path.name.startswith("models--"):
            path = path / "model.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            _write_body_model(path)
        elif path.suffix == ".npy":
            np.save(path, np.zeros(322))
        else:
            path.write_bytes(weight.path.encode())
    commit(folder)
    return folder


def describe(tool: Tool, checkout: Path, environment: Path, **further: str) -> str:
    """The tool's section of the settings."""
    lines = {
        "checkout": f"'{checkout}'",
        "environment": f"{{ kind = 'venv', prefix = '{environment}' }}",
        "licence_accepted": "true",
        "allow_changes": "true",
        "variables": f"{{ PYTHONPATH = './:{HELPERS}', PYTHONDONTWRITEBYTECODE = '1' }}",
    } | further
    return f"[tools.{tool.id}]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


def _write_body_model(path: Path) -> None:
    """Joints, a vertex each, in the layout of an SMPL-X model file."""
    joints = np.random.default_rng(0).uniform(-0.5, 0.5, (55, 3))
    means = {"hands_meanl": np.full(45, 0.1), "hands_meanr": np.full(45, -0.1)}
    np.savez(path, v_template=joints, J_regressor=np.eye(55), **means)


def _write_template(folder: Path, n_poses: int = 10) -> None:
    """Poses as EchoMimicV2 ships them: shoulders a third apart, hands that rise by the number of the pose."""
    folder.mkdir(parents=True)
    for number in range(n_poses):
        body = np.full((18, 2), 0.5)
        body[2], body[5] = (0.33, 0.4), (0.67, 0.4)
        hands = np.full((2, 21, 2), 0.5)
        hands[..., 1] = 0.8 - 0.01 * number
        pose = {
            "bodies": {"candidate": body, "subset": np.zeros((1, 18)), "score": np.ones((1, 18))},
            "hands": hands,
            "hands_score": np.ones((2, 21)),
            "faces": np.full((1, 68, 2), 0.3),
            "faces_score": np.ones((1, 68)),
            "num": 0,
            "draw_pose_params": [768, 768, 0, 768, 0, 768],
        }
        np.save(folder / f"{number}.npy", np.array(pose, dtype=object), allow_pickle=True)
