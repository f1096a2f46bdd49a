"""Made people perform: lips, smile, eyes, head and hands with a style of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.body.template import load_template
from reference_model.corpus.motion.animator import FPS, Motion, absolute_rotations
from reference_model.corpus.motion.arm_reach import Physique
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.motion.performer import perform
from reference_model.corpus.motion.personal_style import PersonalStyle, draw_style
from reference_model.corpus.motion.repertoire import GESTURES
from reference_model.corpus.people.arm_pose import ArmTarget, solve_arms
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.corpus.speech.visemes import closed_pictures, lip_tracks
from reference_model.evaluation.curves import closure_rates, travel_per_second
from reference_model.innovations import BLINK_ONSET, sample_innovations

TEMPLATE = load_template()
PERSON = Attributes(
    "female",
    40.0,
    "average",
    3,
    "bob",
    "brown",
    "none",
    False,
    "shirt",
    "jeans",
    "studio",
    "wall",
    "half",
    False,
)


@pytest.fixture(scope="module")
def physique() -> Physique:
    return Physique(TEMPLATE.vertices, TEMPLATE.joints, solve_arms(TEMPLATE, TEMPLATE.joints, ArmTarget()))


def performed(spoken: Utterance, physique: Physique, style: PersonalStyle, seed: int = 2) -> Motion:
    innovations = sample_innovations(round(spoken.duration * FPS), seed)
    return perform(spoken, innovations, style, np.random.default_rng(seed), physique)[0]


def action(motion: Motion, name: str) -> np.ndarray:
    return motion.actions[:, TEMPLATE.action(name)]


@pytest.mark.parametrize("expression", [0.0, 0.5, 1.0])
def test_every_closure_shuts_the_lips_whatever_the_expression(spoken, physique, expression) -> None:
    style = PersonalStyle(expression=expression, asymmetry=1.0, lip_articulation=1.3)
    gap = lip_gap().millimetres(performed(spoken, physique, style).actions)
    closed = closed_pictures(lip_tracks(spoken), len(gap))
    assert closed.sum() >= 15
    assert gap[closed].max() <= 0.5
    ends = [start for start, _ in spoken.phonemes[1:]] + [spoken.duration]
    sounds = [(ipa, (start, end)) for (start, ipa), end in zip(spoken.phonemes, ends, strict=True)]
    bilabials = [span for ipa, span in sounds if ipa in ("p", "b", "m")]
    recall, false = closure_rates(gap, FPS, bilabials, [span for ipa, span in sounds if "ɑː" in ipa])
    assert (recall, false) == (1.0, 0.0)


def test_a_smile_is_of_lips_cheeks_and_eyes_and_leaves_the_gap_alone(spoken, physique) -> None:
    neutral = performed(spoken, physique, PersonalStyle(expression=0.0))
    smiling = performed(spoken, physique, PersonalStyle(expression=1.0))
    for name, least in (("mouthSmileLeft", 0.2), ("cheekSquintRight", 0.15), ("mouthDimpleLeft", 0.04)):
        assert (action(smiling, name) - action(neutral, name)).min() > least
    assert action(smiling, "eyeSquintLeft").mean() > 0.15
    assert np.ptp(action(smiling, "mouthSmileLeft")) > 0.1  # it lives
    speaking = slice(25, -30)
    np.testing.assert_allclose(
        lip_gap().millimetres(smiling.actions)[speaking],
        lip_gap().millimetres(neutral.actions)[speaking],
        atol=0.6,
    )


def test_lids_close_fully_over_hanging_lids_and_smiling_eyes(spoken, physique) -> None:
    style = PersonalStyle(expression=1.0, droop=0.12)
    innovations = sample_innovations(round(spoken.duration * FPS), 2)
    motion = performed(spoken, physique, style)
    lid = action(motion, "eyeBlinkLeft")
    onsets = np.flatnonzero(innovations[:-8, BLINK_ONSET])
    assert len(onsets) >= 1
    assert all(lid[onset + 1 : onset + 4].max() > 0.95 for onset in onsets)
    assert all(action(motion, "eyeSquintLeft")[onset + 1 : onset + 4].min() < 0.05 for onset in onsets)
    assert lid.min() >= 0.119


def test_faces_are_lopsided_by_style(spoken, physique) -> None:
    even, lopsided = (
        performed(spoken, physique, PersonalStyle(expression=0.6, asymmetry=a)) for a in (0.0, 1.0)
    )
    np.testing.assert_array_equal(action(even, "mouthSmileLeft"), action(even, "mouthSmileRight"))
    assert (action(lopsided, "mouthSmileLeft") > action(lopsided, "mouthSmileRight")).all()
    assert action(lopsided, "browOuterUpLeft").max() > 1.3 * action(lopsided, "browOuterUpRight").max()


def test_head_and_wrists_of_drawn_styles_travel_like_those_of_real_talkers(spoken, physique) -> None:
    # docs/results.md: real talkers, head 0.15 and 0.18, wrists 0.18 and 0.66 shoulder widths a second; half to
    # thrice as much for single seconds of speech.
    width = 2 * float(TEMPLATE.joints[TEMPLATE.joint("upperarm01.L"), 0])
    tensors = TemplateTensors(TEMPLATE, np.arange(3))
    heads, wrists = [], []
    for seed in range(12):
        motion = performed(spoken, physique, draw_style(PERSON, np.random.default_rng(seed)), seed)
        absolute = absolute_rotations(physique.rest_pose, motion)
        joints = pose_joints(tensors, torch.zeros(len(TEMPLATE.shape_basis)), torch.from_numpy(absolute))[
            0
        ].numpy()
        joints = joints[:, :, [0, 2]]
        heads.append(travel_per_second(joints[:, TEMPLATE.joint("eye.L")], width, FPS))
        wrists.append(
            max(travel_per_second(joints[:, TEMPLATE.joint(f"wrist.{s}")], width, FPS) for s in "LR")
        )
    assert 0.08 < np.median(heads) < 0.4 and 0.05 < min(heads) and max(heads) < 0.6
    assert 0.2 < np.median(wrists) < 0.66 and max(wrists) < 1.0


def test_people_move_unlike_each_other_and_stay_in_range() -> None:
    styles = [draw_style(PERSON, np.random.default_rng(seed)) for seed in range(200)]
    assert {style.handedness > 0 for style in styles} == {True, False}
    assert all(0 <= style.expression <= 1 and 0.5 < style.gesture_amplitude < 1.4 for style in styles)
    assert np.std([style.expression for style in styles]) > 0.15
    assert all([name for name, _ in style.favourites] == list(GESTURES) for style in styles)
    favourite = {max(style.favourites, key=lambda pair: pair[1])[0] for style in styles}
    assert len(favourite) >= 12


def test_old_people_gesture_more_slowly() -> None:
    def tempo(age: float) -> float:
        return float(
            np.mean([draw_style(replace(PERSON, age=age), np.random.default_rng(s)).tempo for s in range(60)])
        )

    assert tempo(80.0) < 0.95 * tempo(30.0)


def test_the_same_seeds_give_the_same_bytes_and_others_do_not(spoken, physique) -> None:
    first, again, other = (performed(spoken, physique, PersonalStyle(), seed) for seed in (4, 4, 5))
    assert first.actions.tobytes() == again.actions.tobytes()
    assert first.rotations.tobytes() == again.rotations.tobytes()
    assert first.rotations.tobytes() != other.rotations.tobytes()


def test_the_performance_lasts_as_long_as_the_innovations(spoken, physique) -> None:
    innovations = sample_innovations(400, 0)
    motion, performance = perform(spoken, innovations, PersonalStyle(), np.random.default_rng(0), physique)
    assert motion.actions.shape == (400, 52) and motion.rotations.shape == (400, TEMPLATE.n_joints, 3)
    assert len(performance.blinks_s) == int(innovations[:, BLINK_ONSET].sum())
    assert lip_gap().millimetres(motion.actions)[-50:].max() < 1.0
