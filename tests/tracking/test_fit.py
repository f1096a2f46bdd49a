"""The pose of a film: known poses in, the same joints out; and what the detectors see of one frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from media.following import PersonFollower
from media.video import read_frames
from reference_model.body.se3 import exp_so3
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.photo.evidence import HAND_PARENT
from reference_model.photo.initial_pose import HAND_CHAIN
from reference_model.render.camera import Camera
from reference_model.tracking.fit import BodyTrack, fit_track
from reference_model.tracking.observations import Observations, gather

TEMPLATE = load_template()
CAMERA = Camera.frontal((0.0, 0.3, 2.6), 700.0, 384, 512)
N = 6


def photo() -> BodyState:
    return BodyState.neutral(TemplateTensors(TEMPLATE, vertex_subset=np.arange(2)))


def moving() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotations [T, J, 3], actions [T, 52], way [T, 3]: an arm rises, the head turns, the jaw opens."""
    share = torch.linspace(0, 1, N)[:, None]
    rotations = torch.zeros(N, TEMPLATE.n_joints, 3)
    rotations[:, TEMPLATE.joint("upperarm01.L")] = share * torch.tensor([0.0, -0.3, 0.0])
    rotations[:, TEMPLATE.joint("lowerarm01.L")] = share * torch.tensor([-0.5, 0.0, 0.4])
    rotations[:, TEMPLATE.joint("head")] = share * torch.tensor([0.0, 0.0, 0.3])
    rotations[:, TEMPLATE.joint("finger2-1.L")] = share * torch.tensor([0.4, 0.0, 0.0])
    actions = torch.zeros(N, 52)
    actions[:, TEMPLATE.action("jawOpen")] = 0.6 * share[:, 0]
    return rotations, actions, share * torch.tensor([0.06, 0.0, 0.02])


def made_observations(
    state: BodyState, rotations: torch.Tensor, actions: torch.Tensor, shift: torch.Tensor
) -> Observations:
    """What perfect detectors would see of these poses."""
    seen = gather(TEMPLATE, [None] * N, CAMERA.width, CAMERA.height)
    tensors = TemplateTensors(TEMPLATE, vertex_subset=seen.vertices)
    body = BodyState(state.shape, actions, rotations, torch.zeros_like(tensors.vertices))
    posed = pose(tensors, body)

    def project(points: torch.Tensor) -> torch.Tensor:
        return CAMERA.project(points + shift.reshape(N, *(1,) * (points.ndim - 2), 3))[0]

    points = seen.body_regressor @ posed.vertices
    hands = torch.zeros(N, 2, 21, 3)
    hands[:, :, list(HAND_CHAIN)] = posed.joints[:, seen.hand_joints]
    hands[:, :, [4, 8, 12, 16, 20]] = posed.vertices[:, seen.hand_tips]
    limbs = points[:, seen.limbs[:, 1]] - points[:, seen.limbs[:, 0]]
    bones = hands[:, :, 1:] - hands[:, :, HAND_PARENT[1:]]
    n_face = len(seen.face_triangles)
    return replace(
        seen,
        body=project(points),
        body_weight=torch.ones(seen.body_weight.shape),
        limb_directions=limbs / limbs.norm(dim=-1, keepdim=True),
        limb_weight=torch.ones(seen.limb_weight.shape),
        face=project((posed.vertices[:, seen.face_triangles] * seen.face_barycentric[..., None]).sum(-2)),
        face_weight=torch.full((N, n_face), 1 / n_face),
        hands=project(hands),
        hand_bones=bones / bones.norm(dim=-1, keepdim=True),
        hand_weight=torch.ones(N, 2),
    )


@pytest.fixture(scope="module")
def found() -> BodyTrack:
    return fit_track(TEMPLATE, made_observations(photo(), *moving()), photo(), CAMERA)


def test_known_poses_are_found_again_to_a_pixel(found: BodyTrack):
    assert set(found.error_px) == {"body", "face", "hands"}
    assert max(found.error_px.values()) < 1.0


def test_joints_come_out_where_they_were(found: BodyTrack):
    rotations, _, shift = moving()
    tensors = TemplateTensors(TEMPLATE, vertex_subset=np.arange(2))

    def joints(turned: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
        return pose(tensors, photo().replace(rotations=turned)).joints + way[:, None]

    names = ("head", "wrist.L", "wrist.R", "finger2-1.L", "upperarm01.L", "upperarm01.R")
    slots = [TEMPLATE.joint(name) for name in names]
    away = (joints(found.rotations, found.shift) - joints(rotations, shift))[:, slots].abs()  # [T, 6, 3] m
    assert away[..., [0, 2]].max() < 0.02
    assert away[..., 1].max() < 0.06  # along the line of sight one camera says less
    moved = (joints(rotations, shift)[-1] - joints(rotations, shift)[0])[TEMPLATE.joint("wrist.L")].norm()
    assert moved > 0.15


def test_the_open_jaw_is_seen(found: BodyTrack):
    opened = found.actions[:, TEMPLATE.action("jawOpen")]
    assert opened[0] < 0.15 and opened[-1] > 0.35
    assert (opened.diff() > -0.05).all()


def test_turns_are_the_rotations_after_those_of_the_photo():
    state = photo().replace(
        rotations=0.3 * torch.randn(TEMPLATE.n_joints, 3, generator=torch.Generator().manual_seed(1))
    )
    seen = gather(TEMPLATE, [None] * 3, CAMERA.width, CAMERA.height)
    track = fit_track(TEMPLATE, seen, state, CAMERA)
    composed = exp_so3(state.rotations) @ exp_so3(track.turns)
    assert torch.allclose(composed, exp_so3(track.rotations), atol=1e-5)
    assert torch.allclose(track.turns, torch.zeros(()), atol=1e-3)  # nothing was seen: the photograph stays
    assert track.error_px == {}


def test_a_look_at_a_frame_finds_body_face_and_both_hands_on_their_sides():
    clip = Path(__file__).parents[2] / "benchmark/data/mini/clips/mini07-t1-04.mp4"
    frame = next(read_frames(clip))
    with PersonFollower() as follower:
        seen = follower.look(frame)
        assert follower.look(np.full((256, 256, 3), 90, np.uint8)) is None
    assert seen is not None and seen.face is not None
    assert set(seen.hands) == {"left", "right"}
    assert seen.hands["left"].points[0, 0] > seen.hands["right"].points[0, 0]  # she faces the camera
    for side, slot in (("left", 15), ("right", 16)):
        assert np.linalg.norm(seen.hands[side].points[0, :2] - seen.pose[slot, :2]) < 40
