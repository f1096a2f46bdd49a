"""The figures of `avatar evaluate-motion`: each measure on motion whose answer is known, and a whole made corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.animate import Animator
from reference_model.body.template import load_template
from reference_model.corpus.motion.animator import Style, animate, stressed_word_onsets
from reference_model.corpus.motion.motion_file import save_motion
from reference_model.corpus.people.bodies import Body
from reference_model.corpus.people.look import draw_look
from reference_model.corpus.people.person import save_person
from reference_model.corpus.pipeline.plan import Corpus, CorpusSpec, open_corpus
from reference_model.corpus.pipeline.speech import load_speech
from reference_model.corpus.pipeline.stages import create_corpus
from reference_model.evaluation.speech_motion import (
    blink_count,
    evaluate_clips,
    evaluate_corpus,
    nearest_apexes,
    stroke_ends,
)
from reference_model.evaluation.surface_motion import BodyShape, MotionCurves, SurfaceMotion
from reference_model.innovations import sample_innovations
from reference_model.networks.model import load_model
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def motion() -> SurfaceMotion:
    return SurfaceMotion(load_model())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Two people of the template's body, each with a clip performed by the animator; nothing is drawn."""
    made = open_corpus(
        tmp_path_factory.mktemp("made"), CorpusSpec(split="heldout", n_people=2, n_clips=1, clip_s=4.0)
    )
    create_corpus(made, lambda *_: None, stages=("attributes", "utterances", "speech"))
    template = load_template()
    for folder in ("people", "motion"):
        (made.folder / folder).mkdir()
    for seed, clip in enumerate(made.clips.values()):
        look = draw_look(made.attributes[clip.person], seed)
        save_person(
            made.path("people", clip.person, "npz"), look, Body(template.vertices, template.joints), seed
        )
        speech = load_speech(made, clip.id)
        innovations = sample_innovations(made.spec.n_frames, seed)
        done = animate(speech, innovations, Style(), np.random.default_rng(seed))
        save_motion(made.path("motion", clip.id, "npz"), done)
        gestures = [{"onset_s": onset} for onset in stressed_word_onsets(speech).values()]
        told = {"seed": seed, "events": {"gestures": gestures}}
        made.path("motion", clip.id, "json").write_text(json.dumps(told), "utf-8")
    return made


class Perfect(SurfaceMotion):
    """Does what the animator did, or for another sound what he did there."""

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(load_model())
        from reference_model.corpus.motion.motion_file import load_motion

        self._known = {
            load_speech(corpus, clip).samples.tobytes(): load_motion(corpus.path("motion", clip, "npz"))
            for clip in corpus.clips
        }

    def of_speech(
        self, samples: np.ndarray, innovations: np.ndarray, body: BodyShape | None = None
    ) -> MotionCurves:
        done = self._known.get(samples.tobytes())
        if done is None:
            n = len(innovations)
            return self.of_actions(np.zeros((n, 52)), np.zeros((n, self.average.joints.shape[0], 3)), body)
        return self.of_actions(done.actions, done.rotations, body)


def test_a_model_that_does_what_the_animator_did_has_no_error(corpus):
    figures = evaluate_corpus(Perfect(corpus), corpus)
    assert figures["lip_error_mm"] == 0 and figures["lip_error_shuffled_mm"] > 0.5
    assert figures["lip_error_silent_mm"] > 0.5
    assert figures["closure_recall"] == 1.0 and figures["false_closure"] == 0.0
    for name in ("blinks_over_truth", "head_travel_over_truth", "wrist_travel_over_truth",
                 "face_power_over_truth", "wrist_power_over_truth"):  # fmt: skip
        assert figures[name] == pytest.approx(1.0), name


def test_the_shipped_model_follows_the_sound(corpus, motion):
    figures = evaluate_corpus(motion, corpus)
    assert figures["clips"] == 2
    assert figures["lip_error_true_over_shuffled"] < 1
    assert figures["lip_gap_r"] > 0.4
    assert all(np.isfinite(value) for value in figures.values())


def test_a_corpus_without_motion_is_refused(tmp_path, motion):
    with pytest.raises(AvatarBenchError) as caught:
        evaluate_corpus(motion, open_corpus(tmp_path, CorpusSpec(n_people=1, n_clips=1)))
    assert caught.value.code == "E407" and "motion" in str(caught.value)


def test_the_curves_are_those_of_the_animator_that_draws(motion):
    """Without drawing, the joints turn as in `Animator.motion`."""
    animator = Animator(template_avatar(200), motion.model)
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.normal(size=16_000)).astype(np.float32)
    innovations = sample_innovations(25, 3)
    states = torch.stack([state for state, _ in animator.motion(samples, innovations=innovations)])
    expected = motion.of_actions(np.zeros((25, 52)), states[:, : len(load_template().joints), :3].numpy())
    found = motion.of_speech(samples, innovations)
    np.testing.assert_allclose(found.wrists, expected.wrists, atol=2e-5)
    np.testing.assert_allclose(found.head, expected.head, atol=2e-5)


def test_a_wide_jaw_opens_the_gap_and_a_nod_carries_the_head(motion):
    template = load_template()
    actions, rotations = np.zeros((3, 52)), np.zeros((3, len(template.joints), 3))
    actions[1, template.action("jawOpen")] = 0.5
    actions[2, [template.action("eyeBlinkLeft"), template.action("eyeBlinkRight")]] = 1.0
    rotations[2, template.joint("head")] = [0.3, 0.0, 0.0]
    curves = motion.of_actions(actions, rotations)
    assert curves.gap[1] - curves.gap[0] > 0.008
    assert curves.lid_drop[2] > 0.005 > curves.lid_drop[1]
    assert np.linalg.norm(curves.head[2] - curves.head[0]) > 0.03
    assert np.ptp(curves.wrists, axis=0).max() < 1e-6


def test_strokes_end_where_minimum_jerk_motions_stop():
    """Two strokes of 15 cm that stop at 0.8 s and 2.0 s, and a drift too slow to be one."""
    t = np.arange(100) / 25.0
    path = np.zeros((100, 3))
    for stop, axis in ((0.8, 0), (2.0, 2)):
        x = np.clip((t - (stop - 0.32)) / 0.32, 0, 1)
        path[:, axis] += 0.15 * (10 * x**3 - 15 * x**4 + 6 * x**5)
    path[:, 1] += 0.01 * t
    ends = stroke_ends(path)
    assert len(ends) == 2
    assert np.abs(ends - [0.8, 2.0]).max() < 0.06
    assert len(stroke_ends(path[:, [1, 1, 1]])) == 0
    assert nearest_apexes([0.75, 1.0], np.array([0.8, 2.0])) == pytest.approx([0.05, 0.2])
    assert np.isinf(nearest_apexes([0.5], np.array([]))).all()


def test_blinks_are_counted_once_each():
    drop = np.zeros(50)
    drop[10:15] = drop[30:33] = 0.007
    drop[40:45] = 0.001
    assert blink_count(drop) == 2


def test_real_lips_follow_above_chance(motion, shared_data: Path):
    """On the two real talkers at hand, whom no training has seen."""
    clips = sorted((shared_data / "video").glob("*.mp4"))[:1]
    rows = evaluate_clips(motion, clips, seeds=1)
    assert rows["mean"]["r"] > rows["mean"]["chance_99"]
