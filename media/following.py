"""One person through the frames of a video: body, face and hands in one look at each frame.

`landmarks.detect_person` looks at a photograph some sixty times to be sure of it; over a video the neighbouring frames
say as much, so that here every model looks once. Noise is left to whoever fits the sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media._body import Body, BodyFinder
from media._face import FaceMesh
from media._hands import DetectedHand, HandDetector, Side
from media._views import View

__all__ = ["PersonFollower", "SeenPerson"]

_HAND_LENGTH_M = 0.19  # wrist to middle finger tip of an adult
_REACH = 0.8  # hand lengths between the hand model's wrist and the body model's
_WRISTS: dict[Side, int] = {"left": 15, "right": 16}  # of BlazePose's 33
_WRONG_LABEL = 0.3  # hand lengths that a label of the other side weighs


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """What one frame shows of a person; px of the frame, sides are the PERSON's."""

    pose: np.ndarray
    """BlazePose's 33 points: x, y, z in px and visibility 0..1 [33, 4]."""
    pose_world: np.ndarray
    """The same in metres about the hips' middle, axes as in the image [33, 3]."""
    face: np.ndarray | None
    """Face mesh with irises, px [478, 3]."""
    hands: dict[Side, DetectedHand]
    """The hands that were found at the wrists of this body."""


class PersonFollower:
    """Looks at the frames of a video one by one; a context manager without memory between frames."""

    def __init__(self) -> None:
        self._bodies, self._mesh, self._palms = BodyFinder(), FaceMesh(), HandDetector(min_detection=0.3)

    def __enter__(self) -> PersonFollower:
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self._bodies, self._mesh, self._palms):
            part.__exit__()

    def look(self, image: np.ndarray) -> SeenPerson | None:
        """The person in a frame [H, W, 3] uint8 sRGB; None when no body is seen."""
        body = self._bodies.glance(image)
        if body is None:
            return None
        return SeenPerson(body.pose, body.world, self._mesh.detect(image), self._hands(image, body))

    def _hands(self, image: np.ndarray, body: Body) -> dict[Side, DetectedHand]:
        """Hands of the whole frame; for a wrist in sight that has none, of an enlarged window about it."""
        length = _HAND_LENGTH_M * body.pixels_per_metre
        found = _at_wrists(self._palms.detect(image), body, length)
        for side, slot in _WRISTS.items():
            x, y, _, visibility = body.pose[slot]
            inside = 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
            if side not in found and inside and visibility > 0.3:
                window = View.around(body.pose[slot, :2], 4.0 * length, 384)
                near = _at_wrists(self._palms.detect_in(image, window), body, length)
                taken = found.values()
                if side in near and not any(_same(near[side], other, length) for other in taken):
                    found[side] = near[side]
        return found


def _at_wrists(hands: list[DetectedHand], body: Body, length: float) -> dict[Side, DetectedHand]:
    """Each wrist's nearest hand; a hand is given to one wrist only."""
    pairs: list[tuple[float, Side, int]] = []
    for i, hand in enumerate(hands):
        for side, slot in _WRISTS.items():
            away = float(np.linalg.norm(hand.points[0, :2] - body.pose[slot, :2])) / length
            if away < _REACH:
                pairs.append((away + _WRONG_LABEL * (hand.handedness != side), side, i))
    given: dict[Side, int] = {}
    for _, side, i in sorted(pairs):
        if side not in given and i not in given.values():
            given[side] = i
    return {side: hands[i] for side, i in given.items()}


def _same(a: DetectedHand, b: DetectedHand, length: float) -> bool:
    apart = np.linalg.norm(a.points[[0, 9], :2] - b.points[[0, 9], :2], axis=1)
    return bool((apart < 0.35 * length).all())
