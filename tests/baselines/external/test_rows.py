"""Each row through a fake of its checkout: predicted, aligned, scored, killed, resumed, and every fault named."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import short_runs
from barcode import box_of, read_number
from fake_checkouts import describe, make_checkout, make_environment
from short_runs import FPS, N_FRAMES, adapt, make_clips, predict, score

from baselines.echomimic_v2 import ECHOMIMIC_V2
from baselines.external import launcher
from baselines.external.declaration import ExternalMethod
from baselines.gt_pose_external import LHM_GT_POSE, PERSONA_GT_POSE
from baselines.hunyuan_video_avatar import HUNYUAN_VIDEO_AVATAR
from baselines.lhm import LHM
from baselines.omniavatar import OMNIAVATAR
from baselines.persona import PERSONA
from benchmark.registry import find_method
from benchmark.results import PredictionRecord
from media.image import load_image
from media.video import probe, read_frames

DRIVEN_BY_SOUND = (OMNIAVATAR, HUNYUAN_VIDEO_AVATAR, ECHOMIMIC_V2, LHM, PERSONA)
METHODS = {method.id: method for method in (*DRIVEN_BY_SOUND, LHM_GT_POSE, PERSONA_GT_POSE)}
SHOWN = {
    "omniavatar": [9 + i for i in range(N_FRAMES)],  # the reference and 8 frames of silence come first
    "hunyuan_video_avatar": list(range(N_FRAMES)),
    "echomimic_v2": [math.floor(i * 24 / 25 + 0.5) for i in range(N_FRAMES)],
    "lhm": list(range(N_FRAMES)),
    "persona": list(range(N_FRAMES)),
    "lhm+gt_pose": list(range(N_FRAMES)),
    "persona+gt_pose": list(range(N_FRAMES)),
}
"""Which frame of the tool each frame of the sample must show."""
STEP_M = 0.0012  # by which the fakes of motion-driven tools count frames
ROWS = sorted(METHODS)


@dataclass
class Bench:
    folder: Path
    clips: Path
    protocols: Path
    method: ExternalMethod
    checkouts: dict[str, Path]
    environment: Path

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def configure(self, **further: str) -> None:
        sections = [
            describe(tool, self.checkouts[tool.id], self.environment, **further) for tool in self.method.tools
        ]
        if self.method.privileged:
            tracks = write_tracks(self.folder / "tracks")
            sections.append(f"[methods.'{self.method.id}']\nparameters = {{ smplx_tracks = '{tracks}' }}\n")
        Path(os.environ["AVATARBENCH_TOOLS"]).write_text("\n".join(sections))

    def fail(self, mode: str) -> None:
        tool = self.method.stages[-1].tool
        assert tool is not None
        (self.checkouts[tool.id] / ".fake_mode").write_text(mode)

    def predict(self, *samples: str) -> int:
        return predict([find_method(self.method.id)], self.clips, self.out, samples or None)

    def records(self) -> list[PredictionRecord]:
        folder = self.out / "predictions" / self.method.id
        return [
            PredictionRecord.model_validate_json(path.read_text()) for path in sorted(folder.glob("*.json"))
        ]

    def videos(self) -> list[Path]:
        return sorted((self.out / "predictions" / self.method.id).glob("*.mp4"))


def write_tracks(folder: Path) -> Path:
    """A track of each clip, in which the person moves by the fakes' step in each frame."""
    folder.mkdir(exist_ok=True)
    way = np.zeros((N_FRAMES, 3))
    way[:, 0] = STEP_M * np.arange(N_FRAMES)
    rest = {
        "poses": np.zeros((N_FRAMES, 165)),
        "expressions": np.zeros((N_FRAMES, 50)),
        "mocap_frame_rate": FPS,
    }
    rest["poses"][:, 0] = np.pi  # in the camera's axes: upright, facing it
    for sample in ("man_1", "man_2", "man_3"):
        np.savez(folder / f"{sample}.npz", trans=way, **rest)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    make_clips(folder / "clips")
    make_environment(folder / "environment")
    return folder


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    method = METHODS[request.param]
    for module, name in (("benchmark.protocol", "_FOLDER"), ("baselines.external.preflight", "_has_program")):
        owner = sys.modules[module]
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back what `adapt` changes
    adapt(shared / "protocols")
    checkouts = {tool.id: make_checkout(tool, tmp_path / tool.id) for tool in method.tools}
    bench = Bench(tmp_path, shared / "clips", shared / "protocols", method, checkouts, shared / "environment")
    bench.configure()
    return bench


