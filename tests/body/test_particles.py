"""Particles: where they sit, what they may and may not move, and how well they reproduce a moving face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reference_model.body.particles import (
    GROUPS,
    N_LOCAL,
    ParticleSet,
    blend_particles,
    fit_particle_twists,
    load_particles,
)
from reference_model.body.se3 import exp_se3
from reference_model.body.template import BodyTemplate, load_template


@pytest.fixture(scope="module")
def template() -> BodyTemplate:
    return load_template()


@pytest.fixture(scope="module")
def particles() -> ParticleSet:
    return load_particles()


def reproduced(twists: np.ndarray, rest: np.ndarray) -> np.ndarray:
    rotation, translation = exp_se3(torch.from_numpy(twists).double())
    return blend_particles(rotation.numpy(), translation.numpy(), rest)


def binding(particles: ParticleSet, vertices: np.ndarray) -> np.ndarray:
    """Boolean [n, 768]: which particles move which of the vertices."""
    return particles.weights.toarray()[vertices] > 1e-3


def anchor_motion(template: BodyTemplate, particles: ParticleSet, action: str) -> np.ndarray:
    """How far an action moves each anchor, metres."""
    moved = particles.anchors(template.vertices + template.actions[template.action(action)], template.faces)
    return np.linalg.norm(moved - particles.anchors(template.vertices, template.faces), axis=1)


def test_groups_have_the_designed_sizes(particles: ParticleSet) -> None:
    counts = np.bincount(particles.group[particles.n_joints :], minlength=len(GROUPS))
    assert dict(zip(GROUPS, counts.tolist(), strict=True)) == {
        "lips": 128,
        "face": 160,
        "eyes_lids_brows": 64,
        "hand_left": 112,
        "hand_right": 112,
        "body": 192,
    }
    assert len(np.unique(particles.anchor_triangle * 3 + particles.anchor_barycentric.argmax(1))) == N_LOCAL


def test_joints_of_the_hands_and_eyes_belong_to_their_groups(
    template: BodyTemplate, particles: ParticleSet
) -> None:
    def group(joint: str) -> str:
        return GROUPS[particles.group[template.joint(joint)]]

    assert group("finger3-2.L") == group("wrist.L") == "hand_left"
    assert group("finger3-2.R") == "hand_right"
    assert group("eye.L") == "eyes_lids_brows"
    assert group("head") == group("upperarm01.R") == "body"


def test_each_row_of_weights_leaves_a_share_to_the_identity(
    template: BodyTemplate, particles: ParticleSet
) -> None:
    total = particles.vertex_weights.sum(1)
    assert particles.vertex_weights.min() >= 0
    assert total.max() <= 1 + 1e-3
    skin = template.region_vertices("head", "body", "hand_left", "hand_right")
    assert 0.9 < total[skin].min() < total[skin].max() < 0.995


def test_the_upper_inner_lip_is_bound_to_no_particle_of_the_lower_lip(
    template: BodyTemplate, particles: ParticleSet
) -> None:
    """The lips touch when closed: only distance along the surface keeps them apart."""
    opening = np.linalg.norm(template.actions[template.action("jawOpen")], axis=1)
    near_middle = (template.lip > 0.3) & (np.abs(template.vertices[:, 0]) < 0.012)
    upper, lower = (
        np.flatnonzero(near_middle & (opening < 0.004)),
        np.flatnonzero(near_middle & (opening > 0.015)),
    )
    assert len(upper) > 30 and len(lower) > 30
    gap = np.linalg.norm(template.vertices[upper][:, None] - template.vertices[lower][None], axis=-1).min()
    assert gap < 0.003
    carried = anchor_motion(template, particles, "jawOpen")
    assert not binding(particles, upper)[:, carried > 0.015].any()
    assert not binding(particles, lower)[:, carried < 0.004].any()


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_the_lids_share_no_particles_in_the_middle_of_the_eye(
    template: BodyTemplate, particles: ParticleSet, side: str
) -> None:
    eye = template.joints[template.joint(f"eye.{side[0]}")]
    blink = np.linalg.norm(template.actions[template.action(f"eyeBlink{side}")], axis=1)
    middle = (template.eyelid > 0.5) & (np.abs(template.vertices[:, 0] - eye[0]) < 0.006)
    upper = np.flatnonzero(middle & (blink > 0.005))
    lower = np.flatnonzero(middle & (template.vertices[:, 2] < eye[2] - 0.002) & (blink < 0.003))
    assert len(upper) > 5 and len(lower) > 5
    shared = binding(particles, upper).any(0) & binding(particles, lower).any(0)
    assert not shared.any()


@pytest.mark.parametrize("side", ["L", "R"])
def test_neighbouring_fingers_share_no_particles(
    template: BodyTemplate, particles: ParticleSet, side: str
) -> None:
    owners = []
    for finger in range(1, 6):
        bones = [template.joint(f"finger{finger}-{k}.{side}") for k in (2, 3)]
        on_finger = (template.skin_weight * np.isin(template.skin_index, bones)).sum(1) > 0.9
        owners.append(binding(particles, np.flatnonzero(on_finger)).any(0))
    assert np.sum(owners, axis=0).max() == 1


def test_eyes_and_lower_teeth_move_as_one_piece_and_the_upper_teeth_not_at_all(
    template: BodyTemplate, particles: ParticleSet
) -> None:
    for names in (
        ("eye_front_left", "eye_back_left"),
        ("eye_front_right", "eye_back_right"),
        ("teeth_lower",),
    ):
        part = particles.weights.toarray()[template.region_vertices(*names)]
        assert (part.max(0) > 0).sum() == 1 and part.max() == part.sum(1).min() == 1
    assert particles.vertex_weights[template.region_vertices("teeth_upper")].max() == 0


def test_no_displacement_gives_no_twist(template: BodyTemplate) -> None:
    twists = fit_particle_twists(template.vertices[None], template.vertices)
    assert np.abs(twists).max() < 1e-6


def test_a_rigid_motion_is_found_by_every_particle(template: BodyTemplate, particles: ParticleSet) -> None:
    turn = Rotation.from_rotvec([0.05, -0.1, 0.2])
    shift = np.array([0.01, -0.02, 0.005])
    moved = turn.apply(template.vertices) + shift
    twists = fit_particle_twists(moved[None], template.vertices)[0]
    off = np.linalg.norm(twists[:, :3] - turn.as_rotvec(), axis=1)
    # A particle that holds a nearly straight row of vertices does not feel a turn about the row.
    assert np.quantile(off, 0.97) < 0.01 and off.max() < 0.06
    anchors = particles.anchors(template.vertices, template.faces)
    _, translation = exp_se3(torch.from_numpy(twists))
    distance = np.linalg.norm(translation.numpy() - (turn.apply(anchors) + shift - anchors), axis=1)
    assert np.median(distance / np.linalg.norm(turn.apply(anchors) + shift - anchors, axis=1)) < 0.05


@pytest.mark.parametrize(
    ("action", "mean_mm"),
    [
        ("jawOpen", 0.5),
        ("mouthPucker", 0.3),
        ("mouthFunnel", 0.4),
        ("mouthRollLower", 0.3),
        ("mouthSmileLeft", 0.3),
    ],
)
def test_particles_reproduce_the_lips_within_half_a_millimetre(
    template: BodyTemplate, action: str, mean_mm: float
) -> None:
    motion = template.actions[template.action(action)]
    twists = fit_particle_twists((template.vertices + motion)[None], template.vertices)
    error = np.linalg.norm(reproduced(twists, template.vertices)[0] - motion, axis=1)
    assert error[template.lip > 0.3].mean() * 1e3 < mean_mm


def test_a_blink_of_particles_closes_the_eye(template: BodyTemplate) -> None:
    motion = template.actions[template.action("eyeBlinkLeft")]
    twists = fit_particle_twists((template.vertices + motion)[None], template.vertices)
    error = np.linalg.norm(reproduced(twists, template.vertices)[0] - motion, axis=1)
    lid = (template.eyelid > 0.5) & (template.vertices[:, 0] > 0)
    assert np.sqrt(np.square(error[lid]).mean()) < 0.1 * np.linalg.norm(motion[lid], axis=1).max()


def test_frames_are_fitted_alike_alone_and_together(template: BodyTemplate) -> None:
    frames = template.vertices + template.actions[[3, 24, 37]]
    together = fit_particle_twists(frames, template.vertices)
    assert together.shape == (3, N_LOCAL, 6) and together.dtype == np.float32
    np.testing.assert_allclose(fit_particle_twists(frames[1:2], template.vertices)[0], together[1], atol=1e-6)
