"""Landmarks of people in photographs and video frames, by MediaPipe 0.10.21's bundled models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media._body import Body, BodyFinder, person_mask
from media._face import FaceBox, FaceMesh
from media._hands import DetectedHand, HandDetector, HandLandmarks, Side, hands_of_body
from media.errors import AvatarBenchError

__all__ = [
    "BodyFinder",
    "DetectedHand",
    "FaceMesh",
    "HandDetector",
    "HandLandmarks",
    "PersonLandmarks",
    "Side",
    "detect_person",
]

_MIN_SIDE = 256
_MIN_NEIGHBOUR = 0.3  # of the largest face's width: smaller faces are pictures on a wall or a far crowd


@dataclass(frozen=True, slots=True)
class PersonLandmarks:
    """Everything that is found of the largest person of a photograph.

    Coordinates are px of the photograph; pixel `i` covers [i, i + 1].
    """

    pose: np.ndarray
    """BlazePose's 33 points: x, y, z in px and visibility 0..1 [33, 4]; z about the hips' middle, smaller is
    nearer. Hips and ears are the least exact, some 10 px of 1024; take wrists from the hands."""
    pose_world: np.ndarray
    """The same points in metres about the hips' middle, axes as in the image (x right, y down) [33, 3]."""
    face: np.ndarray | None
    """Face mesh with irises: x, y, z in px [478, 3]. `detect_person` refuses photographs without a face, so
    that None only comes from other makers of this class."""
    hands: dict[Side, HandLandmarks]
    """The hands in sight by the PERSON's own side."""
    mask: np.ndarray
    """Coarse mask of this person [H, W] float32 in 0..1; `media.matte.refine_matte` makes an alpha of it."""
    n_people: int
    """Number of faces of a comparable size; more than 1 is worth note N105."""


def detect_person(image: np.ndarray) -> PersonLandmarks:
    """Find the largest person of a photograph: body, face, hands and mask.

    The person is the one with the largest face. The body is a median over mirrored and shifted views, the
    face and the hands are read from enlarged crops, so that full-body photographs and small pictures work,
    too. Every call starts new graphs: the same image gives the same landmarks whatever was processed before.

    Args:
        image: [H, W, 3] uint8 sRGB, short side at least 256 px.

    Returns:
        The person's landmarks in px of `image`.

    Raises:
        AvatarBenchError: E102 nobody in sight, E103 no face in sight, E104 too small.
    """
    height, width = image.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise AvatarBenchError(
            "E104", "the image is too small", expected=f"{_MIN_SIDE} px or more", got=f"{width}x{height} px"
        )
    with BodyFinder() as bodies, FaceMesh() as mesh:
        faces = mesh.confirmed_faces(image)
        if not faces:
            raise _nobody(bodies.find(image, None, []))
        largest = faces[0]
        others = [face for face in faces[1:] if face.width >= _MIN_NEIGHBOUR * largest.width]
        body = bodies.find(image, largest, others)
        if body is None:
            raise AvatarBenchError(
                "E102",
                "a face was found, but no body that belongs to it",
                fix="use a photograph that shows the head, the shoulders and the arms",
            )
        face = _face(image, mesh, largest)
    return PersonLandmarks(
        pose=body.pose,
        pose_world=body.world,
        face=face,
        hands=hands_of_body(image, body),
        mask=person_mask(image, body, alone=not others),
        n_people=1 + len(others),
    )


def _face(image: np.ndarray, mesh: FaceMesh, box: FaceBox) -> np.ndarray:
    """Mean over three crops [478, 3]: the framing's jitter is larger than the model's own rounding."""
    readings = [mesh.detect_at(image, box, scale) for scale in (0.9, 1.0, 1.15)]
    return np.mean([reading for reading in readings if reading is not None], axis=0)


def _nobody(body: Body | None) -> AvatarBenchError:
    if body is None:
        return AvatarBenchError(
            "E102", "no person was found in the image", fix="use a photograph of one person facing the camera"
        )
    return AvatarBenchError(
        "E103",
        "a person was found, but no face",
        fix="use a photograph in which the face is visible, frontal and not covered",
    )