@pytest.mark.parametrize("bench", ROWS, indirect=True)
def test_three_samples_are_predicted_aligned_and_scored_although_the_run_was_killed(
    bench: Bench, own_cache: Path
):
    assert bench.predict("man_1") == 0
    first = bench.videos()[0].stat().st_mtime_ns
    bench.fail("hang")
    arguments = (bench.method.id, bench.clips, bench.out, bench.protocols)
    killed = subprocess.Popen([sys.executable, short_runs.__file__, *map(str, arguments)], cwd=Path.cwd())
    orphan = wait_for_hanging_tool(killed, own_cache)
    killed.kill()
    killed.wait()
    assert is_running(orphan)
    bench.fail("ok")
    assert bench.predict() == 0
    assert not is_running(orphan)
    assert bench.videos()[0].stat().st_mtime_ns == first
    result = score([find_method(bench.method.id)], bench.clips, bench.out)
    assert result.methods[0].metrics[0].n_samples == 3
    for video, record in zip(bench.videos(), bench.records(), strict=True):
        info = probe(video)
        assert (info.n_frames, info.fps, info.width, info.height) == (N_FRAMES, FPS, 384, 512)
        assert record.status == "ok" and info.has_audio and record.notes
        frames = list(read_frames(video))
        assert [read_number(frame) for frame in frames] == SHOWN[bench.method.id]
        reference = next(read_frames(bench.clips / "man" / f"{record.sample_id[-1]}.mp4"))
        left, top, right, bottom = box_of(frames[0])
        outside = np.ones(reference.shape[:2], bool)
        outside[top - 4 : bottom + 4, left - 4 : right + 4] = False
        error = np.abs(frames[0].astype(int) - reference)[outside]
        assert error.mean() < 4  # in place to a fraction of a pixel: one pixel off would be 8 and more


