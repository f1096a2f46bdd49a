from __future__ import annotations

import numpy as np
import pytest

from reference_model.innovations import (
    BLINK_ONSET,
    BOTH_HANDS,
    GAZE,
    GESTURE_AMPLITUDE,
    GESTURE_HAND,
    LEFT_HAND,
    NO_HAND,
    RIGHT_HAND,
    SWAY,
    InnovationStream,
    sample_innovations,
)


@pytest.fixture(scope="module")
def half_hour() -> np.ndarray:
    return sample_innovations(30 * 60 * 25, seed=0)


@pytest.mark.parametrize("n_frames", [1, 37, 250])
def test_a_longer_request_begins_with_the_shorter_one(half_hour, n_frames):
    short = sample_innovations(n_frames, seed=0)
    assert short.shape == (n_frames, 8)
    assert short.dtype == np.float32
    np.testing.assert_array_equal(short, half_hour[:n_frames])


def test_another_seed_is_another_performance(half_hour):
    other = sample_innovations(1_500, seed=1)
    for channel in range(8):
        assert not np.array_equal(other[:, channel], half_hour[:1_500, channel])


@pytest.mark.parametrize("seed", range(12))
def test_blinks_come_12_to_22_times_a_minute(seed):
    blinks = sample_innovations(4 * 60 * 25, seed)[:, BLINK_ONSET]
    assert 12 <= blinks.sum() / 4 <= 22


def test_blinks_are_apart_and_some_are_doubled(half_hour):
    onsets = half_hour[:, BLINK_ONSET].nonzero()[0]
    intervals_s = np.diff(onsets) / 25
    assert intervals_s.min() >= 0.3
    assert 3.0 < intervals_s.mean() < 4.0
    assert 0.04 < (intervals_s < 0.6).mean() < 0.2


def test_sway_has_unit_variance_and_moves_slowly(half_hour):
    sway = half_hour[:, SWAY]
    np.testing.assert_allclose(sway.std(0), 1.0, atol=0.06)
    spectrum = (np.abs(np.fft.rfft(sway, axis=0)) ** 2).sum(1)
    frequency = np.fft.rfftfreq(len(sway), 1 / 25)
    assert spectrum[frequency > 2.0].sum() / spectrum.sum() < 0.02


def test_sway_is_stationary_from_the_first_frame():
    first = np.array([sample_innovations(1, seed)[0, SWAY] for seed in range(300)])
    assert 0.9 < first.std() < 1.1


def test_every_choice_of_hands_occurs_and_is_held_for_more_than_a_second(half_hour):
    hand = half_hour[:, GESTURE_HAND]
    assert set(np.unique(hand)) == {NO_HAND, LEFT_HAND, RIGHT_HAND, BOTH_HANDS}
    changes = np.diff(hand).nonzero()[0]
    assert np.diff(changes).min() >= 25
    assert 2.0 < np.diff(changes).mean() / 25 < 6.0


def test_gesture_amplitude_is_positive_about_one(half_hour):
    amplitude = half_hour[:, GESTURE_AMPLITUDE]
    assert amplitude.min() > 0.2
    assert abs(np.median(amplitude) - 1.0) < 0.1


def test_gaze_jumps_between_held_directions_and_favours_the_camera(half_hour):
    gaze = half_hour[:, GAZE]
    moved = (np.diff(gaze, axis=0) != 0).any(1)
    assert 0.3 < moved.sum() / (len(gaze) / 25) < 1.2
    assert (np.abs(gaze) < 0.5).all(1).mean() > 0.6
    assert 0.5 < gaze[:, 0].std() < 1.5


def test_the_rates_do_not_depend_on_the_frame_rate():
    blinks = [sample_innovations(int(600 * fps), 3, fps)[:, BLINK_ONSET].sum() for fps in (25.0, 50.0)]
    assert blinks[0] == blinks[1]


def test_a_stream_of_innovations_gives_them_in_pieces_of_any_size(half_hour):
    stream = InnovationStream(0)
    pieces = [stream.take(n) for n in (1, 0, 2, 37, 1, 959, 4_000)]
    np.testing.assert_array_equal(np.concatenate(pieces), half_hour[:5_000])
