from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.se3 import exp_so3, log_so3
from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.body.template import load_template
from reference_model.corpus.geometry_corpus import PERFORMER
from reference_model.corpus.motion.animator import FPS, Style, animate
from reference_model.corpus.motion.gestures import accent_pulses, choose_accents, minimum_jerk, settle
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.corpus.speech.visemes import closed_pictures, lip_tracks
from reference_model.evaluation.curves import blink_rate, closure_rates, travel_per_second
from reference_model.innovations import BLINK_ONSET, BOTH_HANDS, GESTURE_HAND, NO_HAND, sample_innovations

FROZEN = (121.337459, -6.286292, -4.426562, -1.943023, -59.427197, 0.067048, -0.045811, -0.747456)
"""Recorded from the code that trained the shipped weights: four projections of the actions, four of the rotations."""


@pytest.fixture(scope="module")
def performance(spoken):
    innovations = sample_innovations(round(spoken.duration * FPS), seed=2)
    return innovations, animate(spoken, innovations, Style(), np.random.default_rng(0))


def posed_joints(rotations: np.ndarray, photo: np.ndarray | None = None) -> np.ndarray:
    """Joint heads, [T, J, 3], of a body whose photo has the rotations `photo`."""
    tensors = TemplateTensors(load_template(), np.arange(3))
    turn = exp_so3(torch.from_numpy(rotations))
    if photo is not None:
        turn = exp_so3(torch.from_numpy(photo.astype(np.float32))) @ turn
    joints, _, _ = pose_joints(tensors, torch.zeros(tensors.shape_basis.shape[0]), log_so3(turn))
    return joints.numpy()


def test_weights_are_in_range_and_the_length_is_that_of_the_innovations(performance):
    innovations, motion = performance
    template = load_template()
    assert motion.actions.shape == (len(innovations), 52)
    assert motion.rotations.shape == (len(innovations), template.n_joints, 3)
    assert motion.actions.min() >= 0 and motion.actions.max() <= 1
    assert np.linalg.norm(motion.rotations, axis=-1).max() < 1.3


def test_lips_are_shut_in_every_closure_and_open_in_vowels(spoken, performance):
    innovations, motion = performance
    gap = lip_gap().millimetres(motion.actions)
    closed = closed_pictures(lip_tracks(spoken), len(innovations))
    assert closed.sum() >= 15
    assert gap[closed].max() <= 0.5
    ends = [start for start, _ in spoken.phonemes[1:]] + [spoken.duration]
    spans = [(ipa, (start, end)) for (start, ipa), end in zip(spoken.phonemes, ends, strict=True)]
    recall, false = closure_rates(
        gap,
        FPS,
        [span for ipa, span in spans if ipa in "pbm" and ipa],
        [s for ipa, s in spans if "ɑː" in ipa],
    )
    assert recall == 1.0
    assert false == 0.0


def test_the_seen_gap_follows_the_target_gap(spoken, performance):
    innovations, motion = performance
    tracks = lip_tracks(spoken)
    at = np.arange(len(innovations)) * 4
    wished = (tracks.track("gap") * (1 - tracks.close))[at]
    free = ~closed_pictures(tracks, len(innovations)) & (tracks.close[at] < 0.01)
    ratio = lip_gap().millimetres(motion.actions)[free] / np.maximum(wished[free], 1e-6)
    moving = wished[free] > 0.1
    assert moving.sum() > 50
    np.testing.assert_allclose(ratio[moving], np.median(ratio[moving]), rtol=0.15)


def test_the_mouth_rests_before_speech_and_long_after(performance):
    _, motion = performance
    gap = lip_gap().millimetres(motion.actions)
    assert gap[:10].max() < 0.5
    assert gap[-6:].max() < 1.0


def test_lids_shut_at_each_blink_and_only_then(performance):
    innovations, motion = performance
    lid = motion.actions[:, load_template().action("eyeBlinkLeft")]
    onsets = np.flatnonzero(innovations[:-8, BLINK_ONSET])
    assert all(lid[onset + 1 : onset + 4].max() > 0.95 for onset in onsets)
    near = np.convolve(innovations[:, BLINK_ONSET], np.ones(8))[: len(lid)] > 0
    assert lid[~near].max() == 0


def test_a_detector_of_blinks_counts_8_to_30_a_minute(spoken):
    innovations = sample_innovations(3 * 60 * FPS, seed=5)
    motion = animate(spoken, innovations, Style(), np.random.default_rng(0))
    opening = 1 - motion.actions[:, load_template().action("eyeBlinkLeft")]
    assert 8 <= blink_rate(opening, FPS) <= 30


def test_hands_stay_with_the_photo_unless_the_innovations_choose_them(spoken):
    innovations = sample_innovations(round(spoken.duration * FPS), seed=2)
    wrist = load_template().joint("wrist.R")
    travelled = {}
    for choice in (NO_HAND, BOTH_HANDS):
        innovations[:, GESTURE_HAND] = choice
        motion = animate(spoken, innovations, Style(), np.random.default_rng(0))
        travelled[choice] = np.ptp(posed_joints(motion.rotations)[:, wrist], axis=0).max()
    assert travelled[BOTH_HANDS] > 0.08
    assert travelled[NO_HAND] < 0.5 * travelled[BOTH_HANDS]


