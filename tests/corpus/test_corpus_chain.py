"""The real stages, end to end, on one person and one short clip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from media.audio import load_audio
from media.video import SPEECH, SoundCodec, add_sound, probe, read_frames, write_video
from reference_model.corpus.pipeline.plan import Corpus
from reference_model.corpus.pipeline.stages import create_corpus


@pytest.fixture(scope="module")
def corpus(talking_corpus: Corpus) -> Corpus:
    return talking_corpus


@pytest.fixture(scope="module")
def clip(corpus: Corpus) -> str:
    return next(iter(corpus.clips))


def test_a_clip_has_its_size_length_and_sound(corpus: Corpus, clip: str) -> None:
    path = corpus.path("clips", clip, "mp4")
    info = probe(path)
    assert (info.width, info.height, info.fps, info.n_frames, info.has_audio) == (192, 256, 25, 60, True)
    sound = load_audio(path)
    assert np.abs(sound[:2_000]).max() < 0.02 < 0.1 < np.abs(sound).max()


def test_alpha_and_truth_agree_where_the_body_is(corpus: Corpus, clip: str) -> None:
    with np.load(corpus.path("truth", clip, "npz"), allow_pickle=False) as truth:
        assert truth["lip_gap_mm"].shape == (60,) and truth["hands"].shape == (60, 2, 21, 2)
        places = [
            p for p, seen in zip(truth["keypoints"][0], truth["keypoints_visible"][0], strict=True) if seen
        ]
    alpha = next(iter(read_frames(corpus.path("alpha", clip, "mp4"))))[..., 0]
    inside = [alpha[int(y), int(x)] > 200 for x, y in places]
    assert len(inside) >= 8 and np.mean(inside) > 0.9


def test_no_blendshape_or_bone_stands_where_a_method_may_look(corpus: Corpus, clip: str) -> None:
    with (
        np.load(corpus.path("truth", clip, "npz")) as truth,
        np.load(corpus.path("sealed", clip, "npz")) as sealed,
    ):
        assert {"actions", "rotations"} <= set(sealed.files)
        assert not {"actions", "rotations"} & set(truth.files)


def test_detected_lips_follow_the_true_gap_and_the_sound(corpus: Corpus, clip: str) -> None:
    measures = corpus.read_json("filters", clip)[-1]["measures"]
    assert measures["faces"] == [1] * 5
    assert abs(measures["shift_frames"]) <= 2 and measures["lip_correlation"] > 0.5


def test_motion_and_truth_made_again_are_the_same_bytes(corpus: Corpus, clip: str) -> None:
    paths = [corpus.path(kind, clip, "npz") for kind in ("motion", "truth", "sealed")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    create_corpus(corpus, lambda *_: None, stages=("motion", "truth"))
    assert [path.read_bytes() for path in paths] == before


def test_drawing_needs_no_detector_no_body_maker_and_no_pydantic() -> None:
    code = (
        "import sys, reference_model.corpus.pipeline.draw_stage, reference_model.corpus.people.person\n"
        "import reference_model.corpus.drawing.draw, reference_model.corpus.drawing.setting\n"
        "sys.exit(' '.join({'mediapipe', 'anny', 'pydantic', 'pandas', 'espeakng_loader'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("codec", [None, SPEECH])
def test_added_sound_leaves_the_pictures_as_they_are_and_starts_with_them(
    tmp_path: Path, codec: SoundCodec | None
) -> None:
    rng = np.random.default_rng(0)
    frames = [np.full((32, 32, 3), int(v), np.uint8) for v in rng.integers(0, 255, 50)]
    write_video(tmp_path / "silent.mp4", frames, 25)
    sound = np.zeros(32_000, np.float32)
    sound[8_000:12_000] = 0.5 * np.sin(np.arange(4_000) / 3)  # from 0.5 s to 0.75 s
    add_sound(tmp_path / "a.mp4", tmp_path / "silent.mp4", sound, codec=codec)
    add_sound(tmp_path / "b.mp4", tmp_path / "silent.mp4", sound, codec=codec)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    pairs = zip(read_frames(tmp_path / "a.mp4"), read_frames(tmp_path / "silent.mp4"), strict=True)
    assert all(np.array_equal(with_sound, silent) for with_sound, silent in pairs)
    assert probe(tmp_path / "a.mp4").n_frames == 50
    heard = np.flatnonzero(np.abs(load_audio(tmp_path / "a.mp4")) > 0.1) / 16_000
    assert heard[0] == pytest.approx(0.5, abs=0.02) and heard[-1] == pytest.approx(0.75, abs=0.02)
