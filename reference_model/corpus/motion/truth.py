"""What is true of a drawn clip: points of face, hands and body in space and in the picture, lip gap, eye openings.

All of it follows from the posed body and the camera; nothing is detected. Facial actions and bone rotations, from which
the clip was made, go to a sealed file in a folder of its own that no method may see.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.drawing.scene import View, project
from reference_model.corpus.motion.animator import Motion, stressed_word_onsets
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.motion.occlusion import depth_map, visible
from reference_model.corpus.motion.performer import Performance
from reference_model.corpus.speech.synthesis import Utterance

__all__ = [
    "SEALED_FOLDER",
    "ClipTruth",
    "clip_truth",
    "load_sealed",
    "load_truth",
    "save_sealed",
    "save_truth",
    "speech_events",
]

SEALED_FOLDER = "sealed"
"""Name of the only folder into which `save_sealed` writes."""

_FOREHEAD, _CHIN = 10, 152  # points of the mediapipe face mesh
_LIDS = ((386, 374), (159, 145))
"""Middle of upper and lower lid of the person's left and right eye."""
_SURFACE_SLACK_M, _HAND_SLACK_M, _JOINT_SLACK_M = 0.008, 0.025, 0.09
"""How deep inside the body points on the skin, of the hands' bones and of the other bones may lie."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipTruth:
    """T frames. Pixels are those of the clip, centres at +0.5; metres are world space (docs/architecture.md)."""

    landmarks: np.ndarray
    """[T, 468, 2] float32 px, points of the mediapipe face mesh; NaN for points that the template has not."""
    landmarks_visible: np.ndarray
    """[T, 468] bool. Here and below: in the picture and not behind the body; hair and clothes are not counted."""
    lip_gap_mm: np.ndarray
    """[T] float32, between the inner edges of the lips, mean of three columns about the middle."""
    lip_gap: np.ndarray
    """[T] float32, the same in face heights (forehead to chin)."""
    eye_opening_mm: np.ndarray
    """[T, 2] float32, between the middles of the lids of the person's left and right eye; 0 where they touch."""
    eye_opening: np.ndarray
    """[T, 2] float32, the same in face heights."""
    hands: np.ndarray
    """[T, 2, 21, 2] float32 px, left then right hand: wrist, then four joints of each finger from thumb to little."""
    hands_3d: np.ndarray
    """[T, 2, 21, 3] float32 metres."""
    hands_visible: np.ndarray
    """[T, 2, 21] bool."""
    keypoints: np.ndarray
    """[T, 23, 2] float32 px, `BodyTemplate.keypoint_names`."""
    keypoints_3d: np.ndarray
    """[T, 23, 3] float32 metres."""
    keypoints_visible: np.ndarray
    """[T, 23] bool."""
    joints: np.ndarray
    """[T, J, 2] float32 px, heads of the bones."""
    joints_3d: np.ndarray
    """[T, J, 3] float32 metres."""
    joints_visible: np.ndarray
    """[T, J] bool."""
    camera_rotation: np.ndarray
    """[3, 3] float32, world to camera, OpenCV's axes."""
    camera_translation: np.ndarray
    """[3] float32 metres."""
    camera_focal: np.ndarray
    """[] float32 px; the principal point is the middle of the picture."""
    picture_size: np.ndarray
    """[2] int32, width and height."""


def clip_truth(bodies: Iterable[tuple[np.ndarray, np.ndarray]], view: View) -> ClipTruth:
    """Gather the truth of a clip.

    Args:
        bodies: Posed vertices [V, 3] and joint heads [J, 3] of each frame, metres (`drawing.posed_bodies`).
        view: The camera.

    Returns:
        The truth.

    Raises:
        ValueError: There is no frame.
    """
    template = load_template()
    measure = _Measure(template, view)
    frames = [measure.frame(vertices, joints) for vertices, joints in bodies]
    if not frames:
        raise ValueError("a clip needs at least one frame")
    stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    return ClipTruth(
        **stacked,
        camera_rotation=np.asarray(view.rotation, np.float32),
        camera_translation=np.asarray(view.translation, np.float32),
        camera_focal=np.array(view.focal, np.float32),
        picture_size=np.array([view.width, view.height], np.int32),
    )


