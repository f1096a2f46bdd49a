"""The arithmetic of the small sync score: distances over shifts, offsets of planted delays, clips without a value."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.lipsync_features import MAX_GAP, lip_opening, relative_opening
from benchmark.metrics.definition import Observations
from benchmark.metrics.lipsync import (
    LIPSYNC_C,
    LIPSYNC_D,
    LIPSYNC_OFFSET,
    MIN_FRAMES,
    lipsync_score,
    shift_distances,
)

N, D = 60, 32


def unit_vectors(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, D))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def face_points(n_frames: int, gap: np.ndarray | float = 10.0) -> np.ndarray:
    """Face meshes that differ in nothing but the place of the lower lip, 100 px between the eyes' outer corners."""
    one = np.random.default_rng(1).uniform(0, 100, (478, 3))
    one[33], one[263] = (0, 0, 0), (100, 0, 0)
    points = np.repeat(one[None], n_frames, axis=0)
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        points[:, lower] = points[:, upper] + np.array([0, 1, 0]) * np.broadcast_to(gap, n_frames)[:, None]
    return points.astype(np.float32)


def observed(points: np.ndarray, sound: np.ndarray, energy: float = 1e6) -> Observations:
    heard = {"sound": sound.astype(np.float32), "energy": np.full(len(sound) + 12, energy)}
    return Observations(
        prediction={"face_mesh_mp": {"points": points}},
        truth={},
        pair={},
        width=512,
        height=512,
        sound={"lipsync_sound": heard},
    )


def test_distances_are_means_over_the_windows_that_both_have():
    lips, sound = unit_vectors(N), unit_vectors(N, seed=1)
    means = shift_distances(lips, sound)
    for place, later in enumerate(range(-15, 16)):
        pairs = [(t, t + later) for t in range(N) if 0 <= t + later < N]
        expected = np.mean([np.linalg.norm(lips[a] - sound[b]) for a, b in pairs])
        assert means[place] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("delay", [-15, -3, 0, 1, 15])
def test_the_offset_is_the_delay_of_the_picture(delay: int):
    long = unit_vectors(N + 40)
    sound, lips = (
        long[20 : 20 + N],
        long[20 - delay : 20 - delay + N],
    )  # lips show what was heard `delay` before
    score = lipsync_score(lips, sound)
    assert score is not None
    assert score.offset == delay
    assert score.distance == pytest.approx(0.0, abs=1e-12)
    assert score.confidence == pytest.approx(np.median(shift_distances(lips, sound)), rel=1e-12)


def test_windows_without_a_face_do_not_count():
    lips, sound = unit_vectors(N), unit_vectors(N, seed=1)
    missing = lips.copy()
    missing[20:30] = np.nan
    means = shift_distances(missing, sound)
    kept = [t for t in range(N) if not 20 <= t < 30]
    assert means[15] == pytest.approx(np.linalg.norm(lips[kept] - sound[kept], axis=1).mean())


def test_a_shift_with_few_windows_leaves_no_score():
    assert lipsync_score(unit_vectors(27), unit_vectors(27)) is not None
    assert lipsync_score(unit_vectors(26), unit_vectors(26)) is None


def test_the_opening_is_the_gap_over_the_distance_of_the_eyes_at_any_size_of_the_face():
    gap = 8.0 + 4.0 * np.sin(np.arange(40) / 3.0)
    points = face_points(40, gap)
    assert lip_opening(points) == pytest.approx(gap / 100.0, abs=1e-5)
    assert lip_opening(3.0 * points + 7.0) == pytest.approx(gap / 100.0, abs=1e-5)


def test_short_gaps_are_bridged_and_longer_ones_are_not():
    gap = np.linspace(5.0, 15.0, 40)
    points = face_points(40, gap)
    points[10 : 10 + MAX_GAP] = np.nan
    points[20 : 20 + MAX_GAP + 1] = np.nan
    points[:2] = np.nan
    opening = lip_opening(points)
    assert opening[10 : 10 + MAX_GAP] == pytest.approx(gap[10 : 10 + MAX_GAP] / 100.0, abs=1e-5)
    unknown = np.flatnonzero(np.isnan(opening))
    assert unknown.tolist() == [0, 1, *range(20, 20 + MAX_GAP + 1)]


def test_lips_that_hardly_move_are_not_blown_up():
    noise = 0.001 * np.random.default_rng(0).standard_normal(100)
    assert np.abs(relative_opening(0.1 + noise)).max() < 0.4
    talking = relative_opening(0.1 + 100 * noise)
    assert talking.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("metric", [LIPSYNC_C, LIPSYNC_D, LIPSYNC_OFFSET], ids=lambda metric: metric.id)
class TestWithoutAValue:
    def test_a_clip_under_two_seconds_is_too_short(self, metric):
        found = metric.map(observed(face_points(MIN_FRAMES - 1), unit_vectors(MIN_FRAMES - 13)))
        assert (found.value, found.status, found.reason) == (None, "not_applicable", "too_short")

    def test_silence_is_not_applicable(self, metric):
        found = metric.map(observed(face_points(110), unit_vectors(98), energy=1.0))
        assert (found.value, found.status, found.reason) == (None, "not_applicable", "silent")

    def test_another_frame_rate_than_25_has_no_value(self, metric):
        found = metric.map(observed(face_points(132), unit_vectors(98)))  # 4.4 s of 30 frames a second
        assert (found.value, found.status, found.reason) == (None, "not_applicable", "length_mismatch")

    def test_less_than_two_seconds_of_a_face_are_undetected(self, metric):
        points = face_points(110)
        points[MIN_FRAMES - 1 :] = np.nan
        found = metric.map(observed(points, unit_vectors(98)))
        assert (found.value, found.status, found.reason) == (None, "undetected", "no_face")
        assert (found.n_valid, found.n_total) == (MIN_FRAMES - 1, 110)

    def test_a_face_that_comes_and_goes_is_undetected(self, metric):
        points = face_points(200)
        points[np.arange(200) % 12 >= 7] = np.nan  # no window of 13 pictures is whole
        found = metric.map(observed(points, unit_vectors(188)))
        assert (found.value, found.status, found.reason) == (None, "undetected", "no_face")

    def test_a_face_for_most_of_the_clip_has_a_value_and_says_for_how_much(self, metric):
        points = face_points(110, 10 + 5 * np.sin(np.arange(110)))
        points[:20] = np.nan
        found = metric.map(observed(points, unit_vectors(98)))
        assert found.status == "ok"
        assert metric.low <= found.value <= metric.high
        assert (found.n_valid, found.n_total) == (90, 110)
