"""Finding faces and reading their 478 landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from media._mediapipe import points_of, quiet, start_solution
from media._views import View

__all__ = ["FaceBox", "FaceFinder", "FaceMesh"]


class FaceBox(NamedTuple):
    """A face that was found."""

    centre: np.ndarray  # [2] px
    width: float  # px, about cheek to cheek
    score: float  # 0..1


class FaceFinder:
    """Face detector for faces of any size; a context manager.

    The full-range model sees the picture at 192 px, where faces under about a twelfth of its side are lost,
    so overlapping tiles of a half and of a quarter of the side can be searched, too.
    """

    _MIN_SCORE = 0.5
    _VIEW_SIZE = 512

    def __init__(self) -> None:
        self._graph = start_solution(
            "face_detection", "FaceDetection", model_selection=1, min_detection_confidence=self._MIN_SCORE
        )

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()

    def search(self, image: np.ndarray) -> Iterator[list[FaceBox]]:
        """Faces in the whole picture, then further ones in tiles of a half and of a quarter of its side.

        Args:
            image: [H, W, 3] uint8 sRGB.

        Yields:
            The faces of each of the three passes, the largest first.
        """
        known: list[FaceBox] = []
        for parts in (1, 2, 4):
            seen = [
                face
                for view in _tiles(image, parts, self._VIEW_SIZE)
                for face in self._find_in(image, view, whole_only=parts > 1)
            ]
            further = _distinct(known, seen)
            known += further
            yield sorted(further, key=lambda face: -face.width)

    def _find_in(self, image: np.ndarray, view: View, *, whole_only: bool) -> list[FaceBox]:
        """Faces in one view, in px of the image; `whole_only` leaves out those that the view's edge cuts."""
        with quiet():
            detections = self._graph.process(view.take(image)).detections or []
        faces = []
        for detection in detections:
            box = detection.location_data.relative_bounding_box
            cut = min(box.xmin, box.ymin, 1 - box.xmin - box.width, 1 - box.ymin - box.height) < 0.0
            if whole_only and cut:
                continue
            centre = np.array([box.xmin + box.width / 2, box.ymin + box.height / 2]) * view.size
            width = box.width * view.side
            faces.append(FaceBox(view.to_image(centre), width, float(detection.score[0])))
        return faces


class FaceMesh:
    """The 478-point mesh of the largest face of a frame; a context manager, without memory between frames."""

    _MIN_SCORE = 0.3
    _VIEW_SIZE = 512
    _MARGIN = 1.9  # side of the crop in face widths: chin and forehead inside at any head turn
    _LIFT = 0.1  # of the crop above the box's centre, face widths

    def __init__(self) -> None:
        self._finder = FaceFinder()
        self._graph = start_solution(
            "face_mesh",
            "FaceMesh",
            static_image_mode=True,
            max_num_faces=1,
            refine_landmarks=True,
            min_detection_confidence=self._MIN_SCORE,
        )

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self._finder.__exit__()
        self._graph.close()

    def detect(self, image: np.ndarray) -> np.ndarray | None:
        """Landmarks of the largest face.

        Args:
            image: A whole frame [H, W, 3] uint8 sRGB; the face may be small.

        Returns:
            Points [478, 3] float64: x, y in px of the frame, z in the same scale about the head's centre
            (smaller is nearer); None when there is no face.
        """
        for faces in self._finder.search(image):
            for face in faces:
                points = self.detect_at(image, face)
                if points is not None:
                    return points
        return None

    def confirmed_faces(self, image: np.ndarray) -> list[FaceBox]:
        """All faces of a photograph that the mesh model confirms, the largest first.

        The detector alone also sees faces in folds of cloth. The smallest tiles are searched only while there is
        no face at all.
        """
        confirmed: list[FaceBox] = []
        for further_pass, faces in enumerate(self._finder.search(image)):
            confirmed += [face for face in faces if self.detect_at(image, face) is not None]
            if confirmed and further_pass:
                break
        return sorted(confirmed, key=lambda face: -face.width)

    def detect_at(self, image: np.ndarray, face: FaceBox, scale: float = 1.0) -> np.ndarray | None:
        """Landmarks [478, 3] of the face in a box; `scale` widens the crop.

        The mesh model fails on faces that are small in its picture, so it is given an enlarged crop.
        """
        centre = face.centre - (0.0, self._LIFT * face.width)
        view = View.around(centre, self._MARGIN * scale * face.width, self._VIEW_SIZE)
        with quiet():
            result: Any = self._graph.process(view.take(image))
        if not result.multi_face_landmarks:
            return None
        return view.to_image(points_of(result.multi_face_landmarks[0], view.size))


def _tiles(image: np.ndarray, parts: int, size: int) -> list[View]:
    """Square tiles of `1 / parts` of the longer side, overlapping by half; for 1 one view of everything."""
    height, width = image.shape[:2]
    longest = max(height, width)
    if parts == 1:
        return [View.around(np.array([width / 2, height / 2]), longest, size)]
    side = -(-longest // parts)
    xs, ys = (
        np.unique(np.r_[0 : max(n - side, 0) + 1 : side // 2, max(n - side, 0)]) for n in (width, height)
    )
    return [View(int(x), int(y), side, size) for y in ys for x in xs]


def _distinct(known: list[FaceBox], seen: list[FaceBox]) -> list[FaceBox]:
    """The faces among `seen` that are neither known nor each other's doubles, the surest of each."""
    new: list[FaceBox] = []
    for face in sorted(seen, key=lambda face: -face.score):
        if all(np.linalg.norm(face.centre - f.centre) > 0.5 * max(face.width, f.width) for f in known + new):
            new.append(face)
    return new
