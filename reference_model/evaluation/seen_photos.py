"""Photographs with what detectors and matte say about them, in a file: for machines that have no detectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from media.files import atomic_write
from media.landmarks import HandLandmarks, PersonLandmarks, Side
from reference_model.avatar.personalize import SeenPhoto

__all__ = ["load_seen_photos", "save_seen_photos"]

_SIDES: tuple[Side, ...] = ("left", "right")


def save_seen_photos(path: Path, seen: Mapping[str, SeenPhoto]) -> None:
    """Write photographs by name: pictures without loss, the matte to half precision."""
    arrays: dict[str, np.ndarray] = {"names": np.array(list(seen))}
    for name, (photo, landmarks, alpha) in seen.items():
        parts = {
            "photo": cv2.imencode(".png", photo[..., ::-1])[1],
            "alpha": alpha.astype(np.float16),
            "pose": landmarks.pose,
            "pose_world": landmarks.pose_world,
            "n_people": np.array(landmarks.n_people),
        }
        if landmarks.face is not None:
            parts["face"] = landmarks.face
        for side, hand in landmarks.hands.items():
            parts |= {f"{side}_points": hand.points, f"{side}_world": hand.world}
            parts[f"{side}_score"] = np.array(hand.score)
        arrays |= {f"{name}/{part}": value for part, value in parts.items()}
    with atomic_write(path) as temporary, Path(temporary).open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_seen_photos(path: Path) -> dict[str, SeenPhoto]:
    """What `save_seen_photos` wrote; the matte stands for the detector's coarse mask, too, which is not kept."""
    with np.load(path, allow_pickle=False) as stored:
        return {str(name): _seen(stored, str(name)) for name in stored["names"]}


def _seen(stored: Mapping[str, np.ndarray], name: str) -> SeenPhoto:
    alpha = stored[f"{name}/alpha"].astype(np.float32)
    hands: dict[Side, HandLandmarks] = {
        side: HandLandmarks(
            stored[f"{name}/{side}_points"],
            stored[f"{name}/{side}_world"],
            float(stored[f"{name}/{side}_score"]),
        )
        for side in _SIDES
        if f"{name}/{side}_points" in stored
    }
    landmarks = PersonLandmarks(
        pose=stored[f"{name}/pose"],
        pose_world=stored[f"{name}/pose_world"],
        face=stored[f"{name}/face"] if f"{name}/face" in stored else None,
        hands=hands,
        mask=alpha,
        n_people=int(stored[f"{name}/n_people"]),
    )
    photo = cv2.imdecode(stored[f"{name}/photo"], cv2.IMREAD_COLOR)[..., ::-1]
    return SeenPhoto(np.ascontiguousarray(photo), landmarks, alpha)
