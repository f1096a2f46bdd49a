"""A track of the body template as SMPL-X parameters: joints that mean the same, by name.

The two skeletons differ in rest pose (arms 45 degrees down and bent, against a T-pose), in the number of bones (two for
an upper arm or forearm, metacarpals) and in proportions. What is kept exactly: the direction of each upper arm,
forearm, thigh, shank, hand and finger bone. The palm's plane is kept to some degrees, as its arcs of knuckles differ.
What is approximated: the trunk (SMPL-X's three spine joints take the turns of the template's vertebrae at about their
height), the twist along the arms, and the way of the body (the middle of the shoulders moves as tracked). The face is
reduced to the jaw: there is no public map from the 52 facial actions to FLAME's expressions, so that these are zero;
gaze is not tracked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from baselines.motion.kinematics import aiming, matrices, posed_joints, rotation_vectors, shortest_rotation
from baselines.motion.layout import FINGERS, JAW, JOINT_NAMES, N_JOINTS, PARENTS, SmplxModel
from baselines.motion.smplx_motion import SmplxMotion

if TYPE_CHECKING:
    from reference_model.body.skinning import BodyState
    from reference_model.body.template import BodyTemplate
    from reference_model.tracking.fit import BodyTrack

__all__ = ["TEMPLATE_TO_SMPLX", "smplx_of_track"]

TEMPLATE_TO_SMPLX = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""From the template's axes (z up, facing -y) to SMPL-X's (y up, facing +z); the person's left is +x in both."""

_N_EXPRESSION = 10
_FINGER_NUMBER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}


class _Bone(NamedTuple):
    """Which bone of the template turns a joint, and between which joints of either skeleton the bone runs."""

    turned_by: str
    template: tuple[str, str] | None = None
    smplx: tuple[str, str] | None = None
    exact: bool = True
    """Whether the direction is aimed at in every frame; the last finger bones have no far end."""


def _bones() -> dict[str, _Bone]:
    """By SMPL-X's joint; joints that are not named do not turn."""
    bones = {
        "pelvis": _Bone("root"),
        "spine1": _Bone("spine04"),
        "spine2": _Bone("spine02"),
        "spine3": _Bone("spine01"),
        "neck": _Bone("neck02"),
        "head": _Bone("head"),
    }
    for side, s in (("left", "L"), ("right", "R")):
        limbs = (
            ("hip", "knee", "upperleg01", "upperleg01", "lowerleg01"),
            ("knee", "ankle", "lowerleg01", "lowerleg01", "foot"),
            ("shoulder", "elbow", "upperarm02", "upperarm01", "lowerarm01"),
            ("elbow", "wrist", "lowerarm02", "lowerarm01", "wrist"),
            ("wrist", "middle1", "wrist", "wrist", "finger3-1"),
        )
        for near, far, turned_by, start, end in limbs:
            ends = (f"{start}.{s}", f"{end}.{s}")
            bones[f"{side}_{near}"] = _Bone(f"{turned_by}.{s}", ends, (f"{side}_{near}", f"{side}_{far}"))
        bones[f"{side}_ankle"] = _Bone(f"foot.{s}")
        bones[f"{side}_collar"] = _Bone(f"shoulder01.{s}")
        for finger in FINGERS:
            n = _FINGER_NUMBER[finger]
            for k in (1, 2, 3):
                near, far = (k, k + 1) if k < 3 else (2, 3)  # the last bone goes on as the one before it
                bones[f"{side}_{finger}{k}"] = _Bone(
                    f"finger{n}-{k}.{s}",
                    (f"finger{n}-{near}.{s}", f"finger{n}-{far}.{s}"),
                    (f"{side}_{finger}{near}", f"{side}_{finger}{far}"),
                    exact=k < 3,
                )
    return bones


_BONES = _bones()


def smplx_of_track(
    template: BodyTemplate, track: BodyTrack, state: BodyState, model: SmplxModel, fps: float
) -> SmplxMotion:
    """The track as SMPL-X parameters in a world of SMPL-X's axes.

    Args:
        template: The body.
        track: Its pose in each frame.
        state: The body of the photograph; its shape counts.
        model: The SMPL-X model whose skeleton is turned, in its mean shape.
        fps: Frames a second of the track.
    """
    shape = state.shape.double().numpy()
    axes = TEMPLATE_TO_SMPLX
    rest = (template.joints + np.einsum("k,kjc->jc", shape, template.joint_basis)) @ axes.T  # [J, 3]
    turns = axes @ matrices(track.rotations.double().numpy()) @ axes.T  # [T, J, 3, 3]
    turns, places = _posed(template, rest, turns)

    rest_frames = _rest_frames(template, rest, model)
    n = len(turns)
    globals_ = np.broadcast_to(np.eye(3), (n, N_JOINTS, 3, 3)).copy()
    local = globals_.copy()
    for j, (name, parent) in enumerate(zip(JOINT_NAMES, PARENTS, strict=True)):
        bone = _BONES.get(name)
        before = np.broadcast_to(np.eye(3), (n, 3, 3)) if parent < 0 else globals_[:, parent]
        globals_[:, j] = before
        if bone is None:
            continue
        turn = turns[:, template.joint(bone.turned_by)] @ rest_frames[name]
        if bone.template is not None and bone.smplx is not None and bone.exact:
            start, end = (template.joint(part) for part in bone.template)
            turn = (
                shortest_rotation(turn @ _direction(model, bone.smplx), places[:, end] - places[:, start])
                @ turn
            )
        globals_[:, j] = turn
        local[:, j] = before.swapaxes(-1, -2) @ turn
    rotations = rotation_vectors(local)
    rotations[:, JAW] = _jaw(template, track.actions.double().numpy()) @ axes.T
    return SmplxMotion(
        rotations,
        _translation(template, places, track, model, rotations),
        np.zeros((n, _N_EXPRESSION)),
        fps,
    )


