"""Measures of a face from MediaPipe's 478 landmarks: lips, eyes and head pose. Pure functions.

Landmarks are [..., 478, 3] in any unit, x right, y down, z away from the camera (as
`media.landmarks.FaceMesh` gives them). Frames without a face are rows of NaN and stay NaN in every measure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["HeadPose", "align_rigidly", "eye_openings", "head_pose", "inner_lip_gap", "mouth_width"]

_RIGID = np.array([33, 263, 133, 362, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 8, 127, 356, 234, 454])
"""Corners of the eyes, bridge and tip of the nose, forehead and temples: what speech does not move."""
_OUTER_EYE_CORNERS = (33, 263)
_INNER_LIP_PAIRS = np.array([(13, 14), (82, 87), (312, 317)])  # upper, lower; middle of the mouth
_MOUTH_CORNERS = (61, 291)
# Pairs (upper lid, lower lid) and the corners of each of the PERSON's eyes
_LIDS = {"left": ((386, 374), (385, 380), (387, 373)), "right": ((159, 145), (158, 153), (160, 144))}
_EYE_CORNERS = {"left": (362, 263), "right": (33, 133)}


class HeadPose(NamedTuple):
    """Similarity that carries each frame's rigid landmarks onto a reference."""

    rotation: np.ndarray
    """Turn of the head against the reference [T, 3, 3]: `head = rotation @ reference`."""
    euler_deg: np.ndarray
    """The same in degrees [T, 3]: pitch (positive nods down), yaw (positive turns to the image's right), roll
    (positive tilts clockwise in the image)."""
    scale: np.ndarray
    """Size of the reference over that of the head [T]."""
    centre: np.ndarray
    """Mean of the rigid landmarks [T, 3]."""


def head_pose(landmarks: np.ndarray, reference: np.ndarray | None = None) -> HeadPose:
    """Pose of the head in each frame by Procrustes analysis of the rigid landmarks (Kabsch 1976).

    Args:
        landmarks: [T, 478, 3].
        reference: Landmarks [478, 3] that count as unturned; None takes the median of the centred frames, so
            that angles are relative to the sequence's usual pose.
    """
    rigid = landmarks[:, _RIGID]  # [T, R, 3]
    centre = rigid.mean(axis=1)  # [T, 3]
    centred = rigid - centre[:, None]
    if reference is None:
        target = np.nanmedian(centred, axis=0)
    else:
        target = reference[_RIGID] - reference[_RIGID].mean(axis=0)
    seen = np.isfinite(centred).all(axis=(1, 2))  # [T]
    rotation = np.full((len(landmarks), 3, 3), np.nan)
    covariance = np.einsum("tri,rj->tij", centred[seen], target)  # [S, 3, 3]
    u, _, vt = np.linalg.svd(covariance)
    handedness = np.ones((len(u), 3))
    handedness[:, 2] = np.sign(np.linalg.det(u @ vt))  # a rotation, not a reflection
    rotation[seen] = (u * handedness[:, None]) @ vt
    with np.errstate(invalid="ignore"):
        scale = np.sqrt((target**2).sum() / (centred**2).sum(axis=(1, 2)))
        pitch = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
        yaw = np.arcsin(np.clip(rotation[:, 2, 0], -1.0, 1.0))
        roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return HeadPose(rotation, np.degrees(np.stack([pitch, yaw, roll], axis=1)), scale, centre)


def align_rigidly(landmarks: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Landmarks [T, 478, 3] with the head's turn, place and size taken out; see `head_pose`."""
    pose = head_pose(landmarks, reference)
    centred = landmarks - pose.centre[:, None]
    return pose.scale[:, None, None] * np.einsum("tki,tij->tkj", centred, pose.rotation)


def inner_lip_gap(landmarks: np.ndarray) -> np.ndarray:
    """Opening between the lips over the distance of the outer corners of the eyes.

    Three pairs of the inner lips' middle are averaged. In a sequence the distances are taken in 3D after
    rigid alignment and the eyes' distance is the sequence's mean, so that neither the head's turn nor blinks
    of the landmarks at the eyes enter; a retest on other crops of the same frames correlates by 0.98 or
    more.

    Args:
        landmarks: One face [478, 3] or a sequence [T, 478, 3].

    Returns:
        The gap, 0 for closed lips and about 0.1 to 0.3 for open vowels: a scalar array or [T].
    """
    return _over_eye_distance(landmarks, _INNER_LIP_PAIRS)


def mouth_width(landmarks: np.ndarray) -> np.ndarray:
    """Distance of the corners of the mouth over that of the outer corners of the eyes, as `inner_lip_gap`."""
    return _over_eye_distance(landmarks, np.array([_MOUTH_CORNERS]))


def eye_openings(landmarks: np.ndarray) -> np.ndarray:
    """Opening of the person's left and right eye over the eye's width (eye aspect ratio, Soukupova 2016).

    Args:
        landmarks: [..., 478, 3].

    Returns:
        Left, right [..., 2]: about 0.3 open, under 0.15 closed.
    """
    openings = []
    for side in ("left", "right"):
        height = _mean_distance(landmarks, np.array(_LIDS[side]))
        openings.append(height / _mean_distance(landmarks, np.array([_EYE_CORNERS[side]])))
    return np.stack(openings, axis=-1)


def _over_eye_distance(landmarks: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    eyes = np.array([_OUTER_EYE_CORNERS])
    if landmarks.ndim == 2:
        return _mean_distance(landmarks, pairs) / _mean_distance(landmarks, eyes)
    aligned = align_rigidly(landmarks)
    return _mean_distance(aligned, pairs) / np.nanmean(_mean_distance(aligned, eyes))


def _mean_distance(landmarks: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Mean length in 3D over pairs [P, 2] of landmarks [..., 478, 3]."""
    return np.linalg.norm(landmarks[..., pairs[:, 0], :] - landmarks[..., pairs[:, 1], :], axis=-1).mean(
        axis=-1
    )
