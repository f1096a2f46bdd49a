"""The shipped methods behind the contract."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import baselines.ours
import baselines.pose_driven
from baselines.controls import FROZEN, GROUND_TRUTH, Frozen, TrueVideo
from benchmark.contract import ClipSource, GroundTruth, MethodSpec, Sample
from benchmark.registry import create_method
from media.audio import SAMPLE_RATE, write_wav
from media.errors import AvatarBenchError
from media.video import probe, read_frames, write_video

N_FRAMES, WIDTH, HEIGHT = 6, 48, 64


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    picture = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 4
    )
    cv2.imwrite(str(tmp_path / "reference.png"), picture[..., ::-1])
    times = np.arange(N_FRAMES * SAMPLE_RATE // 25) / SAMPLE_RATE
    write_wav(tmp_path / "audio.wav", (0.2 * np.sin(2 * np.pi * 300 * times)).astype(np.float32))
    return Sample(
        "clip",
        "ada",
        tmp_path / "reference.png",
        tmp_path / "audio.wav",
        None,
        N_FRAMES,
        25.0,
        WIDTH,
        HEIGHT,
        7,
    )


def test_frozen_repeats_the_reference_picture_for_the_length_of_the_sound(sample: Sample, tmp_path: Path):
    generation = Frozen("cpu").generate(sample, tmp_path, tmp_path / "out.mp4")
    frames = np.stack(list(read_frames(generation.video))).astype(int)
    assert len(frames) == N_FRAMES
    assert np.abs(frames - frames[0]).max() <= 8  # what the codec adds
    info = probe(generation.video)
    assert (info.width, info.height, info.fps, info.has_audio) == (WIDTH, HEIGHT, 25.0, True)


def test_the_truth_is_brought_to_the_samples_size_rate_and_length(sample: Sample, tmp_path: Path):
    shades = (np.full((2 * HEIGHT, 2 * WIDTH, 3), 20 + 5 * frame, np.uint8) for frame in range(40))
    write_video(tmp_path / "true.mp4", shades, 50)
    truth = GroundTruth(ClipSource(tmp_path / "true.mp4", start_s=0.2), None, None)
    frames = list(read_frames(TrueVideo("cpu").generate(sample, truth, tmp_path / "out.mp4").video))
    assert [frame.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * N_FRAMES
    shown = [frame.mean() for frame in frames]
    assert np.allclose(
        shown, [20 + 5 * (10 + 2 * i) for i in range(N_FRAMES)], atol=7
    )  # one source frame is 5
    assert np.allclose(np.diff(shown), 10, atol=1.5)


@pytest.mark.parametrize("module", [baselines.ours, baselines.pose_driven])
def test_an_avatar_method_drives_the_avatar_of_the_reference_by_the_samples_sound_and_seed(
    module, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = {}

    class Recorder:
        def frames(self, sound, *, seed, camera, n_frames):
            asked.update(sound=len(sound), seed=seed, camera=camera, n_frames=n_frames)
            return (SimpleNamespace(rgb=np.full((HEIGHT, WIDTH, 3), 99, np.uint8)) for _ in range(n_frames))

    camera = SimpleNamespace(resized=lambda width, height: (width, height))
    monkeypatch.setattr("reference_model.avatar.io.load_avatar", lambda path: SimpleNamespace(camera=camera))
    monkeypatch.setattr("reference_model.networks.model.load_model", lambda: None)
    monkeypatch.setattr("baselines.pose_driven_network.load_network", lambda: None)
    method = create_method(module.SPEC, "cpu")
    monkeypatch.setattr(method, "animator", lambda avatar: Recorder())
    generation = method.generate(sample, tmp_path, tmp_path / "out.mp4")
    assert asked == {"sound": N_FRAMES * 640, "seed": 7, "camera": (WIDTH, HEIGHT), "n_frames": N_FRAMES}
    assert generation.seeds == {"performance": 7}
    assert probe(generation.video).n_frames == N_FRAMES


def test_rivals_share_the_avatars_so_that_only_the_drive_differs():
    assert baselines.ours.SPEC.preparation is baselines.pose_driven.SPEC.preparation
    assert FROZEN.preparation is GROUND_TRUTH.preparation is None


@pytest.mark.parametrize("spec", [baselines.ours.SPEC, baselines.pose_driven.SPEC, FROZEN, GROUND_TRUTH])
def test_a_spec_is_plain_data_whose_class_can_be_built(spec: MethodSpec):
    assert hash(spec)
    assert hasattr(create_method(spec, "cpu"), "generate")


@pytest.mark.parametrize("module", [baselines.ours, baselines.pose_driven])
def test_missing_weights_are_found_before_any_avatar_is_made(
    module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("reference_model.networks.model.WEIGHTS", tmp_path / "none.safetensors")
    monkeypatch.setattr("baselines.pose_driven_network.WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(AvatarBenchError, match="E502"):
        create_method(module.SPEC, "cpu")