def is_running(pid: int) -> bool:
    """Whether a process works: one that was killed may stay listed until its new parent asks for its status."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for_hanging_tool(process: subprocess.Popen[bytes], cache: Path) -> int:
    """The process that a hanging tool of a run of `process` started and that ignores SIGTERM (`fake_tool`)."""
    while True:
        for note in (cache / "external" / "locks").glob("*.json"):
            with contextlib.suppress(OSError):  # a launch ended while we looked
                for pid in launcher._marked(json.loads(note.read_text())["mark"]):
                    if b"SIG_IGN" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        return pid
        assert process.poll() is None
        time.sleep(0.05)


FAULTS = {
    "crash": ("E711", "crash", "the wheel came off"),
    "hang": ("E712", "crash", "loading weights"),
    "oom": ("E713", "crash", "Tried to allocate 20.00 GiB"),
    "rc0": ("E714", "crash", "something bad happened"),
    "crash_late": ("E711", "crash", "the wheel came off"),
    "short": ("E721", "length_mismatch", "frames"),
    "wrong_size": ("E722", "aspect_mismatch", "expected"),
    "wrong_fps": ("E723", "length_mismatch", "expected"),
    "black": ("E724", "crash", "shows nothing"),
    "still": ("E724", "crash", "the same"),
    "truncated": ("E725", "decode", "decode"),
}


@pytest.mark.parametrize("bench", ROWS, indirect=True)
def test_every_fault_has_its_own_code_and_the_last_lines_of_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("baselines.external.launcher.GRACE_S", 0.2)
    for mode, (code, reason, words) in FAULTS.items():
        bench.fail(mode)
        limit = bench.method.stages[-1].limit.base_s
        bench.configure(time_factor=f"{6 / limit:.6f}" if mode == "hang" else "1")
        assert bench.predict("man_1") == 1
        record = bench.records()[0]
        assert (record.status, record.reason) == ("failed", reason), mode
        assert record.message and record.message.startswith(f"AvatarBenchError: {code}: "), (
            mode,
            record.message,
        )
        report = (bench.out / "predictions" / bench.method.id / "man_1.error.txt").read_text()
        assert words in report, mode


@pytest.mark.parametrize("bench", ["omniavatar"], indirect=True)
def test_a_first_frame_that_is_not_the_reference_is_refused(bench: Bench):
    bench.fail("wrong_start")
    assert bench.predict("man_1") == 1
    assert "E726" in (bench.records()[0].message or "")


@pytest.mark.parametrize("bench", ["hunyuan_video_avatar"], indirect=True)
def test_what_the_published_code_would_cut_off_is_not_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("baselines.hunyuan_video_avatar._MAX_FRAMES", 10)
    assert bench.predict("man_1") == 1
    record = bench.records()[0]
    assert record.reason == "not_supported" and "the published code stops at 0.4 s" in (record.message or "")


@pytest.mark.parametrize("bench", ["echomimic_v2"], indirect=True)
def test_the_template_is_fitted_to_the_references_shoulders_and_played_to_and_fro(
    bench: Bench, own_cache: Path
):
    assert bench.predict("man_1") == 0
    [folder] = own_cache.glob("external/inputs-*/outputs/pose/*")
    poses = [
        np.load(folder / f"{i}.npy", allow_pickle=True).tolist() for i in range(len(list(folder.iterdir())))
    ]
    picture = load_image(next(own_cache.glob("external/inputs-*/outputs/ref/*.png")))
    heights = [pose["hands"][0, 0, 1] for pose in poses]
    assert np.allclose(heights[0], heights[18]) and heights[9] == min(heights)
    assert len(poses) == int((N_FRAMES / FPS + 0.2) * 24)
    from media.landmarks import detect_person

    found = detect_person(picture).pose[[12, 11], :2] / 768
    assert np.allclose(poses[0]["bodies"]["candidate"][[2, 5]], found, atol=0.02)


@pytest.mark.parametrize("bench", ["persona"], indirect=True)
def test_faults_of_earlier_stages_are_named_and_what_was_done_is_kept(bench: Bench, own_cache: Path):
    bench.fail("captured")
    assert bench.predict("man_1") == 1
    assert "E715" in (bench.records()[0].message or "")
    report = (bench.out / "predictions" / "persona" / "man_1.error.txt").read_text()
    assert "something bad happened when running DECA" in report
    bench.fail("ok")
    (bench.checkouts["motioncraft"] / ".fake_mode").write_text("short")
    assert bench.predict("man_1") == 1
    assert "E742" in (bench.records()[0].message or "")
    done = {path.parent.name.split("-")[0] for path in own_cache.glob("external/*/stage.json")}
    assert {"captured", "generated", "avatar"} <= done


@pytest.mark.parametrize("bench", ["persona"], indirect=True)
def test_hours_of_training_are_not_repeated_for_another_clip_of_the_same_picture(
    bench: Bench, own_cache: Path
):
    from dataclasses import replace

    from benchmark.contract import Sample
    from media.audio import load_audio, write_wav

    runner = bench.method("cpu")
    video = bench.clips / "man" / "1.mp4"
    from PIL import Image

    Image.fromarray(next(read_frames(video))).save(bench.folder / "face.png")
    write_wav(bench.folder / "audio.wav", load_audio(video))
    sample = Sample(
        "a", "man", bench.folder / "face.png", bench.folder / "audio.wav", "hi", N_FRAMES, 25.0, 384, 512, 1
    )
    prepared = bench.folder / "prepared"
    prepared.mkdir()
    runner.prepare(sample.identity(5), prepared)
    runner.generate(sample, prepared, bench.folder / "a.mp4")
    runner.generate(replace(sample, seed=2, transcript="other words"), prepared, bench.folder / "b.mp4")
    stages = [path.parent.name.split("-")[0] for path in own_cache.glob("external/*/stage.json")]
    assert (stages.count("avatar"), stages.count("captured"), stages.count("motioncraft")) == (1, 1, 2)
