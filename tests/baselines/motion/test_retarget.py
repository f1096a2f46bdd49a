"""The template's track as SMPL-X parameters: the smplx package shows the same limbs in the same directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from test_known_joints import posed

from baselines.motion.kinematics import posed_joints
from baselines.motion.layout import JAW, JOINT_NAMES, read_smplx_model
from baselines.motion.retarget import TEMPLATE_TO_SMPLX, smplx_of_track
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.tracking.fit import BodyTrack

TEMPLATE = load_template()
FINGERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
LIMBS = [
    ("hip", "knee", "upperleg01", "lowerleg01"),
    ("knee", "ankle", "lowerleg01", "foot"),
    ("shoulder", "elbow", "upperarm01", "lowerarm01"),
    ("elbow", "wrist", "lowerarm01", "wrist"),
    ("wrist", "middle1", "wrist", "finger3-1"),
    *(
        (f"{f}{k}", f"{f}{k + 1}", f"finger{n}-{k}", f"finger{n}-{k + 1}")
        for f, n in FINGERS.items()
        for k in (1, 2)
    ),
]


def made_track(n_frames: int = 4, size: float = 0.5) -> tuple[BodyTrack, BodyState]:
    generator = torch.Generator().manual_seed(2)
    tensors = TemplateTensors(TEMPLATE, vertex_subset=np.arange(3))
    state = BodyState.neutral(tensors).replace(shape=torch.randn(64, generator=generator))
    rotations = size * torch.randn(n_frames, TEMPLATE.n_joints, 3, generator=generator)
    shift = 0.2 * torch.randn(n_frames, 3, generator=generator)
    return BodyTrack(torch.zeros(n_frames, 52), rotations, rotations, shift, {}), state


def template_joints(track: BodyTrack, state: BodyState) -> np.ndarray:
    """[T, J, 3] in SMPL-X's axes, by the reference model's own skinning."""
    tensors = TemplateTensors(TEMPLATE, vertex_subset=np.arange(3))
    body = state.replace(rotations=track.rotations, offsets=torch.zeros(3, 3))
    joints = pose(tensors, body).joints + track.shift[:, None]
    return joints.double().numpy() @ TEMPLATE_TO_SMPLX.T


def test_limbs_and_fingers_point_where_the_templates_do(model_file: Path):
    track, state = made_track()
    motion = smplx_of_track(TEMPLATE, track, state, read_smplx_model(model_file), 25.0)
    theirs, ours = posed(model_file, motion, flat_hand_mean=True), template_joints(track, state)
    for near, far, start, end in LIMBS:
        for side, s in (("left", "L"), ("right", "R")):
            bone = (
                theirs[:, JOINT_NAMES.index(f"{side}_{far}")] - theirs[:, JOINT_NAMES.index(f"{side}_{near}")]
            )
            seen = ours[:, TEMPLATE.joint(f"{end}.{s}")] - ours[:, TEMPLATE.joint(f"{start}.{s}")]
            cosine = (bone * seen).sum(-1) / np.linalg.norm(bone, axis=-1) / np.linalg.norm(seen, axis=-1)
            assert cosine.min() > 1 - 1e-8, (near, side)


def test_the_middle_of_the_shoulders_goes_where_it_was_tracked(model_file: Path):
    track, state = made_track()
    motion = smplx_of_track(TEMPLATE, track, state, read_smplx_model(model_file), 25.0)
    theirs, ours = posed(model_file, motion, flat_hand_mean=True), template_joints(track, state)
    middle = theirs[:, [JOINT_NAMES.index(f"{side}_shoulder") for side in ("left", "right")]].mean(1)
    wanted = ours[:, [TEMPLATE.joint(f"upperarm01.{s}") for s in "LR"]].mean(1)
    assert np.allclose(middle, wanted, atol=1e-6)


def test_palms_lie_in_the_templates_planes(model_file: Path):
    track, state = made_track()
    palm = [j for j, name in enumerate(TEMPLATE.joint_names) if name.startswith("metacarpal")]
    track.rotations[:, palm] = 0.0  # SMPL-X's palm is stiff
    motion = smplx_of_track(TEMPLATE, track, state, read_smplx_model(model_file), 25.0)
    theirs, ours = posed(model_file, motion, flat_hand_mean=True), template_joints(track, state)

    def normal(wrist: np.ndarray, index: np.ndarray, pinky: np.ndarray) -> np.ndarray:
        across = np.cross(index - wrist, pinky - wrist)
        return across / np.linalg.norm(across, axis=-1, keepdims=True)

    for side, s in (("left", "L"), ("right", "R")):
        a = normal(*(theirs[:, JOINT_NAMES.index(f"{side}_{n}")] for n in ("wrist", "index1", "pinky1")))
        b = normal(*(ours[:, TEMPLATE.joint(f"{n}.{s}")] for n in ("wrist", "finger2-1", "finger5-1")))
        degrees = np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))
        assert degrees.max() < 5  # the knuckles' arcs differ; a flipped palm would give 180


def test_a_turn_of_the_root_is_the_same_turn_in_smplx_axes(model_file: Path):
    track, state = made_track(1, size=0.0)
    still = smplx_of_track(TEMPLATE, track, state, read_smplx_model(model_file), 25.0)
    track.rotations[0, 0] = torch.tensor([0.0, 0.0, 0.7])  # to the person's left, about z up
    turned = smplx_of_track(TEMPLATE, track, state, read_smplx_model(model_file), 25.0)
    assert np.allclose(still.rotations[0, 0], 0, atol=1e-7)
    assert np.allclose(turned.rotations[0, 0], [0, 0.7, 0], atol=1e-7)  # about y up
    assert np.allclose(turned.rotations[0, 1:22], still.rotations[0, 1:22], atol=1e-6)


def test_an_opened_jaw_turns_down_and_lips_alone_do_not_turn_it(model_file: Path):
    track, state = made_track(3, size=0.0)
    track.actions[1, TEMPLATE.action("jawOpen")] = 1.0
    track.actions[2, TEMPLATE.action("mouthSmileLeft")] = 1.0
    jaw = smplx_of_track(TEMPLATE, track, state, read_smplx_model(model_file), 25.0).rotations[:, JAW]
    assert np.degrees(jaw[1, 0]) == pytest.approx(15, abs=12) and np.abs(jaw[1, 1:]).max() < 0.05
    down = Rotation.from_rotvec(jaw[1]).apply([0.0, 0.0, 1.0])  # the chin lies in front of the hinge
    assert down[1] < 0
    assert np.abs(jaw[[0, 2]]).max() < 0.02


def test_our_forward_kinematics_is_that_of_the_package(model_file: Path):
    track, state = made_track()
    model = read_smplx_model(model_file)
    motion = smplx_of_track(TEMPLATE, track, state, model, 25.0)
    ours = posed_joints(model.rest_joints, motion.rotations) + motion.translation[:, None]
    assert np.allclose(ours, posed(model_file, motion, flat_hand_mean=True), atol=1e-10)