@pytest.mark.parametrize("side", ["L", "R"])
def test_gesturing_hands_come_up_forward_and_not_inward(spoken, side):
    innovations = sample_innovations(round(spoken.duration * FPS), seed=2)
    innovations[:, GESTURE_HAND] = BOTH_HANDS
    motion = animate(spoken, innovations, Style(), np.random.default_rng(0))
    wrist = posed_joints(motion.rotations)[:, load_template().joint(f"wrist.{side}")]
    moved = wrist[40:].mean(0) - wrist[0]
    outward = moved[0] if side == "L" else -moved[0]
    assert moved[2] > 0.02
    assert moved[1] < 0.0
    assert outward > -0.03


def test_head_and_wrists_travel_like_those_of_real_talkers(spoken):
    # Two real talkers: head 0.15 and 0.19, wrists 0.16 to 0.66 shoulder widths a second.
    innovations = sample_innovations(60 * FPS, seed=8)
    template = load_template()
    shoulder_width = 2 * template.joints[template.joint("upperarm01.L"), 0]
    minute = spoken
    while minute.duration < 60:
        minute = type(spoken).joined([minute, spoken])
    joints = posed_joints(animate(minute, innovations, Style(), np.random.default_rng(0)).rotations)

    def travel(name: str) -> float:
        return travel_per_second(joints[:, template.joint(name)][:, [0, 2]], float(shoulder_width), FPS)

    assert 0.08 < travel("eye.L") < 0.30
    for wrist in ("wrist.L", "wrist.R"):
        assert 0.15 < travel(wrist) < 0.60


def test_style_scales_what_it_names(spoken):
    innovations = sample_innovations(round(spoken.duration * FPS), seed=2)

    def perform(style: Style):
        return animate(spoken, innovations, style, np.random.default_rng(0))

    template, plain = load_template(), perform(Style())
    smiling = perform(Style(expression=1.0)).actions - plain.actions
    assert smiling[:, template.action("mouthSmileLeft")].min() > 0.3
    np.testing.assert_allclose(
        lip_gap().millimetres(perform(Style(expression=0.6)).actions),
        lip_gap().millimetres(plain.actions),
        atol=0.4,
    )
    still = perform(Style(gesture_amplitude=0.0)).rotations
    assert np.abs(still[:, template.joint("lowerarm01.R")]).max() == 0
    lefty = perform(Style(handedness=-1.0)).rotations
    assert np.abs(lefty[:, template.joint("lowerarm01.R")]).max() == 0
    mumbling = lip_gap().millimetres(perform(Style(lip_articulation=0.6)).actions)
    assert mumbling.mean() < 0.75 * lip_gap().millimetres(plain.actions).mean()


def test_the_same_seeds_give_the_same_motion(spoken, performance):
    innovations, motion = performance
    again = animate(spoken, innovations, Style(), np.random.default_rng(0))
    np.testing.assert_array_equal(again.actions, motion.actions)
    np.testing.assert_array_equal(again.rotations, motion.rotations)


def test_the_performer_of_the_shipped_weights_is_frozen():
    """The frozen performer: projections of its motion on fixed waves, recorded when the weights were trained."""
    seconds = 3.0
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = 0.1 * np.sin(2 * np.pi * 130 * time) * (1.2 + np.sin(2 * np.pi * 3 * time))
    sounds = "m ˈɑ b ˈiː p ˈoʊ f ˈæ s ˌuː m ˈa".split()
    phonemes = [(0.0, ""), *((0.4 + 0.17 * i, ipa) for i, ipa in enumerate(sounds)), (2.5, "")]
    words = [(0.4, "ma"), (0.74, "bee"), (1.08, "po"), (1.42, "fa"), (1.76, "soo"), (2.1, "ma")]
    spoken = Utterance(tone.astype(np.float32), phonemes, words, "ma bee po fa soo ma")
    motion = animate(spoken, sample_innovations(90, seed=3), PERFORMER, np.random.default_rng(3))
    found = []
    for track in (motion.actions, motion.rotations):
        flat = track.astype(np.float64).ravel()
        found += [float(flat @ np.cos(k * np.arange(len(flat)))) for k in (0.0, 0.37, 1.1, 2.3)]
    np.testing.assert_allclose(found, FROZEN, atol=2e-3)


def test_settling_is_causal_and_arrives():
    target = np.repeat([0.0, 1.0, 0.0], 40)
    track = settle(target, 0.7, FPS)
    assert np.all(track[:40] == 0)
    assert track[79] == pytest.approx(1.0)
    assert track[-1] == pytest.approx(0.0, abs=1e-12)


def test_minimum_jerk_starts_and_ends_at_rest():
    share = np.linspace(0, 1, 1001)
    speed = np.gradient(minimum_jerk(share), share)
    assert speed[0] == pytest.approx(0.0, abs=0.01) and speed[-1] == pytest.approx(0.0, abs=0.01)
    assert speed.max() == pytest.approx(1.875, abs=0.01)  # Flash and Hogan: 1.875 times the mean


def test_pulses_have_their_apex_after_the_onset_by_the_given_time():
    pulse = accent_pulses([1.0], np.array([2.0]), (-0.12, 0.04, 0.5), 50, FPS)
    assert pulse.argmax() == 26
    assert pulse.max() == pytest.approx(2.0)
    assert pulse[:22].max() == 0 and abs(pulse[40:]).max() < 1e-9


def test_accents_leave_the_hand_time_to_follow():
    assert choose_accents([0.0, 0.2, 0.5, 0.7, 1.4], 0.6) == [0.0, 0.7, 1.4]
