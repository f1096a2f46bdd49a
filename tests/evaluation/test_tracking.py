"""Measures of talking people, on a real clip and on the template."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from media.video import read_frames
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.evaluation.motion import MotionReport, body_travel, judge
from reference_model.evaluation.tracking import close_up, face_curves, fill_gaps
from tests.template_avatar import template_avatar


@pytest.fixture(scope="module")
def talker(shared_data):
    """One second of a real talker at half size."""
    clip = shared_data / "video" / "man_white_shirt.mp4"
    return list(read_frames(clip, fps=12.5, size=(360, 640), duration_s=1.0))


def test_a_talkers_lips_and_eyes_are_followed_and_a_picture_without_a_face_is_a_gap(talker):
    nobody = np.full_like(talker[0], 90)
    curves = face_curves([*talker[:3], nobody, *talker[3:6]])
    assert curves.found == pytest.approx(6 / 7)
    assert np.isnan(curves.lip_gap[3])
    filled = fill_gaps(curves.lip_gap)
    assert filled[3] == pytest.approx((filled[2] + filled[4]) / 2)
    assert (np.delete(curves.eye_opening, 3) > 0.1).all()
    with pytest.raises(ValueError, match="no face"):
        fill_gaps(np.full(4, np.nan))


def test_a_talker_travels_and_a_still_does_not(talker):
    moving, still = body_travel(talker, 12.5), body_travel(talker[:1] * len(talker), 12.5)
    assert moving[0] > 5 * still[0]
    real = [moving]
    assert judge(MotionReport(15.0, *moving), real) == {"blinks": True, "head": True, "wrists": True}
    assert not judge(MotionReport(15.0, *still), real)["head"]
    assert not judge(MotionReport(0.0, *moving), real)["blinks"]
    assert not judge(MotionReport(31.0, 3 * moving[0], moving[1]), real)["head"]


def test_a_close_up_frames_the_face_alone():
    avatar = template_avatar()
    template = load_template()
    camera = close_up(avatar, 200)
    assert (camera.width, camera.height) == (200, 200)
    vertices = pose(TemplateTensors(template), avatar.state).vertices
    face = vertices[torch.from_numpy(template.face > 0.9)]
    pixels = camera.project(face)[0]
    assert ((pixels > 0) & (pixels < 200)).all()
    assert float((pixels.max(0).values - pixels.min(0).values).max()) > 90
    wrist = pose(TemplateTensors(template), avatar.state).joints[template.joint("wrist.L")]
    assert float(camera.project(wrist[None])[0][0, 1]) > 200
