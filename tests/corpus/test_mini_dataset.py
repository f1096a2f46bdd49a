"""The data set `mini`: how it is planned, and that the shipped files are what they should be."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmark.manifest import MINI, Dataset, load_dataset
from media.audio import load_audio
from media.landmarks import FaceMesh, HandDetector
from media.video import probe, read_frames
from reference_model.corpus.animator import Motion
from reference_model.corpus.mini_dataset import (
    DURATION_S,
    LEAD_S,
    SETTINGS,
    TEXTS,
    absolute_rotations,
    plan_clips,
    speak,
)
from reference_model.corpus.people import PEOPLE
from reference_model.corpus.speech import SpeechSynthesizer
from reference_model.corpus.utterances import is_held_out_variant, sentences

INNER_LIPS, FOREHEAD, CHIN = (13, 14), 10, 152  # points of the mediapipe face mesh
LIDS = ((159, 145), (386, 374))


@pytest.fixture(scope="module")
def mini() -> Dataset:
    return load_dataset()


def test_no_text_and_no_voice_is_one_that_the_networks_learn_from() -> None:
    corpus = {text for kinds in sentences().values() for texts in kinds.values() for text in texts}
    assert corpus.isdisjoint(TEXTS)
    assert all(is_held_out_variant(setting.voice.variant) for setting in SETTINGS.values())


def test_every_person_speaks_five_clips_with_seeds_of_their_own() -> None:
    plans = plan_clips(seed=3)
    assert [sum(plan.person == name for plan in plans) for name in PEOPLE] == [5, 5]
    assert len({plan.seed for plan in plans}) == len(plans)
    assert plans == plan_clips(seed=3)


@pytest.mark.parametrize("text", TEXTS[:2])
def test_speech_fills_the_clip_after_a_moment_of_silence(synthesizer: SpeechSynthesizer, text: str) -> None:
    utterance = speak(synthesizer, text, SETTINGS["woman"].voice)
    assert utterance.duration == pytest.approx(DURATION_S, abs=1e-4)
    loud = np.flatnonzero(np.abs(utterance.samples) > 0.02) / 16_000
    assert LEAD_S < loud[0] < LEAD_S + 0.25
    assert loud[-1] > 3.0


def test_rest_pose_and_motion_compose_in_the_bones_own_axes() -> None:
    rng = np.random.default_rng(0)
    rest, delta = rng.normal(scale=0.5, size=(4, 3)), rng.normal(scale=0.5, size=(2, 4, 3))
    motion = Motion(np.zeros((2, 52), np.float32), delta)
    total = Rotation.from_rotvec(absolute_rotations(rest, motion)[1, 2]).as_matrix()
    first, second = (Rotation.from_rotvec(v).as_matrix() for v in (rest[2], delta[1, 2]))
    np.testing.assert_allclose(total, first @ second, atol=1e-6)


def test_shipped_clips_are_those_of_the_manifest(mini: Dataset) -> None:
    assert len(mini.clips) == 10
    assert {clip.identity for clip in mini.clips} == set(PEOPLE)
    for clip in mini.clips:
        path = mini.root / clip.media
        assert hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256
        info = probe(path)
        assert (info.width, info.height, info.fps, info.n_frames, info.has_audio) == (384, 512, 25, 110, True)
        assert clip.transcript in TEXTS


def test_shipped_data_set_stays_small(mini: Dataset) -> None:
    assert sum(path.stat().st_size for path in MINI.rglob("*") if path.is_file()) < 10_000_000


def test_first_pictures_are_good_reference_images(mini: Dataset) -> None:
    """Eyes open, mouth nearly shut, both hands in sight."""
    with FaceMesh() as faces, HandDetector() as hands:
        for clip in mini.clips:
            image = next(iter(read_frames(mini.root / clip.media)))
            points = faces.detect(image)
            assert points is not None, clip.id
            face = np.linalg.norm(points[FOREHEAD, :2] - points[CHIN, :2])
            gap, *eyes = (
                np.linalg.norm(points[a, :2] - points[b, :2]) / face for a, b in (INNER_LIPS, *LIDS)
            )
            assert gap < 0.03, clip.id
            assert min(eyes) > 0.03, clip.id
            assert len(hands.detect(image)) == 2, clip.id


def test_lips_move_while_the_sound_is_loud_and_rest_before_it(mini: Dataset) -> None:
    clip = mini.clips[0]
    sound = load_audio(mini.root / clip.media)
    assert np.abs(sound[: int(LEAD_S * 16_000) - 800]).max() < 0.02
    with FaceMesh() as faces:
        gaps = []
        for image in list(read_frames(mini.root / clip.media))[::3]:
            points = faces.detect(image)
            assert points is not None
            gaps.append(np.linalg.norm(points[INNER_LIPS[0], :2] - points[INNER_LIPS[1], :2]))
    assert max(gaps) > 4 * (gaps[0] + 0.5)
