"""What is measured on the frames of a talking person, real or rendered, by the same detectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from media.faces import eye_openings, inner_lip_gap
from media.landmarks import FaceMesh
from reference_model.avatar.io import Avatar
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.render.camera import Camera

__all__ = ["FaceCurves", "PoseTracks", "close_up", "face_curves", "fill_gaps", "pose_tracks"]

_NOSE, _SHOULDERS, _WRISTS = 0, (11, 12), (15, 16)  # BlazePose


class FaceCurves(NamedTuple):
    """Measures of the face in every frame; NaN where no face was found."""

    lip_gap: NDArray[np.floating]
    """`[T]` inner-lip gap over the distance of the outer eye corners."""
    eye_opening: NDArray[np.floating]
    """`[T]` mean opening of both eyes over the eye's width."""

    @property
    def found(self) -> float:
        """Share of the frames with a face."""
        return float(np.isfinite(self.lip_gap).mean())


@dataclass(frozen=True, slots=True)
class PoseTracks:
    """Where the body goes, in px."""

    head: NDArray[np.floating]  # [T, 2]
    wrists: NDArray[np.floating]  # [T, 2 (left, right), 2]
    shoulder_width: float


def face_curves(frames: Iterable[NDArray[np.uint8]]) -> FaceCurves:
    """Measure the lips and eyes in every frame.

    Args:
        frames: `[H, W, 3]` uint8 sRGB each.
    """
    with FaceMesh() as mesh:
        found = [mesh.detect(frame) for frame in frames]
    nothing = np.full((478, 3), np.nan)
    landmarks = np.stack([nothing if face is None else face for face in found])  # [T, 478, 3]
    return FaceCurves(inner_lip_gap(landmarks), eye_openings(landmarks).mean(-1))


def pose_tracks(frames: Iterable[NDArray[np.uint8]]) -> PoseTracks:
    """Follow the head and the wrists; a wrist counts only where the pose model sees it.

    Args:
        frames: `[H, W, 3]` uint8 sRGB each.
    """
    from mediapipe.python.solutions.pose import Pose  # heavy, and needed here alone

    rows = []
    with Pose(static_image_mode=False, model_complexity=1) as model:
        for frame in frames:
            height, width = frame.shape[:2]
            result: Any = model.process(np.ascontiguousarray(frame))  # mediapipe has no types
            found = result.pose_landmarks
            if found is None:
                rows.append(np.full((33, 3), np.nan))
            else:
                rows.append(np.array([(p.x * width, p.y * height, p.visibility) for p in found.landmark]))
    points = np.stack(rows)  # [T, 33, 3]
    wrists = points[:, _WRISTS, :2].copy()
    wrists[points[:, _WRISTS, 2] < 0.5] = np.nan
    left, right = (points[:, side, :2] for side in _SHOULDERS)
    shoulders = np.linalg.norm(left - right, axis=-1)
    return PoseTracks(points[:, _NOSE, :2], wrists, float(np.nanmedian(shoulders)))


def close_up(avatar: Avatar, size: int = 320) -> Camera:
    """A square view of the avatar's head in which small lips are large enough to measure.

    Args:
        avatar: The avatar; its landmarks on the template say where the face is.
        size: Side of the picture in px.
    """
    template = load_template()
    posed = pose(TemplateTensors(template), avatar.state)
    known = template.landmark_face >= 0
    corners = posed.vertices[template.faces[template.landmark_face[known]].astype(np.int64)]  # [L, 3, 3]
    weights = posed.vertices.new_tensor(template.landmark_barycentric[known])
    pixels = avatar.camera.project((corners * weights[..., None]).sum(1))[0].numpy()  # [L, 2]
    low, high = pixels.min(0), pixels.max(0)
    side = 1.7 * float((high - low).max())
    x0, y0 = (low + high) / 2 - side / 2
    view = avatar.camera.cropped(float(x0), float(y0), round(side), round(side))
    return view.resized(size, size)


def fill_gaps(curve: NDArray[np.floating]) -> NDArray[np.floating]:
    """Interpolate over the frames without a face, so that curves keep their times."""
    known = np.isfinite(curve)
    if not known.any():
        raise ValueError("no face was found in any frame")
    times = np.arange(len(curve))
    return np.interp(times, times[known], curve[known])
