"""Cameras, lights, backgrounds and exposure of the made people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from media.errors import AvatarBenchError
from reference_model.corpus.drawing.scene import LIGHT_RIGS, develop, film, frontal_view, project
from reference_model.corpus.drawing.setting import (
    FACE_LUMINANCE,
    Background,
    Setting,
    background_picture,
    draw_setting,
    face_luminance,
    lit_face,
    metered_exposure,
    setting_from_json,
    setting_to_json,
)
from reference_model.corpus.people.attributes import FRAMINGS, SKIN_TONES
from reference_model.corpus.people.person import MadePerson
from tests.corpus.sample_people import SOMEONE, sample_person

RIGS = {"studio", "window", "overcast", "warm_lamp", "ring", "evening", "office", "side_window"}


@pytest.fixture(scope="module")
def person() -> MadePerson:
    return sample_person(SOMEONE)


def shot(kind: Literal["wall", "gradient", "room"], *, bright_left: bool = True, seed: int = 0) -> Setting:
    view = frontal_view(np.zeros(3), 1.0, 60, 80)
    behind = Background(kind, ((200, 190, 180), (90, 100, 110)), seed, bright_left)
    return Setting(view, "studio", behind, 0.6)


def test_a_turned_view_sees_the_person_turned_about_the_axis() -> None:
    view = frontal_view(np.array([0.0, -0.05, 0.3]), 1.0, 384, 512, yaw_deg=4.0, pitch_deg=2.0)
    points = np.random.default_rng(0).normal(scale=0.2, size=(20, 3)).astype(np.float32)
    about = np.array([0.02, 0.03, 0.0])
    turn = Rotation.from_euler("z", 30, degrees=True)
    np.testing.assert_allclose(
        project(points, view.turned(30.0, about)),
        project((turn.apply(points - about) + about).astype(np.float32), view),
        atol=2e-2,
    )


def test_a_camera_that_looks_down_stands_above_its_target() -> None:
    view = frontal_view(np.array([0.0, 0.0, 0.4]), 1.0, 384, 512, distance=2.0, pitch_deg=10.0)
    assert view.centre[2] == pytest.approx(0.4 + 2 * np.sin(np.radians(10)), abs=1e-5)
    assert project(np.array([[0.0, 0.0, 0.4]]), view)[0] == pytest.approx([192, 256, 2.0], abs=1e-3)


def test_the_rigs_are_the_named_ones_and_their_lights_differ() -> None:
    assert set(LIGHT_RIGS) == RIGS
    keys = [LIGHT_RIGS[name].lighting().directions[0] for name in sorted(RIGS)]
    angles = np.degrees(np.arccos(np.clip(np.stack(keys) @ np.stack(keys).T, -1, 1)))
    assert angles[~np.eye(len(keys), dtype=bool)].min() > 5


def test_the_tone_curve_rises_from_black_to_white() -> None:
    curve = film(np.linspace(0, 6, 200), 1.0)
    assert curve[0] == pytest.approx(0, abs=0.005)
    assert curve[-1] > 0.9
    assert (np.diff(curve) >= 0).all()


def test_the_background_shows_where_nothing_stands_before_it() -> None:
    radiance = np.zeros((80, 60, 4), np.float32)
    radiance[:, :30, 3] = 1  # black cardboard on the left half
    picture = develop(radiance, background_picture(shot("wall")), 0.6)
    assert picture[:, :26].max() < 10
    assert picture[:, 34:].min() > 60


@pytest.mark.parametrize("kind", ["wall", "gradient", "room"])
def test_backgrounds_follow_their_seed(kind: Literal["wall", "gradient", "room"]) -> None:
    picture, again, other = (background_picture(shot(kind, seed=seed)) for seed in (3, 3, 4))
    assert picture.tobytes() == again.tobytes()
    assert np.abs(picture - other).mean() > 1e-3
    assert picture.min() >= 0
    assert picture.max() < 2


def test_a_wall_is_brighter_on_the_side_of_the_light() -> None:
    left, right = (background_picture(shot("wall", bright_left=flag)) for flag in (True, False))
    assert left[:, :20].mean() > 1.1 * left[:, 40:].mean()
    assert right[:, 40:].mean() > 1.1 * right[:, :20].mean()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_framing_shows_what_it_says(person: MadePerson, framing: str) -> None:
    knee, foot, wrist = (
        person.joints[person.template.joint(n)] for n in ("lowerleg01.L", "foot.L", "wrist.L")
    )
    crown = person.rest[person.rest[:, 2].argmax()]
    for seed in range(6):
        attributes = replace(SOMEONE, framing=framing)
        setting = draw_setting(attributes, person, seed, 384, 512, exposure=0.6)
        row = dict(zip(("crown", "wrist", "knee", "foot"),
                       project(np.stack([crown, wrist, knee, foot]), setting.view)[:, 1], strict=True))  # fmt: skip
        assert 0 < row["crown"] < 80
        assert row["wrist"] < 512
        assert (row["knee"] < 540) == (framing != "half")  # "to the knees" may just touch them
        assert (row["foot"] < 512) == (framing == "full")


def test_a_setting_goes_through_json(person: MadePerson) -> None:
    setting = draw_setting(SOMEONE, person, 5, 96, 128, exposure=0.7)
    stored = json.loads(json.dumps(setting_to_json(setting)))
    assert setting_to_json(setting_from_json(stored)) == setting_to_json(setting)
    np.testing.assert_array_equal(setting_from_json(stored).view.rotation, setting.view.rotation)


def test_a_setting_of_another_version_is_refused() -> None:
    stored = setting_to_json(shot("wall"))
    del stored["view"]["focal"]
    with pytest.raises(AvatarBenchError, match="E402"):
        setting_from_json(stored)


def test_unknown_lights_are_refused(person: MadePerson) -> None:
    with pytest.raises(AvatarBenchError, match="E504"):
        draw_setting(replace(SOMEONE, light="candle"), person, 0, 96, 128)


def test_metering_brings_the_face_to_its_luminance_in_any_light(person: MadePerson) -> None:

    for rig in ("studio", "evening"):
        light = lit_face(person, LIGHT_RIGS[rig])
        assert len(light) > 500
        for tone in (1, 6):
            exposure = metered_exposure(person, LIGHT_RIGS[rig], FACE_LUMINANCE[tone])
            assert face_luminance(light, exposure) == pytest.approx(FACE_LUMINANCE[tone], abs=0.01)


def test_darker_skin_has_the_darker_target() -> None:
    assert tuple(FACE_LUMINANCE) == SKIN_TONES
    assert (np.diff(list(FACE_LUMINANCE.values())) < 0).all()
