"""Rows of the true pose: the avatar is posed by the track, frame by frame, and a lost person is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from baselines.gt_pose import SPEC, OursGtPose, posed_pictures
from baselines.gt_pose_external import LHM_GT_POSE, PERSONA_GT_POSE
from baselines.motion import true_pose, truth
from baselines.ours import PERSONALISATION
from benchmark.contract import ClipSource, GroundTruth, Sample
from media.audio import SAMPLE_RATE, write_wav
from media.errors import AvatarBenchError
from media.following import SeenPerson
from media.video import probe, write_video
from reference_model.animate import FrameView
from reference_model.avatar.io import save_avatar
from reference_model.body.template import load_template
from reference_model.tracking.fit import BodyTrack
from tests.template_avatar import template_avatar

N_FRAMES, WIDTH, HEIGHT = 6, 96, 128
TEMPLATE = load_template()


def still_track(n_frames: int = N_FRAMES) -> BodyTrack:
    zeros = torch.zeros(n_frames, TEMPLATE.n_joints, 3)
    return BodyTrack(torch.zeros(n_frames, 52), zeros, zeros.clone(), torch.zeros(n_frames, 3), {})


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    cv2.imwrite(str(tmp_path / "reference.png"), np.full((HEIGHT, WIDTH, 3), 120, np.uint8))
    times = np.arange(N_FRAMES * SAMPLE_RATE // 25) / SAMPLE_RATE
    write_wav(tmp_path / "audio.wav", (0.2 * np.sin(2 * np.pi * 300 * times)).astype(np.float32))
    picture, sound = tmp_path / "reference.png", tmp_path / "audio.wav"
    return Sample("clip", "ada", picture, sound, None, N_FRAMES, 25.0, WIDTH, HEIGHT, 7)


@pytest.fixture
def ground_truth(tmp_path: Path) -> GroundTruth:
    shades = [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * N_FRAMES
    write_video(tmp_path / "true.mp4", shades, 25)
    return GroundTruth(ClipSource(tmp_path / "true.mp4", 0.0), None, None)


def test_a_track_that_does_not_move_shows_the_photo_pose_in_every_frame():
    avatar = template_avatar()
    photo = FrameView(avatar).draw(avatar.gaussians).rgb
    pictures = list(posed_pictures(avatar, still_track(), avatar.camera))
    assert len(pictures) == N_FRAMES
    assert all(np.abs(picture.astype(int) - photo).max() <= 1 for picture in pictures)


def test_the_whole_body_goes_its_way_and_joints_turn():
    avatar = template_avatar()
    track = still_track(3)
    track.shift[1, 0] = 0.1  # metres to the person's left: to the right in the picture
    track.turns[2, TEMPLATE.joint("head"), 2] = 0.5
    photo, moved, turned = (picture.astype(int) for picture in posed_pictures(avatar, track, avatar.camera))
    pixels = round(0.1 * avatar.camera.focal / float(avatar.camera.translation[2]))
    behind = FrameView(avatar).draw(replace(avatar.gaussians, opacities=0 * avatar.gaussians.opacities)).rgb
    person = np.abs(photo - behind).sum(-1) > 60

    def centre(picture: np.ndarray) -> float:
        return float(np.nonzero(np.abs(picture - behind).sum(-1) > 60)[1].mean())

    assert centre(moved) - centre(photo) == pytest.approx(pixels, rel=0.4)
    assert np.abs(turned - photo)[person].mean() > 1


def test_ours_gt_pose_writes_the_samples_frames_with_its_sound(
    sample: Sample, ground_truth: GroundTruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_avatar(tmp_path / "person.avatar", template_avatar())
    monkeypatch.setattr(true_pose, "track_truth", lambda *_: still_track())
    generation = OursGtPose("cpu").generate(sample, ground_truth, tmp_path, tmp_path / "out.mp4")
    info = probe(generation.video)
    assert (info.n_frames, info.fps, info.width, info.height, info.has_audio) == (
        N_FRAMES,
        25.0,
        WIDTH,
        HEIGHT,
        True,
    )
    assert set(generation.timings_s) == {"track"}


def test_the_rows_are_oracles_and_ours_gt_pose_shares_the_avatars_of_ours():
    assert SPEC.privileged and LHM_GT_POSE.privileged and PERSONA_GT_POSE.privileged
    assert SPEC.preparation is PERSONALISATION
    for method in (LHM_GT_POSE, PERSONA_GT_POSE):
        assert {stage.scope for stage in method.stages} == {
            "identity",
            "truth",
        }  # nothing is made of the sound
        assert all("motioncraft" not in (stage.id, *stage.needs) for stage in method.stages)


@pytest.mark.parametrize("lost", [(0,), (1, 2)])
def test_a_person_who_is_lost_is_said(
    lost: tuple[int, ...], sample: Sample, ground_truth: GroundTruth, monkeypatch: pytest.MonkeyPatch
):
    seen = SeenPerson(np.zeros((33, 4)), np.zeros((33, 3)), None, {})
    people = [None if i in lost else seen for i in range(N_FRAMES)]
    monkeypatch.setattr("reference_model.tracking.observations.follow", lambda frames: people)
    avatar = template_avatar(100)
    with pytest.raises(AvatarBenchError, match="E746"):
        true_pose.track_truth(sample, ground_truth, avatar.state, avatar.camera)


@pytest.mark.parametrize("consumer", ["lhm", "persona"])
def test_our_track_drives_other_avatars_from_their_own_anchor(
    consumer: str, sample: Sample, ground_truth: GroundTruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    avatar, track = template_avatar(100), still_track()
    track.shift[:, 2] = torch.linspace(0, 0.3, N_FRAMES)  # the person rises
    monkeypatch.setattr(
        true_pose, "fit_reference", lambda _: SimpleNamespace(state=avatar.state, camera=avatar.camera)
    )
    monkeypatch.setattr(true_pose, "track_truth", lambda *_: track)
    anchor = {"root_pose": [np.pi, 0, 0], "trans": [0.1, 0.2, 3.0], "focal": [200, 200], "princpt": [48, 64]}
    (tmp_path / "smplx_params").mkdir()
    (tmp_path / "cam_params").mkdir()
    (tmp_path / "smplx_params" / "00001.json").write_text(
        json.dumps(anchor | {"img_size_wh": [WIDTH, HEIGHT]})
    )
    (tmp_path / "smplx_params" / "0.json").write_text(json.dumps(anchor))
    lens = {"R": np.eye(3).tolist(), "t": [0, 0, 0], "focal": [200, 200], "princpt": [48, 64]}
    (tmp_path / "cam_params" / "0.json").write_text(json.dumps(lens))
    folder = tmp_path / "out"
    folder.mkdir()
    rest = np.random.default_rng(0).uniform(-0.5, 0.5, (55, 3))
    means = {"hands_meanl": np.zeros(45), "hands_meanr": np.zeros(45)}
    np.savez(tmp_path / "model.npz", v_template=rest, J_regressor=np.eye(55), **means)
    job = SimpleNamespace(
        clip=sample,
        identity=sample.identity(0),
        ground_truth=ground_truth,
        done={"anchor": tmp_path, "captured": tmp_path},
        parameters={
            "smplx_tracks": "",
            "smplx_model": str(tmp_path / "model.npz"),
            "translation": "anchor_relative",
        },
        checkout=tmp_path,
        folder=folder,
    )
    if consumer == "lhm":
        truth.write_lhm_motion(job)
        paths = sorted((folder / "motion/smplx_params").glob("*.json"))
    else:
        truth.write_persona_motion(job)
        paths = sorted((folder / "motion/smplx/params").glob("*.json"))
    frames = [json.loads(path.read_text()) for path in paths]
    assert len(frames) == N_FRAMES
    assert np.allclose(frames[0]["trans"], [0.1, 0.2, 3.0])
    assert np.allclose(
        np.array([frame["trans"] for frame in frames])[-1] - [0.1, 0.2, 3.0], [0, -0.3, 0], atol=1e-5
    )
    assert not any(np.any(frame["expr"]) for frame in frames)
    job.parameters["smplx_tracks"] = str(tmp_path)
    with pytest.raises(AvatarBenchError, match="E741"):
        truth.write_lhm_motion(job)