def _posed(template: BodyTemplate, rest: np.ndarray, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The template's global rotations [T, J, 3, 3] and joints [T, J, 3]."""
    turns, places = np.empty_like(local), np.empty((len(local), len(rest), 3))
    for j, parent in enumerate(template.parents):
        if parent < 0:
            turns[:, j], places[:, j] = local[:, j], rest[j]
        else:
            turns[:, j] = turns[:, parent] @ local[:, j]
            places[:, j] = places[:, parent] + turns[:, parent] @ (rest[j] - rest[parent])
    return turns, places


def _direction(model: SmplxModel, ends: tuple[str, str]) -> np.ndarray:
    start, end = (model.rest_joints[JOINT_NAMES.index(name)] for name in ends)
    return end - start


def _rest_frames(template: BodyTemplate, rest: np.ndarray, model: SmplxModel) -> dict[str, np.ndarray]:
    """Turn [3, 3] of each joint from SMPL-X's rest pose to the template's, before any pose."""

    def span(start: str, end: str) -> np.ndarray:
        return rest[template.joint(end)] - rest[template.joint(start)]

    frames: dict[str, np.ndarray] = {}
    for name, bone in _BONES.items():
        if bone.template is None or bone.smplx is None:
            frames[name] = np.eye(3)  # both stand upright
            continue
        side, s = ("left", "L") if name.startswith("left") else ("right", "R")
        ours, theirs = span(*bone.template), _direction(model, bone.smplx)
        if name.endswith(("shoulder", "elbow")):
            # The elbow's hinge: across upper arm and forearm; a straight arm in T-pose bends forwards, to +z.
            hinge = np.cross(
                span(f"upperarm01.{s}", f"lowerarm01.{s}"), span(f"lowerarm01.{s}", f"wrist.{s}")
            )
            frames[name] = aiming(ours, hinge) @ aiming(theirs, np.cross(theirs, (0.0, 0.0, 1.0))).T
        elif name.endswith("wrist"):
            across = span(f"finger5-1.{s}", f"finger2-1.{s}")
            frames[name] = (
                aiming(ours, across)
                @ aiming(theirs, _direction(model, (f"{side}_pinky1", f"{side}_index1"))).T
            )
        elif name.endswith(("hip", "knee")):
            frames[name] = shortest_rotation(theirs, ours)
        else:  # a finger: as the palm, then along its own bone
            palm = frames[f"{side}_wrist"]
            frames[name] = shortest_rotation(palm @ theirs, ours) @ palm
    return frames


def _jaw(template: BodyTemplate, actions: np.ndarray) -> np.ndarray:
    """Rotation vectors [T, 3] in the template's axes: how the facial actions [T, 52] turn the lower teeth."""
    teeth = template.region_vertices("teeth_lower")
    rest = template.vertices[teeth].astype(np.float64)  # [V, 3]
    moved = rest + np.einsum("ta,avc->tvc", actions, template.actions[:, teeth])
    rest, moved = rest - rest.mean(0), moved - moved.mean(1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("tvi,vj->tij", moved, rest))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]  # a rotation, not a reflection
    return rotation_vectors(u @ vt)


def _translation(
    template: BodyTemplate, places: np.ndarray, track: BodyTrack, model: SmplxModel, rotations: np.ndarray
) -> np.ndarray:
    """SMPL-X's `transl` [T, 3] with which the middle of its shoulders is where the template's is."""
    shoulders = [template.joint(f"upperarm01.{s}") for s in ("L", "R")]
    wanted = places[:, shoulders].mean(1) + track.shift.double().numpy() @ TEMPLATE_TO_SMPLX.T
    theirs = [JOINT_NAMES.index(f"{side}_shoulder") for side in ("left", "right")]
    return wanted - posed_joints(model.rest_joints, rotations)[:, theirs].mean(1)
