"""Tuning to one person: the clips that are made, and that the networks come closer to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from media.audio import write_wav
from reference_model.avatar.io import load_avatar, save_avatar
from reference_model.body.template import load_template
from reference_model.cli import main
from reference_model.corpus.motion.animator import Motion
from reference_model.deform import Rig
from reference_model.networks.model import load_model
from reference_model.networks.weights import read_metadata
from reference_model.training.markers import Markers, lip_opening
from reference_model.training.personal import personal_clips, teacher_states
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def person(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("person") / "plain.avatar"
    save_avatar(path, template_avatar(1200))
    return path


def test_the_teacher_moves_the_person_as_the_animator_says(person):
    avatar = load_avatar(person)
    template = load_template()
    actions = np.zeros((3, len(template.actions)), np.float32)
    rotations = np.zeros((3, len(template.joints), 3), np.float32)
    actions[1, template.action("jawOpen")] = 0.5
    rotations[2, template.joint("wrist.L"), 0] = 0.4
    states = teacher_states(avatar, Motion(actions, rotations))
    assert not states[0].any()
    markers = Markers(avatar, Rig(avatar))
    opening = lip_opening(markers.project(states, avatar.camera)[:, :468])
    assert opening[1] - opening[0] > 0.05 and abs(opening[2] - opening[0]) < 1e-4
    assert torch.equal(states[2, template.joint("wrist.L"), :3], torch.tensor([0.4, 0.0, 0.0]))


def test_clips_hold_sound_points_and_pictures_of_the_person(person):
    packed = personal_clips(load_avatar(person), clips=2, seconds=1.2, seed=0)
    assert [person.held_out for person in packed.people.values()] == [False, True]
    for clip in packed.clips:
        assert len(clip.innovations) == 30 and clip.log_mel.shape == (120, 80)
        assert len(clip.pictures[0].rgb) == len(clip.shown) == 8
        assert clip.samples.abs().max() > 500  # somebody speaks
        assert clip.points.shape == (30, 510, 2)
    talking = packed.clips[0].points[:, :468]
    assert lip_opening(talking).max() - lip_opening(talking).min() > 0.01


def test_a_person_is_tuned_and_drive_takes_the_weights_beside_the_avatar(person, tmp_path, monkeypatch):
    out = tmp_path / "tuned.avatar"
    command = [
        "personalize",
        str(person),
        "-o",
        str(out),
        "--steps",
        "12",
        "--clips",
        "2",
        "--seconds",
        "1",
        "--cpu",
    ]
    assert main(command) == 0
    weights = tmp_path / "tuned.weights.safetensors"
    document = read_metadata(weights, "AvatarModel")
    figures = document["held_out"]
    assert document["command"] == "avatar personalize" and document["options"]["scope"] == "all"
    assert figures["after_gap"] < figures["before_gap"]
    tuned, shipped = load_model(weights), load_model()
    assert not torch.equal(tuned.particles.embedding, shipped.particles.embedding)

    taken = []

    class Watched:
        def __init__(self, avatar, model=None) -> None:
            taken.append(model)
            raise LookupError  # nothing more is of interest

    monkeypatch.setattr("reference_model.animate.Animator", Watched)
    sound = tmp_path / "speech.wav"
    write_wav(sound, (0.1 * np.random.default_rng(0).normal(size=16_000)).astype(np.float32))
    for avatar in (out, person):
        with pytest.raises(LookupError):
            main(["drive", str(avatar), str(sound), "-o", str(tmp_path / "talk.mp4")])
    assert torch.equal(taken[0].particles.embedding, tuned.particles.embedding)
    assert taken[1] is None  # the shipped ones
