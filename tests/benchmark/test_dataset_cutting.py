"""Where somebody speaks, and how a recording is cut to it."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import bursts
from scipy.signal import butter, sosfiltfilt

from benchmark.datasets.cutting import Word, cut_to_speech, words_within
from benchmark.datasets.speech import find_speech
from media.audio import SAMPLE_RATE, load_audio


def test_spans_with_short_pauses_become_one_clip_and_long_pauses_cut():
    cut = cut_to_speech([(1.0, 2.0), (2.4, 4.0), (6.0, 9.0)], 20.0)
    assert cut.clips == ((1.0, 4.0), (6.0, 9.0))
    assert cut.unused_s == 0


def test_a_clip_ends_at_the_last_pause_before_ten_seconds():
    cut = cut_to_speech([(0.0, 4.0), (4.3, 8.5), (8.8, 13.0)], 20.0)
    assert cut.clips == ((0.0, 8.5), (8.8, 13.0))


def test_speech_without_a_pause_is_divided_into_equal_parts():
    assert cut_to_speech([(2.0, 29.0)], 60.0).clips == ((2.0, 11.0), (11.0, 20.0), (20.0, 29.0))


def test_what_is_shorter_than_two_seconds_is_left_out_and_counted():
    cut = cut_to_speech([(0.0, 1.9), (4.0, 6.0), (7.0, 7.5)], 20.0)
    assert cut.clips == ((4.0, 6.0),)
    assert cut.unused_s == pytest.approx(2.4)


def test_speech_beyond_the_end_of_the_video_is_cut_off():
    assert cut_to_speech([(-1.0, 3.0), (8.0, 99.0)], 10.5).clips == ((0.0, 3.0), (8.0, 10.5))
    assert cut_to_speech([(8.0, 99.0)], 9.0).clips == ()
    assert cut_to_speech([], 9.0).clips == ()


def test_all_clips_last_two_to_ten_seconds_are_apart_and_do_not_depend_on_the_order():
    rng = random.Random(0)
    for _ in range(200):
        times = sorted(rng.uniform(0, 120) for _ in range(2 * rng.randrange(1, 40)))
        speech = list(zip(times[::2], times[1::2], strict=True))
        cut = cut_to_speech(speech, 110.0)
        assert all(2.0 <= round(end - start, 3) <= 10.0 for start, end in cut.clips)
        assert all(a[1] <= b[0] for a, b in zip(cut.clips, cut.clips[1:], strict=False))
        assert all(0 <= start and end <= 110.0 for start, end in cut.clips)
        pauses = {end: begin - end for (_, end), (begin, _) in itertools.pairwise(speech)}
        for start, end in cut.clips:  # no clip holds a pause of more than half a second
            assert max((p for at, p in pauses.items() if start < at < end - p), default=0) <= 0.502
        rng.shuffle(speech)
        assert cut_to_speech(speech, 110.0) == cut


def test_a_word_belongs_to_the_clip_that_has_its_middle():
    words = [Word("one", 0.8, 1.1), Word("two", 1.2, 1.6), Word("three", 2.9, 3.2)]
    assert words_within(words, (1.0, 3.0)) == "two"
    assert words_within(words, (0.9, 3.1)) == "one two three"
    assert words_within(words, (5.0, 6.0)) is None


def test_bursts_of_sound_are_found_to_a_tenth_of_a_second():
    spans = [(1.0, 3.0), (3.15, 4.0), (6.0, 9.5)]  # the pause of 0.15 s is inside a word
    found = find_speech(bursts(12.0, spans))
    assert np.allclose(found, [(0.9, 4.1), (5.9, 9.6)], atol=0.03)  # with the margin of 0.1 s


def test_loudness_does_not_matter_and_neither_do_rumble_and_clicks():
    spans = [(1.0, 4.0)]
    quiet = 0.02 * bursts(6.0, spans)
    times = np.arange(quiet.size) / SAMPLE_RATE
    rumble = (0.2 * np.sin(2 * np.pi * 50 * times)).astype(
        np.float32
    )  # the hum of mains, 30 dB above the voice
    click = np.zeros_like(quiet)
    click[round(5.2 * SAMPLE_RATE)] = 0.9
    found = find_speech(quiet + rumble + click)
    assert np.allclose(found, [(0.9, 4.1)], atol=0.05)


def test_sound_without_pauses_is_speech_throughout_and_silence_is_none():
    hiss = 0.1 * np.random.default_rng(0).standard_normal(5 * SAMPLE_RATE).astype(np.float32)
    assert find_speech(hiss)[0] == pytest.approx((0.0, 5.0), abs=0.03)
    assert find_speech(np.zeros(5 * SAMPLE_RATE, np.float32)) == []
    assert find_speech(1e-4 * hiss) == []
    assert find_speech(np.zeros(100, np.float32)) == []


def test_real_speech_is_found_and_its_pauses_are_the_quiet_parts(shared_data: Path):
    """Against the envelope of the same band, filtered in time instead of frequency."""
    sound = load_audio(shared_data / "speech" / "eng.wav", duration_s=20.0)
    spans = find_speech(sound)
    band = sosfiltfilt(butter(4, (200, 4000), "band", fs=SAMPLE_RATE, output="sos"), sound)
    power = np.convolve(band**2, np.ones(400) / 400, "same")
    spoken = np.zeros(sound.size, bool)
    for start, end in spans:
        spoken[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = True
    assert 0.5 < spoken.mean() < 1
    assert np.median(power[spoken]) > 30 * np.median(power[~spoken])
    assert power[spoken].sum() > 0.99 * power.sum()
    assert cut_to_speech(spans, 20.0).clips