class _Measure:
    """Measures one frame after the other with one camera."""

    def __init__(self, template: BodyTemplate, view: View) -> None:
        self._template, self._view = template, view
        self._hand_joints = [_hand_joints(template, side) for side in "LR"]
        self._skull = _skull(template)
        self._slack = np.concatenate([
            np.full(468, _SURFACE_SLACK_M), np.full(42, _HAND_SLACK_M),
            np.full(len(template.keypoint_names) + template.n_joints, _JOINT_SLACK_M),
        ])  # fmt: skip

    def frame(self, vertices: np.ndarray, joints: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of `ClipTruth` that change from frame to frame."""
        template, view = self._template, self._view
        landmarks = (
            vertices[template.faces[template.landmark_face]] * template.landmark_barycentric[..., None]
        ).sum(1)
        landmarks[template.landmark_face < 0] = np.nan
        tips = [template.fingertip_vertex[side] for side in ("left", "right")]
        hands = np.stack([_hand_points(joints[self._hand_joints[i]], vertices[tips[i]]) for i in range(2)])
        keypoints = (vertices[template.keypoint_index] * template.keypoint_weight[..., None]).sum(1)
        points = np.concatenate([landmarks, hands.reshape(42, 3), keypoints, joints]).astype(np.float32)
        pixels = project(points, view)
        depth = depth_map(project(vertices, view), template.faces, view.width, view.height)
        seen = visible(pixels, depth, self._slack)
        places = np.split(pixels[:, :2], np.cumsum([468, 42, len(keypoints)]))
        flags = np.split(seen, np.cumsum([468, 42, len(keypoints)]))
        face_mm = 1000 * np.linalg.norm(landmarks[_FOREHEAD] - landmarks[_CHIN])
        upright = self._upright(vertices)  # [3, 3]
        gap_mm = np.clip(lip_gap().of_vertices_mm(vertices @ upright)[1:4], 0.0, None).mean()
        height_mm = 1000 * (landmarks @ upright)[:, 2]
        # Shut lids overlap by some millimetres: only a gap counts.
        eyes_mm = np.array([max(0.0, height_mm[upper] - height_mm[lower]) for upper, lower in _LIDS])
        return {
            "landmarks": places[0], "landmarks_visible": flags[0],
            "lip_gap_mm": np.array(gap_mm, np.float32), "lip_gap": np.array(gap_mm / face_mm, np.float32),
            "eye_opening_mm": np.array(eyes_mm, np.float32), "eye_opening": np.array(eyes_mm / face_mm, np.float32),
            "hands": places[1].reshape(2, 21, 2), "hands_3d": hands.astype(np.float32),
            "hands_visible": flags[1].reshape(2, 21),
            "keypoints": places[2], "keypoints_3d": keypoints.astype(np.float32), "keypoints_visible": flags[2],
            "joints": places[3], "joints_3d": joints.astype(np.float32), "joints_visible": flags[3],
        }  # fmt: skip

    def _upright(self, vertices: np.ndarray) -> np.ndarray:
        """Turns row vectors so that the body's skull stands like the template's (Kabsch 1976), [3, 3]."""
        here = vertices[self._skull].astype(np.float64)
        there = self._template.vertices[self._skull].astype(np.float64)
        u, _, vt = np.linalg.svd((here - here.mean(0)).T @ (there - there.mean(0)))
        u[:, 2] *= np.sign(np.linalg.det(u @ vt))
        return u @ vt


def _skull(template: BodyTemplate) -> np.ndarray:
    """Vertices that move with the head as one piece: no facial action reaches them, [N]."""
    head = np.where(template.skin_index == template.joint("head"), template.skin_weight, 0.0).sum(1) > 0.98
    return np.flatnonzero(head & (np.abs(template.actions).max((0, 2)) < 1e-4))


def _hand_joints(template: BodyTemplate, side: str) -> np.ndarray:
    """Joints of a hand: wrist, then three of each finger from thumb to little, [16]."""
    names = [f"wrist.{side}"] + [f"finger{f}-{b}.{side}" for f in range(1, 6) for b in (1, 2, 3)]
    return np.array([template.joint(name) for name in names])


def _hand_points(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Joints [16, 3] and fingertips [5, 3] in the order of mediapipe's hand, [21, 3]."""
    fingers = np.concatenate([joints[1:].reshape(5, 3, 3), tips[:, None]], 1)
    return np.concatenate([joints[:1], fingers.reshape(20, 3)])


def save_truth(path: Path, truth: ClipTruth) -> None:
    """Write the truth as arrays without pickle.

    Raises:
        AvatarBenchError: E601 or E602, the file cannot be written.
    """
    _write(path, {field.name: getattr(truth, field.name) for field in fields(truth)})


def load_truth(path: Path) -> ClipTruth:
    """Read what `save_truth` wrote.

    Raises:
        AvatarBenchError: E402, the file cannot be read.
    """
    return ClipTruth(**_read(path, [field.name for field in fields(ClipTruth)]))


def save_sealed(path: Path, motion: Motion) -> None:
    """Write facial actions and bone rotations.

    Raises:
        ValueError: The file would not stand in a folder called `SEALED_FOLDER`.
        AvatarBenchError: E601 or E602, the file cannot be written.
    """
    if path.parent.name != SEALED_FOLDER:
        raise ValueError(
            f"sealed truth belongs into a folder called {SEALED_FOLDER!r}, not into {path.parent}"
        )
    _write(path, {"actions": motion.actions, "rotations": motion.rotations})


def load_sealed(path: Path) -> Motion:
    """Read what `save_sealed` wrote; for checks only, never for a method.

    Raises:
        AvatarBenchError: E402, the file cannot be read.
    """
    return Motion(**_read(path, ["actions", "rotations"]))


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _read(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise AvatarBenchError(
            "E402", "the truth of a clip cannot be read", where=path, expected=f"the arrays {', '.join(names)}",
            got=str(error), fix="make the corpus again: avatar corpus create",
        ) from error  # fmt: skip


def speech_events(utterance: Utterance, performance: Performance) -> dict[str, Any]:
    """What is said and done when, for JSON; all times in seconds of the clip.

    Args:
        utterance: The clip's speech with the silence around it.
        performance: From `performer.perform`.

    Returns:
        "text", "language"; "phonemes" and "words" with start and end (words also with the onset of their stressed vowel
        or None); "gestures" with start, stroke, apexes, end and the stressed onset they belong to; "blinks_s".
    """
    stressed = stressed_word_onsets(utterance)
    phonemes = [*utterance.phonemes, (utterance.duration, "")]
    # A word ends where its last sound does: before the pause or the word that follows.
    pauses = [start for start, ipa in phonemes if not ipa]
    words = []
    for index, ((start, word), (following, _)) in enumerate(
        pairwise([*utterance.words, (utterance.duration, "")])
    ):
        end = min([pause for pause in pauses if start < pause < following], default=following)
        words.append({"start_s": start, "end_s": end, "word": word, "stress_s": stressed.get(index)})
    return {
        "text": utterance.text,
        "language": utterance.voice.language,
        "phonemes": [
            {"start_s": start, "end_s": end, "ipa": ipa}
            for (start, ipa), (end, _) in pairwise(phonemes)
            if ipa
        ],
        "words": words,
        "gestures": performance.to_json()["gestures"],
        "blinks_s": list(performance.blinks_s),
    }
