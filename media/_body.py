"""The body of one person: 33 landmarks by test-time augmentation, and the person's mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from media._face import FaceBox
from media._mediapipe import points_of, quiet, start_solution
from media._views import View

__all__ = ["Body", "BodyFinder", "person_mask"]

_MIRROR = np.array([0, 4, 5, 6, 1, 2, 3, *(n + 1 if n % 2 else n - 1 for n in range(7, 33))])
"""The landmark of the other side of the body, of the 33 of BlazePose."""
# fmt: off
_BONES = (
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24), (23, 25), (25, 27), (24, 26),
    (26, 28), (0, 11), (0, 12),
)
# fmt: on
"""Pairs of landmarks that the skeleton runs between."""


@dataclass(frozen=True, slots=True)
class Body:
    """What the pose model sees of one person."""

    pose: np.ndarray
    """x, y, z in px of the image and visibility 0..1 [33, 4]; z about the hips' middle, smaller is nearer."""
    world: np.ndarray
    """Metres about the hips' middle [33, 3], axes as in the image."""
    mask: np.ndarray
    """Segmentation by the pose model [H, W] float32 in 0..1."""

    @property
    def pixels_per_metre(self) -> float:
        """Scale of the person in the image, by the extent of the visible upper body in both spaces."""
        used = np.array([0, 7, 8, 11, 12, 13, 14, 15, 16])
        weight = self.pose[used, 3:4] + 1e-3

        def extent(points: np.ndarray) -> float:
            mean = (weight * points).sum(axis=0) / weight.sum()
            return float(np.sqrt((weight * (points - mean) ** 2).sum()))

        return extent(self.pose[used, :2]) / extent(self.world[used, :2])


class BodyFinder:
    """The pose model over mirrored, shifted and scaled views of one person; a context manager.

    On one photograph the pose model's landmarks scatter by 3 to 16 px of 1024 with the framing, and lean to
    one side; the median over eight views removes most of that.
    """

    _VIEW_SIZE = 768
    # (scale, shift x, shift y) of the person in the view, as fractions of the view
    _FRAMINGS = ((1.0, 0.0, 0.0), (0.9, 0.03, 0.02), (0.8, 0.1, 0.15), (0.85, 0.12, 0.0))
    # Windows about the face, in face widths (left/right, up, down): a standing person with open arms, a bust
    _REACHES = ((6.5, 3.0, 13.0), (3.0, 1.5, 6.0))

    def __init__(self) -> None:
        self._graph = start_solution(
            "pose", "Pose", static_image_mode=True, model_complexity=1, enable_segmentation=True
        )

    def __enter__(self) -> BodyFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()

    def find(self, image: np.ndarray, face: FaceBox | None, others: list[FaceBox]) -> Body | None:
        """The body that belongs to a face.

        Args:
            image: [H, W, 3] uint8 sRGB.
            face: Face of the person; None takes whomever the model finds in the whole image.
            others: Faces of other people; they are blurred so that the model does not go for their bodies.

        Returns:
            The body, or None when there is none, or only other people's.
        """
        if face is None:
            return self._median(image, _framed(image, None), None)
        hidden = _blur_faces(image, others)
        for reach in self._REACHES:
            window = _framed(image, (face, reach))
            first = next((body for body in self._views(hidden, window) if _belongs(body, face)), None)
            if first is not None:
                return self._median(hidden, _framed_closely(image, first), face)
        return None

    def glance(self, image: np.ndarray) -> Body | None:
        """The body in one look at the whole picture [H, W, 3]: a tenth of the time of `find`, and as much noise."""
        return self._once(image, _framed(image, None))

    def _median(self, image: np.ndarray, window: View, face: FaceBox | None) -> Body | None:
        seen = [body for body in self._views(image, window) if face is None or _belongs(body, face)]
        if len(seen) < len(self._FRAMINGS):  # in fewer than half of the views, plain and mirrored: chance
            return None
        return Body(
            pose=np.median([body.pose for body in seen], axis=0),
            world=np.median([body.world for body in seen], axis=0),
            mask=np.mean([body.mask for body in seen], axis=0, dtype=np.float32),
        )

    def _views(self, image: np.ndarray, window: View) -> Iterator[Body]:
        """The bodies seen in the framings of a window, plain and mirrored."""
        for mirrored in (False, True):
            for scale, right, down in self._FRAMINGS:
                side = round(window.side / scale)
                corner = (window.x0 - round(right * side), window.y0 - round(down * side))
                body = self._once(image, View(*corner, side, self._VIEW_SIZE, mirrored))
                if body is not None:
                    yield body

    def _once(self, image: np.ndarray, view: View) -> Body | None:
        with quiet():
            result: Any = self._graph.process(view.take(image))
        if result.pose_landmarks is None:
            return None
        visibility = np.array([[p.visibility] for p in result.pose_landmarks.landmark])
        pose = np.hstack([view.to_image(points_of(result.pose_landmarks, view.size)), visibility])  # [33, 4]
        world = points_of(result.pose_world_landmarks, 1.0)  # [33, 3]
        if view.mirrored:
            pose, world = pose[_MIRROR], world[_MIRROR] * (-1.0, 1.0, 1.0)
        return Body(pose, world, view.paste_back(result.segmentation_mask, *image.shape[:2]))


