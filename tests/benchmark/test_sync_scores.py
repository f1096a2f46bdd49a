"""SyncC, SyncD and the offset from features; what there is instead of a number where there can be none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import pad, pairwise_distance

from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Measurement, Observations
from benchmark.metrics.sync import SILENT_RMS, shifted_distances, sync_score
from benchmark.mfcc import mfcc

N_FRAMES = 140


def steps(seed: int, n: int = 200) -> np.ndarray:
    """Features that change from frame to frame, [n, 64] float32."""
    return np.random.default_rng(seed).normal(0, 1, (n, 64)).astype(np.float32)


@pytest.mark.parametrize("late", [-15, -10, -5, 0, 5, 10, 15])
def test_a_picture_that_is_late_has_this_offset(late: int):
    said = steps(0)
    sound = said[20:160]
    lip = said[20 - late : 160 - late] + 0.1 * steps(1, 140)
    score = sync_score(lip, sound)
    assert score.offset == late
    assert score.confidence > 5


def test_a_shift_within_the_search_leaves_the_score_and_other_speech_does_not():
    said = steps(0)
    own, shifted = (sync_score(said[20 - late : 160 - late], said[20:160]) for late in (0, 5))
    other = sync_score(steps(2, 140), said[20:160])
    assert abs(own.confidence - shifted.confidence) < 0.5
    assert other.confidence < 0.2 * own.confidence
    assert other.distance > own.distance + 5


def test_distances_are_those_of_torch_with_zeros_beyond_the_track():
    lip, sound = steps(3, 40), steps(4, 40)
    padded = pad(torch.from_numpy(sound).double(), (0, 0, 15, 15))
    rows = [
        pairwise_distance(torch.from_numpy(lip).double()[i].expand(31, -1), padded[i : i + 31])
        for i in range(40)
    ]
    expected = torch.stack(rows, dim=1)
    np.testing.assert_allclose(shifted_distances(lip, sound), expected.numpy(), rtol=1e-12)
    score, means = sync_score(lip, sound), expected.mean(dim=1)
    assert score.distance == pytest.approx(float(means.min()), rel=1e-12)
    assert score.confidence == pytest.approx(float(means.median() - means.min()), rel=1e-12)
    assert score.offset == 15 - int(means.argmin())


def observed(
    *,
    n_frames: int = N_FRAMES,
    track: tuple[int, int] = (0, N_FRAMES),
    sound_frames: int = N_FRAMES,
    rms: float = 1e3,
) -> Observations:
    """A clip with one track of which lips show what is heard one frame earlier."""
    first, length = track
    said = steps(7)
    faces = {
        "lip": said[4 + first : max(4 + first, first + length - 1)],
        "first": np.array(first),
        "n_frames": np.array(length),
        "n_tracks": np.array(int(length > 0)),
        "faces": np.ones(n_frames, np.int64),
    }
    sound = {"sound": said[5 : max(5, sound_frames)], "energy": np.full(sound_frames, rms**2)}
    prediction = {"syncnet_faces": faces, "syncnet_faces_fullbody": faces}
    return Observations(prediction, {}, {}, 512, 512, {"syncnet_sound": sound})


@pytest.mark.parametrize("suffix", ["", "_fullbody"])
def test_metrics_are_the_three_parts_of_the_score(suffix: str):
    found = {name: METRICS[f"{name}{suffix}"].map(observed()) for name in ("sync_c", "sync_d", "sync_offset")}
    said = steps(7)
    score = sync_score(said[4:139], said[5:140])
    assert found["sync_c"] == Measurement(score.confidence, N_FRAMES, N_FRAMES)
    assert found["sync_d"] == Measurement(score.distance, N_FRAMES, N_FRAMES)
    assert found["sync_offset"] == Measurement(1.0, N_FRAMES, N_FRAMES)
    assert score.offset == 1


def test_a_track_is_compared_with_its_own_stretch_of_the_sound():
    found = METRICS["sync_offset"].map(observed(track=(20, 110)))
    assert found == Measurement(1.0, 110, N_FRAMES)


def test_sound_that_ends_early_ends_the_comparison():
    assert METRICS["sync_offset"].map(observed(sound_frames=90)) == Measurement(1.0, 90, N_FRAMES)
    found = METRICS["sync_c"].map(observed(track=(20, 110), sound_frames=25))
    assert found == Measurement(None, 0, N_FRAMES, "not_applicable", "too_short")


def test_a_clip_without_a_track_has_no_value_and_never_the_best_distance():
    for name in ("sync_c", "sync_d", "sync_offset"):
        found = METRICS[name].map(observed(track=(0, 0)))
        assert found == Measurement(None, 0, N_FRAMES, "undetected", "no_face")


def test_a_clip_that_is_too_short_for_a_track_blames_no_method():
    found = METRICS["sync_c"].map(observed(n_frames=100, track=(0, 0)))
    assert found == Measurement(None, 0, 100, "not_applicable", "too_short")
    assert METRICS["sync_c"].map(observed(n_frames=101, track=(0, 0))).status == "undetected"
    assert METRICS["sync_c_fullbody"].map(observed(n_frames=51, track=(0, 0))).status == "undetected"


def test_a_silent_sound_has_no_score():
    silent = Measurement(None, 0, N_FRAMES, "not_applicable", "silent")
    assert METRICS["sync_c"].map(observed(rms=0.99 * SILENT_RMS)) == silent
    assert METRICS["sync_c"].map(observed(sound_frames=0)) == silent
    assert METRICS["sync_c"].map(observed(rms=1.01 * SILENT_RMS)).status == "ok"


def test_coefficients_are_those_of_python_speech_features():
    reference = pytest.importorskip("python_speech_features")
    rng = np.random.default_rng(0)
    for count in (1, 399, 400, 401, 560, 561, 16_123):
        samples = np.round(rng.normal(0, 3000, count)).astype(np.int16)
        np.testing.assert_allclose(mfcc(samples), reference.mfcc(samples, 16_000), rtol=0, atol=1e-9)
    silence = np.zeros(1600, np.int16)
    np.testing.assert_allclose(mfcc(silence), reference.mfcc(silence, 16_000), rtol=0, atol=1e-9)


def test_scores_declare_what_hearing_tells_apart_and_the_offset_the_shift():
    for suffix in ("", "_fullbody"):
        for name in ("sync_c", "sync_d"):
            assert set(METRICS[name + suffix].orders) == {
                ("ground_truth", "other_speech"), ("shift", "other_speech"), ("ground_truth", "frozen"),
            }  # fmt: skip
        assert METRICS["sync_offset" + suffix].orders == (("ground_truth", "shift"),)
    assert [METRICS[name].direction for name in ("sync_c", "sync_d", "sync_offset")] == [
        "higher",
        "lower",
        "lower",
    ]
