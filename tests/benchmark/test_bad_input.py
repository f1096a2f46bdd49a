"""Clips that metrics must bear, through the whole path: data set, truth as its own prediction, scoring, result.

The pictures are frames of the mini data set, changed. One run measures all of them, so that networks load once.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from paper_extractors import damage
from tiny_runs import silent

from baselines.controls import GROUND_TRUTH
from benchmark.cli import main
from benchmark.extractors import weights_of
from benchmark.manifest import MINI
from benchmark.metrics.catalogue import metrics_of
from benchmark.plan import RunOptions
from benchmark.protocol import load_protocol
from benchmark.results import RESULT, SAMPLES, RunResult, SampleRow, read_model, read_samples
from benchmark.stages import Work, run_stages
from benchmark.weights import WEIGHTS
from media.audio import SAMPLE_RATE
from media.errors import AvatarBenchError
from media.video import read_frames, write_video

N_FRAMES = 12
SAME = ("psnr_rgb_full", "ssim_gauss11_rgb")
FACE = ("akd_face_mp", "face_likeness_hog_mini")
HANDS = ("hkc_mp_handedness", "hkv_std", "hkv_var", "akd_hand_mp")


def mini_frames(name: str, count: int) -> list[np.ndarray]:
    return list(islice(read_frames(MINI / "clips" / f"{name}.mp4", fps=25), count))


def grey(frame: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def sized(frames: list[np.ndarray], width: int, height: int) -> list[np.ndarray]:
    return [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]


def speech(n_samples: int, level: float) -> np.ndarray:
    return (level * np.random.default_rng(0).uniform(-1, 1, n_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def clips() -> Mapping[str, tuple[list[np.ndarray], float, float]]:
    """Frames, frames a second and loudness, by what is wrong with them."""
    long = mini_frames("mini07-t1-01", 60)
    person = long[:N_FRAMES]
    other = mini_frames("mini10-t1-01", N_FRAMES)
    nobody = cv2.resize(skimage.data.coffee(), (384, 512))
    empty = np.full_like(person[0], 128)
    head = [cv2.resize(frame[:200, 92:292], (384, 384)) for frame in person]
    return {
        "no_face": ([np.roll(nobody, 2 * step, axis=1) for step in range(N_FRAMES)], 25, 0.3),
        "two_faces": ([np.hstack(pair) for pair in zip(person, other, strict=True)], 25, 0.3),
        "leaves": ([*person[:4], *[empty] * 4, *person[8:]], 25, 0.3),
        "no_hand": (head, 25, 0.3),
        "silent": (long, 25, 0.0008),  # hardly a sound: -67 dB
        "film_24": (person, 24, 0.3),
        "video_30": (mini_frames("mini07-t1-01", 16), 30, 0.3),
        "four_k": (sized(person, 2880, 3840), 25, 0.3),
        "px_64": (sized(person, 48, 64), 25, 0.3),
        "greyscale": ([grey(frame) for frame in person], 25, 0.3),
    }


@pytest.fixture(scope="module")
def scored(clips, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], SampleRow]:
    """The rows of the ground truth, by kind of clip and metric."""
    home = tmp_path_factory.mktemp("bad")
    for name, (frames, fps, level) in clips.items():
        path = home / "data" / name / "clip.mp4"
        path.parent.mkdir(parents=True)
        sound = speech(round(len(frames) / fps * SAMPLE_RATE), level)
        write_video(path, frames, fps, audio=sound, preset="veryfast")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVATARBENCH_CACHE", str(home / "cache"))
        options = RunOptions((GROUND_TRUTH,), dataset=home / "data", out=home / "run", device="cpu")
        done = run_stages(options, Work(), silent)
    assert (done.failed, done.unfinished) == (0, 0)
    result = read_model(home / "run" / RESULT, RunResult)
    assert result.needs_weights == ("ase",)
    rows = {(row.identity_id, row.metric_id): row for row in read_samples(home / "run" / SAMPLES)}
    assert {name for name, _ in rows} == set(clips)
    return rows


def statuses(rows: dict[tuple[str, str], SampleRow], name: str, *metrics: str) -> set[tuple[str, str | None]]:
    return {(rows[name, metric].status, rows[name, metric].reason) for metric in metrics}


def test_nothing_fails_and_a_value_is_missing_only_with_a_reason(scored):
    assert {row.status for row in scored.values()} <= {"ok", "undetected", "not_applicable"}
    assert all(row.value is not None or row.reason for row in scored.values())
    assert all(np.isfinite(row.value) for row in scored.values() if row.value is not None)
    assert all(scored[name, metric].value is not None for name, _ in scored for metric in SAME)


def test_without_a_face_nothing_that_needs_one_has_a_value(scored):
    assert statuses(scored, "no_face", "akd_face_mp") == {("not_applicable", "no_face")}
    assert statuses(scored, "no_face", "face_likeness_hog_mini") == {("undetected", "no_reference_face")}


def test_of_two_faces_one_is_compared_with_itself(scored):
    row = scored["two_faces", "face_likeness_hog_mini"]
    assert row.value is not None and row.value > 0.9
    assert scored["two_faces", "akd_face_mp"].value < 5


def test_a_face_that_leaves_and_returns_counts_where_it_is_and_the_rest_is_told(scored):
    face = scored["leaves", "akd_face_mp"]
    assert face.status == "ok" and face.n_valid == face.n_total == 8  # expected where the truth shows it
    likeness = scored["leaves", "face_likeness_hog_mini"]
    assert likeness.status == "ok" and (likeness.n_valid, likeness.n_total) == (2, 3)  # frames 0, 5 and 10


def test_without_a_hand_the_hands_metrics_do_not_apply(scored):
    assert statuses(scored, "no_hand", *HANDS) == {("not_applicable", "no_hands")}
    assert statuses(scored, "no_hand", *FACE) == {("ok", None)}


def test_silence_and_clips_too_short_for_sync_blame_no_method(scored):
    names = ("lipsync_c_mini", "lipsync_d_mini", "lipsync_offset_mini")
    assert statuses(scored, "silent", *names) == {("not_applicable", "silent")}
    assert statuses(scored, "film_24", *names) == {("not_applicable", "too_short")}


@pytest.mark.parametrize("name", ["film_24", "video_30", "four_k", "greyscale"])
def test_other_rates_sizes_and_no_colour_are_measured_like_any_clip(scored, name: str):
    assert statuses(scored, name, *SAME, *FACE, "person_clarity_mini") == {("ok", None)}
    assert scored[name, "psnr_rgb_full"].value > 30
    assert scored[name, "psnr_rgb_full"].n_total >= N_FRAMES  # on the protocol's 25 frames a second


def test_64_px_are_enlarged_to_the_protocols_size_and_measured(scored):
    assert statuses(scored, "px_64", *SAME, "person_clarity_mini") == {("ok", None)}


@pytest.mark.parametrize(
    ("n_frames", "level", "code", "word"), [(3, 0.3, "E402", "too short"), (12, 0.0, "E203", "silent")]
)
def test_three_frames_and_no_sound_at_all_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n_frames: int, level: float, code: str, word: str
):
    path = tmp_path / "data" / "short" / "clip.mp4"
    path.parent.mkdir(parents=True)
    sound = speech(n_frames * SAMPLE_RATE // 25, level)
    write_video(path, mini_frames("mini07-t1-01", n_frames), 25, audio=sound)
    arguments = ["run", "-m", "frozen", "--dataset", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert main(arguments) == 3
    message = capsys.readouterr().err
    assert code in message and word in message
    assert not (tmp_path / "run").exists()


@pytest.fixture
def paper_clip(tmp_path: Path) -> Path:
    """A data set of one clip that is as long as paper-v1 asks for, and of no larger size than it must be."""
    path = tmp_path / "data" / "ada" / "clip.mp4"
    path.parent.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 256, (4, 2, 3), np.uint8)
    frames = (np.kron(np.roll(picture, step, axis=0), np.ones((16, 16, 1), np.uint8)) for step in range(106))
    write_video(path, frames, 25, audio=speech(67_840, 0.3))
    return tmp_path / "data"


@pytest.mark.parametrize("state", ["missing", "corrupt"])
def test_missing_and_damaged_weights_end_the_scoring_and_keep_the_predictions(
    paper_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
):
    folder = tmp_path / "weights"
    folder.mkdir()
    if state == "corrupt":
        for weight in WEIGHTS.values():
            for name in weight.names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(b"no weights at all")
        damage(folder / WEIGHTS["inception_fid"].file)
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(folder))
    small = load_protocol("paper-v1").model_copy(
        update={"video": load_protocol("paper-v1").video.model_copy(update={"long_side": 64})}
    )
    monkeypatch.setattr("benchmark.protocol._read", lambda path: small)
    options = RunOptions((GROUND_TRUTH,), "paper-v1", paper_clip, tmp_path / "run", "cpu")
    with pytest.raises(AvatarBenchError) as caught:
        run_stages(options, Work(), silent)
    assert caught.value.code == "E502"
    assert caught.value.fix
    assert list((tmp_path / "run" / "predictions").rglob("*.mp4"))
    assert not (tmp_path / "run" / RESULT).exists()
    assert any(weights_of(metric) for metric in metrics_of(small))