def person_mask(image: np.ndarray, body: Body, *, alone: bool) -> np.ndarray:
    """Coarse mask of one person: the pose model's joined with the selfie model's.

    Args:
        image: [H, W, 3] uint8 sRGB.
        body: The person.
        alone: Whether there is nobody else; otherwise the selfie model, which sees everybody, counts only
            where the pose model sees this person.

    Returns:
        [H, W] float32 in 0..1; zero in parts that have no connection with the body.
    """
    low, high = _extent(image, body)
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    graph = start_solution("selfie_segmentation", "SelfieSegmentation", model_selection=0)
    with quiet():
        selfie = graph.process(np.ascontiguousarray(image[window])).segmentation_mask  # [h, w]
    graph.close()
    mask = body.mask.copy()
    if not alone:
        selfie = np.where(mask[window] > 0.3, selfie, 0.0)
    mask[window] = np.maximum(mask[window], selfie)
    return _connected_to_body(mask, body)


def _connected_to_body(mask: np.ndarray, body: Body) -> np.ndarray:
    """Keep the parts of a mask [H, W] that the skeleton runs through."""
    skeleton = np.zeros(mask.shape, np.uint8)
    for a, b in _BONES:
        if min(body.pose[a, 3], body.pose[b, 3]) > 0.5:
            ends = (
                np.clip(body.pose[[a, b], :2], -(2**14), 2**14).astype(int).tolist()
            )  # cv2 counts in 16 bit
            cv2.line(skeleton, ends[0], ends[1], (1,), thickness=3)
    _, labels = cv2.connectedComponents((mask > 0.3).astype(np.uint8))
    kept = np.unique(labels[skeleton > 0])
    return np.where(np.isin(labels, kept[kept > 0]), mask, 0.0).astype(np.float32)


def _framed(image: np.ndarray, about: tuple[FaceBox, tuple[float, float, float]] | None) -> View:
    """The square about the part of the image that the person can fill."""
    low, high = np.zeros(2), np.array(image.shape[1::-1], dtype=np.float64)
    if about is not None:
        face, (aside, up, down) = about
        low = np.maximum(low, face.centre - face.width * np.array([aside, up]))
        high = np.minimum(high, face.centre + face.width * np.array([aside, down]))
    return View.around((low + high) / 2, float((high - low).max()), BodyFinder._VIEW_SIZE)


def _framed_closely(image: np.ndarray, body: Body) -> View:
    """The square about a body that is known roughly: nobody else's in it, and as many pixels as there are."""
    low, high = _extent(image, body)
    return View.around((low + high) / 2, float((high - low).max()), BodyFinder._VIEW_SIZE)


def _extent(image: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Upper left and lower right corner [2] int, px, of the part of the image that a person can fill."""
    size = np.array(image.shape[1::-1])
    shown = body.pose[body.pose[:, 3] > 0.3, :2]
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.2 * (high - low).max()  # hair, feet and sleeves reach beyond the landmarks
    low = np.clip(low - margin, 0, size - 1).astype(int)
    return low, np.clip(high + margin, low + 1, size).astype(int)


def _belongs(body: Body, face: FaceBox) -> bool:
    return bool(np.linalg.norm(body.pose[0, :2] - face.centre) < 0.75 * face.width)


def _blur_faces(image: np.ndarray, faces: list[FaceBox]) -> np.ndarray:
    hidden = image.copy() if faces else image
    for face in faces:
        radius = 0.75 * face.width
        low = np.clip(face.centre - radius, 0, None).astype(int)
        high = np.clip(face.centre + radius, 0, image.shape[1::-1]).astype(int)
        part = hidden[low[1] : high[1], low[0] : high[0]]
        if part.size:
            part[:] = cv2.GaussianBlur(part, (0, 0), 0.4 * face.width)
    return hidden
