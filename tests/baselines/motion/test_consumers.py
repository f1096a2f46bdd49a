"""The folders that LHM and PERSONA read: layout, round trips in float64, canvas, anchors, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_smplx import random_motion

from baselines.motion import lhm, persona
from baselines.motion.anchor import PinholeCamera, read_lhm_anchor, read_persona_anchor
from baselines.motion.canvas import centred_canvas
from baselines.motion.layout import read_smplx_model
from baselines.motion.smplx_motion import read_motion_npz
from media.errors import AvatarBenchError
from media.image import load_image

CAMERA = PinholeCamera((900.0, 901.0), (208.0, 256.0), 416, 512)
HANDS = np.random.default_rng(5).normal(0, 0.3, (2, 15, 3))


def test_lhm_gets_its_motion_back_to_the_bit(tmp_path: Path):
    motion = random_motion(12)
    lhm.write_folder(tmp_path / "p", motion, CAMERA)
    assert [path.name for path in sorted((tmp_path / "p").iterdir())][::11] == ["00001.json", "00012.json"]
    back = lhm.read_folder(tmp_path / "p", 30.0)
    for name in ("rotations", "translation", "expression"):
        assert np.array_equal(getattr(back, name), getattr(motion, name))
    frame = json.loads((tmp_path / "p" / "00001.json").read_text())
    assert np.shape(frame["body_pose"]) == (21, 3) and np.shape(frame["lhand_pose"]) == (15, 3)
    assert frame["focal"] == [900.0, 901.0] and frame["princpt"] == [208.0, 256.0]
    assert frame["img_size_wh"] == [416, 512] and frame["pad_ratio"] == 0 and len(frame["betas"]) == 10


def test_persona_gets_its_motion_back_in_float64(tmp_path: Path):
    motion = random_motion(11)
    persona.write_folder(tmp_path / "m", motion, CAMERA, HANDS)
    back = persona.read_folder(tmp_path / "m", 30.0, HANDS)
    assert np.allclose(back.rotations, motion.rotations, rtol=0, atol=1e-15)
    assert np.array_equal(back.translation, motion.translation)
    assert np.array_equal(back.expression, motion.expression[:, :50])
    frame = json.loads((tmp_path / "m" / "smplx" / "params" / "10.json").read_text())
    assert len(frame["expr"]) == 50
    assert np.allclose(frame["lhand_pose"], motion.rotations[10, 25:40] - HANDS[0])
    lens = json.loads((tmp_path / "m" / "cam_params" / "10.json").read_text())
    assert lens == {
        "R": np.eye(3).tolist(),
        "t": [0, 0, 0],
        "focal": [900.0, 901.0],
        "princpt": [208.0, 256.0],
    }
    assert load_image(tmp_path / "m" / "images" / "0.png").shape == (512, 416, 3)


@pytest.mark.parametrize(("cx", "cy"), [(192.0, 256.0), (150.25, 300.0), (500.0, -20.0)])
def test_the_canvas_is_centred_and_holds_the_whole_picture(cx: float, cy: float):
    canvas = centred_canvas(PinholeCamera((900, 900), (cx, cy), 384, 512))
    assert canvas.width % 16 == canvas.height % 16 == 0
    assert canvas.x >= 0 and canvas.y >= 0
    assert canvas.x + canvas.w <= canvas.width and canvas.y + canvas.h <= canvas.height
    assert (canvas.x + cx, canvas.y + cy) == (canvas.width / 2, canvas.height / 2)


def test_anchors_are_read_from_the_trackers_files(tmp_path: Path):
    values = {
        "root_pose": [3.1, 0, 0],
        "trans": [[0.1, 0.2, 3.0]],
        "focal": [500, 510],
        "princpt": [100, 120],
    }
    (tmp_path / "00001.json").write_text(json.dumps(values | {"img_size_wh": [200, 240], "pad_ratio": 0.0}))
    anchor = read_lhm_anchor(tmp_path / "00001.json")
    assert anchor.camera == PinholeCamera((500.0, 510.0), (100.0, 120.0), 200, 240)
    assert anchor.translation.tolist() == [0.1, 0.2, 3.0]
    lens = {"R": np.eye(3).tolist(), "t": [0, 0, 0], "focal": [500, 510], "princpt": [100, 120]}
    (tmp_path / "cam.json").write_text(json.dumps(lens))
    same = read_persona_anchor(tmp_path / "00001.json", tmp_path / "cam.json", 200, 240)
    assert same.camera == anchor.camera and np.array_equal(same.root, anchor.root)


@pytest.mark.parametrize(
    "change",
    [
        {"trans": [0, 1]},
        {"focal": [0, 1]},
        {"root_pose": [float("nan"), 0, 0]},
        {"pad_ratio": 0.2},
        {"princpt": None},
    ],
)
def test_an_unusable_anchor_is_said(tmp_path: Path, change: dict[str, object]):
    values = {"root_pose": [3.1, 0, 0], "trans": [0, 0, 3], "focal": [500, 500], "princpt": [100, 120]}
    (tmp_path / "00001.json").write_text(json.dumps(values | {"img_size_wh": [200, 240]} | change))
    with pytest.raises(AvatarBenchError, match="E743"):
        read_lhm_anchor(tmp_path / "00001.json")


def test_a_camera_that_is_turned_is_no_anchor(tmp_path: Path):
    (tmp_path / "p.json").write_text(json.dumps({"root_pose": [3.1, 0, 0], "trans": [0, 0, 3]}))
    lens = {"R": np.diag([1.0, -1, -1]).tolist(), "t": [0, 0, 0], "focal": [5, 5], "princpt": [1, 1]}
    (tmp_path / "c.json").write_text(json.dumps(lens))
    with pytest.raises(AvatarBenchError, match="E743"):
        read_persona_anchor(tmp_path / "p.json", tmp_path / "c.json", 20, 24)


@pytest.mark.parametrize("spoil", ["missing", "text", "shape", "nan", "field"])
def test_a_motion_file_that_is_none_is_said(tmp_path: Path, spoil: str):
    path = tmp_path / "motion.npz"
    values = {"poses": np.zeros((4, 165)), "trans": np.zeros((4, 3)), "expressions": np.zeros((4, 100))}
    if spoil == "text":
        path.write_text("no archive")
    elif spoil != "missing":
        values["poses"] = np.zeros((4, 160)) if spoil == "shape" else values["poses"]
        values["trans"] = np.full((4, 3), np.nan) if spoil == "nan" else values["trans"]
        rate = {} if spoil == "field" else {"mocap_frame_rate": 30}
        np.savez(path, **values, **rate)
    with pytest.raises(AvatarBenchError, match="E741"):
        read_motion_npz(path, HANDS)


def test_a_file_that_is_no_model_is_said(tmp_path: Path):
    np.savez(tmp_path / "m.npz", v_template=np.zeros((5, 3)), J_regressor=np.zeros((24, 5)))
    for path in (tmp_path / "m.npz", tmp_path / "none.npz"):
        with pytest.raises(AvatarBenchError, match="E744"):
            read_smplx_model(path)
